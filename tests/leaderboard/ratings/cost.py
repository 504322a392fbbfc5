"""CPU of one piece of the ratings and of a peer, on standard output: `python -m ...cost ROW`.

The peer is online Elo, one pass over the votes in plain Python, except for the bootstrap, which is
held against its own estimate.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import process_time

import numpy as np

from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import aggregate
from leaderboard.ratings.elo import online_elo
from leaderboard.ratings.simulate import VoteBlock, draw_population, simulate
from leaderboard.ratings.style import fit_style


def cpu(work: Callable[[], object], runs: int) -> float:
    """Least CPU seconds of several runs."""
    best = float("inf")
    for _ in range(runs):
        start = process_time()
        work()
        best = min(best, process_time() - start)
    return best


def votes_of(models: int, votes: int) -> VoteBlock:
    return simulate(draw_population(models, seed=17), votes)


def one_pass(v: VoteBlock, models: int) -> float:
    return cpu(lambda: online_elo(v.first, v.second, v.outcome, models), 1)


def refresh() -> tuple[float, float]:
    v = votes_of(300, 1_000_000)
    counts = aggregate(v.first, v.second, v.outcome, 300)

    def work() -> None:
        fit = fit_bt(counts)
        fit.interval()
        fit.rank_ub()

    return cpu(work, 5), one_pass(v, 300)


def from_votes() -> tuple[float, float]:
    v = votes_of(100, 3_000_000)

    def work() -> None:
        fit_bt(aggregate(v.first, v.second, v.outcome, 100)).interval()

    return cpu(work, 5), one_pass(v, 100)


def style() -> tuple[float, float]:
    v = votes_of(100, 1_000_000)
    features = np.random.default_rng(0).uniform(-1, 1, (1_000_000, 4))
    ours = cpu(lambda: fit_style(v.first, v.second, v.outcome, features, 100), 2)
    return ours, one_pass(v, 100)


def resampling() -> tuple[float, float]:
    v = votes_of(100, 100_000)
    counts = aggregate(v.first, v.second, v.outcome, 100)
    fit = fit_bt(counts)
    bootstrap(fit, 1)  # the table of Poisson quantiles is made once a process
    return cpu(lambda: bootstrap(fit, 1000), 2), cpu(lambda: fit_bt(counts).interval(), 5)


ROWS = {"refresh": refresh, "from_votes": from_votes, "style": style, "bootstrap": resampling}

if __name__ == "__main__":
    print(*ROWS[sys.argv[1]]())
