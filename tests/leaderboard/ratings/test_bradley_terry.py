from __future__ import annotations

from math import log, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import Outcome, PairCounts
from leaderboard.ratings.evidence import Status
from leaderboard.ratings.fit import ELO_PER_LOG_ODDS, Anchor, Mean

from . import vote_files
from .synthetic import random_counts

# every model beats every other at least once: connected whatever is added to it
EVERYBODY_BEATS_EVERYBODY = np.ones((5, 5), dtype=int) - np.eye(5, dtype=int)


# --- against what others computed from the same votes ---


@pytest.mark.parametrize("name", vote_files.GOLDEN)
@pytest.mark.parametrize(
    ("weighting", "column"), [("battles", "bt"), ("uniform_pairs", "bt_rw")], ids=["bt", "bt_rw"]
)
def test_ratings_and_intervals_agree_with_the_reference(
    shared_data: Path, name: str, weighting: str, column: str
) -> None:
    counts = vote_files.counts(shared_data, name)
    fit = fit_bt(counts, weighting=weighting)
    bounds = fit.interval()

    def reference(suffix: str) -> np.ndarray:
        return vote_files.golden(shared_data, name, column + suffix, counts.models)

    assert fit.converged
    assert np.abs(fit.ratings - reference("")).max() < 0.01
    width = reference("_hi") - reference("_lo")
    assert np.abs((bounds.upper - bounds.lower) / width - 1).max() < 0.005
    assert fit.votes.tolist() == (
        vote_files.golden(shared_data, name, "num_battles", counts.models).tolist()
    )


@pytest.mark.parametrize("name", vote_files.GOLDEN)
def test_ratings_agree_with_fastchat_within_its_own_error(shared_data: Path, name: str) -> None:
    counts = vote_files.counts(shared_data, name)
    expected = vote_files.golden(shared_data, name, "bt_fastchat", counts.models)
    assert np.abs(fit_bt(counts).ratings - expected).max() < 0.5


def test_the_tie_policy_stretches_the_scale_and_keeps_the_order(shared_data: Path) -> None:
    counts = vote_files.counts(shared_data, "arena33k_human")
    fits = [fit_bt(counts, ties=ties) for ties in ("half", "drop_bothbad", "drop")]
    spread = [round(float(np.ptp(fit.ratings))) for fit in fits]
    assert spread == [413, 500, 597]
    assert len({tuple(np.argsort(fit.ratings)) for fit in fits}) == 1


def test_disconnected_language_pairs_are_not_put_on_one_scale(shared_data: Path) -> None:
    pairs = ("wmt16_tur-eng", "wmt16_ron-eng")
    counts = PairCounts([])
    for pair in pairs:
        counts = counts + PairCounts.from_votes(
            (f"{pair}/{a}", f"{pair}/{b}", o) for a, b, o in vote_files.votes(shared_data, pair)
        )
    fit = fit_bt(counts)
    in_turkish = np.array([str(m).startswith("wmt16_tur") for m in fit.models])
    assert [len(c) for c in fit.components] == [9, 7]
    assert {s for s, here in zip(fit.status, in_turkish, strict=True) if here} == {Status.OK}
    assert np.isnan(fit.ratings[~in_turkish]).all()
    assert {fit.status[i] for i in np.flatnonzero(~in_turkish)} == {Status.SEPARATED}
    alone = fit_bt(vote_files.counts(shared_data, pairs[0]))
    assert np.allclose(fit.ratings[in_turkish], alone.ratings, atol=1e-9)


# --- closed forms ---


def test_two_models_have_the_odds_of_their_wins() -> None:
    fit = fit_bt(PairCounts("ab", [[0, 30], [10, 0]]))
    difference = fit.diff("a", "b")
    assert difference.estimate == pytest.approx(400 * np.log10(3), abs=1e-9)
    # with decisive votes alone the sandwich is the inverse information 1/(n p q)
    assert difference.standard_error == pytest.approx(
        ELO_PER_LOG_ODDS / sqrt(40 * 0.75 * 0.25), rel=1e-9
    )
    assert fit.win_prob("a", "b") == pytest.approx(0.75)
    assert fit.ratings.mean() == pytest.approx(1000)


def test_half_ties_leave_over_only_their_own_small_residual() -> None:
    fit = fit_bt(PairCounts("ab", [[0, 5], [3, 0]], [[0, 4], [4, 0]]))
    p = 7 / 12
    left_over = 5 * (1 - p) ** 2 + 3 * p**2 + 4 * (0.5 - p) ** 2
    assert fit.log_odds[0] - fit.log_odds[1] == pytest.approx(log(p / (1 - p)))
    assert fit.diff("a", "b").standard_error == pytest.approx(
        ELO_PER_LOG_ODDS * sqrt(left_over) / (12 * p * (1 - p))
    )


def test_dropping_ties_drops_what_its_name_says() -> None:
    wins, ties, bad = [[0, 30], [10, 0]], [[0, 7], [7, 0]], [[0, 900], [900, 0]]
    counts = PairCounts("ab", wins, ties, bad)
    assert fit_bt(counts, ties="drop").ratings.tolist() == (
        fit_bt(PairCounts("ab", wins)).ratings.tolist()
    )
    assert fit_bt(counts, ties="drop_bothbad").ratings.tolist() == (
        fit_bt(PairCounts("ab", wins, ties)).ratings.tolist()
    )
    assert fit_bt(counts, ties="drop").votes.tolist() == [40, 40]


def test_uniform_pairs_make_a_busy_pair_as_loud_as_a_quiet_one() -> None:
    cycle = np.array([[0, 60, 400], [40, 0, 60], [600, 40, 0]])
    louder = cycle.copy()
    louder[0, 2], louder[2, 0] = 40_000, 60_000
    options = {"weighting": "uniform_pairs", "min_pair_count": 100}
    once, hundredfold = (fit_bt(PairCounts("abc", w), **options) for w in (cycle, louder))
    assert np.allclose(once.ratings, hundredfold.ratings, atol=1e-9)
    assert not np.allclose(fit_bt(PairCounts("abc", cycle)).ratings, once.ratings, atol=1)


def test_the_interval_of_the_mean_gauge_matches_a_resampling_of_the_votes() -> None:
    counts = random_counts(3, models=5, votes=1500)
    fit = fit_bt(counts)
    rng = np.random.default_rng(11)
    cells = list(counts.cells())
    n = np.array([c[3] for c in cells])
    replicas = []
    for draw in rng.multinomial(n.sum(), n / n.sum(), size=400):
        resampled = [(lo, hi, o, int(k)) for (lo, hi, o, _), k in zip(cells, draw, strict=True)]
        replicas.append(fit_bt(PairCounts.from_cells(resampled, counts.models)).ratings)
    ratio = np.std(replicas, axis=0, ddof=1) / fit.standard_errors()
    # the standard deviation of 400 draws has itself an error of 3.5 %
    assert np.abs(ratio - 1).max() < 0.12
    assert abs(ratio.mean() - 1) < 0.05


def test_the_estimate_makes_expected_and_observed_scores_equal() -> None:
    counts = random_counts(5)
    fit = fit_bt(counts)
    p = 1 / (1 + np.exp(fit.log_odds[np.newaxis, :] - fit.log_odds[:, np.newaxis]))
    observed = (counts.wins + (counts.ties + counts.both_bad) / 2).sum(axis=1)
    assert np.abs((counts.per_pair() * p).sum(axis=1) - observed).max() < 1e-8


# --- gauges ---


def test_a_gauge_moves_all_ratings_alike_and_changes_no_difference() -> None:
    counts = random_counts(7)
    mean, other_mean = fit_bt(counts), fit_bt(counts, gauge=Mean(1500))
    anchored = fit_bt(counts, gauge=Anchor(4, 1114))
    assert mean.ratings.mean() == pytest.approx(1000)
    assert anchored.ratings[4] == 1114
    for fit in (other_mean, anchored):
        shift = fit.ratings - mean.ratings
        assert np.ptp(shift) < 1e-9
        assert fit.diff(1, 2) == mean.diff(1, 2)
        assert fit.win_prob(1, 2) == mean.win_prob(1, 2)


def test_the_anchor_has_no_interval_and_lends_its_variance_to_the_others() -> None:
    fit = fit_bt(random_counts(7), gauge=Anchor(4, 1114))
    bounds = fit.interval()
    assert bounds.lower[4] == bounds.upper[4] == 1114
    difference = fit.diff(2, 4)
    assert fit.standard_errors()[2] == pytest.approx(difference.standard_error)
    assert bounds.lower[2] - 1114 == pytest.approx(difference.lower)
    assert np.array_equal(fit.cov(), fit_bt(random_counts(7)).cov(Anchor(4, 0)))


def test_the_covariance_of_the_mean_gauge_sums_to_zero() -> None:
    cov = fit_bt(random_counts(8)).cov()
    assert np.abs(cov.sum(axis=0)).max() < 1e-9 * cov.max()
    assert np.linalg.eigvalsh(cov).min() > -1e-9 * cov.max()


@pytest.mark.parametrize("anchor", ["nobody", "champion", "newcomer"])
def test_an_anchor_that_has_no_rating_is_refused(anchor: str) -> None:
    wins = [[0, 3, 3, 0], [0, 0, 2, 0], [0, 1, 0, 0], [0, 0, 0, 0]]
    counts = PairCounts(["champion", "b", "c", "newcomer"], wins)
    with pytest.raises(ValueError, match="anchor"):
        fit_bt(counts, gauge=Anchor(anchor, 1000))
    with pytest.raises(ValueError, match="anchor"):
        fit_bt(counts).cov(Anchor(anchor, 1000))


# --- what the votes cannot say ---


def test_a_model_that_wins_everything_gets_no_number_and_shifts_nobody() -> None:
    counts = random_counts(9, models=6)
    before = fit_bt(counts)
    hero = PairCounts.from_cells([(0, "hero", "hi", 12)], models=[0, "hero"])
    after = fit_bt(counts + hero)
    assert after.status[-1] is Status.PROVISIONAL
    assert np.isnan(after.ratings[-1])
    assert np.isnan(after.interval().lower[-1])
    assert after.rank_ub()[-1] == 0
    assert after.ratings[:-1].tolist() == before.ratings.tolist()
    assert after.rank_ub()[:-1].tolist() == before.rank_ub().tolist()
    assert np.isnan(after.win_prob("hero", 0))
    assert np.isnan(after.diff("hero", 0).estimate)


def test_a_pair_that_loses_to_everybody_else_is_not_rated_beside_them() -> None:
    cells = [("a", "b", "lo", 5), ("a", "b", "hi", 4), ("b", "c", "lo", 5), ("b", "c", "hi", 3)]
    cells += [("c", "x", "lo", 8), ("x", "y", "lo", 2), ("x", "y", "hi", 2)]
    counts = PairCounts.from_cells(cells)
    fit = fit_bt(counts)
    assert fit.components == (("a", "b", "c"), ("x", "y"))
    assert fit.status == (Status.OK,) * 3 + (Status.PROVISIONAL,) * 2
    assert np.isnan(fit.ratings[3:]).all()


def test_of_two_islands_the_larger_is_rated_and_the_other_said_to_be_separated() -> None:
    cells = [("a", "b", "lo", 5), ("a", "b", "hi", 4), ("b", "c", "lo", 2), ("b", "c", "hi", 2)]
    cells += [("x", "y", "lo", 500), ("x", "y", "hi", 400)]
    fit = fit_bt(PairCounts.from_cells(cells))
    assert fit.status == (Status.OK,) * 3 + (Status.SEPARATED,) * 2
    assert np.nanmean(fit.ratings) == pytest.approx(1000)


def test_a_model_without_votes_is_unrated() -> None:
    fit = fit_bt(PairCounts("abc", [[0, 3, 0], [2, 0, 0], [0, 0, 0]]))
    assert fit.status == (Status.OK, Status.OK, Status.UNRATED)
    assert np.isnan(fit.ratings[2])
    assert np.isnan(fit.cov()[2]).all()
    assert fit.components == (("a", "b"),)


def test_a_model_whose_votes_are_all_dropped_is_unrated() -> None:
    counts = PairCounts.from_cells([(1, 2, "lo", 3), (1, 2, "hi", 3), (2, 3, "tie", 9)])
    assert fit_bt(counts, ties="drop").status[2] is Status.UNRATED


@pytest.mark.parametrize(
    ("models", "status"), [([], ()), (["a"], (Status.UNRATED,)), ("abc", (Status.UNRATED,) * 3)]
)
def test_without_votes_nobody_is_rated(models: list[str], status: tuple[Status, ...]) -> None:
    fit = fit_bt(PairCounts(models))
    assert fit.status == status
    assert fit.converged
    assert np.isnan(fit.ratings).all()
    assert np.isnan(fit.interval().upper).all()
    assert (fit.rank_ub() == 0).all()
    assert fit.components == ()


def test_one_sided_votes_alone_rate_nobody() -> None:
    fit = fit_bt(PairCounts("ab", [[0, 5], [0, 0]]))
    assert fit.status == (Status.SEPARATED, Status.SEPARATED)
    assert np.isnan(fit.ratings).all()


def test_nothing_but_ties_gives_equal_ratings_and_no_false_certainty() -> None:
    fit = fit_bt(PairCounts("abc", ties=[[0, 9, 2], [9, 0, 1], [2, 1, 0]]))
    assert fit.ratings.tolist() == [1000, 1000, 1000]
    assert set(fit.status) == {Status.PROVISIONAL}
    assert np.isnan(fit.interval().lower).all()
    assert np.isnan(fit.diff("a", "b").lower)
    assert (fit.rank_ub() == 0).all()


def test_a_lone_upset_against_a_million_losses_is_still_rated() -> None:
    fit = fit_bt(PairCounts("ab", [[0, 10**6], [1, 0]]))
    assert fit.converged
    assert fit.diff("a", "b").estimate == pytest.approx(2400, abs=1e-6)


def test_a_new_model_among_a_million_votes_keeps_its_wide_interval() -> None:
    rng = np.random.default_rng(1)
    counts = random_counts(2, models=30)
    big = PairCounts(range(30), counts.wins * 400, counts.ties * 400, counts.both_bad * 400)
    assert big.total > 10**6
    rivals = rng.choice(30, size=10, replace=False)
    cells = [(int(r), "new", o, 1) for r in rivals for o in ("lo", "hi")]
    fit = fit_bt(big + PairCounts.from_cells(cells, models=[*range(30), "new"]))
    # twenty votes against well-known rivals: 1/sqrt(sum p q) log-odds, all else being known
    p = np.array([fit.win_prob("new", int(r)) for r in rivals])
    information = 2 * (p * (1 - p)).sum()
    left_over = ((1 - p) ** 2 + p**2).sum()
    alone = ELO_PER_LOG_ODDS * sqrt(left_over) / information
    assert fit.standard_errors()[-1] == pytest.approx(alone * 30 / 31, rel=0.02)


# --- the solver ---


def test_the_same_counts_give_the_same_bits() -> None:
    one, two = fit_bt(random_counts(4)), fit_bt(random_counts(4))
    assert one.ratings.tobytes() == two.ratings.tobytes()
    assert one.cov().tobytes() == two.cov().tobytes()


def test_the_order_of_the_models_does_not_matter() -> None:
    counts = random_counts(4, models=20, votes=20_000)
    order = np.random.default_rng(0).permutation(20)
    fit, permuted = fit_bt(counts), fit_bt(counts.restricted_to([int(i) for i in order]))
    assert np.abs(permuted.ratings - fit.ratings[order]).max() < 1e-9
    assert np.abs(permuted.interval().lower - fit.interval().lower[order]).max() < 1e-9
    assert permuted.rank_ub().tolist() == fit.rank_ub()[order].tolist()


def test_a_warm_start_saves_iterations_and_changes_nothing_else() -> None:
    counts = random_counts(6)
    cold = fit_bt(counts)
    start = cold.ratings.copy()
    start[3] = np.nan
    warm = fit_bt(counts, start=start)
    assert warm.iterations < cold.iterations
    assert np.abs(warm.ratings - cold.ratings).max() < 1e-9
    far = fit_bt(counts, start=np.linspace(-9000, 9000, 12))
    assert far.converged
    assert np.abs(far.ratings - cold.ratings).max() < 1e-9
    with pytest.raises(ValueError, match="shape"):
        fit_bt(counts, start=[1000.0])


def test_unreachable_accuracy_is_reported_and_not_claimed() -> None:
    fit = fit_bt(random_counts(6), tol=0.0)
    assert not fit.converged


@pytest.mark.parametrize(
    "option", [{"ties": "quarter"}, {"weighting": "loud"}, {"min_pair_count": 0}]
)
def test_unknown_options_are_refused(option: dict) -> None:
    options = {"weighting": "uniform_pairs"} | option
    with pytest.raises(ValueError):
        fit_bt(random_counts(6), **options)


def test_a_level_outside_zero_and_one_is_refused() -> None:
    with pytest.raises(ValueError, match="level"):
        fit_bt(random_counts(6)).interval(95)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), min_size=25, max_size=25))
def test_mirroring_every_result_mirrors_every_rating(extra: list[int]) -> None:
    wins = np.array(extra).reshape(5, 5) * EVERYBODY_BEATS_EVERYBODY + EVERYBODY_BEATS_EVERYBODY
    fit, mirror = fit_bt(PairCounts(range(5), wins)), fit_bt(PairCounts(range(5), wins.T))
    assert np.abs((fit.ratings - 1000) + (mirror.ratings - 1000)).max() < 1e-7


@settings(max_examples=40)
@given(st.lists(st.integers(0, 30), min_size=25, max_size=25), st.integers(2, 50))
def test_repeating_every_vote_keeps_ratings_and_narrows_intervals_by_its_root(
    extra: list[int], times: int
) -> None:
    wins = np.array(extra).reshape(5, 5) * EVERYBODY_BEATS_EVERYBODY + EVERYBODY_BEATS_EVERYBODY
    once, often = fit_bt(PairCounts(range(5), wins)), fit_bt(PairCounts(range(5), wins * times))
    assert np.abs(once.ratings - often.ratings).max() < 1e-7
    assert np.allclose(once.standard_errors(), often.standard_errors() * sqrt(times), rtol=1e-9)


def test_a_wider_level_gives_a_wider_interval_and_no_worse_rank() -> None:
    fit = fit_bt(random_counts(12))
    narrow, wide = fit.interval(0.8), fit.interval(0.99)
    assert (wide.lower < narrow.lower).all()
    assert (wide.upper > narrow.upper).all()
    assert (fit.rank_ub(0.99) <= fit.rank_ub(0.8)).all()
    assert fit.rank_ub().min() == 1


def test_an_outcome_can_be_given_by_its_number() -> None:
    counts = PairCounts("ab")
    counts.add("a", "b", Outcome(1))
    assert counts.wins[1, 0] == 1
