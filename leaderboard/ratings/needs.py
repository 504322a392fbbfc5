"""Which pairs of models another vote would tell most about (Chiang et al. 2024, arXiv 2403.04132).

Equation 9 there draws pair a in proportion to sqrt(S/n) - sqrt(S/(n + 1)): by how much one vote
more narrows the interval, where n votes of variance S stand behind an estimate. The paper takes
each pair's own win rate, so of a pair that never met nothing is known. Here the estimate is the
difference of two ratings, which votes on other pairs tell about as well: with p the chance that
one beats the other, a vote between the two has S = 1/(p(1 - p)), in squared log-odds, and n is the
number of such votes that would tell as much as all votes do, S/v for a difference of variance v.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import expit

from .counts import PairCounts
from .evidence import FloatArray
from .fit import ELO_PER_LOG_ODDS

PRIOR_SD = 200.0  # Elo: how far models lie apart, as far as one knows before their first vote
_STEPS = 50


def pair_needs(counts: PairCounts, *, prior_sd: float = PRIOR_SD) -> FloatArray:
    """[M, M] symmetric, zero on the diagonal: the fall of each difference's standard error, in
    log-odds, by one vote more on that pair.

    Strengths have a normal prior here, which the published ratings do not: so models without votes,
    or with nothing but wins, have a need as well, and the highest. A tie is half a win.
    """
    precision = (ELO_PER_LOG_ODDS / prior_sd) ** 2
    strength, information = _posterior(counts, precision)
    covariance = np.linalg.inv(information)
    own = np.diagonal(covariance)
    variance = own[:, np.newaxis] + own - 2.0 * covariance
    np.fill_diagonal(variance, 0.0)
    chance = expit(strength[:, np.newaxis] - strength)
    told = variance * chance * (1.0 - chance)  # 1/n
    # 1 - 1/sqrt(1 + told), to all digits where it is small
    needs: FloatArray = np.sqrt(variance) * -np.expm1(-0.5 * np.log1p(told))
    return np.maximum(needs, needs.T)  # symmetric to the last bit


def _posterior(counts: PairCounts, precision: float) -> tuple[FloatArray, FloatArray]:
    """Strengths [M] in log-odds at their most likely, and the information [M, M] there."""
    scores = counts.wins + (counts.ties + counts.both_bad) / 2.0
    totals = scores + scores.T
    strength = np.zeros(len(counts.models))
    for _ in range(_STEPS):
        chance = expit(strength[:, np.newaxis] - strength)
        weight = totals * chance * (1.0 - chance)
        information = np.diag(weight.sum(axis=1) + precision) - weight
        gradient = (scores - totals * chance).sum(axis=1) - precision * strength
        step = cho_solve(cho_factor(information), gradient)
        reach = float(np.ptp(step)) if step.size else 0.0
        if reach < 1e-6:
            break
        strength = strength + step * (np.log1p(reach) / reach)  # damped, as in bradley_terry
    return strength, information
