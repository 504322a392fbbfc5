"""The child process that serves local models: llama.cpp's own HTTP server, one port per model.

Reads one JSON object per line from standard input, answers on standard output:

    → {"name", "path", "alias", "api_key", "context", "slots", "threads"}   serve this file
    ← {"hello": version}                            can serve; before anything is asked
    ← {"loading": name}  {"ready": name, "base_url": "http://127.0.0.1:…/v1"}
    ← {"failed": name, "message": …}                this one cannot be served, others can
    ← {"unavailable": message}                      nothing can be served here; the process ends

The end of standard input ends the process.
"""

from __future__ import annotations

import importlib
import json
import os
import queue
import sys
import threading
from typing import Any, TextIO

from arena.local_models import tether


def main() -> None:
    tether.die_with_parent()
    tether.ignore_interrupt()
    replies = _take_stdout()
    orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_read_orders, args=(orders,), daemon=True).start()

    def say(**reply: str) -> None:
        replies.write(json.dumps(reply) + "\n")
        replies.flush()

    try:
        xllamacpp = importlib.import_module("xllamacpp")
    except ImportError as error:
        say(unavailable=f"the package xllamacpp cannot be used here ({error})")
        return
    say(hello=xllamacpp.__version__)
    serving = []  # a server stops when it is collected
    while True:
        order = orders.get()
        name = order["name"]
        say(loading=name)
        try:
            server = xllamacpp.Server(_parameters(xllamacpp, order))
        except Exception as error:  # whatever is wrong with one file, the others go on
            say(failed=name, message=str(error) or type(error).__name__)
            continue
        serving.append(server)
        say(ready=name, base_url=f"{server.listening_address}/v1")


def _parameters(xllamacpp: Any, order: dict[str, Any]) -> Any:
    parameters = xllamacpp.CommonParams()
    parameters.model.path = order["path"]
    parameters.model_alias = {order["alias"]}
    parameters.hostnames = ["127.0.0.1"]
    parameters.port = 0  # any free one
    parameters.api_keys = [order["api_key"]]
    parameters.n_ctx = order["context"]
    parameters.n_parallel = order["slots"]
    # llama.cpp's threads spin while they wait. More of them than cores, over all models that
    # answer at once, make a battle 5 to 20 times slower.
    parameters.cpuparams.n_threads = order["threads"]
    parameters.cpuparams_batch.n_threads = order["threads"]
    parameters.cache_ram_mib = 0  # the default keeps up to 8 GB of old prompts
    parameters.endpoint_slots = False  # would show what others asked
    parameters.ui = False
    return parameters


def _take_stdout() -> TextIO:
    """Standard output for the protocol alone: what a library prints there goes to the log."""
    own = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(own, "w", encoding="utf-8")


def _read_orders(orders: queue.SimpleQueue[dict[str, Any]]) -> None:
    try:
        for line in sys.stdin:
            orders.put(json.loads(line))
    finally:
        os._exit(0)  # the parent is gone or wants no more


if __name__ == "__main__":
    main()
