"""How fast and how many at once: limits by the minute, by what a server refuses, by a budget.

Knows no clock and no database: seconds come in, and moments come out.
"""

from __future__ import annotations

from dataclasses import dataclass

MINUTE = 60.0  # seconds
BURST = 10.0  # seconds of a minute's limit that may be used up at once
CHARS_PER_TOKEN = 4  # until an endpoint has said how many it counts


# --- by the minute ------------------------------------------------------------------------------


def seconds_taken(amount: float, per_minute: int) -> float:
    """How much of its clock an amount takes up.

    Slower than the limit by the burst: then no sixty seconds, wherever they begin, hold more than
    the limit.
    """
    return amount * (MINUTE + BURST) / per_minute


def earliest_start(clock: float, seconds: float, now: float, *, equal: bool = False) -> float:
    """When a request may start that takes up so many seconds.

    The generic cell rate algorithm (ITU-T I.371): the clock says until when the limit is used up,
    and may be ahead of the time by the burst. One that takes up more than the burst waits for as
    much quiet before it as it has too much; where all are `equal`, their distance is enough.
    """
    return max(now, clock + seconds - (max(BURST, seconds) if equal else BURST))


def clock_after(clock: float, seconds: float, start: float) -> float:
    return max(clock, start) + seconds


# --- by what the server refuses -----------------------------------------------------------------


class AtOnce:
    """Requests at once: half as many after a refusal, one more after each round without one.

    Additive increase, multiplicative decrease (Chiu and Jain, 1989), never above the ceiling.
    """

    def __init__(self, ceiling: int, size: float | None = None) -> None:
        self._ceiling = ceiling
        self.size = float(ceiling) if size is None else max(1.0, min(size, float(ceiling)))
        self._lowered_at = float("-inf")

    @property
    def limit(self) -> int:
        return int(self.size)

    def answered(self) -> None:
        self.size = min(float(self._ceiling), self.size + 1 / self.size)

    def refused(self, *, began: float, now: float) -> None:
        """Refusals of requests that were under way at the last one bring the same news."""
        if began >= self._lowered_at:
            self.size = max(1.0, self.size / 2)
            self._lowered_at = now


# --- by a budget --------------------------------------------------------------------------------


@dataclass(slots=True)
class Budget:
    """What a run may cost. What is under way counts with the most that it may come to.

    In millionths of a dollar, as prices are dollars for a million tokens.
    """

    cap: float | None
    spent: float = 0.0
    reserved: float = 0.0

    def fits(self, cost: float) -> bool:
        return self.cap is None or self.spent + self.reserved + cost <= self.cap

    def reserve(self, cost: float) -> None:
        self.reserved += cost

    def settle(self, reserved: float, cost: float) -> None:
        """The request has ended, and cost this."""
        self.reserved -= reserved
        self.spent += cost


def estimated_tokens(characters: int) -> int:
    return -(-characters // CHARS_PER_TOKEN)
