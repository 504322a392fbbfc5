"""Davidson's model: a tie is an outcome of its own, likelier the closer the two models are.

With d the difference of two strengths, the chances of win, loss and tie are proportional to
exp(d/2), exp(-d/2) and nu (Davidson 1970, JASA 65, "On extending the Bradley-Terry model to
accommodate ties in paired comparison experiments"). In strengths and log(nu) this is an exponential
family: the log-likelihood is concave and has one maximum.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import log1p

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve
from scipy.sparse import csr_array
from scipy.sparse.csgraph import NegativeCycleError, bellman_ford, connected_components

from .evidence import Evidence, FloatArray, Standing, Status
from .laplacian import bordered, bordered_inverse, centred, laplacian, sandwiched

MAX_ITERATIONS = 100


@dataclass(frozen=True, eq=False)
class DavidsonSolution:
    """Where the solver stopped: strengths with mean zero, and log(nu)."""

    log_odds: FloatArray
    log_tie: float
    iterations: int
    converged: bool


def settled(found: Standing, evidence: Evidence) -> Standing:
    """`found`, without a rated component if its votes leave nu and the strengths to run away.

    Strong connection is not enough here. Where i beat j and tied with it, but never lost, strength
    and nu can grow together for ever. In general they can if strengths exist in which each winner
    leads the loser by at least 2 and no tied pair is more than 2 apart, which is so unless some
    cycle of results holds more wins than ties (a system of difference constraints is feasible
    unless its graph has a negative cycle). One pair in which both have won is such a cycle.
    """
    rated = evidence.restricted_to(found.main)
    if not found.main.size or not rated.ties.any() or _more_wins_than_ties_in_a_cycle(rated):
        return found
    status = tuple(Status.PROVISIONAL if s is Status.OK else s for s in found.status)
    return replace(found, main=found.main[:0], status=status)


def _more_wins_than_ties_in_a_cycle(evidence: Evidence) -> bool:
    won, tied = evidence.wins > 0, evidence.ties > 0
    if connected_components(won, directed=True, connection="strong")[0] < won.shape[0]:
        return True
    # a win is a step of -1, a tie one of +1; all pairs are linked, so one source sees every cycle
    try:
        bellman_ford(csr_array(np.where(won, -1.0, np.where(tied, 1.0, 0.0))), indices=[0])
    except NegativeCycleError:
        return True
    return False


def probabilities(
    difference: FloatArray, log_tie: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Chances that the first wins, the second wins, neither does; any shape."""
    # divided by the largest of the three terms, so that nothing overflows
    half = 0.5 * difference
    largest = np.maximum(np.abs(half), log_tie)
    first, second, tie = np.exp(half - largest), np.exp(-half - largest), np.exp(log_tie - largest)
    total = first + second + tie
    return first / total, second / total, tie / total


def maximise_davidson(evidence: Evidence, *, tol: float, start: FloatArray) -> DavidsonSolution:
    """Maximise over strengths and log(nu); needs a tie, and a component that is `settled`.

    The step is damped as in `bradley_terry.maximise`: the third derivative along a step is at most
    its spread over the three outcomes of a pair times the second.
    """
    votes = evidence.weight * (evidence.wins + evidence.wins.T + evidence.ties)
    lead = 0.5 * evidence.weight * (evidence.wins - evidence.wins.T)
    ties = float((evidence.weight * evidence.ties).sum()) / 2
    all_votes = float(votes.sum()) / 2
    size = start.size
    strength = start.copy()
    # where equals tie as often as everybody does
    log_tie = float(np.log(2 * ties / (all_votes - ties)))
    for iteration in range(1, MAX_ITERATIONS + 1):
        first, second, tie = probabilities(strength[:, np.newaxis] - strength, log_tie)
        gradient = np.append(
            (lead - 0.5 * votes * (first - second)).sum(axis=1),
            ties - float((votes * tie).sum()) / 2,
        )
        try:
            factor = cho_factor(_information(votes, first, second, tie), overwrite_a=True)
        except LinAlgError:
            return DavidsonSolution(strength, log_tie, iteration, False)
        step = cho_solve(factor, gradient)
        widest = float(np.ptp(step[:size])) / 2
        reach = widest + max(widest, abs(float(step[size])))
        step *= log1p(reach) / reach if reach > 0.0 else 1.0
        strength = strength + step[:size]
        strength -= strength.mean()
        log_tie += float(step[size])
        if np.abs(step).max() < tol:
            return DavidsonSolution(strength, log_tie, iteration, True)
    return DavidsonSolution(strength, log_tie, MAX_ITERATIONS, False)


def _information(
    votes: FloatArray, first: FloatArray, second: FloatArray, tie: FloatArray
) -> FloatArray:
    """[M + 1, M + 1] covariance of the sufficient statistics: leads of the models, and ties."""
    lead = 0.5 * (first - second)
    border = -(votes * tie * lead).sum(axis=1)
    corner = float((votes * tie * (1.0 - tie)).sum()) / 2
    return bordered(
        votes * (0.25 * (first + second) - lead**2),
        votes,
        border[:, np.newaxis],
        np.array([[corner]]),
    )


def davidson_inverse(evidence: Evidence, strength: FloatArray, log_tie: float) -> FloatArray:
    """[M + 1, M + 1] inverse information of strengths (mean gauge) and log(nu)."""
    votes = evidence.weight * (evidence.wins + evidence.wins.T + evidence.ties)
    chances = probabilities(strength[:, np.newaxis] - strength, log_tie)
    return bordered_inverse(_information(votes, *chances), strength.size)


def davidson_sandwich(evidence: Evidence, strength: FloatArray, log_tie: float) -> FloatArray:
    """[M + 1, M + 1] covariance H^-1 J H^-1 of strengths (mean gauge) and log(nu)."""
    size = strength.size
    first, second, tie = probabilities(strength[:, np.newaxis] - strength, log_tie)
    lead = 0.5 * (first - second)
    squared = evidence.weight**2
    won, lost, even = squared * evidence.wins, squared * evidence.wins.T, squared * evidence.ties
    left = 0.5 - lead, -0.5 - lead, -lead  # of the lead, after a win, a loss, a tie
    meat = np.empty((size + 1, size + 1))
    meat[:size, :size] = laplacian(won * left[0] ** 2 + lost * left[1] ** 2 + even * left[2] ** 2)
    cross = even * left[2] * (1.0 - tie) - (won * left[0] + lost * left[1]) * tie
    meat[:size, size] = meat[size, :size] = cross.sum(axis=1)
    meat[size, size] = ((won + lost) * tie**2 + even * (1.0 - tie) ** 2).sum() / 2
    return centred(sandwiched(davidson_inverse(evidence, strength, log_tie), meat), size)
