"""Children that cannot outlive their parent: real processes, really killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from arena.local_models import tether
from tests.arena.local_models.witness import Witness, has_ended

CHILD = """
import os, socket, threading
line = socket.create_connection(("127.0.0.1", int(os.environ["WITNESS_PORT"])))
line.sendall(b"%d\\n" % os.getpid())
threading.Event().wait()
"""
PARENT = """
import threading
from arena.local_models import tether
tether.run("sleeper", [], stop=threading.Event())
"""


@pytest.fixture
def modules(tmp_path, monkeypatch):
    """A folder of modules that a tethered child can run."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return tmp_path


def test_a_child_dies_when_its_parent_is_killed(modules, monkeypatch):
    (modules / "sleeper.py").write_text(CHILD)
    with Witness() as witness:
        monkeypatch.setenv("WITNESS_PORT", str(witness.port))
        parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=tether.PROJECT)
        try:
            _, line = witness.arrival()
        finally:
            parent.kill()
            parent.wait()
        assert has_ended(line)


def test_without_the_kernels_help_the_end_of_input_is_enough(modules, monkeypatch):
    (modules / "sleeper.py").write_text(CHILD)
    command = [
        sys.executable,
        "-c",
        "import runpy, sys; sys.argv = ['tether', 'sleeper'];"
        "from arena.local_models import tether;"
        "tether.die_with_parent = lambda: None;"
        "tether.main()",
    ]
    with Witness() as witness:
        monkeypatch.setenv("WITNESS_PORT", str(witness.port))
        with subprocess.Popen(command, stdin=subprocess.PIPE, cwd=tether.PROJECT) as child:
            _, line = witness.arrival()
            child.stdin.close()
            assert has_ended(line)


def test_a_child_leaves_ctrl_c_to_its_parent(modules, monkeypatch):
    (modules / "sleeper.py").write_text(CHILD)
    stop = threading.Event()
    with Witness() as witness:
        monkeypatch.setenv("WITNESS_PORT", str(witness.port))
        ended = []

        def run() -> None:
            try:
                tether.run("sleeper", [], stop=stop, interval=0.02)
            except tether.Stopped:
                ended.append("stopped")

        thread = threading.Thread(target=run)
        thread.start()
        pid, line = witness.arrival()
        os.kill(pid, signal.SIGINT)
        stop.set()
        thread.join(timeout=20)
        assert ended == ["stopped"], "had SIGINT ended it, run() would have raised CommandFailed"
        assert has_ended(line)


def test_a_failing_child_is_quoted_with_its_last_error(modules):
    (modules / "fails.py").write_text(
        "import sys\nprint('ERROR: no such thing', file=sys.stderr)\n"
        "print('a notice of no use', file=sys.stderr)\nsys.exit(1)"
    )
    with pytest.raises(tether.CommandFailed, match=r"^no such thing$"):
        tether.run("fails", [], stop=threading.Event())


def test_arguments_reach_the_module(modules):
    (modules / "writes.py").write_text(
        "import sys, pathlib\npathlib.Path(sys.argv[1]).write_text(sys.argv[2])"
    )
    tether.run("writes", [str(modules / "out"), "hello"], stop=threading.Event())
    assert (modules / "out").read_text() == "hello"
