"""One program in one sandbox: build it, watch it, take it down, read the verdict."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

MIB = 1 << 20
SCRATCH_BYTES = 16 * MIB
TAIL_BYTES = 4096
START_SECONDS = 30.0  # for bubblewrap and the interpreter on a busy machine; 30 ms on an idle one
END_SECONDS = 5.0  # until bubblewrap itself is killed, which is not how it should end
NOBODY = 65534  # mapped in practically every container, owner of nothing
SYSTEM_PATH = "/usr/local/bin:/usr/bin"


class Unavailable(RuntimeError):
    """The sandbox did not come up, so nothing was run and nothing is known of the program."""


class StuckAsRoot(Unavailable):
    """Root in a container without the right, or without another user, to step down to."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a program.

    `reason` is "passed", "timed out", or "failed: " and what stopped it: an exception's name, as
    the program reports it, for people and not for decisions. `stdout_tail` is the end of what it
    wrote to standard output and error. `seconds` of wall clock include the sandbox's start.
    """

    passed: bool
    reason: str
    stdout_tail: str
    seconds: float


def interpreter() -> str | None:
    """A Python under /usr, the application's own one if it lies there; None without any."""
    own = Path(sys.base_prefix, "bin", f"python3.{sys.version_info.minor}")
    if own.is_relative_to("/usr") and own.exists():
        return str(own)
    return shutil.which("python3", path=SYSTEM_PATH)


def sandboxed(*command: str, bwrap: str, info: int) -> list[str]:
    """The command line that runs `command` in the sandbox, and writes its pid to `info`."""
    libraries: list[str] = []
    for folder in ("/lib", "/lib64"):  # where the loader looks; links into /usr on most systems
        path = Path(folder)
        if path.is_symlink():
            libraries += ["--symlink", str(path.readlink()), folder]
        elif path.exists():
            libraries += ["--ro-bind", folder, folder]
    return [
        bwrap,
        "--unshare-all",
        "--unshare-user",  # --unshare-all only tries to, and --disable-userns needs it
        "--disable-userns",
        "--die-with-parent",
        "--new-session",
        # The program is process 1 of its namespace: its end is the end of all it started, and
        # bubblewrap reaps it. The process 1 that bubblewrap would put there is left to the host's
        # init, which in a container is often the worker, and a dead one stays for each program.
        "--as-pid-1",
        *("--cap-drop", "ALL"),
        "--clearenv",
        *("--ro-bind", "/usr", "/usr"),
        *libraries,
        *("--proc", "/proc"),
        *("--dev", "/dev"),
        *("--size", str(SCRATCH_BYTES), "--tmpfs", "/tmp"),  # noqa: S108 -- the sandbox's own
        # Both are tmpfs without a size: many small files there would fill the host's memory.
        *("--remount-ro", "/dev"),
        *("--remount-ro", "/"),
        *("--chdir", "/tmp"),  # noqa: S108
        *("--info-fd", str(info)),
        "--",
        *command,
    ]


def run(program: str, *, timeout: float = 3.0, memory: int = 512 * MIB) -> Outcome:
    """Execute a Python program; it passes if it comes to its end within `timeout` seconds.

    `memory` is the address space in bytes. A caller running as root has the sandbox run as nobody:
    the limit on processes does not bind root. Raises Unavailable if the sandbox does not start.
    """
    bwrap, python = shutil.which("bwrap"), interpreter()
    if bwrap is None or python is None:
        raise Unavailable("bubblewrap is not installed" if bwrap is None else "no Python in /usr")
    nonce = secrets.token_hex(32)
    began = time.monotonic()
    with contextlib.ExitStack() as cleanup:
        given = os.memfd_create("program")
        cleanup.callback(os.close, given)
        with open(given, "wb", closefd=False) as file:
            file.write(f"{nonce} {timeout} {memory}\n".encode())
            file.write(program.encode("utf-8", "surrogatepass"))
        os.lseek(given, 0, os.SEEK_SET)

        verdict, verdict_inside = os.pipe()
        info, info_inside = os.pipe()
        cleanup.callback(os.close, verdict)
        cleanup.callback(os.close, info)
        try:
            process = _start(bwrap, python, given, verdict_inside, info_inside)
        finally:
            os.close(verdict_inside)
            os.close(info_inside)
        cleanup.callback(_take_down, process, info)
        assert process.stdout is not None
        watch = _Watch(verdict, process.stdout.fileno())
        watch.until_end(timeout=timeout)
    seconds = time.monotonic() - began

    said, tail = watch.said, watch.tail.decode("utf-8", "replace")
    if not said.startswith(b"+"):
        raise Unavailable(tail.strip() or f"no sandbox within {START_SECONDS:.0f} s")
    # Bytes and the whole of them: neither an exit status nor anything printed is a verdict.
    if secrets.compare_digest(said[1:], nonce.encode()):
        return Outcome(True, "passed", tail, seconds)
    if watch.timed_out:
        return Outcome(False, "timed out", tail, seconds)
    cause = re.match(r"\w{1,100}", said[1:].decode("utf-8", "replace"))
    return Outcome(False, f"failed: {cause[0] if cause else 'no verdict'}", tail, seconds)


def _start(bwrap: str, python: str, given: int, verdict: int, info: int) -> subprocess.Popen[bytes]:
    inside = resources.files(__package__).joinpath("inside.py").read_text(encoding="utf-8")
    # -I and -S: no packages of the system, so that a verdict does not depend on what it has.
    bare = (python, "-I", "-S", "-B", "-c", inside, str(verdict))
    command = sandboxed(*bare, bwrap=bwrap, info=info)
    identity: dict[str, Any] = {}
    if os.geteuid() == 0:
        identity = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
    try:
        return subprocess.Popen(
            command,
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[verdict, info],
            # Empty from the start: no secret of the worker is in any process of the sandbox.
            env={},
            cwd="/",
            start_new_session=True,
            **identity,
        )
    except OSError as error:
        if identity and error.errno in (errno.EPERM, errno.EINVAL):
            raise StuckAsRoot(f"user {NOBODY}: {error.strerror}") from error
        raise Unavailable(f"bubblewrap could not be started: {error.strerror}") from error


def _take_down(process: subprocess.Popen[bytes], info: int) -> None:
    """See to the end of the program and all it started, and reap.

    The program's own group is killed and bubblewrap left to reap it. Killing bubblewrap would kill
    the program too, but leave its remains to the host's init.
    """
    os.set_blocking(info, False)
    with contextlib.suppress(BlockingIOError, ValueError, KeyError, ProcessLookupError):
        first = json.loads(os.read(info, 4096))["child-pid"]
        # While bubblewrap lives it has not reaped the program, so this pid is no other's.
        if process.poll() is None:
            os.killpg(first, signal.SIGKILL)
    try:
        process.wait(timeout=END_SECONDS)
    except subprocess.TimeoutExpired:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout is not None:
        process.stdout.close()


class _Watch:
    """Reads both pipes to their end or to the deadline, keeping a bounded part of each."""

    def __init__(self, verdict: int, output: int) -> None:
        self.said = b""
        self.tail = b""
        self.timed_out = False
        self._verdict, self._output = verdict, output
        for pipe in (verdict, output):
            os.set_blocking(pipe, False)

    def until_end(self, *, timeout: float) -> None:
        """Until the verdict's pipe closes. The clock of the program starts when it does."""
        deadline = time.monotonic() + START_SECONDS
        with selectors.DefaultSelector() as selector:
            selector.register(self._verdict, selectors.EVENT_READ)
            selector.register(self._output, selectors.EVENT_READ)
            started = False
            while not self.timed_out:
                left = deadline - time.monotonic()
                if left <= 0:
                    self.timed_out = True
                    break
                ready = {key.fd for key, _ in selector.select(left)}
                if self._output in ready and not self._read_output():
                    selector.unregister(self._output)
                if self._verdict in ready and not self._read_verdict():
                    break
                if self.said and not started:
                    started, deadline = True, time.monotonic() + timeout
        self._drain_output()

    def _read_verdict(self) -> bool:
        data = os.read(self._verdict, 4096)
        self.said += data[: 1024 - len(self.said)]
        return bool(data)

    def _read_output(self) -> bool:
        data = os.read(self._output, 65536)
        self.tail = (self.tail + data)[-TAIL_BYTES:]
        return bool(data)

    def _drain_output(self) -> None:
        """What is in the pipe already, and no more: somebody may still be writing."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(16):
                if not self._read_output():
                    break
