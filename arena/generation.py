"""The asyncio owner of the streams: one task a side, checkpoints, Stop, retries, the last word.

Owned by the web process, not by a socket: a browser that goes away and comes back finds its turn
where it is. One `Generation` per event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError

from arena import battles
from arena.backends.base import (
    BackendError,
    ChatRequest,
    Citation,
    ErrorKind,
    Finish,
    FinishReason,
    Message,
    ReasoningDelta,
    TextDelta,
    UpstreamId,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from arena.battles import CUT_NOTICE, STOPPED_NOTICE, VOID_MESSAGES, StartedTurn
from arena.live import Ended, LiveSide, LiveTurn, SideState
from arena.models import Answer, Battle
from arena.rendering import render

log = logging.getLogger(__name__)

# Before any text was shown, these are worth a second try at the same endpoint.
RETRIED_ONCE = {
    ErrorKind.CONNECT,
    ErrorKind.UNAVAILABLE,
    ErrorKind.EMPTY,
    ErrorKind.PROTOCOL,
    ErrorKind.DISCONNECTED,
    ErrorKind.UPSTREAM,
}
RETRY_DELAY = 0.25  # seconds, plus jitter
VOID_REASONS = {
    ErrorKind.CONTEXT_LENGTH: Battle.VoidReason.TOO_LONG,
    ErrorKind.CONTENT_FILTER: Battle.VoidReason.DECLINED,
}
CHARS_PER_TOKEN = 4  # to estimate what a provider does not report


@dataclass(slots=True)
class OwnedSide:
    """One side: what readers see, the row it is saved to, and how to ask the model."""

    live: LiveSide
    answer: Answer
    messages: list[Message]
    saved: int = -1  # characters in the database; -1 before the first checkpoint
    task: asyncio.Task[None] | None = None

    def row(self) -> dict[str, Any] | None:
        """What a checkpoint has to save, None when nothing is new."""
        size = len(self.live.text)
        if size == self.saved or self.live.state in (SideState.COMPLETE, SideState.FAILED):
            return None
        self.saved = size
        return {"id": self.answer.pk, "state": self.live.state.value, "text": self.live.text}


@dataclass(slots=True)
class OwnedTurn:
    started: StartedTurn
    live: LiveTurn
    sides: Mapping[str, OwnedSide]
    task: asyncio.Task[None] | None = None
    stopping: bool = False
    deserted_since: float | None = None
    errors: list[ErrorKind] = field(default_factory=list)

    def stop(self) -> None:
        """Keep what was shown, close the upstream connections."""
        self.stopping = True
        for side in self.sides.values():
            if side.task and not side.task.done():
                side.task.cancel()


class Generation:
    """All turns this process streams. Use only from its own event loop."""

    def __init__(self, client: BackendClient) -> None:
        self._client = client
        self._turns: dict[str, OwnedTurn] = {}
        self._checkpointer: asyncio.Task[None] | None = None
        # One thread: a hostile answer may keep it busy for a second, never the event loop.
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="render")

    # --- what consumers call -------------------------------------------------------------------

    def start(self, started: StartedTurn) -> LiveTurn:
        live = LiveTurn(
            battle=started.battle.public_id,
            number=started.turn.number,
            prompt=started.turn.prompt,
            slots=started.answers,
        )
        sides = {
            slot: OwnedSide(live.sides[slot], answer, _messages(started, slot))
            for slot, answer in started.answers.items()
        }
        turn = OwnedTurn(started, live, sides)
        self._turns[live.battle] = turn
        turn.task = asyncio.create_task(self._run(turn), name=f"turn {live.battle}")
        if self._checkpointer is None or self._checkpointer.done():
            self._checkpointer = asyncio.create_task(self._checkpoint_while_running())
        return live

    def find(self, battle: str) -> LiveTurn | None:
        """The turn of this battle that runs in this process."""
        turn = self._turns.get(battle)
        return turn.live if turn else None

    def stop(self, battle: str) -> bool:
        """False when this process does not own the turn: ask through the database."""
        turn = self._turns.get(battle)
        if turn:
            turn.stop()
        return turn is not None

    async def close(self) -> None:
        """The process ends: save what was said. Running turns become void, not orphans."""
        tasks = [turn.task for turn in self._turns.values() if turn.task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._checkpointer:
            self._checkpointer.cancel()
        await self._client.aclose()
        self._renderer.shutdown(wait=False, cancel_futures=True)

    # --- one turn ------------------------------------------------------------------------------

    async def _run(self, turn: OwnedTurn) -> None:
        void = ""
        try:
            for side in turn.sides.values():
                side.task = asyncio.create_task(self._answer(turn, side))
            await asyncio.wait([side.task for side in turn.sides.values() if side.task])
            for side in turn.sides.values():
                if side.task and not side.task.cancelled() and (bug := side.task.exception()):
                    raise bug
            void = await self._verdict(turn)
        except asyncio.CancelledError:
            for side in turn.sides.values():
                if side.task:
                    side.task.cancel()
            void = Battle.VoidReason.INTERRUPTED
        except Exception:
            log.exception("turn %s failed in our own code", turn.live.battle)
            void = Battle.VoidReason.FAILED
        finally:
            try:
                void = await self._save(turn, void)
            finally:
                self._turns.pop(turn.live.battle, None)
                turn.live.end(
                    Ended(void_message=VOID_MESSAGES[void])
                    if void
                    else Ended(can_continue=turn.live.number < settings.MAX_TURNS)
                )

    async def _verdict(self, turn: OwnedTurn) -> str:
        """Why the turn is void; empty when both sides may be compared."""
        if turn.errors:
            return next(
                (VOID_REASONS[kind] for kind in turn.errors if kind in VOID_REASONS),
                Battle.VoidReason.FAILED,
            )
        if turn.stopping:
            if not all(side.live.text.strip() for side in turn.sides.values()):
                return Battle.VoidReason.STOPPED
            for side in turn.sides.values():
                if side.live.state != SideState.COMPLETE:
                    side.answer.stopped = True
                    await self._complete(turn, side, STOPPED_NOTICE)
        return ""

    async def _answer(self, turn: OwnedTurn, side: OwnedSide) -> None:
        """Ask one model until it has answered or failed for good."""
        while True:
            side.answer.attempts += 1
            try:
                await self._stream(turn, side)
                return
            except BackendError as error:
                side.answer.error_kind = error.kind
                side.answer.error_detail = error.detail[:2_000].replace("\x00", "\ufffd")
                log.warning("%s: %s", side.answer.contestant, error)
                nothing_shown = not side.live.text
                if error.kind in RETRIED_ONCE and nothing_shown and side.answer.attempts == 1:
                    side.live.state = SideState.RETRYING
                    turn.live.changed()
                    await asyncio.sleep(RETRY_DELAY * (1 + random.random()))  # noqa: S311
                    continue
                side.live.state = SideState.FAILED
                turn.errors.append(error.kind)
                # The battle is void now: the other side's tokens would be paid for nothing.
                for other in turn.sides.values():
                    if other is not side and other.task:
                        other.task.cancel()
                return

    async def _stream(self, turn: OwnedTurn, side: OwnedSide) -> None:
        answer, live = side.answer, side.live
        loop = asyncio.get_running_loop()
        began = loop.time()
        request = ChatRequest(
            model=answer.contestant.upstream_model,
            messages=side.messages,
            max_tokens=turn.started.battle.parameters["max_tokens"],
        )
        usage = Usage()
        reason = None
        endpoint = answer.contestant.endpoint
        assert endpoint is not None, "only contestants with an endpoint are drawn"
        stream = self._client.stream_chat(endpoint.target(), request)
        try:
            async for event in stream:
                match event:
                    case TextDelta(text):
                        if answer.first_token_ms is None:
                            answer.first_token_ms = round(1000 * (loop.time() - began))
                        # PostgreSQL cannot hold U+0000.
                        live.append(text.replace("\x00", "\ufffd"))
                        turn.live.changed()
                    case ReasoningDelta(text):
                        answer.reasoning += text.replace("\x00", "\ufffd")
                    case Citation(url, title):
                        answer.citations.append({"url": url, "title": title})
                    case Usage(input_tokens, output_tokens):
                        usage = Usage(
                            usage.input_tokens if input_tokens is None else input_tokens,
                            usage.output_tokens if output_tokens is None else output_tokens,
                        )
                    case UpstreamId(id):
                        answer.upstream_id = id[:200]
                    case Finish(finish, _):
                        reason = finish
        finally:
            await stream.aclose()
            answer.duration_ms = round(1000 * (loop.time() - began))
            _count_tokens(side, usage)
        if reason == FinishReason.CONTENT_FILTER:
            raise BackendError(ErrorKind.CONTENT_FILTER, "finish_reason content_filter")
        if not live.text.strip():
            raise BackendError(ErrorKind.EMPTY, "no visible text")
        answer.finish_reason = reason or FinishReason.OTHER
        answer.error_kind = answer.error_detail = ""
        await self._complete(turn, side, CUT_NOTICE if reason == FinishReason.LENGTH else None)

    async def _complete(self, turn: OwnedTurn, side: OwnedSide, notice: str | None) -> None:
        loop = asyncio.get_running_loop()
        side.live.html = await loop.run_in_executor(self._renderer, render, side.live.text)
        side.live.notice = notice
        side.live.state = SideState.COMPLETE
        turn.live.changed()

    # --- the database --------------------------------------------------------------------------

    async def _save(self, turn: OwnedTurn, void: str) -> str:
        """Write the last word, and return it: the sweep may have decided otherwise before."""
        answers = []
        for side in turn.sides.values():
            side.answer.text = side.live.text
            side.answer.state = (
                side.live.state
                if side.live.state in (SideState.COMPLETE, SideState.FAILED)
                else Answer.State.FAILED
            )
            if side.answer.state == Answer.State.FAILED and not side.answer.error_kind:
                side.answer.error_kind = "cancelled"
            answers.append(side.answer)
        for pause in (0.2, 0.5, 1, 2, 4, None):
            try:
                stood = await database_sync_to_async(battles.finish_turn)(
                    turn_id=turn.started.turn.pk, answers=answers, void_reason=void
                )
                return void if stood else Battle.VoidReason.INTERRUPTED
            except DatabaseError:
                log.exception("cannot save turn %s", turn.live.battle)
                if pause is None:
                    # Nothing was acknowledged; the sweep voids it when the database is back.
                    return Battle.VoidReason.INTERRUPTED
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _checkpoint_while_running(self) -> None:
        """Save running turns, see who asked to stop, and cancel what nobody reads any more."""
        while self._turns:
            await asyncio.sleep(settings.CHECKPOINT_INTERVAL)
            turns = {turn.started.turn.pk: turn for turn in self._turns.values()}
            rows = {
                pk: [row for side in turn.sides.values() if (row := side.row())]
                for pk, turn in turns.items()
            }
            try:
                stops = await database_sync_to_async(battles.checkpoint)(rows)
            except DatabaseError:
                log.exception("checkpoint failed; the next one tries again")
                for turn in turns.values():
                    for side in turn.sides.values():
                        side.saved = -1
                continue
            for pk in stops:
                turns[pk].stop()
            self._stop_deserted(turns.values())

    def _stop_deserted(self, turns: Iterable[OwnedTurn]) -> None:
        now = asyncio.get_running_loop().time()
        for turn in turns:
            if turn.live.readers:
                turn.deserted_since = None
            elif turn.deserted_since is None:
                turn.deserted_since = now
            elif now - turn.deserted_since > settings.READER_GRACE_SECONDS and not turn.stopping:
                turn.stop()


def _messages(started: StartedTurn, slot: str) -> list[Message]:
    messages = []
    for prompt, answer in started.history[slot]:
        messages += [Message("user", prompt), Message("assistant", answer)]
    return [*messages, Message("user", started.turn.prompt)]


def _count_tokens(side: OwnedSide, usage: Usage) -> None:
    answer = side.answer
    answer.input_tokens = usage.input_tokens or _estimate(
        sum(len(message.content) for message in side.messages)
    )
    answer.output_tokens = usage.output_tokens or _estimate(
        len(side.live.text) + len(answer.reasoning)
    )
    answer.tokens_estimated = not (usage.input_tokens and usage.output_tokens)


def _estimate(characters: int) -> int:
    return -(-characters // CHARS_PER_TOKEN)


_current: tuple[asyncio.AbstractEventLoop, Generation] | None = None


def current() -> Generation:
    """The generation of the running event loop, made on first use."""
    global _current
    loop = asyncio.get_running_loop()
    if _current is None or _current[0] is not loop:
        policy = AddressPolicy(settings.PRIVATE_ENDPOINTS)
        _current = (loop, Generation(BackendClient(policy)))
    return _current[1]


async def shutdown() -> None:
    global _current
    if _current is not None:
        await _current[1].close()
        _current = None
