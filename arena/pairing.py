"""Which two models meet, and how likely that was. Pure: numbers and a generator in, odds out.

`odds` works out the chance of every pair once; drawing is then one random number. The chance of
the drawn pair is stored with the battle, so that ratings can undo the sampling by inverse
propensity (Chiang et al. 2024, arXiv 2403.04132, eq. 7).

By weight: the first model in proportion to the weights, its rival likewise among those it may meet.
Active: in proportion to how much each pair needs another vote (eq. 9 there; worked out by
`leaderboard.ratings.needs`) times both weights, mixed with the former by a floor.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

WEIGHTED = "weighted/2"  # raise it when the same weights give other odds
ACTIVE = "active/1"

FloatArray = npt.NDArray[np.float64]


class TooFewContestants(Exception):
    """No two models with a positive weight that may meet."""


class Entrant(NamedTuple):
    """A model that may be drawn."""

    id: int
    weight: float = 1.0
    preview: bool = False  # two of these never meet: neither has a place on the board yet
    only_meets: frozenset[int] = frozenset()  # strict targets; empty: everybody


@dataclass(frozen=True, eq=False)
class Needs:
    """How much each pair of M models needs another vote: `matrix` [M, M], symmetric."""

    models: tuple[int, ...]
    matrix: FloatArray

    @classmethod
    def unpack(cls, models: Sequence[int], packed: bytes) -> Needs:
        matrix = np.zeros((len(models), len(models)))
        upper = np.triu_indices(len(models), k=1)
        matrix[upper] = np.frombuffer(zlib.decompress(packed), dtype="<f4")
        return cls(tuple(models), matrix + matrix.T)


def pack_needs(matrix: FloatArray) -> bytes:
    """What `Needs.unpack` takes: half a matrix of float32."""
    upper = matrix[np.triu_indices(len(matrix), k=1)].astype("<f4")
    return zlib.compress(upper.tobytes())


@dataclass(frozen=True, slots=True)
class Draw:
    left: int
    right: int
    probability: float  # of this unordered pair, whichever side each sits on
    swapped: bool  # the coin: the first of the pair sits on the right
    sampler: str


@dataclass(frozen=True, eq=False)
class Odds:
    """The chance of every pair among M models.

    `pairs`  [M, M] symmetric, the chance of the unordered pair; all pairs together have 1.
    `rivals` [M, M] where one model stays, the other is drawn in proportion to its row.
    """

    models: tuple[int, ...]
    pairs: FloatArray
    rivals: FloatArray
    sampler: str

    @cached_property
    def _at(self) -> dict[int, int]:
        return {model: i for i, model in enumerate(self.models)}

    @cached_property
    def _line(self) -> tuple[npt.NDArray[np.intp], npt.NDArray[np.intp], FloatArray]:
        """The pairs that can be drawn, and their chances added up one after the other."""
        one, other = np.nonzero(np.triu(self.pairs, k=1))
        return one, other, np.cumsum(self.pairs[one, other])

    def probability(self, one: int, other: int) -> float:
        return _chance(self.pairs[self._at[one], self._at[other]])

    def shares(self) -> dict[int, float]:
        """For each model the chance that a battle is one of its; together they have 2."""
        return dict(zip(self.models, self.pairs.sum(axis=1).tolist(), strict=True))

    def ranked(self) -> list[tuple[int, int, float]]:
        """Every pair that may meet, with its chance, the likeliest first."""
        one, other, _ = self._line
        chances = self.pairs[one, other]
        order = np.argsort(-chances, kind="stable")
        return [(self.models[one[at]], self.models[other[at]], float(chances[at])) for at in order]

    def draw(self, rng: random.Random) -> Draw:
        """A pair, on sides set by a fair coin. Raises TooFewContestants."""
        one, other, line = self._line
        if not line.size:
            raise TooFewContestants
        at = _place(line, rng)
        first, second = self.models[one[at]], self.models[other[at]]
        swapped = rng.random() < 0.5
        left, right = (second, first) if swapped else (first, second)
        return Draw(left, right, self.probability(first, second), swapped, self.sampler)

    def redraw(self, kept: int, failed: Collection[int], rng: random.Random) -> tuple[int, float]:
        """Another model to meet `kept`, none of the `failed`, and the chance of the new pair.

        Raises TooFewContestants.
        """
        rivals = self._without(failed)[self._at[kept]]
        if not rivals.any():
            raise TooFewContestants
        drawn = self.models[_place(np.cumsum(rivals), rng)]
        return drawn, self.served(kept, drawn, failed)

    def served(self, one: int, other: int, failed: Collection[int]) -> float:
        """The chance that a battle ends with this pair while the `failed` models cannot be had.

        It is drawn so at once, or with one of the failed, or two, that are then replaced by
        `redraw`. By weight alone, where everybody may meet everybody, that is the chance which the
        pair has among the rest: of two models drawn one after the other, leaving one out and going
        on is the same as never having had it.
        """
        a, b = self._at[one], self._at[other]
        out = [self._at[model] for model in failed if model in self._at]
        rivals = self._without(failed)
        totals = rivals.sum(axis=1, keepdims=True)
        then = np.divide(rivals, totals, out=np.zeros_like(rivals), where=totals > 0)
        at_once = self.pairs[a, b]
        one_failed = self.pairs[a, out].sum() * then[a, b] + self.pairs[b, out].sum() * then[b, a]
        # Of two that fail either may be the first to be replaced.
        both = self.pairs[np.ix_(out, out)].sum(axis=1) / 2.0
        both_failed = (both * (then[out, a] * then[a, b] + then[out, b] * then[b, a])).sum()
        return _chance(at_once + one_failed + both_failed)

    def _without(self, failed: Collection[int]) -> FloatArray:
        return np.where([model in failed for model in self.models], 0.0, self.rivals)


def _chance(value: float) -> float:
    return min(float(value), 1.0)  # by rounding it may come out a hair above


def _place(line: FloatArray, rng: random.Random) -> int:
    """A position, in proportion to the steps of a rising line; one without a step never."""
    at = int(np.searchsorted(line, rng.random() * line[-1], side="right"))
    # Rounding may reach the very end, which belongs to the last step.
    return min(at, int(np.searchsorted(line, line[-1], side="left")))


@lru_cache(maxsize=8)  # the same models are drawn from until one of them, or its weight, changes
def odds(entrants: tuple[Entrant, ...], needs: Needs | None = None, floor: float = 1.0) -> Odds:
    """The chance of every pair; active where there are `needs`.

    A pair that `needs` does not know, as of a new model, is taken to need votes as much as the one
    that needs them most. `floor` is the share of battles that goes by weight all the same.
    """
    if not 0.0 < floor <= 1.0:
        raise ValueError(f"a floor is a share above 0, not {floor!r}")
    entrants = tuple(e for e in entrants if e.weight > 0)
    models = tuple(e.id for e in entrants)
    weights = np.array([e.weight for e in entrants], dtype=np.float64)
    may_meet = _may_meet(entrants)
    rivals = may_meet * weights
    pairs = _by_weight(weights, rivals)
    if needs is None:
        return Odds(models, pairs, rivals, WEIGHTED)
    wanted = may_meet * np.outer(weights, weights) * _aligned(needs, models)
    total = np.triu(wanted).sum()
    if total > 0:
        pairs = floor * pairs + (1.0 - floor) * wanted / total
    return Odds(models, pairs, pairs, ACTIVE)


def _may_meet(entrants: Sequence[Entrant]) -> npt.NDArray[np.bool_]:
    """[M, M]: nobody meets itself, previews do not meet, and strict targets bind both sides."""
    may = ~np.eye(len(entrants), dtype=bool)
    previews = np.array([e.preview for e in entrants], dtype=bool)
    may &= ~np.logical_and.outer(previews, previews)
    for i, entrant in enumerate(entrants):
        if entrant.only_meets:
            targets = np.array([e.id in entrant.only_meets for e in entrants])
            may[i] &= targets
            may[:, i] &= targets
    return may


def _by_weight(weights: FloatArray, rivals: FloatArray) -> FloatArray:
    """w₁/W · w₂/R₁ + w₂/W · w₁/R₂, where R are the weights of all whom a model may meet."""
    totals = rivals.sum(axis=1)
    first = np.where(totals > 0, weights, 0.0)  # one that may meet nobody is not drawn
    if not first.any():
        return np.zeros_like(rivals)
    then = np.divide(first / first.sum(), totals, out=np.zeros_like(totals), where=totals > 0)
    ordered = then[:, np.newaxis] * rivals
    pairs: FloatArray = ordered + ordered.T
    return pairs


def _aligned(needs: Needs, models: Sequence[int]) -> FloatArray:
    known = {model: i for i, model in enumerate(needs.models)}
    highest = float(needs.matrix.max(initial=0.0)) or 1.0
    aligned = np.full((len(models), len(models)), highest)
    here = [i for i, model in enumerate(models) if model in known]
    there = [known[models[i]] for i in here]
    aligned[np.ix_(here, here)] = needs.matrix[np.ix_(there, there)]
    return aligned
