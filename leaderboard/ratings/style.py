"""Style control: ratings from which the pull of length and formatting has been taken out.

Contextual Bradley-Terry, after FastChat's style control: log-odds = r_a - r_b + beta . x, where x
is how far the two answers differ in each style. x belongs to the battle and not to the pair, so
this is the one rating that reads the votes one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import log1p

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh
from scipy.special import expit

from .bradley_terry import fit_bt
from .clusters import cluster_labels, clustered_meat, kept_votes, positions_in
from .counts import IntArray, aggregate, vote_arrays
from .evidence import FloatArray, Ties, Weighting
from .fit import ELO_PER_LOG_ODDS, Fit, Gauge, two_sided_z
from .laplacian import bordered, bordered_inverse, centred, laplacian, sandwiched

STYLES = ("length", "headers", "lists", "bold")
"""FastChat's four: tokens of the answers, and their headers, list items and bold spans."""
MAX_ITERATIONS = 100
TOLERANCE = 1e-7  # of the last Newton step, which squares it: the error left is about 1e-14
DEPENDENT = 1e-10


def style_differences(a_counts: npt.ArrayLike, b_counts: npt.ArrayLike) -> FloatArray:
    """[N, K] relative differences (a - b) / (a + b + 1) of two [N, K] arrays of counts.

    Raises ValueError when the shapes differ or a count is negative or not finite.
    """
    a, b = np.asarray(a_counts, dtype=np.float64), np.asarray(b_counts, dtype=np.float64)
    if a.ndim != 2 or a.shape != b.shape:
        raise ValueError(f"counts have shapes {a.shape} and {b.shape}, expected twice [N, K]")
    if a.size and not (min(a.min(), b.min()) >= 0.0 and np.isfinite(a.max() + b.max())):
        raise ValueError("a count is negative or not finite")
    difference: FloatArray = (a - b) / (a + b + 1.0)
    return difference


@dataclass(frozen=True)
class Effect:
    """What one standard deviation of a style is worth.

    `coefficient` in natural log-odds, with its bounds; `elo` the same on the Elo scale. `scale` is
    the standard deviation: a battle with difference x moves the odds by coefficient * x / scale.
    NaN for a style in which no two answers differed.
    """

    style: str
    coefficient: float
    standard_error: float
    lower: float
    upper: float
    elo: float
    elo_lower: float
    elo_upper: float
    scale: float


@dataclass(frozen=True, eq=False)
class StyleFit:
    """Style-controlled ratings and what each style is worth.

    `fit`          the ratings; it has no `evidence`, for counts do not determine it.
    `styles`       K names.
    `coefficients` [K] log-odds per standard deviation, NaN for a style that never differs.
    `covariance`   [K, K] of the coefficients, over the uncertainty of the ratings too.
    `scale`        [K] standard deviations by which the differences were divided.
    """

    fit: Fit
    styles: tuple[str, ...]
    coefficients: FloatArray
    covariance: FloatArray
    scale: FloatArray

    def effects(self, level: float = 0.95) -> tuple[Effect, ...]:
        """One `Effect` per style, with normal intervals. Raises ValueError for a bad level."""
        z = two_sided_z(level)
        errors = np.sqrt(np.maximum(np.diagonal(self.covariance), 0.0))
        lower, upper = self.coefficients - z * errors, self.coefficients + z * errors
        return tuple(
            Effect(
                style=style,
                coefficient=float(self.coefficients[k]),
                standard_error=float(errors[k]),
                lower=float(lower[k]),
                upper=float(upper[k]),
                elo=float(self.coefficients[k] * ELO_PER_LOG_ODDS),
                elo_lower=float(lower[k] * ELO_PER_LOG_ODDS),
                elo_upper=float(upper[k] * ELO_PER_LOG_ODDS),
                scale=float(self.scale[k]),
            )
            for k, style in enumerate(self.styles)
        )


def fit_style(
    a_ids: npt.ArrayLike,
    b_ids: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    features: npt.ArrayLike,
    n_models: int,
    *,
    styles: Sequence[str] | None = None,
    clusters: npt.ArrayLike | None = None,
    ties: Ties = "half",
    weighting: Weighting = "battles",
    min_pair_count: int = 50,
    gauge: Gauge | None = None,
    tol: float = TOLERANCE,
) -> StyleFit:
    """Rate the models with K styles held equal.

    Votes are three integer arrays [N] as in `aggregate`; `features` [N, K] says how far the first
    answer is ahead in each style (see `style_differences`), `styles` names the K. They are divided
    by their standard deviations and not centred: an average lead of the first side is no reason
    to shift a rating, and centring would hide it in a constant. There is no penalty: one that goes
    with the mean loss, as arena-rank's default, takes most of the effect away.

    `clusters` makes the covariance robust as in `fit_clustered`. Which models can be rated is
    decided by who beat whom, as in `fit_bt`; a style that predicts the votes without error leaves
    `fit.converged` false.

    Raises ValueError as `aggregate` and `fit_bt` do, for ties="davidson", for features that are
    not finite, and for styles that cannot be told from each other or from the models.
    """
    if ties == "davidson":
        raise ValueError("style control knows no Davidson ties")
    first, second, outcome = vote_arrays(a_ids, b_ids, outcomes, n_models)
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or x.shape[0] != first.size:
        raise ValueError(f"features have shape {x.shape}, expected ({first.size}, K)")
    if not np.isfinite(x).all():
        raise ValueError("a feature is not finite")
    names = tuple(f"style {k + 1}" for k in range(x.shape[1])) if styles is None else tuple(styles)
    if len(names) != x.shape[1]:
        raise ValueError(f"{len(names)} names for {x.shape[1]} styles")
    cluster = None if clusters is None else cluster_labels(clusters, first.size)
    plain = fit_bt(
        aggregate(first, second, outcome, n_models),
        ties=ties,
        weighting=weighting,
        min_pair_count=min_pair_count,
        gauge=gauge,
    )
    kept = kept_votes(plain, first, second, outcome, n_models, ties=ties)
    if not kept.all():
        first, second, outcome, x = first[kept], second[kept], outcome[kept], x[kept]
        cluster = None if cluster is None else cluster[kept]
    return _fitted(plain, first, second, outcome, x, names, cluster, n_models, tol=tol)


def _fitted(
    plain: Fit,
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    outcome: npt.NDArray[np.integer],
    x: FloatArray,
    names: tuple[str, ...],
    cluster: IntArray | None,
    n_models: int,
    *,
    tol: float,
) -> StyleFit:
    size, kinds = plain.main.size, len(names)
    farthest = np.abs(x).max(axis=0, initial=0.0)
    varied = np.flatnonzero(farthest > 0.0)
    scale = x.std(axis=0) if x.size else np.zeros(kinds)
    scale = np.where(scale > 0.0, scale, farthest)  # a lead that is the same in every battle
    coefficients = np.full(kinds, np.nan)
    covariance = np.full((kinds, kinds), np.nan)
    if size == 0 or plain.evidence is None:
        return StyleFit(replace(plain, evidence=None), names, coefficients, covariance, scale)
    at = positions_in(plain, n_models)
    battles = _Battles(
        first=at[first],
        second=at[second],
        score=np.array([1.0, 0.0, 0.5, 0.5])[outcome],
        x=np.ascontiguousarray((x[:, varied] / scale[varied]).T),
        pair_weight=plain.evidence.weight,
    )
    _check_told_apart(battles, plain.log_odds[plain.main], [names[k] for k in varied])
    solution = _maximise(battles, plain.log_odds[plain.main], tol=tol)
    if solution.converged:
        joint = battles.covariance(solution.logit, cluster)
    else:
        joint = np.full((size + varied.size,) * 2, np.nan)
    log_odds = np.full(n_models, np.nan)
    log_odds[plain.main] = solution.strength
    coefficients[varied] = solution.coefficients
    covariance[np.ix_(varied, varied)] = joint[size:, size:]
    fit = replace(
        plain,
        log_odds=log_odds,
        evidence=None,
        iterations=solution.iterations,
        converged=solution.converged,
        covariance=lambda: joint[:size, :size],
    )
    return StyleFit(fit, names, coefficients, covariance, scale)


class _Battles:
    """N votes among M rated models with K styles, and the sums over them that Newton needs."""

    def __init__(
        self,
        *,
        first: npt.NDArray[np.intp],
        second: npt.NDArray[np.intp],
        score: FloatArray,
        x: FloatArray,
        pair_weight: FloatArray,
    ) -> None:
        """`x` is [K, N], a row per style: every sum below runs along memory."""
        self.first, self.second, self.score, self.x = first, second, score, x
        self.size = pair_weight.shape[0]
        self.pair = first * self.size + second
        even = bool((pair_weight == 1.0).all())
        self.weight = None if even else pair_weight.ravel()[self.pair]

    def weighted(self, values: FloatArray) -> FloatArray:
        return values if self.weight is None else values * self.weight

    def by_pair(self, values: FloatArray) -> FloatArray:
        """[M, M] sums of [N] values by (first, second)."""
        size = self.size
        sums = np.bincount(self.pair, values, minlength=size * size).reshape(size, size)
        return sums.astype(np.float64, copy=False)

    def by_model(self, values: FloatArray) -> FloatArray:
        """[M] sums of [N] values, plus for the first model and minus for the second."""
        sums = self.by_pair(values)
        signed: FloatArray = sums.sum(axis=1) - sums.sum(axis=0)
        return signed

    def logit(self, strength: FloatArray, coefficients: FloatArray) -> FloatArray:
        difference = (strength[:, np.newaxis] - strength).ravel()
        logit: FloatArray = difference[self.pair] + coefficients @ self.x
        return logit

    def gradient(self, p: FloatArray) -> FloatArray:
        """[M + K] of the log-likelihood."""
        left_over = self.weighted(self.score - p)
        return np.concatenate([self.by_model(left_over), self.x @ left_over])

    def second_moments(self, weights: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Sums of weights times (z, x)(z, x)': pair weights [M, M], [M, K] and [K, K]."""
        pairs = self.by_pair(weights)
        pairs = pairs + pairs.T
        products = self.x * weights
        border = np.empty((self.size, self.x.shape[0]))
        for k, row in enumerate(products):
            border[:, k] = self.by_model(row)
        return pairs, border, products @ self.x.T

    def information(self, p: FloatArray) -> FloatArray:
        """[M + K, M + K], gauged."""
        pairs, border, corner = self.second_moments(self.weighted(p * (1.0 - p)))
        return bordered(pairs, pairs, border, corner)

    def covariance(self, logit: FloatArray, cluster: IntArray | None) -> FloatArray:
        """[M + K, M + K] sandwich of strengths (mean gauge) and coefficients."""
        p = expit(logit)
        inverse = bordered_inverse(self.information(p), self.size)
        left_over = self.weighted(self.score - p)
        if cluster is None:
            pairs, border, corner = self.second_moments(left_over**2)
            meat = np.block([[laplacian(pairs), border], [border.T, corner]])
        else:
            extra = (self.x * left_over).T
            meat = clustered_meat(self.first, self.second, left_over, extra, cluster, self.size)
        return centred(sandwiched(inverse, meat), self.size)


def _check_told_apart(battles: _Battles, strength: FloatArray, styles: list[str]) -> None:
    """Raise ValueError if the styles, with the models taken out, are linearly dependent."""
    if not styles:
        return
    size = battles.size
    information = battles.information(expit(battles.logit(strength, np.zeros(len(styles)))))
    cross, corner = information[size:, :size], information[size:, size:]
    unit = np.sqrt(np.diagonal(corner))
    rest = corner - cross @ cho_solve(cho_factor(information[:size, :size]), cross.T)
    values, vectors = eigh(rest / unit / unit[:, np.newaxis])
    if values[0] < DEPENDENT:
        guilty = ", ".join(s for s, v in zip(styles, vectors[:, 0], strict=True) if abs(v) > 0.1)
        raise ValueError(f"the votes cannot tell the effect of {guilty} from the rest")


@dataclass(frozen=True, eq=False)
class _Solution:
    strength: FloatArray
    coefficients: FloatArray
    logit: FloatArray
    iterations: int
    converged: bool


def _maximise(battles: _Battles, start: FloatArray, *, tol: float) -> _Solution:
    """Newton from the plain ratings, damped as in `bradley_terry.maximise` by the farthest any
    battle's log-odds would move."""
    size = battles.size
    strength, coefficients = start.copy(), np.zeros(battles.x.shape[0])
    logit = battles.logit(strength, coefficients)
    for iteration in range(1, MAX_ITERATIONS + 1):
        p = expit(logit)
        try:
            factor = cho_factor(battles.information(p), overwrite_a=True)
        except LinAlgError:
            return _Solution(strength, coefficients, logit, iteration, False)
        step = cho_solve(factor, battles.gradient(p))
        moved = battles.logit(step[:size], step[size:])
        reach = max(float(moved.max()), -float(moved.min()))
        damping = log1p(reach) / reach if reach > 0.0 else 1.0
        step *= damping
        strength = strength + step[:size]
        strength -= strength.mean()
        coefficients = coefficients + step[size:]
        logit += damping * moved
        if np.abs(step).max() < tol:
            return _Solution(strength, coefficients, logit, iteration, True)
    return _Solution(strength, coefficients, logit, MAX_ITERATIONS, False)
