"""Style control: ratings from which the pull of length and formatting has been taken out.

Contextual Bradley-Terry, after FastChat's style control: log-odds = r_a - r_b + beta . x, where x
is how far the two answers differ in each style. x belongs to the battle and not to the pair, so
this is the one rating that reads the votes one by one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import log1p

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve, eigh
from scipy.special import expit

from .bradley_terry import fit_bt
from .clusters import cluster_labels, clustered_meat, kept_votes, positions_in
from .counts import IntArray, Outcome, aggregate, vote_arrays
from .evidence import FloatArray, Ties, Weighting
from .fit import ELO_PER_LOG_ODDS, Fit, Gauge, two_sided_z
from .laplacian import bordered, bordered_inverse, centred, laplacian, sandwiched

STYLES = ("length", "headers", "lists", "bold")
"""FastChat's four: tokens of the answers, and their headers, list items and bold spans."""
MAX_ITERATIONS = 100
TOLERANCE = 1e-7  # of the last Newton step, which squares it: the error left is about 1e-14
DEPENDENT = 1e-10
AT_ONCE = 32_768  # votes
SCORE_OF_FIRST = np.zeros(len(Outcome))
SCORE_OF_FIRST[[Outcome.FIRST, Outcome.TIE, Outcome.BOTH_BAD]] = 1.0, 0.5, 0.5


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
    if x.size and not np.isfinite([x.min(), x.max()]).all():
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
    farthest, scale = _spread(x)
    varied = np.flatnonzero(farthest > 0.0)
    scale = np.where(scale > 0.0, scale, farthest)  # a lead that is the same in every battle
    coefficients = np.full(kinds, np.nan)
    covariance = np.full((kinds, kinds), np.nan)
    if size == 0 or plain.evidence is None:
        return StyleFit(replace(plain, evidence=None), names, coefficients, covariance, scale)
    battles = _Battles(
        pair=_pairs(positions_in(plain, n_models), first, second, size),
        outcome=outcome,
        features=x if varied.size == kinds else x[:, varied],
        scale=scale[varied],
        pair_weight=plain.evidence.weight,
    )
    solution = _maximise(battles, plain.log_odds[plain.main], [names[k] for k in varied], tol=tol)
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


def _spread(x: FloatArray) -> tuple[FloatArray, FloatArray]:
    """[K] farthest lead and [K] standard deviation of [N, K] differences."""
    if not x.size:
        return np.zeros(x.shape[1]), np.zeros(x.shape[1])
    farthest = np.maximum(x.max(axis=0), -x.min(axis=0))
    return farthest, np.array([column.std() for column in x.T])


def _pairs(
    at: npt.NDArray[np.intp],
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    size: int,
) -> npt.NDArray[np.int32]:
    """[N] first * size + second, both by their places `at` among the rated models."""
    pair = np.empty(first.size, dtype=np.int32)
    for part in _parts(pair.size):
        pair[part] = at[first[part]] * size + at[second[part]]
    return pair


def _parts(votes: int) -> Iterator[slice]:
    return (slice(start, start + AT_ONCE) for start in range(0, votes, AT_ONCE))


class _Battles:
    """N votes among M rated models with K styles, and the sums over them that Newton needs.

    A sum takes the votes AT_ONCE by AT_ONCE, so that what lies between the votes and the sum stays
    in the processor's cache, and a million votes take no more memory than they are.
    """

    def __init__(
        self,
        *,
        pair: npt.NDArray[np.int32],
        outcome: npt.NDArray[np.integer],
        features: FloatArray,
        scale: FloatArray,
        pair_weight: FloatArray,
    ) -> None:
        """`pair` [N] is first * M + second; `features` [N, K] are divided by `scale` [K]."""
        self.pair, self.outcome = pair, outcome
        self.features, self.scale = features, scale
        self.size, self.kinds = pair_weight.shape[0], scale.size
        even = bool((pair_weight == 1.0).all())
        self.weight = None if even else pair_weight.ravel()

    def parts(self) -> Iterator[slice]:
        return _parts(self.pair.size)

    def x(self, part: slice) -> FloatArray:
        """[K, n] scaled differences, a row per style: the sums run along memory."""
        rows = np.empty((self.kinds, self.pair[part].size))
        return np.divide(self.features[part].T, self.scale[:, np.newaxis], out=rows)

    def weighted(self, values: FloatArray, part: slice) -> FloatArray:
        return values if self.weight is None else values * self.weight[self.pair[part]]

    def left_over(self, p: FloatArray, part: slice) -> FloatArray:
        """Score less expected score, weighted."""
        return self.weighted(SCORE_OF_FIRST[self.outcome[part]] - p, part)

    def logit(self, strength: FloatArray, coefficients: FloatArray) -> FloatArray:
        """[N] log-odds of the first."""
        difference = (strength[:, np.newaxis] - strength).ravel()
        logit = np.empty(self.pair.size)
        for part in self.parts():
            logit[part] = difference[self.pair[part]] + coefficients @ self.x(part)
        return logit

    def derivatives(self, logit: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Of the log-likelihood: gradient [M + K], and information [M + K, M + K], gauged."""
        lead, tilt = np.zeros(self.size**2), np.zeros(self.kinds)
        curvature = _Moments(self.size, self.kinds)
        for part in self.parts():
            pair, x = self.pair[part], self.x(part)
            p = expit(logit[part])
            left_over = self.left_over(p, part)
            lead += np.bincount(pair, left_over, minlength=lead.size)
            tilt += x @ left_over
            curvature.add(pair, x, self.weighted(p * (1.0 - p), part))
        pairs, border, corner = curvature.sums()
        gradient = np.concatenate([_by_model(lead, self.size), tilt])
        return gradient, bordered(pairs, pairs, border, corner)

    def covariance(self, logit: FloatArray, cluster: IntArray | None) -> FloatArray:
        """[M + K, M + K] sandwich of strengths (mean gauge) and coefficients."""
        _, information = self.derivatives(logit)
        inverse = bordered_inverse(information, self.size)
        if cluster is None:
            meat = self._meat(logit)
        else:
            every = slice(0, self.pair.size)
            first, second = np.divmod(self.pair, self.size)
            left_over = self.left_over(expit(logit), every)
            extra = (self.x(every) * left_over).T
            meat = clustered_meat(first, second, left_over, extra, cluster, self.size)
        return centred(sandwiched(inverse, meat), self.size)

    def _meat(self, logit: FloatArray) -> FloatArray:
        squares = _Moments(self.size, self.kinds)
        for part in self.parts():
            left_over = self.left_over(expit(logit[part]), part)
            squares.add(self.pair[part], self.x(part), left_over**2)
        pairs, border, corner = squares.sums()
        return np.block([[laplacian(pairs), border], [border.T, corner]])


class _Moments:
    """Sums over votes of weight times (z, x)(z, x)', with z = e_first - e_second."""

    def __init__(self, size: int, kinds: int) -> None:
        self.size = size
        self.pairs = np.zeros(size * size)
        self.border = np.zeros((kinds, size * size))
        self.corner = np.zeros((kinds, kinds))

    def add(self, pair: npt.NDArray[np.int32], x: FloatArray, weights: FloatArray) -> None:
        self.pairs += np.bincount(pair, weights, minlength=self.pairs.size)
        products = x * weights
        for sums, row in zip(self.border, products, strict=True):
            sums += np.bincount(pair, row, minlength=sums.size)
        self.corner += products @ x.T

    def sums(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Pair weights [M, M], symmetric; [M, K]; and [K, K]."""
        pairs = self.pairs.reshape(self.size, self.size)
        border = np.array([_by_model(row, self.size) for row in self.border])
        return pairs + pairs.T, border.reshape(-1, self.size).T, self.corner


def _by_model(by_pair: FloatArray, size: int) -> FloatArray:
    """[M] of sums by pair [M * M]: plus for the first model, minus for the second."""
    sums = by_pair.reshape(size, size)
    signed: FloatArray = sums.sum(axis=1) - sums.sum(axis=0)
    return signed


def _check_told_apart(information: FloatArray, size: int, styles: list[str]) -> None:
    """Raise ValueError if the styles, with the models taken out, are linearly dependent."""
    if not styles:
        return
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


def _maximise(battles: _Battles, start: FloatArray, styles: list[str], *, tol: float) -> _Solution:
    """Newton from the plain ratings, damped as in `bradley_terry.maximise` by the farthest any
    battle's log-odds would move. Raises ValueError for styles that cannot be told apart."""
    size = battles.size
    strength, coefficients = start, np.zeros(battles.kinds)
    logit = battles.logit(strength, coefficients)
    for iteration in range(1, MAX_ITERATIONS + 1):
        gradient, information = battles.derivatives(logit)
        if iteration == 1:
            _check_told_apart(information, size, styles)
        try:
            step = cho_solve(cho_factor(information, overwrite_a=True), gradient)
        except LinAlgError:
            return _Solution(strength, coefficients, logit, iteration, False)
        moved = battles.logit(step[:size], step[size:])
        reach = max(float(moved.max()), -float(moved.min()))
        damping = log1p(reach) / reach if reach > 0.0 else 1.0
        step *= damping
        strength = strength + step[:size]
        strength -= strength.mean()
        coefficients = coefficients + step[size:]
        moved *= damping
        logit += moved
        if np.abs(step).max() < tol:
            return _Solution(strength, coefficients, logit, iteration, True)
    return _Solution(strength, coefficients, logit, MAX_ITERATIONS, False)
