"""A turn that another process streams, or that is over, seen through the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from channels.db import database_sync_to_async
from django.conf import settings

from arena.battles import CUT_NOTICE, STOPPED_NOTICE, VOID_MESSAGES
from arena.live import Ended, LiveTurn, ServerEvent, SideState
from arena.models import Answer, Battle, Turn
from arena.rendering import render


def notice_of(answer: Answer) -> str | None:
    if answer.stopped:
        return STOPPED_NOTICE
    return CUT_NOTICE if answer.finish_reason == "length" else None


def _latest_turn(battle: str) -> Turn:
    return (
        Turn.objects.filter(battle__public_id=battle)
        .select_related("battle")
        .prefetch_related("answers")
        .latest("number")
    )


def _copy(turn: Turn, live: LiveTurn) -> None:
    """Bring the mirror up to the checkpoint."""
    for answer in turn.answers.all():
        side = live.sides[answer.slot]
        if len(answer.text) > len(side.text):
            side.append(answer.text[len(side.text) :])
        if answer.state == Answer.State.COMPLETE:
            side.html = render(answer.text)
            side.notice = notice_of(answer)
            side.state = SideState.COMPLETE
    if turn.state != Turn.State.RUNNING:
        reason = turn.battle.void_reason
        live.end(
            Ended(void_message=VOID_MESSAGES[reason])
            if reason
            else Ended(
                can_continue=turn.battle.state == Battle.State.READY
                and turn.number < settings.MAX_TURNS
            )
        )
    live.changed()


def _refresh(battle: str, live: LiveTurn) -> None:
    _copy(_latest_turn(battle), live)


async def follow(battle: str) -> AsyncIterator[ServerEvent]:
    """Events of the battle's latest turn: what is there at once, the rest as it is saved."""
    turn = await database_sync_to_async(_latest_turn)(battle)
    live = LiveTurn(
        battle=battle,
        number=turn.number,
        prompt=turn.prompt,
        slots=sorted(answer.slot for answer in turn.answers.all()),
    )
    poll = asyncio.create_task(_poll(battle, live))
    try:
        async for event in live.follow(settings.FRAME_INTERVAL):
            yield event
    finally:
        poll.cancel()


async def _poll(battle: str, live: LiveTurn) -> None:
    while live.ended is None:
        await database_sync_to_async(_refresh)(battle, live)
        await asyncio.sleep(settings.CHECKPOINT_INTERVAL)
