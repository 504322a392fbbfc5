"""Bradley-Terry ratings by maximum likelihood from pair counts, with sandwich covariance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, log1p

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.special import expit

from .counts import PairCounts
from .davidson import davidson_sandwich, maximise_davidson, settled
from .evidence import Evidence, FloatArray, IndexArray, Ties, Weighting, standing
from .fit import ELO_PER_LOG_ODDS, Fit, Gauge, Mean
from .laplacian import gauged_laplacian, information_inverse, laplacian, sandwiched

MAX_ITERATIONS = 100


def fit_bt(
    counts: PairCounts,
    *,
    ties: Ties = "half",
    weighting: Weighting = "battles",
    min_pair_count: int = 50,
    gauge: Gauge | None = None,
    tol: float = 1e-10,
    start: npt.ArrayLike | None = None,
) -> Fit:
    """Rate the models of `counts`.

    A tie is half a win and half a loss (or dropped), as in FastChat's `compute_bt` and arena-rank;
    under "davidson" it is an outcome of its own, see `davidson`, and `Fit.tie_parameter` says how
    common it is. The estimate is the exact maximum of the likelihood: no ridge, so a new model's
    interval is as wide as its few votes make it. Models that the votes cannot place on the common
    scale get no number; see `Status`.

    `gauge`  where the scale is pinned, `Mean(1000)` unless told; it never changes a difference.
    `tol`    the solver stops when no strength moves by more than this (natural log-odds).
    `start`  [M] Elo ratings near the answer, NaN where unknown; saves iterations, nothing else.

    Raises ValueError for an unknown policy, a `start` of the wrong shape, or an `Anchor` that the
    votes cannot rate.
    """
    evidence = Evidence.from_counts(
        counts, ties=ties, weighting=weighting, min_pair_count=min_pair_count
    )
    found = standing(evidence)
    if ties == "davidson":
        found = settled(found, evidence)
    rated = evidence.restricted_to(found.main)
    estimate = _estimate(
        rated, ties=ties, tol=tol, start=_start(start, len(counts.models), found.main)
    )
    log_odds = np.full(len(counts.models), np.nan)
    log_odds[found.main] = estimate.log_odds
    return Fit(
        models=counts.models,
        status=found.status,
        log_odds=log_odds,
        gauge=Mean() if gauge is None else gauge,
        votes=evidence.votes(),
        components=tuple(tuple(counts.models[i] for i in at) for at in found.components),
        main=found.main,
        evidence=rated,
        iterations=estimate.iterations,
        converged=estimate.converged,
        covariance=estimate.covariance,
        tie_parameter=estimate.tie_parameter,
    )


@dataclass(frozen=True, eq=False)
class _Estimate:
    log_odds: FloatArray
    iterations: int
    converged: bool
    covariance: Callable[[], FloatArray]
    tie_parameter: float | None = None


def _estimate(rated: Evidence, *, ties: Ties, tol: float, start: FloatArray) -> _Estimate:
    if ties != "davidson" or not rated.ties.any():
        plain = maximise(rated, tol=tol, start=start)
        return _Estimate(
            plain.log_odds,
            plain.iterations,
            plain.converged,
            lambda: sandwich(rated, plain.log_odds),
            # nothing was ever tied: the largest likelihood has no ties in it
            0.0 if ties == "davidson" and start.size else None,
        )
    tied = maximise_davidson(rated, tol=tol, start=start)
    return _Estimate(
        tied.log_odds,
        tied.iterations,
        tied.converged,
        lambda: davidson_sandwich(rated, tied.log_odds, tied.log_tie)[:-1, :-1],
        exp(tied.log_tie),
    )


def _start(start: npt.ArrayLike | None, size: int, main: IndexArray) -> FloatArray:
    """Log-odds to begin from, mean zero over the rated models; zero where nothing is known."""
    if start is None:
        return np.zeros(main.size)
    elo = np.asarray(start, dtype=np.float64)
    if elo.shape != (size,):
        raise ValueError(f"start has shape {elo.shape}, expected {(size,)}")
    known = elo[main] / ELO_PER_LOG_ODDS
    usable = np.isfinite(known)
    if not usable.any():
        return np.zeros(main.size)
    known = np.where(usable, known, known[usable].mean())
    centred: FloatArray = known - known.mean()
    return centred


@dataclass(frozen=True, eq=False)
class Solution:
    """Where the solver stopped."""

    log_odds: FloatArray
    iterations: int
    converged: bool


def maximise(evidence: Evidence, *, tol: float, start: FloatArray) -> Solution:
    """Maximise sum S_ij log p_ij over strengths with mean zero; S strongly connected.

    Newton with a damped step: the logistic loss is generalised self-concordant (|f'''| <= r f'' for
    a step of range r), so a step of log(1 + r)/r descends from anywhere and tends to the full
    Newton step at the end (Sun and Tran-Dinh 2019, Mathematical Programming 178).
    """
    scores = evidence.scores
    totals = scores + scores.T
    strength = start.copy()
    if strength.size == 0:
        return Solution(strength, 0, True)
    for iteration in range(1, MAX_ITERATIONS + 1):
        p = expit(strength[:, np.newaxis] - strength)
        gradient = (scores * p.T - scores.T * p).sum(axis=1)
        try:
            factor = cho_factor(gauged_laplacian(totals * p * p.T, totals), overwrite_a=True)
        except LinAlgError:
            # curvature lost in rounding: so nearly separable that no digit would be worth having
            return Solution(strength, iteration, False)
        step = cho_solve(factor, gradient)
        reach = float(np.ptp(step))
        strength = strength + step * (log1p(reach) / reach if reach > 0.0 else 1.0)
        strength -= strength.mean()
        if np.abs(step).max() < tol:
            return Solution(strength, iteration, True)
    return Solution(strength, MAX_ITERATIONS, False)


def sandwich(evidence: Evidence, strength: FloatArray) -> FloatArray:
    """Covariance H^-1 J H^-1 of the strengths in the mean gauge, natural units (White 1982).

    A tie scored one half is not a Bernoulli draw: its squared residual (1/2 - p)^2 is far smaller
    than p(1 - p), so the inverse information alone is about 18 % too wide where ties are common.
    J therefore sums what each vote really left over, squared, as arena-rank does.
    """
    if strength.size == 0:
        return np.zeros((0, 0))
    p = expit(strength[:, np.newaxis] - strength)
    scores = evidence.scores
    totals = scores + scores.T
    inverse = information_inverse(totals * p * p.T, totals)
    won = evidence.wins * p.T**2
    drawn = evidence.ties * (0.5 * (p - p.T)) ** 2
    meat = laplacian(evidence.weight**2 * (won + won.T + drawn))
    return sandwiched(inverse, meat)
