"""Single votes as columns of numbers, a million of them in little memory. No Django."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

import numpy as np
import numpy.typing as npt

from leaderboard.ratings.counts import PairCounts, aggregate
from leaderboard.ratings.style import STYLES

NO_STYLE = -1  # in VoteTable.styles: the vote came without its texts
NARROW, WIDE = "h", "i"  # of arrays: 16 and 32 bits, signed


@dataclass(frozen=True, eq=False)
class VoteTable:
    """N single votes, in the order in which they were cast as far as their times say.

    `first`, `second` [N] positions among `models`, which are sorted; `outcome` [N] Outcomes;
    `moments` [N] microseconds since 1970; `styles` [N, 2, K] how much of each of STYLES the first
    and the second answer has, NO_STYLE where a vote came without its texts, in whatever width
    holds them: see `whole_numbers`.
    """

    models: tuple[str, ...]
    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    outcome: npt.NDArray[np.int8]
    moments: npt.NDArray[np.int64]
    styles: npt.NDArray[np.signedinteger]

    @cached_property
    def by_content(self) -> npt.NDArray[np.int32]:
        """Positions of the votes with texts, in an order that only the votes determine, whatever
        other votes stand between them: sums depend on it, a little."""
        side = [self.styles[:, s, k] for s in range(2) for k in range(len(STYLES))]
        order = np.lexsort((*side, self.outcome, self.second, self.first)).astype(np.int32)
        return order[self.styles[order, 0, 0] != NO_STYLE]

    def take(self, chosen: npt.NDArray[np.integer], *, with_styles: bool) -> VoteTable:
        """The votes at these positions, in this order; of the models only those that are left.

        Without their moments: the order is what was wanted of them.
        """
        first, second = self.first[chosen], self.second[chosen]
        seen = np.zeros(len(self.models), dtype=bool)
        seen[first] = seen[second] = True
        if not seen.all():
            position = (np.cumsum(seen) - 1).astype(np.int32)
            first, second = position[first], position[second]
        return VoteTable(
            tuple(model for model, here in zip(self.models, seen, strict=True) if here),
            first,
            second,
            self.outcome[chosen],
            self.moments[:0],
            self.styles[chosen if with_styles else chosen[:0]],
        )

    def counts(self) -> PairCounts:
        added_up = aggregate(self.first, self.second, self.outcome, len(self.models))
        return PairCounts(self.models, added_up.wins, added_up.ties, added_up.both_bad)


def whole_numbers(column: array[int], more: Sequence[int]) -> array[int]:
    """`column` with more at its end; a wider one where they need it.

    Hardly an answer has more than 32,767 tokens, and a million votes with eight numbers each in
    16 bits are 16 MB less to hold than in 32.
    """
    length = len(column)
    try:
        column.extend(more)
    except OverflowError:
        del column[length:]
        column = array(WIDE, column)
        column.extend(more)
    return column


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def microseconds(moment: datetime) -> int:
    """Since 1970, exactly."""
    return (moment - _EPOCH) // _MICROSECOND
