"""Synthetic votes with a known truth: for tests of coverage, for benchmarks, for demonstrations.

Two models are drawn by popularity, a voter who may lean towards some of them by taste, and an
outcome by Davidson's model. The same population and seed give the same votes, however many are
asked for and however they are consumed: ten million are the first ten million of a hundred.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .counts import Outcome
from .davidson import probabilities
from .evidence import FloatArray
from .fit import ELO_PER_LOG_ODDS

BLOCK = 65_536  # votes drawn at a time; each block has random streams of its own
TASTES = 3  # dimensions in which voters differ


@dataclass(frozen=True, eq=False)
class Population:
    """M models and the voters who judge them.

    `strengths`  [M] in natural log-odds.
    `popularity` [M] probabilities with which a model is drawn first; its rival is drawn likewise
                 among the others.
    `tie_share`  share of ties between equals, from 0 to below 1.
    `both_bad_share`  share of the ties that are called both bad.
    `voters`     how many there are; each vote is cast by one of them, all alike.
    `appeal`     [M, TASTES] what a taste adds to a model in the eyes of a voter who has it, in
                 log-odds; zeros for voters without tastes, whose votes are independent.
    """

    strengths: FloatArray
    popularity: FloatArray
    tie_share: float
    both_bad_share: float
    voters: int
    appeal: FloatArray

    def __post_init__(self) -> None:
        size = self.strengths.size
        if size < 2 or self.popularity.shape != (size,) or self.appeal.shape != (size, TASTES):
            raise ValueError("strengths, popularity and appeal are of two or more models alike")
        if not (0.0 <= self.tie_share < 1.0 and 0.0 <= self.both_bad_share <= 1.0):
            raise ValueError("a share lies between 0 and 1")
        if self.voters < 1:
            raise ValueError("there is at least one voter")
        if (self.popularity <= 0.0).any() or not np.isclose(self.popularity.sum(), 1.0):
            raise ValueError("popularities are positive and add up to 1")

    @property
    def log_tie(self) -> float:
        """log(nu) of Davidson's model; -inf without ties."""
        with np.errstate(divide="ignore"):
            return float(np.log(2.0 * self.tie_share / (1.0 - self.tie_share)))

    @property
    def ratings(self) -> FloatArray:
        """[M] true strengths in Elo, mean 1000."""
        elo: FloatArray = (self.strengths - self.strengths.mean()) * ELO_PER_LOG_ODDS + 1000.0
        return elo

    def pair_probabilities(self) -> FloatArray:
        """[M, M] chance that a battle is of model i, drawn first, and j; zero on the diagonal."""
        chances = self.popularity / (1.0 - self.popularity)
        pairs: FloatArray = chances[:, np.newaxis] * self.popularity
        np.fill_diagonal(pairs, 0.0)
        return pairs

    def outcome_probabilities(self) -> tuple[FloatArray, FloatArray]:
        """[M, M] chances that i beats j, and that they tie, for a voter without tastes."""
        wins, _, ties = probabilities(self.strengths[:, np.newaxis] - self.strengths, self.log_tie)
        return wins, ties


def draw_population(
    models: int,
    *,
    seed: int = 0,
    spread: float = 100.0,
    popularity_exponent: float = 0.7,
    tie_share: float = 0.25,
    both_bad_share: float = 0.5,
    voters: int = 1000,
    taste: float = 0.0,
) -> Population:
    """Models with normal strengths (`spread`, their sd in Elo) and power-law popularity.

    The k-th most popular model is drawn with a probability that goes as k^-popularity_exponent; who
    is popular is independent of who is strong. `taste` is the sd, in Elo, of what a voter adds to a
    model. Raises ValueError for fewer than two models, no voter or an impossible share.
    """
    strength_of, place_of, appeal_of = (
        np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(3)
    )
    popularity = np.arange(1.0, models + 1.0) ** -popularity_exponent
    appeal = appeal_of.standard_normal((models, TASTES)) * (taste / ELO_PER_LOG_ODDS)
    return Population(
        strengths=strength_of.standard_normal(models) * (spread / ELO_PER_LOG_ODDS),
        popularity=place_of.permutation(popularity / popularity.sum()),
        tie_share=tie_share,
        both_bad_share=both_bad_share,
        voters=voters,
        appeal=appeal / np.sqrt(TASTES),
    )


@dataclass(frozen=True, eq=False)
class VoteBlock:
    """N votes in the order in which they were cast: positions of two models, an `Outcome`, and the
    voter, counted from 0; integer arrays [N]."""

    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    outcome: npt.NDArray[np.int8]
    voter: npt.NDArray[np.int32]


def simulate_votes(population: Population, votes: int, *, seed: int = 0) -> Iterator[VoteBlock]:
    """Stream `votes` votes in blocks of at most BLOCK, holding no more than one in memory.

    Raises ValueError for a negative number.
    """
    if votes < 0:
        raise ValueError("the number of votes is not negative")
    draw = _Draw(population, seed)
    for number, done in enumerate(range(0, votes, BLOCK)):
        yield draw.block(number, min(BLOCK, votes - done))


def simulate(population: Population, votes: int, *, seed: int = 0) -> VoteBlock:
    """The same votes as one block, for as many as memory holds."""
    blocks = list(simulate_votes(population, votes, seed=seed))
    if not blocks:
        none = np.empty(0, dtype=np.int32)
        return VoteBlock(none, none, none.astype(np.int8), none)
    return VoteBlock(
        *(
            np.concatenate([getattr(block, name) for block in blocks])
            for name in ("first", "second", "outcome", "voter")
        )
    )


class _Draw:
    """One population and seed; every block can be drawn by itself."""

    def __init__(self, population: Population, seed: int) -> None:
        self.population = population
        self.seed = seed
        self.below = np.cumsum(population.popularity) - population.popularity
        self.tasted = bool(population.appeal.any())
        if self.tasted:
            tastes = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(0,)))
            self.tastes = tastes.standard_normal((population.voters, TASTES))

    def block(self, number: int, votes: int) -> VoteBlock:
        # a stream per quantity: a shorter block is then the beginning of a longer one
        streams = np.random.SeedSequence(self.seed, spawn_key=(1, number)).spawn(5)
        draws = [np.random.default_rng(stream).random(votes) for stream in streams]
        who, pick_first, pick_second, ending, how_bad = draws
        population = self.population
        voter = np.minimum(who * population.voters, population.voters - 1).astype(np.int32)
        first = self._model_at(pick_first)
        own = population.popularity[first]
        at = pick_second * (1.0 - own)
        # the rival comes from what is left of the line when the first model is cut out of it
        second = self._model_at(at + np.where(at >= self.below[first], own, 0.0))
        clash = first == second  # by rounding at the edge of the cut
        second[clash] = (second[clash] + 1) % population.strengths.size
        difference = population.strengths[first] - population.strengths[second]
        if self.tasted:
            lean = population.appeal[first] - population.appeal[second]
            difference = difference + (self.tastes[voter] * lean).sum(axis=1)
        wins, losses, _ = probabilities(difference, population.log_tie)
        bad = how_bad < population.both_bad_share
        tie = np.where(bad, Outcome.BOTH_BAD, Outcome.TIE)
        outcome = np.where(
            ending < wins, Outcome.FIRST, np.where(ending < wins + losses, Outcome.SECOND, tie)
        )
        return VoteBlock(first, second, outcome.astype(np.int8), voter)

    def _model_at(self, place: FloatArray) -> npt.NDArray[np.int32]:
        """[N] models at places from 0 to 1 along the line of popularities."""
        found = np.searchsorted(self.below, place, side="right") - 1
        return found.astype(np.int32)
