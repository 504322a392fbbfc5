"""A turn while it streams: append-only text per side, and readers that follow it.

No Django. The owner (`generation`) or a mirror of another process's turn (`mirror`) appends;
any number of readers hold cursors into it. A reader that comes back is shown everything from the
start of the turn, so what it sees is the same text whatever it had seen before.

Readers follow what is *shown*. That is what was said, unless the turn is held back: then
`pacing` shows it, piece by piece.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from arena import states
from arena.rendering import BlockRenderer

ServerEvent = dict[str, Any]


class SideState(StrEnum):
    QUEUED = "queued"
    STARTING = "starting"
    STREAMING = "streaming"
    RETRYING = "retrying"
    SWAPPED = "swapped"
    COMPLETE = "complete"
    FAILED = "failed"


# A reader cannot tell these apart: somebody is being asked once more.
TRYING_AGAIN = (SideState.RETRYING, SideState.SWAPPED)
SILENT = (SideState.QUEUED, SideState.STARTING, *TRYING_AGAIN)


@dataclass(slots=True)
class LiveSide:
    slot: str
    state: SideState = SideState.QUEUED
    text: str = ""
    blocks: list[str] = field(default_factory=list)  # finished blocks as safe HTML
    html: str = ""  # of the whole answer, once it is complete
    notice: str | None = None
    seen: bool = True  # False: no reader follows this side, so its blocks are rendered elsewhere
    _renderer: BlockRenderer = field(default_factory=BlockRenderer)

    @property
    def tail(self) -> str:
        """What is not yet a finished block, as plain text."""
        return self._renderer.tail

    def enter(self, state: SideState) -> None:
        """The owner's way on, step by step. Raises states.Forbidden."""
        states.ANSWER.check(self.state, state)
        self.state = state

    def append(self, text: str) -> None:
        if self.state is not SideState.STREAMING:
            if self.state not in SILENT:
                raise states.Forbidden(f"text after the end of an answer ({self.state})")
            self.state = SideState.STREAMING  # a mirror may have missed the steps before
        self.text += text
        if self.seen:
            self.blocks += self._renderer.feed(text)

    def finish_as(self, side: LiveSide) -> None:
        """Be complete, as a side is that has been held back."""
        self.text, self.html, self.notice = side.text, side.html, side.notice
        self.state = SideState.COMPLETE


@dataclass(frozen=True, slots=True)
class Ended:
    """How a turn ended: ready for a vote (`void_message` is None) or void."""

    void_message: str | None = None
    withdrawn: Sequence[str] = ()  # slots whose answer nobody may read any more
    can_continue: bool = False
    # By slot, when an answer names any: how many, or where the models' names are shown, which.
    sources: Mapping[str, Any] | None = None


class LiveTurn:
    """One turn of one battle, owned by this process or mirrored from another."""

    def __init__(
        self,
        *,
        battle: str,
        number: int,
        prompt: str,
        slots: Iterable[str],
        held: bool = False,
        images: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        self.battle = battle
        self.number = number
        self.prompt = prompt
        self.held = held
        self.images = images  # of the question, as the page shows them
        self.sides: Mapping[str, LiveSide] = {slot: LiveSide(slot, seen=not held) for slot in slots}
        self.shown: Mapping[str, LiveSide] = (
            {slot: LiveSide(slot) for slot in self.sides} if held else self.sides
        )
        self.checked = False  # both sides are whole, and nothing is against showing them
        self.ended: Ended | None = None
        self._wakers: set[asyncio.Event] = set()

    @property
    def readers(self) -> int:
        return len(self._wakers)

    def changed(self) -> None:
        for waker in self._wakers:
            waker.set()

    def show_all(self) -> None:
        """Show every complete answer whole, now."""
        if self.held:
            for slot, side in self.sides.items():
                if side.state is SideState.COMPLETE:
                    self.shown[slot].finish_as(side)
            self.changed()

    def end(self, ended: Ended) -> None:
        self.ended = ended
        self.changed()

    async def follow(self, interval: float) -> AsyncIterator[ServerEvent]:
        """Everything from the start of the turn to its end, in frames at most every `interval` s.

        Tokens that arrive between two frames leave as one: coalescing and back-pressure at once,
        because a slow reader simply asks less often.
        """
        loop = asyncio.get_running_loop()
        waker = asyncio.Event()
        self._wakers.add(waker)
        cursors = [_Cursor(side) for side in self.shown.values()]
        try:
            yield {
                "type": "turn.started",
                "turn": self.number,
                "prompt": self.prompt,
                "slots": list(self.sides),
                **({"images": list(self.images)} if self.images else {}),
            }
            next_frame = 0.0  # after a pause the first news leaves at once
            while True:
                waker.clear()
                ended = self.ended  # before collecting: what was appended before the end is sent
                events = [event for cursor in cursors for event in cursor.collect()]
                for event in events:
                    yield event
                if ended is not None:
                    yield self._last_event(ended)
                    return
                if events:
                    next_frame = loop.time() + interval
                await waker.wait()
                if (wait := next_frame - loop.time()) > 0:
                    await asyncio.sleep(wait)
        finally:
            self._wakers.discard(waker)

    def _last_event(self, ended: Ended) -> ServerEvent:
        if ended.void_message is not None:
            void: ServerEvent = {"type": "battle.void", "message": ended.void_message}
            return void | ({"withdrawn": list(ended.withdrawn)} if ended.withdrawn else {})
        event = {"type": "battle.ready", "turn": self.number, "can_continue": ended.can_continue}
        if ended.sources is not None:
            event["sources"] = ended.sources
        return event


class _Cursor:
    """How much of one side a reader has been sent."""

    __slots__ = ("_blocks", "_seq", "_side", "_state", "_tail")

    def __init__(self, side: LiveSide) -> None:
        self._side = side
        self._state = SideState.QUEUED
        self._blocks = 0
        self._tail = 0
        self._seq = 0

    def collect(self) -> list[ServerEvent]:
        """What is new. A list, not a generator: while a reader sends, the side moves on, and the
        cursor must not move with it."""
        side = self._side
        events: list[ServerEvent] = []
        if side.state in TRYING_AGAIN and self._state not in TRYING_AGAIN:
            events.append({"type": "slot.retrying", "slot": side.slot})
        if side.text and self._state in SILENT:
            events.append({"type": "slot.started", "slot": side.slot})
        if side.state == SideState.COMPLETE != self._state:
            events.append(
                {
                    "type": "slot.completed",
                    "slot": side.slot,
                    "seq": len(side.text),
                    "html": side.html,
                    "words": len(side.text.split()),
                    "notice": side.notice,
                }
            )
        elif len(side.text) > self._seq and side.state != SideState.COMPLETE:
            events.append(self._delta())
        self._state = side.state
        self._seq = len(side.text)
        return events

    def _delta(self) -> ServerEvent:
        side = self._side
        event: ServerEvent = {"type": "slot.delta", "slot": side.slot, "seq": len(side.text)}
        if self._seq == 0:
            event["reset"] = True
        tail = side.tail
        if len(side.blocks) > self._blocks:
            event["html"] = "".join(side.blocks[self._blocks :])
            self._blocks = len(side.blocks)
            self._tail = 0
        if len(tail) > self._tail:
            event["text"] = tail[self._tail :]
        self._tail = len(tail)
        return event
