"""When readers see what both sides have said: on one clock, or at the end. No Django.

Raw, a frame leaves when its text comes, and sizes, gaps and first words tell who writes like that.

*Paced*, both sides are held back and leave in pieces of one size, at one rate, from one moment.
The rate and the moment are the arena's, not the models'. Where the text of a side is not there in
time, both wait, in whole steps: that one of them is slow can be seen, not which. Only after
`patience` does the other go on alone, for a stalled side must not stall it for good.

*Together*, both answers appear when both are complete and have been checked.

What is not shown yet is nowhere else either: pages, checkpoints and other processes know of what
was shown, so coming back to a battle tells no more than having stayed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from arena.live import LiveSide, LiveTurn, SideState

RAW, PACED, TOGETHER = "raw", "paced", "together"

TICK = 0.1  # seconds between two pieces


@dataclass(frozen=True, slots=True)
class Pace:
    """The arena's own clock. Times in seconds."""

    rate: float  # characters a second, of each side
    hold: float  # before the first piece, and the step in which both wait
    patience: float  # for a side that has nothing to show, while the other has

    @property
    def piece(self) -> int:
        return max(1, round(self.rate * TICK))


class Clock:
    """One turn's clock. `step` does what is due and says in how many seconds it is due again."""

    def __init__(self, turn: LiveTurn, pace: Pace, *, together: bool = False) -> None:
        self._turn = turn
        self._pace = pace
        self._together = together
        self._waited: float | None = 0.0  # in this pause; None while pieces leave
        self._left_behind: set[str] = set()  # sides that are no longer waited for
        self._begun = False

    @property
    def finished(self) -> bool:
        return all(side.state is SideState.COMPLETE for side in self._turn.shown.values())

    def step(self) -> float:
        if not self._begun:  # nobody is faster than this
            self._begun = True
            return self._pace.hold
        if self._together:
            if self._turn.checked:
                self._turn.show_all()
            return self._pace.hold
        late = [slot for slot in self._awaited() if not self._has_piece(slot)]
        if late and not self._out_of_patience(late):
            self._waited = (self._waited or 0.0) + self._pace.hold
            return self._pace.hold
        self._waited = None
        self._show(slot for slot in self._turn.sides if self._has_piece(slot))
        return TICK

    def _awaited(self) -> list[str]:
        return [
            slot
            for slot, side in self._turn.shown.items()
            if side.state is not SideState.COMPLETE and slot not in self._left_behind
        ]

    def _has_piece(self, slot: str) -> bool:
        side, shown = self._turn.sides[slot], self._turn.shown[slot]
        if shown.state is SideState.COMPLETE:
            return False
        ready = len(side.text) - len(shown.text)
        return ready >= self._pace.piece or side.state is SideState.COMPLETE

    def _out_of_patience(self, late: list[str]) -> bool:
        """Whether to go on without these; only a side that has something to show goes on."""
        if self._waited is None or self._waited < self._pace.patience:
            return False
        if not any(self._has_piece(slot) for slot in self._turn.sides):
            return False
        self._left_behind.update(late)
        return True

    def _show(self, slots: Iterable[str]) -> None:
        moved = False
        for slot in slots:
            show_piece(self._turn.sides[slot], self._turn.shown[slot], self._pace.piece)
            moved = True
        if moved:
            self._turn.changed()


def show_piece(side: LiveSide, shown: LiveSide, size: int) -> None:
    """The next characters of a side; with the last of a complete one, that it is complete."""
    at = len(shown.text)
    if piece := side.text[at : at + size]:
        shown.append(piece)
    if side.state is SideState.COMPLETE and len(shown.text) == len(side.text):
        shown.finish_as(side)


async def run(turn: LiveTurn, pace: Pace, *, together: bool = False) -> None:
    """Show a turn until both of its sides are shown whole."""
    loop = asyncio.get_running_loop()
    clock = Clock(turn, pace, together=together)
    due = loop.time()
    while True:
        due += clock.step()
        if clock.finished:
            return
        await asyncio.sleep(max(0.0, due - loop.time()))
