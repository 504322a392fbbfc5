"""Online Elo: the rating that moves with each vote, and depends on the order of the votes.

A second opinion beside Bradley-Terry, offered because readers know it. Its last number remembers
the recent votes best (FastChat issue #3065), which is why the bootstrap also shuffles.
"""

from __future__ import annotations

from math import exp, log

import numpy as np
import numpy.typing as npt

from .counts import Outcome, vote_arrays
from .evidence import FloatArray
from .replicas import Replicas

SCORE_OF_FIRST = {
    Outcome.FIRST: 1.0,
    Outcome.SECOND: 0.0,
    Outcome.TIE: 0.5,
    Outcome.BOTH_BAD: 0.5,
}
STEPS_AT_ONCE = 4096


def online_elo(
    a_ids: npt.ArrayLike,
    b_ids: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    n_models: int,
    *,
    k: float = 4.0,
    base: float = 10.0,
    scale: float = 400.0,
    init: float = 1000.0,
) -> FloatArray:
    """[M] ratings after the votes in their order, as FastChat's `compute_elo`; NaN without a vote.

    Votes are three integer arrays as in `aggregate`, in time order. A tie, or both bad, is half a
    win. Battles of a model against itself are dropped. Raises ValueError as `aggregate` does.
    """
    first, second, scores = _votes(a_ids, b_ids, outcomes, n_models)
    ratings = [init] * n_models
    steepness = log(base) / scale
    for start in range(0, first.size, STEPS_AT_ONCE):
        part = slice(start, start + STEPS_AT_ONCE)
        # plain lists: one vote at a time, NumPy's scalars would cost five times as much
        votes = (column[part].tolist() for column in (first, second, scores))
        for a, b, score in zip(*votes, strict=True):
            step = k * (score - 1.0 / (1.0 + exp(steepness * (ratings[b] - ratings[a]))))
            ratings[a] += step
            ratings[b] -= step
    result = np.array(ratings, dtype=np.float64)
    result[~_seen(first, second, n_models)] = np.nan
    return result


def bootstrap_elo(
    a_ids: npt.ArrayLike,
    b_ids: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    n_models: int,
    *,
    rounds: int = 100,
    seed: int = 0,
    k: float = 4.0,
    base: float = 10.0,
    scale: float = 400.0,
    init: float = 1000.0,
) -> Replicas:
    """Online Elo over `rounds` sequences of votes, each drawn at random with replacement.

    Each replica has as many votes as the data, in random order (FastChat draws the same way), so
    its intervals cover both the sampling of votes and their order. A model that a replica does not
    draw is NaN there. All replicas walk together: the time goes with the number of votes, hardly
    with that of rounds. Raises ValueError for less than one round, or as `aggregate` does.
    """
    if rounds < 1:
        raise ValueError("a bootstrap has at least one round")
    first, second, scores = _votes(a_ids, b_ids, outcomes, n_models)
    rng = np.random.default_rng(seed)
    steepness = log(base) / scale
    ratings = np.full((rounds, n_models), init)
    drawn = np.zeros((rounds, n_models), dtype=bool)
    flat, flat_drawn = ratings.reshape(-1), drawn.reshape(-1)
    row = np.arange(rounds) * n_models
    for done in range(0, first.size, STEPS_AT_ONCE):
        steps = min(STEPS_AT_ONCE, first.size - done)
        chosen = rng.integers(first.size, size=(steps, rounds))
        at_a, at_b = row + first[chosen], row + second[chosen]
        flat_drawn[at_a] = flat_drawn[at_b] = True
        for a, b, score in zip(at_a, at_b, scores[chosen], strict=True):
            rating_a, rating_b = flat[a], flat[b]
            step = k * (score - 1.0 / (1.0 + np.exp(steepness * (rating_b - rating_a))))
            flat[a] = rating_a + step
            flat[b] = rating_b - step
    ratings[~drawn] = np.nan
    return Replicas(tuple(range(n_models)), _seen(first, second, n_models), ratings, seed)


def _votes(
    a_ids: npt.ArrayLike, b_ids: npt.ArrayLike, outcomes: npt.ArrayLike, n_models: int
) -> tuple[npt.NDArray[np.integer], npt.NDArray[np.integer], FloatArray]:
    """Checked ids without self-battles, and the score of the first model of each vote."""
    first, second, outcome = vote_arrays(a_ids, b_ids, outcomes, n_models)
    apart = first != second
    score_of = np.array([SCORE_OF_FIRST[o] for o in Outcome])
    return first[apart], second[apart], score_of[outcome[apart]]


def _seen(
    first: npt.NDArray[np.integer], second: npt.NDArray[np.integer], n_models: int
) -> npt.NDArray[np.bool_]:
    seen = np.zeros(n_models, dtype=bool)
    seen[first] = seen[second] = True
    return seen
