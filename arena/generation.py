"""The asyncio owner of the streams: one task a side, Stop, failures, the last word.

Owned by the web process, not by a socket: a browser that goes away and comes back finds its turn
where it is. One `Generation` per event loop.
"""

from __future__ import annotations

import asyncio
import logging
import random
from concurrent.futures import ThreadPoolExecutor

from channels.db import database_sync_to_async
from django.conf import settings
from django.db import Error as DatabaseError

from arena import battles, breakers, limits, pacing, sources, turns
from arena.backends.base import (
    BackendError,
    ChatRequest,
    Citation,
    ErrorKind,
    Finish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    UpstreamId,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from arena.battles import CUT_NOTICE, STOPPED_NOTICE, StartedTurn, void_message
from arena.checkpoints import Checkpoints
from arena.failures import (
    ANSWERED,
    CANCELLED,
    FREE_OF_CHARGE,
    OF_THE_MODEL,
    WITHDRAWN,
    Rule,
    Then,
    rule_for,
)
from arena.keys import KeyUnreadable
from arena.live import Ended, LiveTurn, SideState
from arena.models import Answer, Battle
from arena.moderation.checking import Moderator, record
from arena.owned_turns import (
    OwnedSide,
    OwnedTurn,
    attempt,
    cost_of,
    count_tokens,
    messages_for,
    pacing_of,
)
from arena.rendering import render

log = logging.getLogger(__name__)

RETRY_DELAY = 0.25  # seconds, plus jitter
# A side is replaced by another draw so many times, and only so many seconds after it first failed.
MAX_SWAPS, SWAP_SECONDS = 2, 30.0
VOID_REASONS = {
    Then.REPLACE: Battle.VoidReason.FAILED,  # by nobody, or it had begun to speak
    Then.TOO_LONG: Battle.VoidReason.TOO_LONG,
    Then.DECLINED: Battle.VoidReason.DECLINED,
}


class Generation:
    """All turns this process streams. Use only from its own event loop."""

    def __init__(self, client: BackendClient) -> None:
        self._client = client
        self.moderator = Moderator(client)
        self._turns: dict[str, OwnedTurn] = {}
        self._checkpoints = Checkpoints(self._turns)
        self._draining = False
        # One thread: a hostile answer may keep it busy for a second, never the event loop.
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="render")

    # --- what consumers call -------------------------------------------------------------------

    def start(self, started: StartedTurn) -> LiveTurn:
        live = LiveTurn(
            battle=started.battle.public_id,
            number=started.turn.number,
            prompt=started.turn.prompt,
            images=started.shown,
            slots=started.answers,
            held=pacing_of(started.battle) != pacing.RAW,
        )
        sides = {
            slot: OwnedSide(live.sides[slot], live.shown[slot], answer, messages_for(started, slot))
            for slot, answer in started.answers.items()
        }
        turn = OwnedTurn(started, live, sides)
        self._turns[live.battle] = turn
        turn.task = asyncio.create_task(self._run(turn), name=f"turn {live.battle}")
        self._checkpoints.go_on()
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

    async def close(self, drain: float = 0) -> None:
        """The process ends. What runs may go on for `drain` seconds: its readers see the rest
        through another process. Then what was said is saved: turns become void, not orphans."""
        tasks = [turn.task for turn in self._turns.values() if turn.task]
        self._draining = True
        for turn in self._turns.values():
            if turn.answered:  # what is there need not be lost for the sake of its pace
                turn.stop_display()
        if tasks and drain > 0:
            await asyncio.wait(tasks, timeout=drain)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._checkpoints.close()
        await self._client.aclose()
        self._renderer.shutdown(wait=False, cancel_futures=True)

    # --- one turn ------------------------------------------------------------------------------

    async def _run(self, turn: OwnedTurn) -> None:
        void = ""
        try:
            for side in turn.sides.values():
                side.task = asyncio.create_task(self._answer(turn, side))
            if turn.live.held:
                turn.display = asyncio.create_task(_display(turn))
            await asyncio.wait([side.task for side in turn.sides.values() if side.task])
            for side in turn.sides.values():
                if side.task and not side.task.cancelled() and (bug := side.task.exception()):
                    raise bug
            void = await self._judge(turn)
            if not void:
                turn.live.show_all()
        except asyncio.CancelledError:
            for side in turn.sides.values():
                if side.task:
                    side.task.cancel()
            void = Battle.VoidReason.INTERRUPTED
        except Exception:
            log.exception("turn %s failed in our own code", turn.live.battle)
            void = Battle.VoidReason.FAILED
        finally:
            turn.stop_display()
            try:
                void = await self._save(turn, void)
            finally:
                self._turns.pop(turn.live.battle, None)
                mode = turn.started.battle.mode
                turn.live.end(
                    Ended(
                        void_message=void_message(mode, void),
                        withdrawn=[slot for slot, side in turn.sides.items() if side.withdrawn],
                    )
                    if void
                    else Ended(
                        can_continue=turn.live.number < settings.MAX_TURNS,
                        sources=sources.of_turn(
                            turn.started.answers.values(), named=mode != Battle.Mode.BATTLE
                        ),
                    )
                )

    async def _judge(self, turn: OwnedTurn) -> str:
        """Why the turn is void; empty when both sides may be compared, and are shown as far as they
        ever will be."""
        stopped = turn.stopping
        # At once, while the answers are still being shown: what is blocked is shown no further.
        void = await self._verdict(turn) or await self._moderate(turn)
        if void or stopped:
            return void
        turn.live.checked = True
        if turn.display and not (turn.stopping or self._draining):
            # Until all is shown the battle is not ready, and the turn is found here.
            await asyncio.wait([turn.display])
            if not turn.display.cancelled() and (bug := turn.display.exception()):
                raise bug
        return await self._verdict(turn)  # it may have been stopped meanwhile

    async def _verdict(self, turn: OwnedTurn) -> str:
        """Why the turn is void; empty when both sides may be compared."""
        if turn.void_reason:
            return turn.void_reason
        if turn.stopping:
            if not all(side.shown.text.strip() for side in turn.sides.values()):
                return Battle.VoidReason.STOPPED
            for side in turn.sides.values():
                if side.shown.state != SideState.COMPLETE:
                    side.live.text = side.shown.text
                    side.answer.stopped = True
                    await self._complete(turn, side, STOPPED_NOTICE)
        return ""

    async def _moderate(self, turn: OwnedTurn) -> str:
        """Why whole answers must not be compared; empty when they may."""
        texts = {slot: side.live.text for slot, side in turn.sides.items()}
        verdict = await self.moderator.check_answers(texts)
        if verdict.noteworthy:
            try:
                await database_sync_to_async(record)(verdict, turn_id=turn.started.turn.pk)
            except DatabaseError:
                log.exception("cannot log what %s was marked as", turn.live.battle)
        if verdict.blocked:
            # Of an anonymous battle both: readers are not told which side it was.
            anonymous = turn.started.battle.mode == Battle.Mode.BATTLE
            for slot, side in turn.sides.items():
                side.withdrawn = anonymous or slot in verdict.blocked_slots
            return Battle.VoidReason.DECLINED
        return Battle.VoidReason.BUSY if verdict.unchecked else ""

    async def _answer(self, turn: OwnedTurn, side: OwnedSide) -> None:
        """Ask one model, perhaps twice, and then another, until one has answered or none can."""
        side.live.enter(SideState.STARTING)
        tries = 0  # of the model that is asked at present
        while True:
            tries += 1
            side.answer.attempts += 1
            try:
                await self._stream(turn, side)
                return
            except BackendError as error:
                await self._note_failure(turn, side, error)
                rule = rule_for(error)
                if not side.live.text:
                    if rule.retried and tries == 1:
                        side.live.enter(SideState.RETRYING)
                        turn.live.changed()
                        await asyncio.sleep(RETRY_DELAY * (1 + random.random()))  # noqa: S311
                        continue
                    if rule.then is Then.REPLACE and await self._replace(turn, side, error.kind):
                        tries = 0
                        continue
                self._give_up(turn, side, rule)
                return

    async def _note_failure(self, turn: OwnedTurn, side: OwnedSide, error: BackendError) -> None:
        """For the administrator, and for the next draw: here the upstream's words stay."""
        answer = side.answer
        answer.error_kind = error.kind
        answer.error_detail = error.detail[: breakers.MAX_DETAIL].replace("\x00", "\ufffd")
        turn.failed.add(answer.contestant_id)
        if side.first_failure is None:
            side.first_failure = asyncio.get_running_loop().time()
        log.warning("%s: %s", answer.contestant, error)
        request = attempt(side, error.kind, answer.error_detail)
        try:
            await self._checkpoints.log_failure(request, error)
        except DatabaseError:
            log.exception("cannot log a failure of %s", answer.contestant)

    async def _replace(self, turn: OwnedTurn, side: OwnedSide, kind: ErrorKind) -> bool:
        """Draw another model in the place of one that has shown nothing. Readers cannot tell."""
        assert side.first_failure is not None
        waited = asyncio.get_running_loop().time() - side.first_failure
        if side.swaps >= MAX_SWAPS or waited > SWAP_SECONDS:
            return False
        try:
            drawn = await database_sync_to_async(battles.replace_side)(
                turn_id=turn.started.turn.pk,
                slot=side.live.slot,
                failed=frozenset(turn.failed),
                endpoint_down=kind not in OF_THE_MODEL,
            )
        except DatabaseError:
            log.exception("cannot replace a side of %s", turn.live.battle)
            return False
        if drawn is None:
            return False
        side.swaps += 1
        side.answer.contestant = drawn
        side.live.enter(SideState.SWAPPED)
        turn.live.changed()
        return True

    def _give_up(self, turn: OwnedTurn, side: OwnedSide, rule: Rule) -> None:
        side.live.enter(SideState.FAILED)
        if not turn.void_reason:
            turn.void_reason = VOID_REASONS[rule.then]
            if rule.then is Then.REPLACE and all(
                other.first_failure is not None and not other.live.text
                for other in turn.sides.values()
            ):
                turn.void_reason = Battle.VoidReason.BUSY
        if turn.started.battle.mode != Battle.Mode.BATTLE:
            return  # the other answer is worth something by itself, and this side may try again
        # The battle is void now: the other side's tokens would be paid for nothing.
        for other in turn.sides.values():
            if other is not side and other.task:
                other.task.cancel()

    async def _stream(self, turn: OwnedTurn, side: OwnedSide) -> None:
        answer, live = side.answer, side.live
        # Nothing of an attempt that failed belongs to the next one.
        answer.first_token_ms, answer.reasoning, answer.citations = None, "", []
        loop = asyncio.get_running_loop()
        began = loop.time()
        request = ChatRequest(
            model=answer.contestant.upstream_model,
            messages=side.messages,
            max_tokens=turn.started.battle.parameters["max_tokens"],
            temperature=turn.started.battle.parameters.get("temperature"),
            top_p=turn.started.battle.parameters.get("top_p"),
        )
        usage = Usage()
        reason = None
        endpoint = answer.contestant.endpoint
        assert endpoint is not None, "only contestants with an endpoint are drawn"
        try:
            target = endpoint.target()
        except KeyUnreadable as error:
            answer.duration_ms = 0
            raise BackendError(ErrorKind.AUTHENTICATION, str(error)) from error
        stream = self._client.stream_chat(target, request)
        free = False
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
        except asyncio.CancelledError:
            answer.duration_ms = round(1000 * (loop.time() - began))
            self._checkpoints.log(attempt(side, CANCELLED))
            raise
        except BackendError as error:
            free = error.kind in FREE_OF_CHARGE and usage == Usage()
            raise
        finally:
            await stream.aclose()
            answer.duration_ms = round(1000 * (loop.time() - began))
            count_tokens(side, usage)
            side.charges.append(
                limits.Charge(endpoint.pk, 0 if free else cost_of(side, request.max_tokens))
            )
        if reason == FinishReason.CONTENT_FILTER:
            raise BackendError(ErrorKind.CONTENT_FILTER, "finish_reason content_filter")
        if not live.text.strip():
            raise BackendError(ErrorKind.EMPTY, "no visible text")
        answer.finish_reason = reason or FinishReason.OTHER
        answer.error_kind = answer.error_detail = ""
        self._checkpoints.log(attempt(side, ANSWERED))
        await self._complete(turn, side, CUT_NOTICE if reason == FinishReason.LENGTH else None)

    async def _complete(self, turn: OwnedTurn, side: OwnedSide, notice: str | None) -> None:
        loop = asyncio.get_running_loop()
        side.live.html = await loop.run_in_executor(self._renderer, render, side.live.text)
        side.live.notice = notice
        if side.live.state is not SideState.COMPLETE:  # it may be, and be stopped while it is shown
            side.live.enter(SideState.COMPLETE)
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
            if side.withdrawn:
                side.answer.state, side.answer.error_kind = Answer.State.FAILED, WITHDRAWN
                side.answer.text, side.answer.reasoning, side.answer.citations = "", "", []
            if side.answer.state == Answer.State.FAILED and not side.answer.error_kind:
                side.answer.error_kind = CANCELLED
            answers.append(side.answer)
        charges = [charge for side in turn.sides.values() for charge in side.charges]
        for pause in (0.2, 0.5, 1, 2, 4, None):
            try:
                stood = await database_sync_to_async(turns.finish)(
                    turn_id=turn.started.turn.pk,
                    answers=answers,
                    void_reason=void,
                    charges=charges,
                )
                return void if stood else Battle.VoidReason.INTERRUPTED
            except DatabaseError:
                log.exception("cannot save turn %s", turn.live.battle)
                if pause is None:
                    # Nothing was acknowledged; the sweep voids it when the database is back.
                    return Battle.VoidReason.INTERRUPTED
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")


async def _display(turn: OwnedTurn) -> None:
    pace = pacing.Pace(
        rate=settings.PACED_CHARACTERS_PER_SECOND,
        hold=settings.PACED_HOLD_SECONDS,
        patience=settings.PACED_PATIENCE_SECONDS,
    )
    together = pacing_of(turn.started.battle) == pacing.TOGETHER
    await pacing.run(turn.live, pace, together=together)


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
        await _current[1].close(settings.DRAIN_SECONDS)
        _current = None
