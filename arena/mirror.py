"""A turn that another process streams, or that is over, seen through the database.

Whoever looks also notices when the owner has died, so that a reader gets a verdict even where no
worker is alive to sweep.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError

from arena import attachments, sources, turns
from arena.battles import notice_of, void_message
from arena.failures import WITHDRAWN
from arena.live import Ended, LiveTurn, ServerEvent, SideState
from arena.models import Answer, Battle, Turn
from arena.rendering import render

log = logging.getLogger(__name__)


def _latest_turn(battle: str) -> Turn:
    return (
        Turn.objects.filter(battle__public_id=battle)
        .select_related("battle")
        .prefetch_related("answers", "attachments")
        .latest("number")
    )


def _copy(turn: Turn, live: LiveTurn) -> None:
    """Bring the mirror up to the checkpoint."""
    for answer in turn.answers.all():
        side = live.sides[answer.slot]
        if len(answer.text) > len(side.text):
            side.append(answer.text[len(side.text) :])
        if answer.state == Answer.State.COMPLETE and side.state is not SideState.COMPLETE:
            side.html = render(answer.text)
            side.notice = notice_of(answer)
            side.state = SideState.COMPLETE
    if turn.state != Turn.State.RUNNING:
        reason = turn.battle.void_reason
        live.end(
            Ended(
                void_message=void_message(turn.battle.mode, reason),
                withdrawn=[a.slot for a in turn.answers.all() if a.error_kind == WITHDRAWN],
            )
            if reason
            else Ended(
                can_continue=turn.battle.state == Battle.State.READY
                and turn.number < settings.MAX_TURNS,
                sources=sources.of_turn(
                    turn.answers.all(), named=turn.battle.mode != Battle.Mode.BATTLE
                ),
            )
        )
    live.changed()


def _refresh(battle: str, live: LiveTurn, watching: bool) -> None:
    turn = _latest_turn(battle)
    if turn.state == Turn.State.RUNNING:
        if turns.is_orphaned(turn):
            turns.end_orphaned()
            turn = _latest_turn(battle)
        elif watching:
            turns.watch(turn_id=turn.pk)
    _copy(turn, live)


async def follow(battle: str) -> AsyncIterator[ServerEvent]:
    """Events of the battle's latest turn: what is there at once, the rest as it is saved."""
    turn = await _first_look(battle)
    live = LiveTurn(
        battle=battle,
        number=turn.number,
        prompt=turn.prompt,
        slots=sorted(answer.slot for answer in turn.answers.all()),
        images=attachments.on_page(turn.attachments.all()),
    )
    poll = asyncio.create_task(_poll(battle, live))
    try:
        async for event in live.follow(settings.FRAME_INTERVAL):
            yield event
    finally:
        poll.cancel()


async def _first_look(battle: str) -> Turn:
    while True:
        try:
            return await database_sync_to_async(_latest_turn)(battle)
        except DatabaseError:
            log.exception("cannot look at battle %s; the next look tries again", battle)
            await asyncio.sleep(settings.CHECKPOINT_INTERVAL)


async def _poll(battle: str, live: LiveTurn) -> None:
    loop = asyncio.get_running_loop()
    watched = -turns.WATCH_INTERVAL
    while live.ended is None:
        watching = loop.time() - watched >= turns.WATCH_INTERVAL
        if watching:
            watched = loop.time()
        try:
            await database_sync_to_async(_refresh)(battle, live, watching)
        except DatabaseError:
            # The reader has waited for the answer so far; the database comes back too.
            log.exception("cannot look at battle %s; the next look tries again", battle)
        await asyncio.sleep(settings.CHECKPOINT_INTERVAL)
