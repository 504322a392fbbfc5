"""Child processes that never outlive the process that started them.

`python -m arena.local_models.tether MODULE ARGUMENT…` runs a module so. Its standard input must
be a pipe that the parent keeps open and never writes to.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import runpy
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


class CommandFailed(Exception):
    """A child ended with an error; the text is its last word."""


class Stopped(Exception):
    """The arena is going down."""


def die_with_parent() -> None:
    """SIGKILL when the parent's thread that started this process ends. Linux only.

    Elsewhere, and for the moment before this call, the end of standard input says the same.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def ignore_interrupt() -> None:
    """Ctrl-C reaches the whole foreground group: when to stop is the parent's decision."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def exit_at_end_of_input() -> None:
    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        os._exit(1)

    threading.Thread(target=wait, name="parent-watch", daemon=True).start()


def run(
    module: str,
    arguments: Sequence[str],
    *,
    stop: threading.Event,
    environment: dict[str, str] | None = None,
    on_poll: Callable[[], None] = lambda: None,
    interval: float = 0.2,
) -> None:
    """Run a module as a tethered child. Raises CommandFailed or Stopped.

    `on_poll` is called every `interval` seconds. The calling thread must stay alive until the
    end, which it does by waiting here: on Linux a child dies with the *thread* that started it.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "arena.local_models.tether", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=PROJECT,
        env={**os.environ, **(environment or {})},
    )
    said: list[bytes] = []
    assert process.stderr is not None
    reader = threading.Thread(target=lambda: said.extend(process.stderr or []), daemon=True)
    reader.start()
    try:
        while True:
            try:
                code = process.wait(timeout=interval)
                break
            except subprocess.TimeoutExpired:
                on_poll()
            if stop.is_set():
                raise Stopped
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        reader.join(timeout=5)
        process.stderr.close()
        assert process.stdin is not None
        process.stdin.close()
    if code:
        raise CommandFailed(_last_word(b"".join(said).decode("utf-8", "replace"), code))


def _last_word(text: str, code: int) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    return (errors or lines or [f"it ended with exit code {code}"])[-1].removeprefix("ERROR: ")


def main() -> None:
    die_with_parent()
    ignore_interrupt()
    exit_at_end_of_input()
    module, *arguments = sys.argv[1:]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
