"""What runs inside the sandbox: limits first, then the program, then the nonce.

Never imported by the application: its text is handed to a bare interpreter with `-c`, so it may
use the standard library only, and little of it, for every import is paid at each program.

Standard input holds one line `nonce timeout memory` (hexadecimal, seconds, bytes) and the program
after it; argv[1] is the descriptor of the verdict. What is written there: one byte before anything
untrusted runs, then the nonce if the program came to its end, else the name of what stopped it.
"""

from __future__ import annotations

import os
import resource
import sys

PROCESSES = 64
OPEN_FILES = 64
FILE_BYTES = 1 << 20


def lower(which: int, value: int) -> None:
    """Soft and hard alike, so that the program cannot raise it again."""
    hard = resource.getrlimit(which)[1]
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    resource.setrlimit(which, (value, value))


def flush() -> None:
    """What the program printed; it may have put anything in the place of these streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:  # noqa: S112
            continue


def main() -> None:
    verdict = int(sys.argv[1])
    os.set_inheritable(verdict, False)
    with open(0, "rb", closefd=False) as given:
        nonce, timeout, memory = given.readline().split()
        source = given.read()
    # The program's standard input is at its end, and the nonce can be read from it no more.
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    sys.argv[:] = [""]

    # Set here and not before bubblewrap: NPROC then counts what lives in this user namespace,
    # not whatever else the worker's user is running (Linux 5.14 and later).
    lower(resource.RLIMIT_NPROC, PROCESSES)
    lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    lower(resource.RLIMIT_FSIZE, FILE_BYTES)
    lower(resource.RLIMIT_CORE, 0)
    lower(resource.RLIMIT_AS, int(memory))
    # Above the wall clock, which says why; this one is for what escapes its attention.
    lower(resource.RLIMIT_CPU, int(float(timeout)) + 2)

    # Should the machine run short all the same, this is what goes, not the database.
    try:
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123 -- pathlib is slow
            score.write("1000")
    except OSError:
        pass  # a kindness to the host, not a part of the sandbox

    own = os.getpid()
    os.write(verdict, b"+")
    try:
        program = compile(source.decode("utf-8", "surrogatepass"), "<program>", "exec")
        # An empty namespace as in HumanEval's harness: __name__ is not "__main__".
        exec(program, {})  # noqa: S102 -- the purpose of the sandbox
    except BaseException as error:  # SystemExit and KeyboardInterrupt are failures too
        flush()
        if os.getpid() == own:
            os.write(verdict, type(error).__name__.encode("utf-8", "replace")[:100])
        os._exit(1)
    flush()
    if os.getpid() == own:  # a child that the program forked has no say
        os.write(verdict, nonce)
    os._exit(0)  # without waiting for threads, and without exit handlers of the program


main()
