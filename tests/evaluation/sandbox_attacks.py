"""Programs that try to get out, to take too much, or to pass without passing.

Every one comes to its end, and so passes, exactly if what it attempts succeeds. `$HOST_PORT`,
`$HOST_FILE` and `$SECRET` are filled in with a listening port, a file and the value of a variable
that the process around the sandbox has.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Attack:
    name: str
    program: str
    reason: str  # how it ends in the sandbox
    harmless: bool = False  # safe to run without a sandbox, to show that there it succeeds


ATTACKS = [
    Attack(
        "connects to a server on the host",
        "import socket\nsocket.create_connection(('127.0.0.1', $HOST_PORT), 2).close()",
        "failed: ConnectionRefusedError",
        harmless=True,
    ),
    Attack(
        "reads the list of users",
        "open('/etc/passwd').read()",
        "failed: FileNotFoundError",
        harmless=True,
    ),
    Attack(
        "reads a file of the application",
        "open('$HOST_FILE').read()",
        "failed: FileNotFoundError",
        harmless=True,
    ),
    Attack(
        "reads a secret from its environment",
        "import os\nassert '$SECRET' in os.environ.values()",
        "failed: AssertionError",
        harmless=True,
    ),
    Attack(
        "reads a secret from another process's environment",
        "import glob\n"
        "found = False\n"
        "for path in glob.glob('/proc/[0-9]*/environ'):\n"
        "    try:\n"
        "        found |= b'$SECRET' in open(path, 'rb').read()\n"
        "    except OSError:\n"
        "        pass\n"
        "assert found",
        "failed: AssertionError",
        harmless=True,
    ),
    Attack(
        "signals the process that started it",
        "import os\nassert os.getppid() > 1\nos.kill(os.getppid(), 0)",
        "failed: AssertionError",
        harmless=True,
    ),
    Attack("fills the memory with a list", "x = [0] * 10**9", "failed: MemoryError"),
    Attack(
        "raises its memory limit",
        "import resource as r\nr.setrlimit(r.RLIMIT_AS, (r.RLIM_INFINITY, r.RLIM_INFINITY))\n",
        "failed: ValueError",
    ),
    Attack(
        "writes a file of 50 MB",
        "with open('/tmp/big', 'wb') as file:\n    file.write(bytes(50 * 2**20))",
        "failed: OSError",
        harmless=False,
    ),
    Attack(
        "writes 50 files of 1 MB",
        "for n in range(50):\n"
        "    with open(f'/tmp/{n}', 'wb') as file:\n"
        "        file.write(bytes(2**20))",
        "failed: OSError",
    ),
    Attack(
        "fills memory through /dev/shm",
        "open('/dev/shm/big', 'wb')",
        "failed: OSError",
    ),
    Attack("fills memory through the root folder", "open('/big', 'wb')", "failed: OSError"),
    Attack("changes the Python library", "open('/usr/lib/os.py', 'w')", "failed: OSError"),
    Attack("loops for ever", "while True:\n    pass", "timed out"),
    Attack("sleeps", "import time\ntime.sleep(3600)", "timed out"),
    Attack("waits for input", "input()", "failed: EOFError"),
    Attack(
        "prints for ever",
        "import os\nwhile True:\n    os.write(1, b'x' * 65536)",
        "timed out",
    ),
    Attack(
        "forks 200 processes",
        "import os, signal\nfor _ in range(200):\n    if os.fork() == 0:\n        signal.pause()",
        "failed: BlockingIOError",
    ),
    Attack(
        "mounts a file system",
        "import ctypes, os\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.mount(b'none', b'/tmp', b'tmpfs', 0, None):\n"
        "    raise OSError(ctypes.get_errno(), 'mount')",
        "failed: PermissionError",
    ),
    Attack(
        "makes a user namespace of its own",
        "import ctypes\n"
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        "if libc.unshare(0x10000000):\n"
        "    raise OSError(ctypes.get_errno(), 'unshare')",
        "failed: OSError",
    ),
    Attack(
        "becomes root",
        "import os\nos.setuid(0)",
        "failed: OSError",
    ),
    Attack("leaves with exit status 0", "import os\nos._exit(0)", "failed: no verdict"),
    Attack("leaves by SystemExit", "raise SystemExit(0)", "failed: SystemExit"),
    Attack(
        "says that it passed",
        "import sys\n"
        "print('passed', flush=True)\n"
        "print('+passed', file=sys.stderr, flush=True)\n"
        "assert 1 + 1 == 3",
        "failed: AssertionError",
    ),
    Attack(
        "writes to every descriptor and leaves",
        "import os\n"
        "for fd in range(64):\n"
        "    try:\n"
        "        os.write(fd, b'passed')\n"
        "    except OSError:\n"
        "        pass\n"
        "os._exit(0)",
        "failed: passed",
    ),
    Attack(
        "closes the verdict's pipe and stays",
        "import os, time\nos.closerange(3, 64)\ntime.sleep(3600)",
        "failed: no verdict",
    ),
    Attack(
        "crashes the interpreter",
        "import ctypes\nctypes.string_at(0)",
        "failed: no verdict",
    ),
    Attack("exhausts the compiler", "x = " + "(" * 5000 + ")" * 5000, "failed: SyntaxError"),
    Attack("is no text", "x = '\ud800'", "failed: UnicodeEncodeError"),
]

READS_THE_NONCE = """
import os, sys
frame = sys._getframe()
while frame.f_back is not None and "nonce" not in frame.f_locals:
    frame = frame.f_back
os.write(int(frame.f_locals["verdict"]), frame.f_locals["nonce"])
os._exit(0)
"""
