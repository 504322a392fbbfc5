"""Code runs behind bubblewrap or not at all, and passes by its checks alone."""

from __future__ import annotations

import ctypes
import gzip
import json
import os
import select
import signal
import socket
import string
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from evaluation import sandbox
from evaluation.sandbox import Obstacle
from tests.evaluation.sandbox_attacks import ATTACKS, READS_THE_NONCE, Attack

PROJECT = Path(__file__).resolve().parents[2]
TRIPLE = {
    "prompt": 'def triple(x):\n    """Three times x."""\n',
    "test": "def check(candidate):\n    assert candidate(2) == 6\n    assert candidate(0) == 0\n",
    "entry_point": "triple",
}


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, str]]:
    """What there is to get at outside the sandbox: a server, a file, a secret."""
    secret = uuid.uuid4().hex
    monkeypatch.setenv("SANDBOX_TEST_SECRET", secret)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        yield {"HOST_PORT": str(port), "HOST_FILE": str(PROJECT / "manage.py"), "SECRET": secret}


def install_bubblewrap(folder: Path, script: str) -> None:
    command = folder / "bwrap"
    command.write_text(f"#!/bin/sh\n{script}\n")
    command.chmod(0o755)


def named(attack: Attack) -> str:
    return attack.name.replace(" ", "-")


def processes_called(marker: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:  # gone, or not ours
            continue
    return [pid for pid in found if pid != os.getpid()]


def vanishes(pid: int) -> bool:
    """Waits for the end of a process that is no child of this one."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([watched], [], [], 20)[0])
    finally:
        os.close(watched)


@pytest.mark.parametrize("attack", ATTACKS, ids=named)
def test_an_attack_fails_in_the_sandbox(
    attack: Attack, host: dict[str, str], bubblewrap: None
) -> None:
    program = string.Template(attack.program).safe_substitute(host)

    outcome = sandbox.run(program, timeout=0.7 if attack.reason == "timed out" else 20)

    assert (outcome.passed, outcome.reason) == (False, attack.reason)


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.harmless], ids=named)
def test_the_same_attack_succeeds_without_it(attack: Attack, host: dict[str, str]) -> None:
    program = string.Template(attack.program).safe_substitute(host)

    subprocess.run([sys.executable, "-c", program], check=True, timeout=30)


@pytest.mark.xfail(strict=True, reason="known limit: checks and program share a process")
def test_a_program_that_looks_for_the_nonce_does_not_pass(bubblewrap: None) -> None:
    assert not sandbox.run(READS_THE_NONCE).passed


def test_an_ordinary_program_passes(bubblewrap: None) -> None:
    outcome = sandbox.run("print('hello')\nassert sum(range(10)) == 45", timeout=20)

    assert (outcome.passed, outcome.reason, outcome.stdout_tail) == (True, "passed", "hello\n")


def test_a_program_may_use_its_scratch_folder_which_is_not_the_hosts(bubblewrap: None) -> None:
    name = f"/tmp/{uuid.uuid4().hex}"

    outcome = sandbox.run(f"open('{name}', 'w').write('x')\nassert open('{name}').read()")

    assert outcome.passed
    assert not Path(name).exists()


def test_a_program_never_runs_as_root(bubblewrap: None) -> None:
    outcome = sandbox.run("import os\nprint(os.getuid(), os.getgid(), os.getgroups())", timeout=20)

    expected = 65534 if os.geteuid() == 0 else os.geteuid()
    assert outcome.stdout_tail.startswith(f"{expected} ")
    assert "[0" not in outcome.stdout_tail


def test_only_the_end_of_an_output_is_kept(bubblewrap: None) -> None:
    outcome = sandbox.run("print('a' * 10**6)\nprint('the end')", timeout=20)

    assert outcome.passed
    assert outcome.stdout_tail.endswith("a\nthe end\n")
    assert len(outcome.stdout_tail) == 4096


def test_memory_is_limited_to_what_the_caller_allows(bubblewrap: None) -> None:
    program = "x = bytes(200 * 2**20)"

    assert sandbox.run(program, timeout=20).passed
    assert sandbox.run(program, timeout=20, memory=128 << 20).reason == "failed: MemoryError"


def test_a_child_that_a_program_forked_has_no_say(bubblewrap: None) -> None:
    fork = "import os\nchild = os.fork()\nif child: os.waitpid(child, 0)\n"

    assert sandbox.run(f"{fork}assert child", timeout=20).passed
    assert sandbox.run(f"{fork}assert not child", timeout=20).reason == "failed: AssertionError"


@pytest.mark.parametrize("program", ["pass", "while True: pass", "import os; os.closerange(3, 64)"])
def test_no_dead_process_is_left_to_the_hosts_init(program: str, bubblewrap: None) -> None:
    """In a container that is often the worker, which would collect one with every program."""
    script = (
        "import ctypes, os\n"
        "from evaluation import sandbox\n"
        "ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n"  # PR_SET_CHILD_SUBREAPER: as init would be
        f"sandbox.run({program!r}, timeout=0.5)\n"
        "try:\n"
        "    os.waitpid(-1, os.WNOHANG)\n"
        "except ChildProcessError:\n"
        "    raise SystemExit(0)\n"
        "raise SystemExit('a process was left')\n"
    )

    subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=True, timeout=30)


def test_what_a_program_left_running_ends_with_it(bubblewrap: None) -> None:
    marker = f"left-{uuid.uuid4().hex}"
    program = (
        "import os\n"
        "ready, told = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    os.write(told, b'+')\n"
        f"    os.execv('/usr/bin/sleep', ['{marker}', '3600'])\n"
        "os.read(ready, 1)\n"
    )

    outcome = sandbox.run(program, timeout=20)

    assert outcome.passed
    assert processes_called(marker) == []


def test_a_killed_worker_takes_its_program_along(bubblewrap: None) -> None:
    marker = f"orphan-{uuid.uuid4().hex}"
    # The marker is the name of a descendant, which is how the host can see that it has begun.
    program = (
        "import os, time\n"
        f"os.spawnv(os.P_NOWAIT, '/usr/bin/sleep', ['{marker}', '3600'])\n"
        "time.sleep(3600)"
    )
    worker = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"from evaluation import sandbox\nsandbox.run({program!r}, timeout=999)",
        ],
        cwd=PROJECT,
    )
    try:
        while not (started := [p for p in processes_called(marker) if is_the_sleeper(p, marker)]):
            assert worker.poll() is None
            os.sched_yield()
    finally:
        worker.send_signal(signal.SIGKILL)
        worker.wait()

    assert all(vanishes(pid) for pid in started)


def is_the_sleeper(pid: int, marker: str) -> bool:
    """Not the worker, whose command line has the marker in its program."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().startswith(marker.encode())
    except OSError:
        return False


def test_a_completion_is_checked_by_the_items_tests(bubblewrap: None) -> None:
    right = sandbox.check_humaneval(TRIPLE, "    return 3 * x", timeout=20)
    wrong = sandbox.check_humaneval(TRIPLE, "    return x", timeout=20)
    broken = sandbox.check_humaneval(TRIPLE, "    return (x", timeout=20)

    assert right.passed
    assert (wrong.passed, wrong.reason) == (False, "failed: AssertionError")
    assert (broken.passed, broken.reason) == (False, "failed: SyntaxError")


def test_a_program_is_put_together_as_the_official_harness_does() -> None:
    assert sandbox.humaneval_program(TRIPLE, "    return 3 * x") == (
        f"{TRIPLE['prompt']}    return 3 * x\n{TRIPLE['test']}\ncheck(triple)"
    )


def test_an_item_that_is_not_humanevals_is_refused() -> None:
    with pytest.raises(ValueError, match="no entry_point"):
        sandbox.humaneval_program({"prompt": "", "test": ""}, "pass")


def test_the_main_block_of_a_completion_does_not_run(bubblewrap: None) -> None:
    outcome = sandbox.run("if __name__ == '__main__':\n    raise ValueError", timeout=20)

    assert outcome.passed


def test_canonical_solutions_of_humaneval_pass(shared_data: Path, bubblewrap: None) -> None:
    """Every eighth, for speed; all 164 pass as well."""
    file = shared_data / "benchmarks" / "humaneval" / "HumanEval.jsonl.gz"
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        items = [json.loads(line) for line in lines][::8]

    failed = {
        item["task_id"]: outcome.reason
        for item in items
        for outcome in [sandbox.check_humaneval(item, item["canonical_solution"], timeout=20)]
        if not outcome.passed
    }

    assert len(items) == 21
    assert failed == {}


def test_without_bubblewrap_nothing_runs(path_for_anyone: Path) -> None:
    availability = sandbox.self_test()

    assert not availability.ok
    assert availability.reason is Obstacle.NO_BUBBLEWRAP
    assert str(availability) == "bubblewrap is not installed"
    with pytest.raises(sandbox.Unavailable, match="bubblewrap is not installed"):
        sandbox.run("pass")


def test_where_namespaces_are_forbidden_the_systems_words_are_the_detail(
    path_for_anyone: Path,
) -> None:
    install_bubblewrap(
        path_for_anyone, "echo 'bwrap: No permissions to create new namespace' >&2; exit 1"
    )

    availability = sandbox.self_test()

    assert availability.reason is Obstacle.NO_SANDBOX
    assert "No permissions to create new namespace" in str(availability)
    with pytest.raises(sandbox.Unavailable, match="No permissions"):
        sandbox.run("pass")


def test_a_bubblewrap_that_isolates_nothing_is_found_out(path_for_anyone: Path) -> None:
    install_bubblewrap(path_for_anyone, 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"')

    availability = sandbox.self_test()

    assert availability.reason is Obstacle.LEAKS
    assert "/etc/passwd is there" in availability.detail
    assert "it sees other processes" in availability.detail


SAY_WHAT_HAPPENS = """
from evaluation import sandbox
availability = sandbox.self_test()
print(availability.reason.name, availability.detail)
try:
    sandbox.run("pass")
except sandbox.Unavailable:
    print("nothing was run")
"""


def _without_the_right_to_become_another() -> None:
    """A root as containers make it: exec gives it what is in the bounding set, and no more."""
    pr_capbset_drop, cap_setgid, cap_setuid = 24, 6, 7
    for capability in (cap_setgid, cap_setuid):
        assert ctypes.CDLL(None).prctl(pr_capbset_drop, capability, 0, 0, 0) == 0


def _as_an_ordinary_user_taken_for_root() -> str:
    return "import os; os.geteuid = lambda: 0\n" + SAY_WHAT_HAPPENS


def test_a_root_that_cannot_step_down_runs_nothing(path_for_anyone: Path) -> None:
    install_bubblewrap(path_for_anyone, "exit 0")
    root = os.geteuid() == 0

    said = subprocess.run(
        [sys.executable, "-c", SAY_WHAT_HAPPENS if root else _as_an_ordinary_user_taken_for_root()],
        preexec_fn=_without_the_right_to_become_another if root else None,
        check=True, capture_output=True, text=True, timeout=60,
    ).stdout  # fmt: skip

    assert said.startswith(Obstacle.ROOT.name)
    assert "not permitted" in said
    assert said.endswith("nothing was run\n")
