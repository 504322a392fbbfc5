"""Keeping one child process at work: restarted when it dies, and when its work stands still.

A worker whose socket to Redis stalled may sleep for ever while its process looks healthy (celery
#2415), so what is watched is the work itself. No Django: what "work" is comes in as functions.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import time
from collections.abc import Callable, Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import FrameType

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Watch:
    """One kind of work that must not stand still.

    `outstanding` returns None when there is nothing to do (or no way to tell), else a value that
    changes whenever some of the work is done. The same value for `patience` seconds is a stall.
    """

    name: str
    outstanding: Callable[[], Hashable | None]
    patience: float
    _seen: Hashable | None = field(default=None, init=False)
    _since: float = field(default=0.0, init=False)

    def stalled(self, now: float) -> bool:
        seen = self.outstanding()
        if seen is None or seen != self._seen:
            self._seen, self._since = seen, now
        return seen is not None and now - self._since >= self.patience

    def reset(self) -> None:
        self._seen = None


class Supervisor:
    """Runs `command` until it is told to stop with SIGTERM or SIGINT."""

    def __init__(
        self,
        command: Sequence[str],
        watches: Sequence[Watch],
        *,
        poll: float = 1.0,
        settled: float = 5.0,
    ) -> None:
        """Looks every `poll` seconds. A child that ends within `settled` seconds never worked."""
        self._command = list(command)
        self._watches = list(watches)
        self._poll = poll
        self._settled = settled
        self._child: subprocess.Popen[bytes] | None = None
        self._stopping = False

    def run(self) -> int:
        """The exit status: 0 after an orderly stop, the child's own if it never came up."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        while not self._stopping:
            started = time.monotonic()
            # A session of its own, so that its own children go with it when it is killed, and
            # Ctrl-C reaches it once, through us.
            self._child = subprocess.Popen(self._command, start_new_session=True)
            if self._stopping:  # the signal came while there was no child to hand it to
                self._child.terminate()
            status = self._watch(self._child)
            self._kill_group(self._child)
            if self._stopping:
                break
            # Ended by itself, not by a signal: starting it again would change nothing.
            by_itself = status is not None and status >= 0
            if by_itself and time.monotonic() - started < self._settled:
                logger.error("worker %d ended as soon as it started: giving up", self._child.pid)
                return status or 1
        return 0

    def _watch(self, child: subprocess.Popen[bytes]) -> int | None:
        """Wait for the child's end and return its status, or None when it had to be killed."""
        for watch in self._watches:
            watch.reset()
        while True:
            try:
                status = child.wait(self._poll)
            except subprocess.TimeoutExpired:
                pass
            else:
                if not self._stopping:
                    logger.error("worker %d ended with %d: starting another", child.pid, status)
                return status
            if self._stopping:
                continue
            now = time.monotonic()
            for watch in self._watches:
                if watch.stalled(now):
                    logger.error(
                        "%s stood still for %.0f s: killing worker %d and starting another",
                        watch.name,
                        watch.patience,
                        child.pid,
                    )
                    self._kill_group(child)
                    child.wait()
                    return None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """The first time ask the child to finish its task, the second time insist."""
        if self._child is not None:
            if self._stopping:
                self._kill_group(self._child)
            else:
                self._child.terminate()
        self._stopping = True

    @staticmethod
    def _kill_group(child: subprocess.Popen[bytes]) -> None:
        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
