"""Intervals for votes that come in clusters: several by one voter, on one prompt, of one ranking.

Votes of one cluster lean the same way, so together they say less than as many from strangers. The
estimate stays as it is; its covariance sums the scores of a cluster before it squares them (Liang
and Zeger 1986, Biometrika 73).
"""

from __future__ import annotations

from dataclasses import replace
from math import log

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.special import expit

from .bradley_terry import fit_bt
from .counts import IntArray, Outcome, aggregate, vote_arrays
from .davidson import davidson_inverse, probabilities
from .evidence import Evidence, FloatArray, Ties, Weighting
from .fit import Fit, Gauge
from .laplacian import centred, information_inverse, sandwiched

ALONE = -1
"""The cluster of a vote that belongs to no other: it is a cluster by itself."""


def fit_clustered(
    a_ids: npt.ArrayLike,
    b_ids: npt.ArrayLike,
    outcomes: npt.ArrayLike,
    clusters: npt.ArrayLike,
    n_models: int,
    *,
    ties: Ties = "half",
    weighting: Weighting = "battles",
    min_pair_count: int = 50,
    gauge: Gauge | None = None,
) -> Fit:
    """`fit_bt` of votes given as in `aggregate`, with intervals that know who cast which.

    `clusters` holds an integer per vote, ALONE for a vote without a cluster. With one vote per
    cluster the covariance is that of `fit_bt`. There is no correction for few clusters: with less
    than some thirty the intervals are too narrow. `bootstrap` of the result resamples single votes
    and knows nothing of clusters. Raises ValueError as `aggregate` and `fit_bt` do.
    """
    first, second, outcome = vote_arrays(a_ids, b_ids, outcomes, n_models)
    cluster = cluster_labels(clusters, first.size)
    fit = fit_bt(
        aggregate(first, second, outcome, n_models),
        ties=ties,
        weighting=weighting,
        min_pair_count=min_pair_count,
        gauge=gauge,
    )
    spoken = kept_votes(fit, first, second, outcome, n_models, ties=ties)
    votes = positions_in(fit, n_models)[np.stack([first[spoken], second[spoken]])]
    tied = outcome[spoken] >= Outcome.TIE
    score = np.where(tied, 0.5, outcome[spoken] == Outcome.FIRST)
    return replace(fit, covariance=lambda: _covariance(fit, votes, score, tied, cluster[spoken]))


def _covariance(
    fit: Fit,
    votes: npt.NDArray[np.intp],
    score: FloatArray,
    tied: npt.NDArray[np.bool_],
    cluster: IntArray,
) -> FloatArray:
    """Of the rated models, mean gauge; `votes` [2, N] are positions among them."""
    evidence, size = fit.evidence, fit.main.size
    if evidence is None or size == 0:
        return np.zeros((size, size))
    first, second = votes
    strength = fit.log_odds[fit.main]
    difference = strength[first] - strength[second]
    weight = evidence.weight[first, second]
    if fit.tie_parameter:
        log_tie = log(fit.tie_parameter)
        p_first, p_second, p_tie = probabilities(difference, log_tie)
        lead = weight * (score - 0.5 - 0.5 * (p_first - p_second))
        extra = (weight * (tied - p_tie))[:, np.newaxis]
        inverse = davidson_inverse(evidence, strength, log_tie)
    else:
        lead = weight * (score - expit(difference))
        extra = np.empty((first.size, 0))
        inverse = _plain_inverse(evidence, strength)
    meat = clustered_meat(first, second, lead, extra, cluster, size)
    return centred(sandwiched(inverse, meat), size)[:size, :size]


def _plain_inverse(evidence: Evidence, strength: FloatArray) -> FloatArray:
    p = expit(strength[:, np.newaxis] - strength)
    totals = evidence.scores + evidence.scores.T
    return information_inverse(totals * p * p.T, totals)


def clustered_meat(
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    lead: FloatArray,
    extra: FloatArray,
    cluster: IntArray,
    n_models: int,
) -> FloatArray:
    """[M + K, M + K] sum over clusters of (sum of scores)(sum of scores)'.

    The score of vote v is `lead[v]` for its first model, -`lead[v]` for its second, and `extra[v]`
    (of [N, K]) for the further parameters. `cluster` [N] counts from 0.
    """
    count = int(cluster.max()) + 1 if cluster.size else 0
    by_model = csr_array(
        (
            np.concatenate([lead, -lead]),
            (np.tile(cluster, 2), np.concatenate([first, second])),
        ),
        shape=(count, n_models),
    )
    by_extra = np.empty((count, extra.shape[1]))
    for k in range(extra.shape[1]):
        by_extra[:, k] = np.bincount(cluster, extra[:, k], minlength=count)
    cross = by_model.T @ by_extra
    return np.block([[(by_model.T @ by_model).toarray(), cross], [cross.T, by_extra.T @ by_extra]])


def cluster_labels(clusters: npt.ArrayLike, votes: int) -> IntArray:
    """[N] clusters counted from 0, each ALONE one of its own. Raises ValueError for a bad array."""
    given = np.asarray(clusters)
    if given.shape != (votes,):
        raise ValueError(f"clusters has shape {given.shape}, expected {(votes,)}")
    if votes and not np.issubdtype(given.dtype, np.integer):
        raise ValueError(f"clusters are integers, not {given.dtype}")
    known, labels = np.unique(given, return_inverse=True)
    alone = given == ALONE
    labels[alone] = known.size + np.arange(int(alone.sum()))
    return labels.astype(np.int64)


def positions_in(fit: Fit, n_models: int) -> npt.NDArray[np.intp]:
    """[M] place of each model among the rated ones, -1 where it is not rated."""
    at = np.full(n_models, -1, dtype=np.intp)
    at[fit.main] = np.arange(fit.main.size)
    return at


def kept_votes(
    fit: Fit,
    first: npt.NDArray[np.integer],
    second: npt.NDArray[np.integer],
    outcome: npt.NDArray[np.integer],
    n_models: int,
    *,
    ties: Ties,
) -> npt.NDArray[np.bool_]:
    """[N] whether a vote speaks under the tie policy, of two different rated models."""
    rated = positions_in(fit, n_models) >= 0
    kept: npt.NDArray[np.bool_] = (first != second) & rated[first] & rated[second]
    if ties == "drop":
        kept &= outcome < Outcome.TIE
    elif ties == "drop_bothbad":
        kept &= outcome != Outcome.BOTH_BAD
    return kept
