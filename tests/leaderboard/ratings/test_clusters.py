from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.clusters import ALONE, fit_clustered
from leaderboard.ratings.counts import aggregate
from leaderboard.ratings.fit import Anchor
from leaderboard.ratings.simulate import VoteBlock, draw_population, simulate

from . import vote_files

MODELS = 10


def votes_of(taste: float, seed: int = 0, votes: int = 6000) -> VoteBlock:
    population = draw_population(MODELS, seed=1, voters=60, taste=taste)
    return simulate(population, votes, seed=seed)


@pytest.mark.parametrize("ties", ["half", "drop", "drop_bothbad", "davidson"])
@pytest.mark.parametrize("weighting", ["battles", "uniform_pairs"])
def test_one_vote_per_cluster_is_the_plain_sandwich(ties: str, weighting: str) -> None:
    v = votes_of(0)
    options = {"ties": ties, "weighting": weighting}
    plain = fit_bt(aggregate(v.first, v.second, v.outcome, MODELS), **options)
    for clusters in (np.arange(v.first.size), np.full(v.first.size, ALONE)):
        fit = fit_clustered(v.first, v.second, v.outcome, clusters, MODELS, **options)
        assert fit.ratings.tolist() == plain.ratings.tolist()
        assert np.abs(fit.cov() - plain.cov()).max() < 1e-11 * plain.cov().max()


def test_votes_of_like_minded_voters_make_intervals_wider() -> None:
    v = votes_of(150)
    fit = fit_clustered(v.first, v.second, v.outcome, v.voter, MODELS)
    plain = fit_bt(aggregate(v.first, v.second, v.outcome, MODELS))
    assert np.median(fit.standard_errors() / plain.standard_errors()) > 1.4


def test_clusters_that_mean_nothing_change_little() -> None:
    v = votes_of(0)
    fit = fit_clustered(v.first, v.second, v.outcome, v.voter, MODELS)
    plain = fit_bt(aggregate(v.first, v.second, v.outcome, MODELS))
    ratio = fit.standard_errors() / plain.standard_errors()
    assert 0.85 < np.median(ratio) < 1.15


def test_over_many_panels_of_voters_the_clustered_interval_is_the_honest_one() -> None:
    population = draw_population(MODELS, seed=1, voters=80, taste=150)
    ratings, clustered, plain = [], [], []
    for seed in range(60):
        v = simulate(population, 3000, seed=seed)
        fit = fit_clustered(v.first, v.second, v.outcome, v.voter, MODELS)
        ratings.append(fit.ratings)
        clustered.append(fit.standard_errors())
        plain.append(fit_bt(aggregate(v.first, v.second, v.outcome, MODELS)).standard_errors())
    spread = np.std(ratings, axis=0, ddof=1)
    # sixty panels know a standard deviation to 9 %, ten models together to some 4 %
    assert np.mean(clustered, axis=0).mean() / spread.mean() == pytest.approx(1.0, abs=0.12)
    assert np.mean(plain, axis=0).mean() / spread.mean() < 0.8


def test_twice_the_same_votes_of_the_same_voters_tell_nothing_new() -> None:
    v = votes_of(0, votes=800)
    once = fit_clustered(v.first, v.second, v.outcome, np.arange(800), MODELS)
    twice = fit_clustered(
        *(np.tile(x, 2) for x in (v.first, v.second, v.outcome, np.arange(800))), MODELS
    )
    assert np.allclose(twice.standard_errors(), once.standard_errors(), rtol=1e-9)


def test_judges_of_real_votes_agree_with_themselves(shared_data: Path) -> None:
    rows = vote_files.rows(shared_data, "wmt16_rus-eng")
    models = sorted({row[side] for row in rows for side in ("model_a", "model_b")})
    at = {m: i for i, m in enumerate(models)}
    fit = fit_clustered(
        [at[row["model_a"]] for row in rows],
        [at[row["model_b"]] for row in rows],
        [vote_files.OUTCOMES[row["winner"]] for row in rows],
        np.unique([row["ranking_id"] for row in rows], return_inverse=True)[1],
        len(models),
    )
    # five systems ranked at once give ten votes that are far from independent
    plain = fit_bt(vote_files.counts(shared_data, "wmt16_rus-eng"))
    assert np.median(fit.standard_errors() / plain.standard_errors()) > 1.1


def test_models_that_cannot_be_rated_and_self_battles_stay_out() -> None:
    v = votes_of(0, votes=500)
    first = np.concatenate([v.first, [MODELS] * 3, [2]])
    second = np.concatenate([v.second, [0, 1, 2], [2]])
    outcome = np.concatenate([v.outcome, [0, 0, 0], [1]])
    clusters = np.concatenate([v.voter, [0, 0, 0], [5]])
    fit = fit_clustered(first, second, outcome, clusters, MODELS + 1)
    without = fit_clustered(v.first, v.second, v.outcome, v.voter, MODELS)
    assert np.isnan(fit.ratings[-1])
    assert np.allclose(fit.standard_errors()[:-1], without.standard_errors())


def test_the_gauge_of_the_fit_holds_for_its_clustered_covariance() -> None:
    v = votes_of(0)
    fit = fit_clustered(v.first, v.second, v.outcome, v.voter, MODELS, gauge=Anchor(3, 1200))
    assert fit.interval().lower[3] == fit.interval().upper[3] == 1200


def test_without_votes_there_is_no_covariance() -> None:
    fit = fit_clustered([], [], [], [], 3)
    assert np.isnan(fit.standard_errors()).all()


@pytest.mark.parametrize("clusters", [[0], [0.5, 1.5], [[0, 1]]])
def test_clusters_that_make_no_sense_are_refused(clusters: list) -> None:
    with pytest.raises(ValueError, match="clusters"):
        fit_clustered([0, 1], [1, 0], [0, 0], clusters, 2)
