"""What the replicas of a bootstrap say: spread, intervals, and how far a rank is settled."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .counts import IntArray
from .evidence import FloatArray, Status
from .fit import Fit, Interval
from .rank import rank_by_point


@dataclass(frozen=True, eq=False)
class RankInterval:
    """Best and worst rank over the replicas at `level`, [M] each; 0 for a model without a rank."""

    best: IntArray
    worst: IntArray
    level: float


@dataclass(frozen=True, eq=False)
class Replicas:
    """Ratings of M models from resampled votes.

    `ranked`  [M] whether the model is ranked at all; the columns of the others are NaN.
    `ratings` [rounds, M] in Elo, NaN where the replica's votes give the model no finite rating.
    `seed`    what the draws came from: same votes and seed, same bits.
    """

    models: tuple[Hashable, ...]
    ranked: npt.NDArray[np.bool_]
    ratings: FloatArray
    seed: int

    def unresolved(self) -> FloatArray:
        """[M] share of the replicas that give the model no finite rating."""
        share: FloatArray = np.isnan(self.ratings).mean(axis=0)
        return share

    def standard_errors(self) -> FloatArray:
        """[M] standard deviation over the replicas that rate the model; NaN for fewer than two."""
        errors = np.full(self.ratings.shape[1], np.nan)
        enough = (~np.isnan(self.ratings)).sum(axis=0) > 1
        errors[enough] = np.nanstd(self.ratings[:, enough], axis=0, ddof=1)
        return errors

    def median(self) -> FloatArray:
        """[M] median over the replicas that rate the model; NaN if none does."""
        middle = np.full(self.ratings.shape[1], np.nan)
        some = (~np.isnan(self.ratings)).any(axis=0)
        middle[some] = np.nanmedian(self.ratings[:, some], axis=0)
        return middle

    def interval(self, level: float = 0.95) -> Interval:
        """Percentile interval, NumPy's linear quantiles as in FastChat.

        A replica in which the model has no finite rating speaks for no bound at all: a bound is
        infinite when such replicas are more than its tail. Few rounds make the interval too narrow:
        the 100 that FastChat and arena-rank take by default lose 5 to 7 %, 1000 lose 1 to 2 %.
        """
        low, high = _tails(level)
        return Interval(self._quantile(low, -np.inf), self._quantile(high, np.inf), level)

    def _quantile(self, q: float, missing: float) -> FloatArray:
        filled = np.where(np.isnan(self.ratings), missing, self.ratings)
        with np.errstate(invalid="ignore"):  # between an infinity and a number lies the infinity
            bounds: FloatArray = np.quantile(filled, q, axis=0)
        bounds[np.isnan(bounds)] = missing
        bounds[~self.ranked] = np.nan
        return bounds

    def rank_interval(self, level: float = 0.95) -> RankInterval:
        """Percentile interval of each model's rank by rating among the ranked (as compar:IA shows).

        A replica without a finite rating of the model could put it anywhere.
        """
        low, high = _tails(level)
        ranks = rank_by_point(self.ratings)
        missing = ranks == 0
        last = int(self.ranked.sum())
        best = np.quantile(np.where(missing, 1, ranks), low, axis=0, method="lower")
        worst = np.quantile(np.where(missing, last, ranks), high, axis=0, method="higher")
        best[~self.ranked] = worst[~self.ranked] = 0
        return RankInterval(best.astype(np.int64), worst.astype(np.int64), level)


def _tails(level: float) -> tuple[float, float]:
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level lies between 0 and 1, not {level!r}")
    return 0.5 - level / 2.0, 0.5 + level / 2.0


def normal_replicas(fit: Fit, rounds: int = 1000, seed: int = 0) -> Replicas:
    """Replicas drawn from the normal distribution of the fit's own covariance.

    For ranks where no vote can be resampled cheaply: a style-controlled or a clustered fit. Raises
    ValueError for less than one round.
    """
    if rounds < 1:
        raise ValueError("there is at least one round")
    ratings = np.full((rounds, len(fit.models)), np.nan)
    ranked = np.array([s is Status.OK for s in fit.status], dtype=bool)
    at = np.flatnonzero(ranked)
    if at.size:
        values, vectors = np.linalg.eigh(fit.cov()[np.ix_(at, at)])
        # The symmetric root: eigenvectors are fixed but for sign and rotation, which another
        # machine's rounding may choose otherwise, and then every draw would be another.
        values[values < 1e-12 * values.max()] = 0.0
        root = (vectors * np.sqrt(values)) @ vectors.T
        draws = np.random.default_rng(seed).standard_normal((rounds, at.size))
        ratings[:, at] = fit.ratings[at] + draws @ root
    return Replicas(fit.models, ranked, ratings, seed)
