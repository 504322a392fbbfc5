"""Speaks arena.local_models.server's protocol without a model. Run as a script.

What it does with a file is the file's name: `refused`, `crashes`, or serve it. If WITNESS_PORT is
set it holds a connection there, whose end tells that it is dead.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from pathlib import Path

from arena.local_models import tether


def say(**reply: str) -> None:
    print(json.dumps(reply), flush=True)


def main() -> None:
    tether.die_with_parent()
    tether.ignore_interrupt()
    if os.environ.get("FAKE_SERVER_UNAVAILABLE"):
        say(unavailable="no such runtime")
        return
    witness = None
    if port := os.environ.get("WITNESS_PORT"):
        witness = socket.create_connection(("127.0.0.1", int(port)))
        witness.sendall(b"%d\n" % os.getpid())
    say(hello="fake")
    for line in sys.stdin:
        order = json.loads(line)
        say(loading=order["name"])
        match Path(order["path"]).stem:
            case "refused":
                say(failed=order["name"], message="not a model")
            case "crashes":
                os.kill(os.getpid(), signal.SIGABRT)
            case _:
                say(ready=order["name"], base_url=f"http://127.0.0.1:{os.getpid()}")
    del witness


if __name__ == "__main__":
    main()
