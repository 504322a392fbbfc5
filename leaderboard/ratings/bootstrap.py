"""Bootstrap of a Bradley-Terry fit, from the counts: no vote is ever read again.

Resampling N votes with replacement makes the cells multinomial; a Poisson draw per cell does the
same with N itself free, and costs less. It never asks which vote came from whom, so it knows no
more of clustered votes than the sandwich does.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from math import log

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array
from scipy.sparse.csgraph import connected_components, minimum_spanning_tree
from scipy.special import expit, pdtr

from .bradley_terry import Solution, maximise
from .davidson import DavidsonSolution, davidson_inverse, maximise_davidson, settled
from .evidence import Evidence, FloatArray, IndexArray, Standing, Status, standing
from .fit import Fit, in_gauge
from .laplacian import information_inverse
from .replicas import Replicas

TOLERANCE = 1e-6  # log-odds, 0.0002 Elo: far below what resampling itself leaves uncertain
CHORD_STEPS = 30
CELLS_AT_ONCE = 500_000  # pairs times replicas held in memory together, 4 MB per array
MATRIX_CELLS = 100_000  # of the matrices of pairs solved together
TABLE_TO = 40


def bootstrap(fit: Fit, rounds: int = 1000, seed: int = 0) -> Replicas:
    """Resample the votes of `fit` and rate its models again, `rounds` times.

    All replicas are solved together from the point estimate with its own inverse information
    (chord Newton); the few that do not contract, or whose votes fall apart, are sorted out one by
    one. Pair weights stay those of the fit. Raises ValueError for less than one round, and for a
    fit that counts do not determine (style control).
    """
    if rounds < 1:
        raise ValueError("a bootstrap has at least one round")
    if fit.evidence is None:
        raise ValueError("this fit cannot be resampled from pair counts")
    strengths = np.full((rounds, len(fit.models)), np.nan)
    if fit.main.size:
        kind = _DavidsonResampler if fit.tie_parameter else _Resampler
        resampler = kind(fit, fit.evidence)
        strengths[:, fit.main] = resampler.replicas(rounds, np.random.default_rng(seed))
    ranked = np.array([s is Status.OK for s in fit.status], dtype=bool)
    ratings = in_gauge(strengths, fit.gauge, fit.models)
    ratings[:, ~ranked] = np.nan
    return Replicas(fit.models, ranked, ratings, seed)


class _Resampler:
    """The pairs of a fit as rows, so that a batch of replicas is one array per quantity."""

    def __init__(self, fit: Fit, evidence: Evidence) -> None:
        self.size = fit.main.size
        self.point = fit.log_odds[fit.main]
        self.evidence = evidence
        votes = np.triu(evidence.wins + evidence.wins.T + evidence.ties, k=1)
        self.lo, self.hi = np.nonzero(votes)
        pairs = self.lo.size
        self.wins = evidence.wins[self.lo, self.hi]
        self.losses = evidence.wins[self.hi, self.lo]
        self.ties = evidence.ties[self.lo, self.hi]
        self.weight = evidence.weight[self.lo, self.hi]
        # [M, pairs]: +1 where the model comes first in the pair, -1 where it comes second
        row = np.concatenate([self.lo, self.hi])
        column = np.tile(np.arange(pairs), 2)
        sign = np.repeat([1.0, -1.0], pairs)
        self.incidence = csr_array((sign, (row, column)), shape=(self.size, pairs))
        self.tree = self._strongest_tree(votes)
        self.inverse = self._inverse(fit)
        self.even = bool((self.weight == 1.0).all())

    def _inverse(self, fit: Fit) -> FloatArray:
        p = expit(self.point[:, np.newaxis] - self.point)
        scores = self.evidence.scores
        totals = scores + scores.T
        return information_inverse(totals * p * p.T, totals)

    def _strongest_tree(self, votes: FloatArray) -> IndexArray:
        """The pairs of the spanning tree with most votes: while all have some, all is linked."""
        tree = minimum_spanning_tree(csr_array(-votes)).tocoo()
        at = np.zeros((self.size, self.size), dtype=np.intp)
        at[self.lo, self.hi] = np.arange(self.lo.size)
        edges = np.sort(np.stack([tree.row, tree.col]), axis=0)
        pairs: IndexArray = at[edges[0], edges[1]]
        return pairs

    def replicas(self, rounds: int, rng: np.random.Generator) -> FloatArray:
        """[rounds, M] strengths, each replica aligned with the point estimate where it is rated.

        Another thread solves a batch while this one draws the next (NumPy holds no lock while it
        computes). All draws are made here, one after the other, so the numbers know nothing of it.
        """
        batch = max(1, CELLS_AT_ONCE // self.lo.size)
        solved: list[FloatArray] = []
        with ThreadPoolExecutor(1) as solver:
            before: Future[FloatArray] | None = None
            for done in range(0, rounds, batch):
                size = min(batch, rounds - done)
                votes = [poisson(cell, size, rng) for cell in (self.wins, self.losses, self.ties)]
                if before:
                    solved.append(before.result())
                before = solver.submit(self._strengths, *votes)
            if before:
                solved.append(before.result())
        return np.concatenate(solved)

    def _strengths(self, wins: FloatArray, losses: FloatArray, ties: FloatArray) -> FloatArray:
        """[R, M] of a batch of replicas, given as [pairs, R] votes."""
        strengths, contracted = self._solve(wins, losses, ties)
        for r in np.flatnonzero(~(contracted & self._linked(wins + losses + ties))):
            strengths[:, r] = self._alone(wins[:, r], losses[:, r], ties[:, r])
        return strengths.T

    def _weighted(self, votes: FloatArray) -> FloatArray:
        """[pairs, R] of votes by pair: what they count in the likelihood."""
        return votes if self.even else self.weight[:, np.newaxis] * votes

    def _solve(
        self, wins: FloatArray, losses: FloatArray, ties: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Chord Newton on [pairs, R] votes: ([M, R] strengths, [R] whether it contracted)."""
        size, rounds = self.size, wins.shape[1]
        observed = self.incidence @ self._weighted(wins + 0.5 * ties)
        totals = np.ascontiguousarray(self._weighted(wins + losses + ties).T)
        strengths, contracted = np.empty((size, rounds)), np.empty(rounds, dtype=bool)
        # Pairs as the upper triangle of a matrix: its rows are read in one go, where a list of
        # pairs would be looked up model by model. Few replicas at a time stay in the cache.
        at = self.lo * size + self.hi
        few = max(1, MATRIX_CELLS // size**2)
        met = np.zeros((min(few, rounds), size, size))
        work = np.empty_like(met)
        for start in range(0, rounds, few):
            part = slice(start, start + few)
            n = totals[part].shape[0]
            met.reshape(len(met), -1)[:n, at] = totals[part]
            # `incidence` gives the second model of a pair minus the points of the first
            points = observed[:, part] + met[:n].sum(axis=1).T

            def gradient(
                parameters: FloatArray, open_: IndexArray, points: FloatArray = points, n: int = n
            ) -> FloatArray:
                odds = np.exp(parameters.T)
                votes = met[:n] if open_.size == n else met[open_]
                share = work[: open_.size]
                np.add(odds[:, :, np.newaxis], odds[:, np.newaxis], out=share)
                np.divide(votes, share, out=share)
                expected = odds * (share.sum(axis=2) + share.sum(axis=1))
                ahead: FloatArray = points[:, open_] - expected.T
                return ahead

            strengths[:, part], contracted[part] = self._chord(self.point, gradient, n)
        return strengths, contracted

    def _chord(
        self,
        point: FloatArray,
        gradient: Callable[[FloatArray, IndexArray], FloatArray],
        rounds: int,
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        """Solve gradient(parameters [P, some], which replicas) = 0 for each of R replicas."""
        parameters = np.repeat(point[:, np.newaxis], rounds, axis=1)
        contracted = np.zeros(rounds, dtype=bool)
        open_ = np.arange(rounds)
        for _ in range(CHORD_STEPS):
            step = self.inverse @ gradient(parameters[:, open_], open_)
            parameters[:, open_] += step
            moved = np.abs(step).max(axis=0)
            contracted[open_[moved < TOLERANCE]] = True
            open_ = open_[(moved >= TOLERANCE) & (moved < 10.0)]
            if open_.size == 0:
                break
        return parameters, contracted

    def _linked(self, totals: FloatArray) -> npt.NDArray[np.bool_]:
        """[R] whether the pairs that have votes in the replica link all models.

        A model that lost all its votes, or an island that lost all its bridges, leaves no gradient:
        the chord step would take its old place for an answer.
        """
        linked = np.asarray((totals[self.tree] > 0).all(axis=0))
        for r in np.flatnonzero(~linked):
            seen = totals[:, r] > 0
            graph = csr_array(
                (np.ones(int(seen.sum())), (self.lo[seen], self.hi[seen])),
                shape=(self.size, self.size),
            )
            linked[r] = connected_components(graph, directed=False)[0] == 1
        return linked

    def _alone(self, wins: FloatArray, losses: FloatArray, ties: FloatArray) -> FloatArray:
        """[M] strengths of one replica by itself, NaN for models that its votes cannot place."""
        won, even = np.zeros((2, self.size, self.size))
        won[self.lo, self.hi], won[self.hi, self.lo] = wins, losses
        even[self.lo, self.hi] = even[self.hi, self.lo] = ties
        evidence = Evidence(won, even, self.evidence.weight)
        main = self._standing(evidence).main
        strengths = np.full(self.size, np.nan)
        start = self.point[main] - self.point[main].mean() if main.size else self.point[main]
        solution = self._maximise(evidence.restricted_to(main), start)
        if main.size and solution.converged:
            # the missing ones take no part in the mean: keep the others where they were on average
            strengths[main] = solution.log_odds + self.point[main].mean()
        return strengths

    def _standing(self, evidence: Evidence) -> Standing:
        return standing(evidence)

    def _maximise(self, evidence: Evidence, start: FloatArray) -> Solution | DavidsonSolution:
        return maximise(evidence, tol=TOLERANCE, start=start)


class _DavidsonResampler(_Resampler):
    """The same for Davidson's model, whose log(nu) stands below the strengths."""

    def _inverse(self, fit: Fit) -> FloatArray:
        self.log_tie = log(fit.tie_parameter or 0.0)
        return davidson_inverse(self.evidence, self.point, self.log_tie)

    def _solve(
        self, wins: FloatArray, losses: FloatArray, ties: FloatArray
    ) -> tuple[FloatArray, npt.NDArray[np.bool_]]:
        weight = self.weight[:, np.newaxis]
        lead = self.incidence @ (0.5 * weight * (wins - losses))
        tied = (weight * ties).sum(axis=0)
        totals = weight * (wins + losses + ties)

        def gradient(parameters: FloatArray, open_: IndexArray) -> FloatArray:
            root = np.exp(0.5 * parameters[:-1])
            first, second = root[self.lo], root[self.hi]
            # win : loss : tie = first^2 : second^2 : nu first second
            even = np.exp(parameters[-1]) * first * second
            share = totals[:, open_] / (first**2 + second**2 + even)
            expected = self.incidence @ (0.5 * share * (first**2 - second**2))
            ahead: FloatArray = np.vstack(
                [lead[:, open_] - expected, tied[open_] - (share * even).sum(axis=0)]
            )
            return ahead

        found, contracted = self._chord(
            np.append(self.point, self.log_tie), gradient, wins.shape[1]
        )
        return found[:-1], contracted

    def _standing(self, evidence: Evidence) -> Standing:
        return settled(standing(evidence), evidence)

    def _maximise(self, evidence: Evidence, start: FloatArray) -> Solution | DavidsonSolution:
        if not evidence.ties.any():
            return maximise(evidence, tol=TOLERANCE, start=start)
        return maximise_davidson(evidence, tol=TOLERANCE, start=start)


@cache
def _poisson_table() -> npt.NDArray[np.uint8]:
    """Row c: the 65536 equally likely values of a Poisson variable of mean c, c <= TABLE_TO."""
    middle = (np.arange(65536) + 0.5) / 65536
    values = np.arange(128)
    return np.stack(
        [np.searchsorted(pdtr(values, mean), middle) for mean in range(TABLE_TO + 1)]
    ).astype(np.uint8)


def poisson(means: FloatArray, rounds: int, rng: np.random.Generator) -> FloatArray:
    """[P, rounds] Poisson draws for [P] whole means.

    Small means come from a table of quantiles (ten times faster than the generator's own, exact to
    1/65536 in every probability), large ones from the generator.
    """
    draws = np.zeros((means.size, rounds))
    large = np.flatnonzero(means > TABLE_TO)
    if large.size:
        draws[large] = rng.poisson(means[large, np.newaxis], (large.size, rounds))
    small = np.flatnonzero((means > 0) & (means <= TABLE_TO))
    at = rng.integers(0, 65536, (small.size, rounds), dtype=np.uint16)
    row = means[small].astype(np.intp)[:, np.newaxis] * 65536
    draws[small] = _poisson_table().ravel().take(row + at)
    return draws
