from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leaderboard.ratings import bootstrap as module
from leaderboard.ratings.bootstrap import bootstrap, poisson
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import PairCounts
from leaderboard.ratings.fit import Anchor
from leaderboard.ratings.rank import rank_by_point

from . import vote_files
from .synthetic import random_counts


@pytest.mark.parametrize("mean", [1, 7, 40, 41, 900])
def test_the_draws_have_the_mean_and_the_variance_of_a_poisson_variable(mean: int) -> None:
    draws = poisson(np.array([float(mean)]), 200_000, np.random.default_rng(mean))
    assert draws.mean() == pytest.approx(mean, rel=0.01)
    assert draws.var() == pytest.approx(mean, rel=0.02)
    assert draws.min() >= 0


def test_an_empty_cell_stays_empty_and_cells_are_drawn_apart() -> None:
    draws = poisson(np.array([0.0, 9.0, 9.0, 50.0]), 20_000, np.random.default_rng(0))
    assert not draws[0].any()
    assert abs(np.corrcoef(draws[1:])[np.triu_indices(3, 1)]).max() < 0.04


@pytest.mark.parametrize("weighting", ["battles", "uniform_pairs"])
def test_replicas_spread_as_the_sandwich_says(weighting: str) -> None:
    fit = fit_bt(random_counts(21, models=30, votes=20_000), weighting=weighting)
    ratio = bootstrap(fit, 600, seed=1).standard_errors() / fit.standard_errors()
    assert 0.97 < np.median(ratio) < 1.03
    assert np.abs(ratio - 1).max() < 0.15


def test_percentiles_agree_with_fastchats_thousand_rounds(shared_data: Path) -> None:
    counts = vote_files.counts(shared_data, "arena33k_human")
    fit = fit_bt(counts)
    bounds = bootstrap(fit, 2000, seed=3).interval()
    for ours, column in ((bounds.lower, "fc_boot_q025"), (bounds.upper, "fc_boot_q975")):
        theirs = vote_files.golden(shared_data, "arena33k_human", column, counts.models)
        # Monte-Carlo error of such a bound: 0.084 sd from 1000 rounds, 0.06 from our 2000
        apart = (ours - theirs) / fit.standard_errors()
        assert np.abs(apart).max() < 0.4
        assert abs(apart.mean()) < 0.08


def test_the_same_seed_gives_the_same_bits_and_another_seed_others() -> None:
    fit = fit_bt(random_counts(22))
    one, two, other = (bootstrap(fit, 50, seed=s).ratings for s in (5, 5, 6))
    assert one.tobytes() == two.tobytes()
    assert not np.array_equal(one, other)


def test_solving_replicas_together_gives_what_each_gives_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fit = fit_bt(random_counts(23, models=15, votes=900))
    together = bootstrap(fit, 40).ratings
    monkeypatch.setattr(module, "CHORD_STEPS", 0)
    alone = bootstrap(fit, 40).ratings
    assert not np.isnan(together).any()
    assert np.abs(together - alone).max() < 0.005


@pytest.mark.parametrize("weighting", ["battles", "uniform_pairs"])
def test_how_many_matrices_are_solved_together_does_not_matter(
    monkeypatch: pytest.MonkeyPatch, weighting: str
) -> None:
    fit = fit_bt(random_counts(23), weighting=weighting)
    together = bootstrap(fit, 70).ratings
    monkeypatch.setattr(module, "MATRIX_CELLS", 1)
    assert np.abs(bootstrap(fit, 70).ratings - together).max() < 1e-9


def test_the_size_of_a_batch_does_not_change_the_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = fit_bt(random_counts(23))
    monkeypatch.setattr(module, "CELLS_AT_ONCE", 7 * 66)  # 66 pairs: seven replicas at a time
    small = bootstrap(fit, 500)
    assert small.ratings.shape == (500, 12)
    assert np.abs(small.standard_errors() / fit.standard_errors() - 1).max() < 0.15


def test_replicas_keep_the_gauge_of_the_fit() -> None:
    counts = random_counts(24)
    mean = bootstrap(fit_bt(counts), 30)
    anchored = bootstrap(fit_bt(counts, gauge=Anchor(3, 1114)), 30)
    assert np.allclose(mean.ratings.mean(axis=1), 1000)
    assert (anchored.ratings[:, 3] == 1114).all()
    assert np.allclose(
        anchored.ratings - anchored.ratings[:, :1], mean.ratings - mean.ratings[:, :1]
    )
    assert anchored.interval().lower[3] == anchored.interval().upper[3] == 1114


def test_a_replica_that_lost_a_models_votes_has_no_rating_for_it() -> None:
    newcomer = PairCounts.from_cells([(0, "new", "tie", 2), (0, "new", "lo", 1)], [0, "new"])
    fit = fit_bt(random_counts(25) + newcomer)
    result = bootstrap(fit, 400, seed=2)
    share = result.unresolved()
    # it is rated as long as one of its two ties is drawn: P(none) = exp(-2)
    assert share[-1] == pytest.approx(np.exp(-2), abs=0.05)
    assert not share[:-1].any()
    # nobody else moves because of it
    known = np.nanmean(result.ratings[:, :-1], axis=1)
    assert np.abs(known - known.mean()).max() < 100
    bounds = result.interval()
    assert (bounds.lower[-1], bounds.upper[-1]) == (-np.inf, np.inf)
    assert np.isfinite(bounds.lower[:-1]).all()
    ranks = result.rank_interval()
    assert (ranks.best[-1], ranks.worst[-1]) == (1, 13)


def test_a_bridge_that_a_replica_lost_leaves_only_the_larger_side_rated() -> None:
    left, right = random_counts(26, models=6), random_counts(27, models=4)
    right = PairCounts([f"r{i}" for i in range(4)], right.wins, right.ties, right.both_bad)
    bridge = PairCounts.from_cells([(0, "r0", "tie", 1)], [0, "r0"])
    result = bootstrap(fit_bt(left + right + bridge), 300)
    cut = np.isnan(result.ratings[:, -1])
    assert cut.mean() == pytest.approx(np.exp(-1), abs=0.09)
    assert np.isnan(result.ratings[cut, 6:]).all()
    assert not np.isnan(result.ratings[:, :6]).any()
    assert not np.isnan(result.ratings[~cut]).any()


def test_rank_intervals_hold_the_rank_of_the_estimate() -> None:
    fit = fit_bt(random_counts(28, models=20, votes=8000))
    ranks = bootstrap(fit, 300).rank_interval()
    by_point = rank_by_point(fit.ratings)
    assert (ranks.best <= by_point).all()
    assert (by_point <= ranks.worst).all()
    assert ranks.best.min() == 1
    assert ranks.worst.max() == 20
    assert (ranks.worst - ranks.best).mean() < 8


def test_models_that_the_fit_does_not_rank_have_no_replicas() -> None:
    hero = PairCounts.from_cells([(0, "hero", "hi", 12)], models=[0, "hero"])
    result = bootstrap(fit_bt(random_counts(29) + hero), 20)
    assert np.isnan(result.ratings[:, -1]).all()
    assert np.isnan(result.interval().lower[-1])
    assert result.rank_interval().worst[-1] == 0
    assert result.rank_interval().worst.max() <= 12
    assert np.isnan(result.standard_errors()[-1])


def test_without_votes_there_is_nothing_to_resample() -> None:
    result = bootstrap(fit_bt(PairCounts("ab")), 10)
    assert np.isnan(result.ratings).all()
    assert result.rank_interval().best.tolist() == [0, 0]
    assert bootstrap(fit_bt(PairCounts([])), 10).interval().lower.shape == (0,)


def test_a_bootstrap_of_no_rounds_is_refused() -> None:
    with pytest.raises(ValueError, match="round"):
        bootstrap(fit_bt(random_counts(1)), 0)
