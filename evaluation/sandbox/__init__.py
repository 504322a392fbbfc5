"""Code a model wrote, run behind bubblewrap or not at all.

`self_test` says once, at a worker's start, whether this machine can do it; `run` executes one
program; `check_humaneval` builds the program that HumanEval's own harness would. Linux only,
standard library only.

What holds: namespaces of its own (network, processes, users, IPC, host name), no capability, no
further user namespace, an empty environment, nothing of the host but /usr read-only, 16 MB of /tmp,
limits on processor, memory, files and processes, and a wall clock that kills the whole tree.

What does not: a program shares its process with the checks, so one written to look for the nonce
can pass without solving anything, and no seccomp filter narrows the kernel's interface. The memory
limit is each process's own: a bound on their sum needs the worker's cgroup.
"""

from __future__ import annotations

from .availability import Availability, Obstacle, self_test
from .bubblewrap import Outcome, Unavailable, run
from .humaneval import check_humaneval, humaneval_program

__all__ = [
    "Availability",
    "Obstacle",
    "Outcome",
    "Unavailable",
    "check_humaneval",
    "humaneval_program",
    "run",
    "self_test",
]
