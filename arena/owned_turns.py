"""A turn in the hands of the process that streams it: both sides, and what each request took."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from arena import limits, pacing
from arena.backends.base import (
    Message,
    Usage,
)
from arena.battles import StartedTurn
from arena.failures import (
    ANSWERED,
)
from arena.live import LiveSide, LiveTurn, SideState
from arena.models import Answer, Battle, UpstreamRequest


@dataclass(slots=True)
class OwnedSide:
    """One side: what readers see, the row it is saved to, and how to ask the model."""

    live: LiveSide
    shown: LiveSide  # the same where nothing is held back
    answer: Answer
    messages: list[Message]
    saved: int = -1  # characters in the database; -1 before the first checkpoint
    task: asyncio.Task[None] | None = None
    charges: list[limits.Charge] = field(default_factory=list)  # of each request
    swaps: int = 0
    withdrawn: bool = False  # moderation blocked what it said: nobody may read it any more
    first_failure: float | None = None  # of this side in this turn, on the loop's clock

    def row(self) -> dict[str, Any] | None:
        """What a checkpoint has to save, None when nothing is new.

        Only what was shown: pages and other processes read it, and may know no more.
        """
        size = len(self.shown.text)
        if size == self.saved or self.live.state is SideState.FAILED:
            return None
        if self.shown.state is SideState.COMPLETE:
            return None
        self.saved = size
        return {"id": self.answer.pk, "state": self.shown.state.value, "text": self.shown.text}


@dataclass(slots=True)
class OwnedTurn:
    started: StartedTurn
    live: LiveTurn
    sides: Mapping[str, OwnedSide]
    task: asyncio.Task[None] | None = None
    display: asyncio.Task[None] | None = None  # shows what is held back, at its own pace
    stopping: bool = False
    deserted_since: float | None = None
    void_reason: str = ""  # why a side has given up
    failed: set[int] = field(default_factory=set)  # models that could not answer

    @property
    def answered(self) -> bool:
        """Whether every model has ended, well or not."""
        return all(side.task is not None and side.task.done() for side in self.sides.values())

    def stop(self) -> None:
        """Keep what was shown, close the upstream connections."""
        self.stopping = True
        for side in self.sides.values():
            if side.task and not side.task.done():
                side.task.cancel()
        self.stop_display()

    def stop_display(self) -> None:
        if self.display:
            self.display.cancel()


def pacing_of(battle: Battle) -> str:
    """Where names are shown, or one model alone answers, there is nothing to hide."""
    return battle.pacing if battle.mode == Battle.Mode.BATTLE else pacing.RAW


def attempt(side: OwnedSide, outcome: str, detail: str = "") -> UpstreamRequest:
    answer = side.answer
    return UpstreamRequest(
        endpoint=answer.contestant.endpoint,
        contestant=answer.contestant,
        purpose=UpstreamRequest.Purpose.BATTLE,
        at=timezone.now(),
        outcome=outcome,
        first_token_ms=answer.first_token_ms,
        duration_ms=answer.duration_ms or 0,
        output_tokens=answer.output_tokens if outcome == ANSWERED else None,
        detail=detail,
    )


def messages_for(started: StartedTurn, slot: str) -> list[Message]:
    """What this side is asked: turns are numbered from 1 through the whole conversation."""
    messages = []
    images = {number: tuple(sent) for number, sent in started.images.items()}
    for number, (prompt, answer) in enumerate(started.history[slot], 1):
        messages += [
            Message("user", prompt, images.get(number, ())),
            Message("assistant", answer),
        ]
    last = started.turn
    return [*messages, Message("user", last.prompt, images.get(last.number, ()))]


def count_tokens(side: OwnedSide, usage: Usage) -> None:
    answer = side.answer
    images = sum(len(message.images) for message in side.messages)
    answer.input_tokens = usage.input_tokens or (
        limits.estimated_tokens(sum(len(message.content) for message in side.messages))
        + images * limits.TOKENS_OF_AN_IMAGE
    )
    answer.output_tokens = usage.output_tokens or limits.estimated_tokens(
        len(side.live.text) + len(answer.reasoning)
    )
    answer.tokens_estimated = not (usage.input_tokens and usage.output_tokens)


def cost_of(side: OwnedSide, max_tokens: int) -> int:
    """Of the request just made. Never more than was planned for it, whatever the server reports."""
    answer = side.answer
    highest = limits.highest_cost(
        answer.contestant,
        texts=[message.content for message in side.messages],
        images=sum(len(message.images) for message in side.messages),
        max_tokens=max_tokens,
    )
    return min(
        limits.cost(
            answer.contestant,
            input_tokens=answer.input_tokens or 0,
            output_tokens=answer.output_tokens or 0,
        ),
        highest,
    )
