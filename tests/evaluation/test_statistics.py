"""Estimates and their intervals, against known figures and by simulation."""

from __future__ import annotations

from math import asin, isnan, pi, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evaluation.statistics import (
    Part,
    accuracy,
    bootstrap,
    clustered_mean,
    compare,
    composite,
    composite_interval,
    mean,
    reduce_epochs,
    sign_test,
    spearman,
    wilson,
)

GSM8K = [1.0] * 742 + [0.0] * (1319 - 742)


def test_742_of_1319_have_the_published_error_and_interval():
    estimate = accuracy(GSM8K)

    assert estimate.n == 1319
    assert estimate.value == pytest.approx(0.562547, abs=5e-7)
    assert estimate.se == pytest.approx(0.013664, abs=5e-7)
    assert (estimate.low, estimate.high) == pytest.approx((0.535633, 0.589099), abs=5e-7)


@given(st.integers(1, 10_000), st.data())
def test_wilson_holds_the_proportion_and_stays_within_nought_and_one(n, data):
    successes = data.draw(st.integers(0, n))

    low, high = wilson(successes, n)

    assert 0 <= low <= successes / n <= high <= 1
    assert low < high


@given(st.integers(1, 500), st.data())
def test_wilson_is_scipys(n, data):
    successes = data.draw(st.integers(0, n))
    theirs = stats.binomtest(successes, n).proportion_ci(method="wilson")

    assert wilson(successes, n) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


@pytest.mark.parametrize(("successes", "n"), [(1, 0), (2, 1), (-1, 3)])
def test_wilson_refuses_what_is_no_proportion(successes, n):
    with pytest.raises(ValueError, match="no proportion"):
        wilson(successes, n)


def test_accuracy_is_of_right_and_wrong_only():
    with pytest.raises(ValueError, match="0 or 1"):
        accuracy([0.5, 1.0])


@pytest.mark.parametrize("values", [[], [[1.0]], [float("nan")], [float("inf"), 1.0]])
def test_no_estimate_comes_from_no_scores(values):
    with pytest.raises(ValueError):
        mean(values)


def test_one_item_alone_has_no_error():
    estimate = mean([0.3])

    assert estimate.value == 0.3
    assert isnan(estimate.se)
    assert isnan(estimate.low)


def test_the_mean_has_students_interval():
    values = [1.0, 2.0, 4.0, 9.0]
    theirs = stats.ttest_1samp(values, 0).confidence_interval()

    estimate = mean(values)

    assert (estimate.low, estimate.high) == pytest.approx((theirs.low, theirs.high))


# Clusters ------------------------------------------------------------------------------------


@given(st.lists(st.floats(-5, 5), min_size=2, max_size=30))
def test_clusters_of_one_are_no_clusters(values):
    alone = clustered_mean(values, range(len(values)))

    assert alone.se == pytest.approx(mean(values).se, abs=1e-9)
    assert alone.low == pytest.approx(mean(values).low, abs=1e-7)


def test_copies_of_an_item_add_no_evidence():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    copies = clustered_mean(values * 10, list(range(5)) * 10)

    assert copies.se == pytest.approx(mean(values).se)
    assert (copies.n, copies.clusters) == (50, 5)
    assert copies.se > 3 * mean(values * 10).se


def test_one_cluster_says_nothing_of_the_next():
    assert isnan(clustered_mean([0.0, 1.0], ["a", "a"]).se)


def test_clustered_intervals_cover_the_truth_and_plain_ones_do_not():
    rng = np.random.default_rng(3)
    clusters = np.repeat(np.arange(20), 10)
    covered = {"clustered": 0, "plain": 0}
    for _ in range(400):
        values = rng.normal(size=20)[clusters] + rng.normal(size=200)
        one, other = clustered_mean(values, clusters.tolist()), mean(values)
        covered["clustered"] += one.low <= 0 <= one.high
        covered["plain"] += other.low <= 0 <= other.high

    assert 0.92 < covered["clustered"] / 400 < 0.98
    assert covered["plain"] / 400 < 0.7


# Bootstrap -----------------------------------------------------------------------------------


def test_the_bootstrap_repeats_with_its_seed():
    values = np.random.default_rng(0).random(50)

    assert bootstrap(values, seed=7) == bootstrap(values, seed=7)
    assert bootstrap(values, seed=7) != bootstrap(values, seed=8)


def test_the_bootstrap_of_a_mean_agrees_with_its_formula():
    estimate = bootstrap(GSM8K, seed=1)

    assert estimate.se == pytest.approx(accuracy(GSM8K).se, rel=0.06)
    assert (estimate.low, estimate.high) == pytest.approx((0.535633, 0.589099), abs=0.003)


def test_the_bootstrap_takes_any_statistic():
    values = list(range(101))

    estimate = bootstrap(values, lambda draws: np.median(draws, axis=-1))

    assert estimate.value == 50
    assert estimate.low < 50 < estimate.high


def test_large_benchmarks_are_drawn_in_batches_with_the_same_result(monkeypatch):
    values = np.random.default_rng(0).random(200)
    whole = bootstrap(values, draws=100)

    monkeypatch.setattr("evaluation.statistics.CELLS_AT_ONCE", 1_400)

    assert bootstrap(values, draws=100) == whole


def test_bootstrap_intervals_cover_the_truth():
    rng = np.random.default_rng(11)
    covered = 0
    for _ in range(300):
        estimate = bootstrap(rng.beta(2, 5, size=80), seed=int(rng.integers(2**31)), draws=400)
        covered += estimate.low <= 2 / 7 <= estimate.high

    assert 0.90 < covered / 300 < 0.98


# Epochs --------------------------------------------------------------------------------------


def test_epochs_are_reduced_per_item_before_items_are_averaged():
    epochs = [[1, 1, 0, 1], [0, 0, 0, 0], [1, 0]]

    assert reduce_epochs(epochs) == [0.75, 0.0, 0.5]
    assert reduce_epochs(epochs, "majority") == [1.0, 0.0, 0.0]
    assert reduce_epochs(epochs, "pass@2") == pytest.approx([1.0, 0.0, 1.0])


@pytest.mark.parametrize(
    ("epochs", "reducer"),
    [
        ([[1]], "pass@2"),
        ([[0.5, 1]], "pass@1"),
        ([[1], []], "mean"),
        ([[1]], "median"),
        ([[1]], "pass@"),
    ],
)
def test_epochs_that_cannot_be_reduced_are_refused(epochs, reducer):
    with pytest.raises(ValueError):
        reduce_epochs(epochs, reducer)


def test_pass_rate_counts_problems_not_responses():
    problems = [[1, 0, 0, 0]] * 30 + [[0, 0, 0, 0]] * 30

    estimate = bootstrap(reduce_epochs(problems, "pass@2"), seed=4)

    assert estimate.n == 60
    assert estimate.value == pytest.approx(0.25)
    # Half the problems at 0.5, half at 0: s = 0.25, over the square root of 60.
    assert estimate.se == pytest.approx(0.25 / sqrt(60), rel=0.1)


# Two models ----------------------------------------------------------------------------------


def answers(bits):
    return {f"item {i}": float(bit) for i, bit in enumerate(bits)}


def test_a_comparison_is_of_the_items_both_have():
    comparison = compare(answers("11010"), {**answers("0101"), "other": 1.0})

    assert comparison.n == 4
    assert comparison.left_out == 2
    assert comparison.difference == 0.25
    assert (comparison.a_better, comparison.b_better) == (1, 0)
    assert not comparison.clear


def test_pairing_takes_the_items_difficulty_out_of_the_error():
    rng = np.random.default_rng(5)
    difficulty = rng.random(1000)
    a = answers((difficulty < 0.6).astype(int))
    b = answers(((difficulty < 0.5) ^ (rng.random(1000) < 0.02)).astype(int))

    comparison = compare(a, b)

    unpaired = sqrt(accuracy(list(a.values())).se ** 2 + accuracy(list(b.values())).se ** 2)
    assert comparison.clear
    assert comparison.se < 0.6 * unpaired


def test_the_order_of_the_two_only_turns_the_sign():
    one, other = answers("110101"), answers("100011")

    there, back = compare(one, other), compare(other, one)

    assert there.difference == -back.difference
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))
    assert (there.a_better, there.b_better) == (back.b_better, back.a_better)


@pytest.mark.parametrize(
    ("n", "clear"), [(1, False), (3, False), (5, False), (6, True), (20, True)]
)
def test_a_clean_sweep_is_clear_only_when_chance_would_not_do_it(n, clear):
    assert compare(answers("1" * n), answers("0" * n)).clear is clear


def test_equal_answers_show_no_difference():
    comparison = compare(answers("1101"), answers("1101"))

    assert (comparison.difference, comparison.clear, comparison.p) == (0.0, False, 1.0)


def test_clusters_widen_a_comparison():
    a, b = answers("1" * 40 + "0" * 40), answers("0" * 10 + "1" * 20 + "0" * 50)
    passages = {key: i // 10 for i, key in enumerate(a)}

    assert compare(a, b, clusters=passages).se > 1.5 * compare(a, b).se


def test_two_models_without_a_common_item_cannot_be_compared():
    with pytest.raises(ValueError, match="no item in common"):
        compare({"a": 1.0}, {"b": 1.0})


def test_equal_models_are_called_clear_as_often_as_the_confidence_allows():
    rng = np.random.default_rng(2)
    clear = sum(
        compare(answers(rng.integers(2, size=200)), answers(rng.integers(2, size=200))).clear
        for _ in range(400)
    )

    assert 0.02 < clear / 400 < 0.09


@given(st.integers(0, 60), st.integers(0, 60))
def test_the_sign_test_is_the_binomial_test(first, second):
    expected = stats.binomtest(first, first + second).pvalue if first + second else 1.0

    assert sign_test(first, second) == pytest.approx(expected)


# Correlation and composite -------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=40))
def test_spearmans_rho_is_scipys_ties_and_all(pairs):
    x, y = zip(*pairs, strict=True)
    if len(set(x)) == 1 or len(set(y)) == 1:
        assert isnan(spearman(x, y).value)
        return

    estimate = spearman(x, y)

    assert estimate.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert -1 <= estimate.low <= estimate.value + 1e-9
    assert estimate.value - 1e-9 <= estimate.high <= 1
    assert estimate.low < estimate.high


def test_a_perfect_order_of_a_few_models_is_not_certain():
    estimate = spearman([1, 2, 3, 4, 5], [10, 20, 30, 40, 50])

    assert estimate.value == 1.0
    assert estimate.low < 0.5
    assert estimate.high == 1.0


def test_three_models_have_no_interval():
    assert isnan(spearman([1, 2, 3], [1, 3, 2]).low)


@pytest.mark.parametrize("r", [0.0, 0.5, 0.9])
def test_spearmans_interval_covers_the_truth(r):
    rng = np.random.default_rng(17)
    truth = 6 / pi * asin(r / 2)
    covered = 0
    for _ in range(500):
        x, noise = rng.normal(size=(2, 25))
        estimate = spearman(x, r * x + sqrt(1 - r * r) * noise)
        covered += estimate.low <= truth <= estimate.high

    assert 0.92 < covered / 500 < 0.98


def test_a_composite_is_the_mean_of_scores_above_guessing():
    parts = {"mmlu": Part(0.625, 0.25), "gsm8k": Part(0.7)}

    assert composite(parts) == pytest.approx((0.5 + 0.7) / 2)


def test_below_guessing_is_nought():
    assert composite({"mmlu": Part(0.1, 0.25)}) == 0.0


@pytest.mark.parametrize("missing", [None, float("nan")])
def test_without_all_its_parts_there_is_no_composite(missing):
    assert composite({"mmlu": Part(0.9, 0.25), "gsm8k": Part(missing)}) is None
    assert composite({}) is None


def test_a_composites_interval_is_that_of_its_part_when_it_has_one_only():
    part = Part(0.625, 0.25, 0.5, 0.7)
    assert composite_interval({"mmlu": part}) == pytest.approx((1 / 3, 0.6))


@pytest.mark.parametrize("part", [Part(None, 0.0, 0.1, 0.2), Part(0.5), Part(0.5, 0.0, 0.4, None)])
def test_without_the_interval_of_each_part_there_is_none(part):
    assert composite_interval({"mmlu": Part(0.9, 0.25, 0.8, 1.0), "gsm8k": part}) is None
    assert composite_interval({}) is None


def test_a_composites_interval_covers_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(1)
    truth, sizes, baseline = (0.3, 0.6, 0.9), (60, 200, 40), 0.1
    expected = np.mean([(p - baseline) / (1 - baseline) for p in truth])
    covered = 0
    for _ in range(1_000):
        parts = {}
        for name, (p, n) in enumerate(zip(truth, sizes, strict=True)):
            right = int(rng.binomial(n, p))
            parts[str(name)] = Part(right / n, baseline, *wilson(right, n))
        low, high = composite_interval(parts)
        covered += low <= expected <= high
    assert 0.93 <= covered / 1_000 <= 0.97


def test_a_baseline_of_one_leaves_nothing_to_measure():
    with pytest.raises(ValueError, match="baseline"):
        Part(0.5, 1.0)
