"""Can code be run here? Asked at a worker's start, answered by doing it, and by looking around."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from .bubblewrap import StuckAsRoot, Unavailable, interpreter, run


class Obstacle(StrEnum):
    """Why code tasks are disabled; the text is for the page that says so."""

    NOT_LINUX = "code runs on Linux only"
    NO_BUBBLEWRAP = "bubblewrap is not installed"
    NO_PYTHON = "there is no Python under /usr, which is all a program gets to see"
    EXPOSED = "the application lies under /usr, where a program could read it"
    ROOT = "the worker runs as root and cannot step down for the program"
    NO_SANDBOX = "bubblewrap cannot build a sandbox here"
    LEAKS = "the sandbox does not hold"


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether code tasks can run, and if not, why: `detail` is what the system said about it."""

    ok: bool
    reason: Obstacle | None = None
    detail: str = ""

    def __str__(self) -> str:
        if self.reason is None:
            return "available"
        return f"{self.reason}: {self.detail}" if self.detail else str(self.reason)


# Looks around from inside and prints every gap; each line is one property of the sandbox.
_PROBE = """
import os, resource, socket
gaps = []
if os.getuid() == 0:
    gaps.append("it runs as root")
status = dict(line.split(":", 1) for line in open("/proc/self/status"))
if int(status["CapEff"], 16) or int(status["CapPrm"], 16) or int(status["CapBnd"], 16):
    gaps.append("it has capabilities")
if status["NoNewPrivs"].strip() != "1":
    gaps.append("it can gain privileges")
for path in ("/etc/passwd", "/home", "/root", "/var", "/run"):
    if os.path.lexists(path):
        gaps.append(path + " is there")
for folder in ("/", "/usr", "/dev", "/dev/shm"):
    if os.access(folder, os.W_OK):
        gaps.append(folder + " is writable")
if [name for _, name in socket.if_nameindex()] != ["lo"]:
    gaps.append("it has a network")
if len([name for name in os.listdir("/proc") if name.isdigit()]) > 1:
    gaps.append("it sees other processes")
if set(os.environ) - {"PWD", "LC_CTYPE"}:
    gaps.append("it has an environment")
if resource.getrlimit(resource.RLIMIT_NPROC)[1] > 64:
    gaps.append("processes are not limited")
import ctypes
if ctypes.CDLL(None).unshare(0x10000000) == 0:  # CLONE_NEWUSER
    gaps.append("it can make user namespaces")
if gaps:
    print("; ".join(gaps))
    raise SystemExit
"""


def self_test() -> Availability:
    """Run a program that looks for the gaps a sandbox must not have. Takes some 0.1 s.

    Never raises. Without an `ok` nothing may be run: there is no other way to run code here.
    """
    if not sys.platform.startswith("linux"):
        return Availability(False, Obstacle.NOT_LINUX)
    if shutil.which("bwrap") is None:
        return Availability(False, Obstacle.NO_BUBBLEWRAP)
    if interpreter() is None:
        return Availability(False, Obstacle.NO_PYTHON)
    here = Path(__file__).resolve()
    if here.is_relative_to("/usr"):
        return Availability(False, Obstacle.EXPOSED, str(here.parents[2]))
    try:
        probe = run(_PROBE, timeout=10)
        quitter = run("import os; os._exit(0)", timeout=10)
    except StuckAsRoot as error:
        return Availability(False, Obstacle.ROOT, str(error))
    except Unavailable as error:
        return Availability(False, Obstacle.NO_SANDBOX, str(error))
    if not probe.passed:
        return Availability(False, Obstacle.LEAKS, probe.stdout_tail.strip() or probe.reason)
    if quitter.passed:
        return Availability(False, Obstacle.LEAKS, "leaving early counts as passing")
    return Availability(True)
