"""One model server process, kept alive: started, told what to serve, restarted when it dies."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from arena.local_models import tether
from arena.local_models.catalogue import CONTEXT, SLOTS

COMMAND = (sys.executable, "-m", "arena.local_models.server")
BACKOFF = (0.5, 1.0, 2.0, 5.0, 15.0, 30.0)  # seconds before the next start
STEADY_SECONDS = 60.0  # a child that lived this long starts with a clean record
STRIKES = 2  # deaths while loading the same file, after which the file is to blame
ANSWERING_AT_ONCE = 2  # the two sides of a battle


class ServerUnavailable(Exception):
    """Nothing can be served on this machine. The text says why."""


@dataclass(frozen=True)
class Serving:
    """A file that the child serves or is asked to."""

    name: str
    alias: str
    path: Path


@dataclass
class _Wanted:
    serving: Serving
    settled: threading.Event = field(default_factory=threading.Event)
    ready: bool = False
    strikes: int = 0


def threads_per_model() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // ANSWERING_AT_ONCE)


class ModelServer:
    """Callbacks come from the server's own thread.

    The thread lives as long as the child: on Linux a child dies with the thread that started it.
    """

    def __init__(
        self,
        *,
        log: Path,
        on_loading: Callable[[Serving], None],
        on_ready: Callable[[Serving, str, str], None],
        on_failed: Callable[[Serving, str], None],
        on_restart: Callable[[str, float], None],
        command: Sequence[str] = COMMAND,
        backoff: Sequence[float] = BACKOFF,
    ) -> None:
        """`on_ready` is given the base URL and the API key, again after each restart."""
        self._log = log
        self._on_loading = on_loading
        self._on_ready = on_ready
        self._on_failed = on_failed
        self._on_restart = on_restart
        self._command = list(command)
        self._backoff = backoff
        self._lock = threading.Lock()  # guards the five fields below
        self._wanted: dict[str, _Wanted] = {}
        self._process: subprocess.Popen[str] | None = None
        self._api_key = ""
        self._loading = ""
        self._unavailable = ""
        self._greeted = threading.Event()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="model-server", daemon=True)

    @property
    def pid(self) -> int | None:
        with self._lock:
            return self._process.pid if self._process else None

    def start(self) -> None:
        """Returns when the child says it can serve. Raises ServerUnavailable or Stopped."""
        self._thread.start()
        self._greeted.wait()
        if self._unavailable:
            raise ServerUnavailable(self._unavailable)
        if self._stopping.is_set():
            raise tether.Stopped

    def serve(self, serving: Serving) -> bool:
        """Serve one more file. True when it answers, False when it failed (and was reported)."""
        wanted = _Wanted(serving)
        with self._lock:
            self._wanted[serving.name] = wanted
            if self._process is not None:
                self._order(self._process, serving)
            # Set before the lock is taken to find who waits: one of the two sees the other.
            ended = self._stopping.is_set()
            unavailable = self._unavailable
        if unavailable:
            self._drop(serving.name, unavailable)
        elif not ended:
            wanted.settled.wait()
        if self._stopping.is_set():
            raise tether.Stopped
        return wanted.ready

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            process = self._process
            waiting = list(self._wanted.values())
        if process is not None:
            _end(process)
        self._greeted.set()
        for wanted in waiting:
            wanted.settled.set()
        if self._thread.is_alive():
            self._thread.join(timeout=10)

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self._log.unlink(missing_ok=True)
        deaths = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            reason = self._one_life()
            if self._stopping.is_set():
                break
            if not self._greeted.is_set() or self._unavailable:
                # It never could serve: starting it again would change nothing.
                self._give_up(self._unavailable or reason)
                break
            deaths = 1 if time.monotonic() - started > STEADY_SECONDS else deaths + 1
            self._blame_the_file_being_loaded(reason)
            seconds = self._backoff[min(deaths, len(self._backoff)) - 1]
            self._on_restart(reason, seconds)
            self._stopping.wait(seconds)

    def _one_life(self) -> str:
        """Start a child, listen until it ends. The reason of its end."""
        try:
            with self._log.open("ab") as log:
                process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    cwd=tether.PROJECT,
                    encoding="utf-8",
                )
        except OSError as error:
            return f"it cannot be started: {error.strerror}"
        assert process.stdout is not None
        with self._lock:
            self._process = process
            self._api_key = secrets.token_urlsafe(24)
            self._loading = ""
            for wanted in self._wanted.values():
                self._order(process, wanted.serving)
        if self._stopping.is_set():  # stop() may have looked for the process just before
            _end(process)
        try:
            with contextlib.suppress(ValueError):  # half a line, or not ours: this child must go
                for line in process.stdout:
                    self._hear(json.loads(line))
        finally:
            with self._lock:
                self._process = None
            _end(process)
            process.stdout.close()
        code = process.returncode
        return f"killed by signal {-code}" if code < 0 else f"ended with exit code {code}"

    def _order(self, process: subprocess.Popen[str], serving: Serving) -> None:
        """The caller holds the lock."""
        order = {
            "name": serving.name,
            "alias": serving.alias,
            "path": str(serving.path),
            "api_key": self._api_key,
            "context": CONTEXT,
            "slots": SLOTS,
            "threads": threads_per_model(),
        }
        stdin: IO[str] | None = process.stdin
        assert stdin is not None
        try:
            stdin.write(json.dumps(order) + "\n")
            stdin.flush()
        except (OSError, ValueError):
            pass  # dead or dying: the next child is told everything again

    def _hear(self, reply: dict[str, Any]) -> None:
        match reply:
            case {"hello": _}:
                self._greeted.set()
            case {"unavailable": str(message)}:
                self._unavailable = message
            case {"loading": str(name)}:
                with self._lock:
                    self._loading = name
                self._on_loading(self._wanted[name].serving)
            case {"ready": str(name), "base_url": str(base_url)}:
                with self._lock:
                    self._loading = ""
                wanted = self._wanted[name]
                wanted.ready = True
                wanted.strikes = 0
                self._on_ready(wanted.serving, base_url, self._api_key)
                wanted.settled.set()
            case {"failed": str(name), "message": str(message)}:
                with self._lock:
                    self._loading = ""
                self._drop(name, message)

    def _blame_the_file_being_loaded(self, reason: str) -> None:
        """A broken file can abort the whole process, and must not take the others down for ever."""
        with self._lock:
            name = self._loading
        if not name:
            return
        wanted = self._wanted[name]
        wanted.strikes += 1
        if wanted.strikes >= STRIKES:
            self._drop(name, f"the model server was {reason} while loading it")

    def _drop(self, name: str, message: str) -> None:
        with self._lock:
            wanted = self._wanted.pop(name)
        wanted.ready = False
        self._on_failed(wanted.serving, message)
        wanted.settled.set()

    def _give_up(self, reason: str) -> None:
        with self._lock:
            waiting = list(self._wanted)
            self._unavailable = self._unavailable or f"the model server {reason}; see {self._log}"
        for name in waiting:
            self._drop(name, self._unavailable)
        self._greeted.set()


def _end(process: subprocess.Popen[str]) -> None:
    """The end of its input asks it to go; it is not given long."""
    assert process.stdin is not None
    with contextlib.suppress(OSError):
        process.stdin.close()
    try:
        process.wait(timeout=2)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
