"""What a rating takes from the counts: which votes speak, how loudly, and for which models."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.sparse.csgraph import connected_components

from .counts import IntArray, PairCounts

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Ties = Literal["half", "drop", "drop_bothbad", "davidson"]
Weighting = Literal["battles", "uniform_pairs"]


class Status(StrEnum):
    """What a model's rating is worth.

    OK           a finite estimate with an interval; only these models are ranked.
    PROVISIONAL  compared with the rated models, yet the votes do not settle it: either it won (or
                 lost) every battle that links it to them, and has no rating; or it has nothing but
                 ties, and has a rating without an interval.
    SEPARATED    has votes, but no chain of battles links it to the rated models; no rating.
    UNRATED      has no votes that count.
    """

    OK = "ok"
    PROVISIONAL = "provisional"
    SEPARATED = "separated"
    UNRATED = "unrated"


@dataclass(frozen=True, eq=False)
class Evidence:
    """The votes that enter a likelihood.

    `wins`   [M, M], wins[i, j] = decisive votes for i over j.
    `ties`   [M, M] symmetric, votes called even.
    `weight` [M, M] symmetric, what one vote of the pair counts in the likelihood.
    """

    wins: FloatArray
    ties: FloatArray
    weight: FloatArray

    @classmethod
    def from_counts(
        cls, counts: PairCounts, *, ties: Ties, weighting: Weighting, min_pair_count: int
    ) -> Evidence:
        """Apply a tie policy and a weighting.

        Ties: "half" and "davidson" keep ties and both-bad votes as ties, "drop_bothbad" keeps ties
        only, "drop" keeps neither. Weighting: "battles" counts each vote once; "uniform_pairs"
        weighs it 1 / max(votes of its pair, min_pair_count), so that each pair with enough votes
        speaks as loudly as any other (arena-rank's `reweighted`; eq. 7 of arXiv 2403.04132).

        Equation 7 divides each vote by the probability with which its pair was drawn. The share of
        votes that the pair really has estimates that probability, averaged over whatever weights
        were in force; it needs nothing but the counts, and estimated propensities lose nothing
        against known ones (Hirano, Imbens and Ridder 2003, Econometrica 71). The probability stored
        with a battle is for audits of the draw; weighing single votes by it would need the sums of
        weights and of their squares in every cell, and could not be resampled from counts.
        """
        wins = counts.wins.astype(np.float64)
        if ties in ("half", "davidson"):
            even = (counts.ties + counts.both_bad).astype(np.float64)
        elif ties == "drop_bothbad":
            even = counts.ties.astype(np.float64)
        elif ties == "drop":
            even = np.zeros_like(wins)
        else:
            raise ValueError(f"unknown tie policy {ties!r}")
        if weighting == "battles":
            weight = np.ones_like(wins)
        elif weighting == "uniform_pairs":
            if min_pair_count < 1:
                raise ValueError("min_pair_count is at least 1")
            weight = 1.0 / np.maximum(wins + wins.T + even, min_pair_count)
        else:
            raise ValueError(f"unknown weighting {weighting!r}")
        return cls(wins, even, weight)

    @property
    def scores(self) -> FloatArray:
        """[M, M] weighted points of i against j, a tie giving half a point to each."""
        return self.weight * (self.wins + 0.5 * self.ties)

    def votes(self) -> IntArray:
        """[M] unweighted number of votes of each model that enter the likelihood."""
        per_model: IntArray = (self.wins + self.wins.T + self.ties).sum(axis=1).astype(np.int64)
        return per_model

    def restricted_to(self, at: IndexArray) -> Evidence:
        """Only the votes among the models at these positions."""
        block = np.ix_(at, at)
        return Evidence(self.wins[block], self.ties[block], self.weight[block])


@dataclass(frozen=True, eq=False)
class Standing:
    """Which models the votes can rate.

    `main`       positions of the models with a finite maximum-likelihood estimate on one scale.
    `components` positions by strongly connected component of "beat or tied", those of `main`
                 first, then by size; models without votes are in none.
    `status`     [M] a `Status` per model.
    """

    main: IndexArray
    components: tuple[IndexArray, ...]
    status: tuple[Status, ...]


def standing(evidence: Evidence) -> Standing:
    """Sort the models by what can be said of them.

    The maximum-likelihood estimate is finite and unique exactly on a strongly connected component
    of the digraph "beat or tied" (Ford 1957; Zermelo 1929). The component with most models (of
    equals: with most votes, then the one met first) is rated, if it has at least two.
    """
    played = (evidence.wins + evidence.wins.T + evidence.ties) > 0
    votes = evidence.votes()
    _, strong = connected_components(
        (evidence.wins + evidence.ties) > 0, directed=True, connection="strong"
    )
    _, weak = connected_components(played, directed=False)
    groups: dict[int, list[int]] = {}
    for i, label in enumerate(strong):
        if votes[i] > 0:
            groups.setdefault(int(label), []).append(i)
    components = sorted(
        (np.array(members, dtype=np.intp) for members in groups.values()),
        key=lambda at: (-at.size, -int(votes[at].sum()), int(at[0])),
    )
    main = np.empty(0, dtype=np.intp)
    if components and components[0].size > 1:
        main = components[0]
    in_main = np.zeros(votes.size, dtype=bool)
    in_main[main] = True
    decisive = (evidence.wins + evidence.wins.T).sum(axis=1) > 0

    def of(i: int) -> Status:
        if votes[i] == 0:
            return Status.UNRATED
        if in_main[i]:
            # nothing but ties: the estimate is finite, its spread cannot be told from such votes
            return Status.OK if decisive[i] else Status.PROVISIONAL
        linked = main.size > 0 and weak[i] == weak[main[0]]
        return Status.PROVISIONAL if linked else Status.SEPARATED

    return Standing(main, tuple(components), tuple(of(i) for i in range(votes.size)))
