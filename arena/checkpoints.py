"""What is saved of running turns, twice a second, and what the database says of them meanwhile.

Saved are the texts as far as they were shown, and the log of requests to models. Learnt is who
asked to stop, and which turns are still read at another process.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError

from arena import breakers, turns
from arena.backends.base import BackendError
from arena.models import UpstreamRequest
from arena.owned_turns import OwnedTurn

log = logging.getLogger(__name__)

MAX_UNSAVED_LOG = 1_000  # attempts remembered while the database is away


class Checkpoints:
    """Of all turns of one `Generation`, which keeps `turns` up to date."""

    def __init__(self, turns: Mapping[str, OwnedTurn]) -> None:
        self._turns = turns
        self._task: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()  # no turn runs, and the last checkpoint is due at once
        self._unsaved: list[UpstreamRequest] = []  # attempts, for the next checkpoint

    def go_on(self) -> None:
        """A turn has begun."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._while_running())

    def log(self, request: UpstreamRequest) -> None:
        """An attempt that says nothing bad: it is saved with the next checkpoint."""
        self._unsaved.append(request)

    async def log_failure(self, request: UpstreamRequest, error: BackendError) -> None:
        """At once, and those before it, as they came. Raises django.db.Error."""
        answered, self._unsaved = self._unsaved, []
        await database_sync_to_async(_record)(answered, request, error)

    async def close(self) -> None:
        """No turn runs any more: save what is left."""
        self._closing.set()
        if self._task:
            await asyncio.gather(self._task, return_exceptions=True)

    async def _while_running(self) -> None:
        """Save running turns, see who asked to stop, and cancel what nobody reads any more."""
        while self._turns or self._unsaved:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), settings.CHECKPOINT_INTERVAL)
            running = {turn.started.turn.pk: turn for turn in self._turns.values()}
            rows = {
                pk: [row for side in turn.sides.values() if (row := side.row())]
                for pk, turn in running.items()
            }
            attempts, self._unsaved = self._unsaved, []
            try:
                checkpoint = await database_sync_to_async(_save)(rows, attempts)
            except DatabaseError:
                log.exception("checkpoint failed; the next one tries again")
                if self._closing.is_set():
                    return  # there is no next one: what is lost is a log
                self._unsaved = [*attempts, *self._unsaved][-MAX_UNSAVED_LOG:]
                for turn in running.values():
                    for side in turn.sides.values():
                        side.saved = -1
                continue
            for pk in checkpoint.stop:
                running[pk].stop()
            self._stop_deserted(running, checkpoint.watched)

    def _stop_deserted(self, running: Mapping[int, OwnedTurn], watched: Collection[int]) -> None:
        now = asyncio.get_running_loop().time()
        for pk, turn in running.items():
            if turn.live.readers or pk in watched:
                turn.deserted_since = None
            elif turn.deserted_since is None:
                turn.deserted_since = now
            elif now - turn.deserted_since > settings.READER_GRACE_SECONDS and not turn.stopping:
                if turn.answered:  # nothing is left to save: the answers are whole
                    turn.stop_display()
                else:
                    turn.stop()


def _save(
    rows: Mapping[int, list[dict[str, Any]]], attempts: list[UpstreamRequest]
) -> turns.Checkpoint:
    checkpoint = turns.checkpoint(rows) if rows else turns.Checkpoint(set(), set())
    if attempts:
        breakers.record(attempts)
    return checkpoint


def _record(answered: list[UpstreamRequest], failure: UpstreamRequest, error: BackendError) -> None:
    breakers.record(answered)
    breakers.record_failure(failure, error)
