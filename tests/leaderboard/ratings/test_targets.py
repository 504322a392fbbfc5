"""What the ratings promise as numbers: coverage, agreement with what was published, cost.

Agreement with the reference implementations is in the test of each part; ratios against peers that
must be installed apart are in tests/benchmarks/ratings. Simulations that need many runs carry the
marker `benchmark`, with a smaller sister in the default suite.
"""

from __future__ import annotations

import csv
import gzip
import os
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import spearmanr

from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import PairCounts, aggregate
from leaderboard.ratings.evidence import Status
from leaderboard.ratings.rank import rank_by_point
from leaderboard.ratings.simulate import Population, draw_population, simulate, simulate_votes

from . import vote_files


def pseudo_true(population: Population) -> np.ndarray:
    """The ratings that half-win ties tend to as votes grow: the fit of the expected counts."""
    pairs = population.pair_probabilities()
    pairs = pairs + pairs.T
    wins, ties = population.outcome_probabilities()
    scale = 1e12  # counts are whole numbers; this many leave twelve digits
    expected_ties = np.rint(scale * pairs * ties).astype(np.int64)
    expected = PairCounts(
        range(len(pairs)),
        np.rint(scale * pairs * wins).astype(np.int64),
        np.maximum(expected_ties, expected_ties.T),
    )
    return fit_bt(expected).ratings


def coverage(population: Population, *, votes: int, runs: int) -> tuple[np.ndarray, float]:
    """Share of runs in which each model's interval holds its rating; and of runs in which the
    upper-bound rank of any model is worse than its true rank."""
    target = pseudo_true(population)
    true_rank = rank_by_point(target)
    size = target.size
    held, overstated, rated_runs = np.zeros(size), 0, np.zeros(size)
    for seed in range(runs):
        v = simulate(population, votes, seed=seed)
        fit = fit_bt(aggregate(v.first, v.second, v.outcome, size))
        bounds = fit.interval()
        rated = np.array([s is Status.OK for s in fit.status])
        # the gauge is the mean of the rated models: hold the target to the same
        shifted = target - target[rated].mean() + 1000
        held += rated & (bounds.lower <= shifted) & (shifted <= bounds.upper)
        rated_runs += rated
        overstated += bool((fit.rank_ub()[rated] > true_rank[rated]).any())
    return held / rated_runs, overstated / runs


def twenty_models() -> Population:
    return draw_population(20, seed=11, tie_share=0.25)


def test_intervals_hold_the_truth_about_as_often_as_they_say() -> None:
    share, overstated = coverage(twenty_models(), votes=5000, runs=150)
    # 150 runs of twenty models know the mean to about half a per cent
    assert 0.935 < share.mean() < 0.965
    assert share.min() > 0.88
    assert overstated < 0.05


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_coverage_of_twenty_models_and_five_thousand_votes_in_a_thousand_runs() -> None:
    share, overstated = coverage(twenty_models(), votes=5000, runs=1000)
    print(f"\ncoverage {share.mean():.4f}, worst model {share.min():.4f}, rank {overstated:.4f}")
    assert 0.94 < share.mean() < 0.96
    assert share.min() > 0.91
    assert overstated < 0.03


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_coverage_of_a_hundred_models_and_a_hundred_thousand_votes() -> None:
    share, overstated = coverage(draw_population(100, seed=12), votes=100_000, runs=300)
    print(f"\ncoverage {share.mean():.4f}, worst model {share.min():.4f}, rank {overstated:.4f}")
    assert 0.94 < share.mean() < 0.96
    assert share.min() > 0.9
    assert overstated < 0.05


def test_the_bootstrap_spreads_as_the_sandwich_in_an_arena_of_unequal_popularity() -> None:
    v = simulate(draw_population(60, seed=13), 60_000)
    fit = fit_bt(aggregate(v.first, v.second, v.outcome, 60))
    ratio = bootstrap(fit, 400, seed=2).standard_errors() / fit.standard_errors()
    assert 0.97 < np.median(ratio) < 1.03


def test_a_new_model_with_twenty_of_a_million_votes_is_as_uncertain_as_its_replicas() -> None:
    models = 40
    counts = aggregate([], [], [], models)
    for block in simulate_votes(draw_population(models, seed=14), 1_000_000):
        counts = counts + aggregate(block.first, block.second, block.outcome, models)
    rivals = np.random.default_rng(0).choice(models, size=20, replace=False)
    endings = ["lo"] * 7 + ["hi"] * 8 + ["tie"] * 3 + ["both_bad"] * 2
    cells = [(int(r), "new", ending, 1) for r, ending in zip(rivals, endings, strict=True)]
    fit = fit_bt(counts + PairCounts.from_cells(cells, models=[*range(models), "new"]))
    replicas = bootstrap(fit, 2000, seed=1)
    bounds, resampled = fit.interval(), replicas.interval()
    width = bounds.upper[-1] - bounds.lower[-1]
    assert width > 200
    assert width / (resampled.upper[-1] - resampled.lower[-1]) == pytest.approx(1, abs=0.1)
    # and nobody else is disturbed by the newcomer
    assert np.median(fit.standard_errors()[:-1]) < 5


@pytest.mark.parametrize("pair", [n for n in vote_files.GOLDEN if n.startswith("wmt16_")])
def test_ranks_of_translation_systems_lie_in_the_ranges_that_were_published(
    shared_data: Path, pair: str
) -> None:
    path = shared_data / "votes" / f"{pair}.published_trueskill.csv"
    with path.open(encoding="utf-8") as file:
        published = {
            row["model"]: (float(row["rank_lo"]), float(row["rank_hi"]))
            for row in csv.DictReader(file)
        }
    counts = vote_files.counts(shared_data, pair)
    ranks = rank_by_point(fit_bt(counts).ratings)
    assert set(published) == set(counts.models)
    for model, rank in zip(counts.models, ranks, strict=True):
        best, worst = published[model]
        assert best <= rank <= worst, model


def test_real_arena_votes_order_the_models_as_the_leaderboard_of_those_weeks(
    shared_data: Path,
) -> None:
    path = shared_data / "votes" / "lmarena_history_2023_2025.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        published = {
            row["key"]: float(row["rating"])
            for row in csv.DictReader(file)
            if row["date"] == "20230619"
        }
    counts = vote_files.counts(shared_data, "arena33k_human")
    theirs = [published[model] for model in counts.models]
    # another snapshot of the votes, rated by online Elo: the order is what can be compared
    assert spearmanr(fit_bt(counts).ratings, theirs).statistic > 0.98


def published_medians(shared_data: Path, models: tuple[str, ...]) -> np.ndarray:
    """Of FastChat's own bootstrap of these votes (1,000 rounds, seed 0), which was published as
    bounds: the middle of the 95 % interval stands for the median."""
    lower, upper = (
        vote_files.golden(shared_data, "arena33k_human", f"fc_boot_{bound}", models)
        for bound in ("q025", "q975")
    )
    return (lower + upper) / 2


def test_real_arena_votes_give_the_ratings_and_intervals_that_were_published(
    shared_data: Path,
) -> None:
    counts = vote_files.counts(shared_data, "arena33k_human")
    medians = published_medians(shared_data, counts.models)
    fit = fit_bt(counts)
    assert np.abs(fit.ratings - medians).max() < 2
    assert spearmanr(fit.ratings, medians).statistic > 0.995
    lower = vote_files.golden(shared_data, "arena33k_human", "fc_boot_q025", counts.models)
    width = fit.interval().upper - fit.interval().lower
    assert width == pytest.approx(2 * (medians - lower), rel=0.08)


@pytest.mark.parametrize(("battles", "models", "farthest"), [(2000, 16, 7), (2250, 11, 10)])
def test_a_sub_pool_of_real_arena_votes_agrees_with_the_published_medians_of_all(
    shared_data: Path, battles: int, models: int, farthest: float
) -> None:
    """Only the votes among the models with so many battles, moved to the same mean.

    What is left out is evidence, so the smaller the pool, the farther the ratings are by chance
    alone: 2.9 Elo with sixteen models (22,096 votes), 8.5 with eleven (13,071), where a rating has
    a standard error of 7. The order is that of all in both.
    """
    every = vote_files.counts(shared_data, "arena33k_human")
    pool = every.per_model() >= battles
    assert pool.sum() == models
    counts = every.restricted_to(
        [model for model, here in zip(every.models, pool, strict=True) if here]
    )
    medians = published_medians(shared_data, every.models)[pool]
    ratings = fit_bt(counts).ratings
    difference = ratings - ratings.mean() - (medians - medians.mean())
    assert np.abs(difference).max() < farthest
    assert spearmanr(ratings, medians).statistic > 0.995


def test_a_refresh_needs_no_votes_and_does_the_same_work_for_a_thousand_times_as_many() -> None:
    v = simulate(draw_population(30, seed=15), 20_000)
    counts = aggregate(v.first, v.second, v.outcome, 30)
    many = PairCounts(counts.models, counts.wins * 1000, counts.ties * 1000, counts.both_bad * 1000)
    few_fit, many_fit = fit_bt(counts), fit_bt(many)
    assert many.total == 1000 * counts.total
    assert many_fit.iterations == few_fit.iterations
    assert np.abs(many_fit.ratings - few_fit.ratings).max() < 1e-9


def test_rating_half_a_million_votes_takes_little_more_memory_than_they_do() -> None:
    v = simulate(draw_population(50, seed=16), 500_000)
    held = v.first.nbytes + v.second.nbytes + v.outcome.nbytes
    tracemalloc.start()
    try:
        fit_bt(aggregate(v.first, v.second, v.outcome, 50)).interval()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * held


# --- cost ---


@pytest.mark.benchmark
@pytest.mark.parametrize(("row", "times"), [("refresh", 4), ("from_votes", 15), ("style", 0.3)])
def test_the_cost_against_one_pass_over_the_votes_in_python(row: str, times: float) -> None:
    ours, peer = cost_of(row)
    assert peer / ours > times


@pytest.mark.benchmark
def test_a_thousand_replicas_cost_less_than_five_hundred_estimates() -> None:
    replicas, estimate = cost_of("bootstrap")
    assert replicas / estimate < 500


def cost_of(row: str) -> tuple[float, float]:
    """Measured in a process whose BLAS has one thread: idle ones spin, and count as CPU."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.leaderboard.ratings.cost", row],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    ours, peer = (float(seconds) for seconds in done.stdout.split())
    print(f"\n{row}: {ours * 1000:.1f} ms of CPU, peer {peer * 1000:.1f} ms, {peer / ours:.2f}x")
    return ours, peer
