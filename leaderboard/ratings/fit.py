"""The result of a rating: numbers with names, their intervals, and what they do not say."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from functools import cached_property
from math import log, sqrt

import numpy as np
from scipy.special import expit, ndtri

from .counts import IntArray
from .evidence import Evidence, FloatArray, IndexArray, Status
from .rank import rank_upper_bound

ELO_PER_LOG_ODDS = 400.0 / log(10.0)
"""A difference of 400 Elo is a factor of ten in the odds."""


@dataclass(frozen=True)
class Mean:
    """The gauge in which the rated models average `value`."""

    value: float = 1000.0


@dataclass(frozen=True)
class Anchor:
    """The gauge in which `model` has exactly `rating`; its interval then has no width."""

    model: Hashable
    rating: float


Gauge = Mean | Anchor


@dataclass(frozen=True, eq=False)
class Interval:
    """Two-sided bounds in Elo, [M] each, NaN for a model without an interval."""

    lower: FloatArray
    upper: FloatArray
    level: float


@dataclass(frozen=True)
class Difference:
    """How far one model stands above another, in Elo, whatever the gauge."""

    estimate: float
    standard_error: float
    lower: float
    upper: float
    level: float


@dataclass(frozen=True, eq=False)
class Fit:
    """Ratings of M models on the Elo scale (400/ln 10 x log-odds).

    `models`     tuple of M ids; every array follows its order.
    `status`     M `Status`; only OK models have an interval and a rank.
    `log_odds`   [M] strengths in natural units, mean zero over the rated models, NaN elsewhere.
    `gauge`      how `log_odds` become `ratings`.
    `votes`      [M] votes that entered the likelihood.
    `components` ids by strongly connected component of "beat or tied", the rated one first.
    `main`       positions of the rated models.
    `evidence`   what was fitted, of the rated models only; None where counts do not determine the
                 fit, which then cannot be resampled from them (style control).
    `iterations`, `converged`  of the solver; ratings that did not converge are not to be published.
    `tie_parameter`  Davidson's nu, where that model was fitted.
    """

    models: tuple[Hashable, ...]
    status: tuple[Status, ...]
    log_odds: FloatArray
    gauge: Gauge
    votes: IntArray
    components: tuple[tuple[Hashable, ...], ...]
    main: IndexArray
    evidence: Evidence | None
    iterations: int
    converged: bool
    covariance: Callable[[], FloatArray] = field(repr=False)
    """Covariance of `log_odds[main]`, mean gauge; called once, when an interval is first wanted."""
    tie_parameter: float | None = None

    def __post_init__(self) -> None:
        check_gauge(self.gauge, self.models, self.log_odds)

    @cached_property
    def ratings(self) -> FloatArray:
        """[M] in Elo, NaN where the votes give none."""
        return in_gauge(self.log_odds, self.gauge, self.models)

    @cached_property
    def _main_covariance(self) -> FloatArray:
        return self.covariance() * ELO_PER_LOG_ODDS**2

    @cached_property
    def _position(self) -> dict[Hashable, int]:
        return {model: i for i, model in enumerate(self.models)}

    def cov(self, gauge: Gauge | None = None) -> FloatArray:
        """[M, M] covariance of the ratings in Elo squared, in this fit's gauge or another.

        NaN in the rows and columns of models without a rating. Raises ValueError for an anchor
        that is not rated.
        """
        gauge = self.gauge if gauge is None else gauge
        check_gauge(gauge, self.models, self.log_odds)
        full = np.full((len(self.models), len(self.models)), np.nan)
        full[np.ix_(self.main, self.main)] = self._main_covariance
        if isinstance(gauge, Anchor):
            at = self._position[gauge.model]
            full = full - full[at, :] - full[:, at, np.newaxis] + full[at, at]
            full[at, self.main] = full[self.main, at] = 0.0
        return full

    def standard_errors(self) -> FloatArray:
        """[M] in Elo, in this fit's gauge; NaN for a model whose status is not OK."""
        errors = np.sqrt(np.maximum(np.diagonal(self.cov()), 0.0))
        errors[[s is not Status.OK for s in self.status]] = np.nan
        return errors

    def interval(self, level: float = 0.95) -> Interval:
        """Normal interval from the sandwich covariance, each model's own, in this fit's gauge."""
        reach = two_sided_z(level) * self.standard_errors()
        return Interval(self.ratings - reach, self.ratings + reach, level)

    def rank_ub(self, level: float = 0.95) -> IntArray:
        """[M] 1 + the number of models whose interval lies wholly above; 0 if not ranked."""
        bounds = self.interval(level)
        return rank_upper_bound(bounds.lower, bounds.upper)

    def diff(self, a: Hashable, b: Hashable, level: float = 0.95) -> Difference:
        """Rating of `a` minus rating of `b`, with an interval that knows how they vary together.

        The same in every gauge. NaN throughout if either has no rating; bounds are NaN if either is
        provisional. Raises KeyError for an unknown model.
        """
        i, j = self._position[a], self._position[b]
        estimate = float((self.log_odds[i] - self.log_odds[j]) * ELO_PER_LOG_ODDS)
        error = np.nan
        if self.status[i] is Status.OK and self.status[j] is Status.OK:
            v, at = self._main_covariance, {int(m): k for k, m in enumerate(self.main)}
            x, y = at[i], at[j]
            error = sqrt(max(float(v[x, x] + v[y, y] - 2.0 * v[x, y]), 0.0))
        reach = two_sided_z(level) * error
        return Difference(estimate, error, estimate - reach, estimate + reach, level)

    def win_prob(self, a: Hashable, b: Hashable) -> float:
        """Expected score of `a` against `b`: win 1, tie 1/2 (under "drop": chance of winning).

        1 / (1 + 10^((R_b - R_a)/400)). NaN if either has no rating. Raises KeyError for an unknown
        model. Under Davidson's model it is the chance that `a` wins if one of the two does.
        """
        return float(expit(self.log_odds[self._position[a]] - self.log_odds[self._position[b]]))


def check_gauge(gauge: Gauge, models: tuple[Hashable, ...], log_odds: FloatArray) -> None:
    """Raise ValueError if the gauge hangs on a model that has no rating."""
    if isinstance(gauge, Anchor) and (
        gauge.model not in models or np.isnan(log_odds[models.index(gauge.model)])
    ):
        raise ValueError(f"the anchor {gauge.model!r} has no rating to hold on to")


def in_gauge(log_odds: FloatArray, gauge: Gauge, models: tuple[Hashable, ...]) -> FloatArray:
    """Elo ratings [..., M] of strengths [..., M] that average zero over the rated models."""
    elo = log_odds * ELO_PER_LOG_ODDS
    if isinstance(gauge, Mean):
        return elo + gauge.value
    at = models.index(gauge.model)
    return elo - elo[..., at : at + 1] + gauge.rating


def two_sided_z(level: float) -> float:
    """Half-width of the central interval of a standard normal. Raises ValueError off (0, 1)."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"a level lies between 0 and 1, not {level!r}")
    return float(ndtri(0.5 + level / 2.0))
