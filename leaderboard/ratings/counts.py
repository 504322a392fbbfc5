"""How often each pair of models met and how it ended: all that a rating needs of the votes.

Bradley-Terry ratings, their intervals, ranks and bootstrap depend on the votes only through these
counts, so a refresh costs the same after ten thousand votes as after a thousand million.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from enum import IntEnum
from typing import Literal

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
CellOutcome = Literal["lo", "hi", "tie", "both_bad"]


class Outcome(IntEnum):
    """How one battle ended, seen from the order in which its two models are given."""

    FIRST = 0
    SECOND = 1
    TIE = 2
    BOTH_BAD = 3


OUTCOME_OF_CELL: dict[str, Outcome] = {
    "lo": Outcome.FIRST,
    "hi": Outcome.SECOND,
    "tie": Outcome.TIE,
    "both_bad": Outcome.BOTH_BAD,
}


class PairCounts:
    """Votes of M models, added up by pair and outcome.

    `models`   tuple of M distinct hashables; position i names row and column i of every matrix.
    `wins`     [M, M] int64, wins[i, j] = battles in which i beat j.
    `ties`     [M, M] int64, symmetric, ties[i, j] = battles of i and j called equally good.
    `both_bad` [M, M] int64, symmetric, the same for battles called equally bad.

    The diagonals are zero: a battle of a model against itself says nothing and is dropped wherever
    votes come in. `add` and `subtract` change the object; `+` makes a new one.
    """

    __slots__ = ("_position", "both_bad", "models", "ties", "wins")

    def __init__(
        self,
        models: Iterable[Hashable],
        wins: npt.ArrayLike | None = None,
        ties: npt.ArrayLike | None = None,
        both_bad: npt.ArrayLike | None = None,
    ) -> None:
        """Take copies of the matrices given; those left out are zero.

        Raises ValueError when models repeat or a matrix has the wrong shape, a fraction, a negative
        count, an entry on its diagonal, or (ties, both_bad) is not symmetric.
        """
        self.models: tuple[Hashable, ...] = tuple(models)
        self._position = {model: i for i, model in enumerate(self.models)}
        if len(self._position) != len(self.models):
            raise ValueError("a model occurs twice")
        self.wins: IntArray = self._checked("wins", wins, symmetric=False)
        self.ties: IntArray = self._checked("ties", ties, symmetric=True)
        self.both_bad: IntArray = self._checked("both_bad", both_bad, symmetric=True)

    def _checked(self, name: str, matrix: npt.ArrayLike | None, *, symmetric: bool) -> IntArray:
        size = len(self.models)
        if matrix is None:
            return np.zeros((size, size), dtype=np.int64)
        given = np.asarray(matrix)
        if given.shape != (size, size):
            raise ValueError(f"{name} has shape {given.shape}, expected {(size, size)}")
        counts: IntArray = given.astype(np.int64)
        if not np.array_equal(counts, given):
            raise ValueError(f"{name} holds something that is not a whole number")
        if (counts < 0).any():
            raise ValueError(f"{name} holds a negative count")
        if counts.diagonal().any():
            raise ValueError(f"{name} has votes of a model against itself")
        if symmetric and not np.array_equal(counts, counts.T):
            raise ValueError(f"{name} is not symmetric")
        return counts

    @classmethod
    def from_cells(
        cls,
        cells: Iterable[tuple[Hashable, Hashable, str, int]],
        models: Iterable[Hashable] | None = None,
    ) -> PairCounts:
        """Counts from rows (lo, hi, outcome, n) of the pair count table.

        `outcome` is "lo" (lo won), "hi", "tie" or "both_bad". Rows of the same pair and outcome add
        up, whichever of the two comes first. `models` fixes the models and their order; without it
        they are those of the rows, sorted (so they must be comparable with each other).

        Raises ValueError for an unknown outcome, a negative or fractional n, or a model that is not
        in `models`.
        """
        rows = list(cells)
        if models is None:
            models = sorted({m for row in rows for m in row[:2]})  # type: ignore[type-var]
        counts = cls(models)
        for lo, hi, outcome, n in rows:
            if outcome not in OUTCOME_OF_CELL:
                raise ValueError(f"unknown outcome {outcome!r}")
            counts.add(lo, hi, OUTCOME_OF_CELL[outcome], n)
        return counts

    @classmethod
    def from_votes(
        cls,
        votes: Iterable[tuple[Hashable, Hashable, Outcome]],
        models: Iterable[Hashable] | None = None,
    ) -> PairCounts:
        """Counts from single votes (first, second, Outcome); `models` as in `from_cells`."""
        tally = Counter(votes)
        if models is None:
            models = sorted({m for row in tally for m in row[:2]})  # type: ignore[type-var]
        counts = cls(models)
        for (first, second, outcome), n in tally.items():
            counts.add(first, second, outcome, n)
        return counts

    def add(self, first: Hashable, second: Hashable, outcome: Outcome, n: int = 1) -> None:
        """Count `n` more votes with this outcome. A battle of a model with itself is ignored.

        Raises ValueError for an unknown model or a negative or fractional `n`.
        """
        self._change(first, second, outcome, n, sign=1)

    def subtract(self, first: Hashable, second: Hashable, outcome: Outcome, n: int = 1) -> None:
        """Take back `n` votes that had been added.

        Raises ValueError, and changes nothing, when fewer than `n` are there.
        """
        self._change(first, second, outcome, n, sign=-1)

    def _change(
        self, first: Hashable, second: Hashable, outcome: Outcome, n: int, *, sign: int
    ) -> None:
        if n < 0 or n != int(n):
            raise ValueError(f"a count cannot be {n!r}")
        try:
            i, j = self._position[first], self._position[second]
        except KeyError as unknown:
            raise ValueError(f"unknown model {unknown.args[0]!r}") from None
        outcome = Outcome(outcome)
        if i == j:
            return
        if outcome is Outcome.SECOND:
            i, j = j, i
        matrix = {Outcome.TIE: self.ties, Outcome.BOTH_BAD: self.both_bad}.get(outcome, self.wins)
        value = int(matrix[i, j]) + sign * int(n)
        if value < 0:
            raise ValueError(f"cannot take {n} votes from {int(matrix[i, j])}")
        matrix[i, j] = value
        if matrix is not self.wins:
            matrix[j, i] = value

    def __add__(self, other: PairCounts) -> PairCounts:
        """The votes of both, matched by model: own models first, then those only `other` has."""
        if not isinstance(other, PairCounts):
            return NotImplemented
        models = self.models + tuple(m for m in other.models if m not in self._position)
        total = PairCounts(models)
        for part in (self, other):
            at = np.array([total._position[m] for m in part.models], dtype=np.intp)
            block = np.ix_(at, at)
            total.wins[block] += part.wins
            total.ties[block] += part.ties
            total.both_bad[block] += part.both_bad
        return total

    def __eq__(self, other: object) -> bool:
        """Same models in the same order with the same counts."""
        if not isinstance(other, PairCounts):
            return NotImplemented
        return (
            self.models == other.models
            and np.array_equal(self.wins, other.wins)
            and np.array_equal(self.ties, other.ties)
            and np.array_equal(self.both_bad, other.both_bad)
        )

    __hash__ = None  # type: ignore[assignment]  # it changes, so it cannot be a key

    def __repr__(self) -> str:
        return f"<PairCounts: {self.total} votes, {len(self.models)} models>"

    @property
    def total(self) -> int:
        """Number of votes, of every outcome."""
        return int(self.wins.sum()) + int(self.ties.sum() + self.both_bad.sum()) // 2

    def per_pair(self) -> IntArray:
        """[M, M] symmetric: votes of each pair, of every outcome."""
        return self.wins + self.wins.T + self.ties + self.both_bad

    def per_model(self) -> IntArray:
        """[M]: votes each model took part in, of every outcome."""
        votes: IntArray = self.per_pair().sum(axis=1)
        return votes

    def position(self, model: Hashable) -> int:
        """Row and column of a model. Raises KeyError when it is not here."""
        return self._position[model]

    def restricted_to(self, models: Sequence[Hashable]) -> PairCounts:
        """Only the votes among these models, in this order. Raises KeyError for an unknown one."""
        at = np.array([self._position[m] for m in models], dtype=np.intp)
        block = np.ix_(at, at)
        return PairCounts(models, self.wins[block], self.ties[block], self.both_bad[block])

    def cells(self) -> Iterator[tuple[Hashable, Hashable, CellOutcome, int]]:
        """The rows (lo, hi, outcome, n) with n > 0, where lo stands before hi in `models`."""
        upper = np.triu(np.ones((len(self.models), len(self.models)), dtype=bool), k=1)
        sources: tuple[tuple[CellOutcome, IntArray], ...] = (
            ("lo", self.wins),
            ("hi", self.wins.T),
            ("tie", self.ties),
            ("both_bad", self.both_bad),
        )
        for outcome, matrix in sources:
            lo, hi = np.nonzero(upper & (matrix > 0))
            cells = (lo.tolist(), hi.tolist(), matrix[lo, hi].tolist())
            for i, j, n in zip(*cells, strict=True):
                yield self.models[i], self.models[j], outcome, n


def aggregate(
    a_ids: npt.ArrayLike, b_ids: npt.ArrayLike, outcomes: npt.ArrayLike, n_models: int
) -> PairCounts:
    """Add up votes given as three integer arrays of one length: models are 0 … n_models - 1.

    `outcomes` holds `Outcome` values. The counts' model ids are the integers themselves.
    Raises ValueError when lengths differ or a value is out of range.
    """
    first, second, outcome = vote_arrays(a_ids, b_ids, outcomes, n_models)
    # one key per (outcome, first, second): the votes are passed over once, and copied once
    key = outcome.astype(np.int64)
    for ids in (first, second):
        key *= n_models
        np.add(key, ids, out=key, dtype=np.int64, casting="unsafe")  # unsigned ids too, no copy
    tally = np.bincount(key, minlength=len(Outcome) * n_models * n_models)
    cube = tally.reshape(len(Outcome), n_models, n_models).astype(np.int64, copy=False)
    cube[:, np.arange(n_models), np.arange(n_models)] = 0
    return PairCounts(
        range(n_models),
        cube[Outcome.FIRST] + cube[Outcome.SECOND].T,
        cube[Outcome.TIE] + cube[Outcome.TIE].T,
        cube[Outcome.BOTH_BAD] + cube[Outcome.BOTH_BAD].T,
    )


def vote_arrays(
    a_ids: npt.ArrayLike, b_ids: npt.ArrayLike, outcomes: npt.ArrayLike, n_models: int
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], npt.NDArray[np.integer]]:
    """The three as integer arrays [N], checked. Raises ValueError as `aggregate` says."""
    first, second, outcome = (_integers(x) for x in (a_ids, b_ids, outcomes))
    if not first.shape == second.shape == outcome.shape:
        raise ValueError("a_ids, b_ids and outcomes differ in length")
    for name, ids, bound in (
        ("a_ids", first, n_models),
        ("b_ids", second, n_models),
        ("outcomes", outcome, len(Outcome)),
    ):
        if ids.size and (ids.min() < 0 or ids.max() >= bound):
            raise ValueError(f"{name} holds a value outside 0 … {bound - 1}")
    return first, second, outcome


def _integers(values: npt.ArrayLike) -> npt.NDArray[np.integer]:
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError("votes come as arrays of one dimension")
    if array.size == 0:
        return array.astype(np.int64)
    if not np.issubdtype(array.dtype, np.integer):
        raise ValueError(f"ids and outcomes are integers, not {array.dtype}")
    return array
