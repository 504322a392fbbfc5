from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize

from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import PairCounts, aggregate
from leaderboard.ratings.davidson import probabilities
from leaderboard.ratings.evidence import Status
from leaderboard.ratings.fit import Anchor, Fit
from leaderboard.ratings.simulate import draw_population, simulate

from . import vote_files
from .synthetic import random_counts


def davidson(counts: PairCounts, **options: object) -> Fit:
    return fit_bt(counts, ties="davidson", **options)


def test_the_three_chances_are_those_of_the_paper() -> None:
    strong, weak, nu = 3.0, 2.0, 0.5
    both = strong + weak + nu * np.sqrt(strong * weak)
    first, second, tie = probabilities(np.log(strong / weak), np.log(nu))
    assert first == pytest.approx(strong / both)
    assert second == pytest.approx(weak / both)
    assert tie == pytest.approx(nu * np.sqrt(strong * weak) / both)


def test_chances_far_apart_neither_overflow_nor_vanish_together() -> None:
    for difference, log_tie in ((5000.0, 0.0), (-5000.0, 0.0), (0.0, 900.0), (0.0, -np.inf)):
        chances = np.array(probabilities(np.array(difference), log_tie))
        assert chances.sum() == pytest.approx(1.0)
        assert (chances >= 0).all()


def test_two_models_are_fitted_without_remainder() -> None:
    # three shares, two parameters beside the gauge: every share is met exactly
    fit = davidson(PairCounts("ab", [[0, 30], [10, 0]], [[0, 15], [15, 0]], [[0, 5], [5, 0]]))
    assert fit.win_prob("a", "b") == pytest.approx(30 / 40)
    assert fit.diff("a", "b").estimate == pytest.approx(400 * np.log10(3))
    assert fit.tie_parameter == pytest.approx(20 / np.sqrt(30 * 10))
    # only the decisive votes speak of who is stronger: the delta method on log(30/10)
    assert fit.diff("a", "b").standard_error == pytest.approx(
        400 / np.log(10) * np.sqrt(1 / 30 + 1 / 10)
    )


def test_no_other_strengths_make_the_votes_likelier() -> None:
    counts = random_counts(41, models=6, votes=400)
    fit = davidson(counts)
    wins, even = counts.wins, counts.ties + counts.both_bad

    def loss(parameters: np.ndarray) -> float:
        strength = np.append(0.0, parameters[:-1])
        first, _, tie = probabilities(strength[:, np.newaxis] - strength, parameters[-1])
        return -float((wins * np.log(first)).sum() + (even * np.log(tie)).sum() / 2)

    found = minimize(loss, np.zeros(6), method="BFGS", options={"gtol": 1e-7})
    ours = np.append(fit.log_odds[1:] - fit.log_odds[0], np.log(fit.tie_parameter))
    assert loss(ours) <= found.fun + 1e-9
    assert np.abs(ours - found.x).max() < 1e-4


def test_real_votes_stretch_further_than_with_half_ties_and_keep_their_order(
    shared_data: Path,
) -> None:
    counts = vote_files.counts(shared_data, "arena33k_human")
    half, tied = fit_bt(counts), davidson(counts)
    assert round(float(np.ptp(tied.ratings))) == 636
    assert np.argsort(tied.ratings).tolist() == np.argsort(half.ratings).tolist()


@pytest.mark.parametrize("name", vote_files.GOLDEN)
def test_every_real_set_converges(shared_data: Path, name: str) -> None:
    fit = davidson(vote_files.counts(shared_data, name))
    assert fit.converged
    assert set(fit.status) == {Status.OK}
    assert np.isfinite(fit.standard_errors()).all()


def test_the_truth_behind_simulated_votes_is_found_within_its_errors() -> None:
    population = draw_population(20, seed=3, tie_share=0.3)
    votes = simulate(population, 40_000, seed=1)
    fit = davidson(aggregate(votes.first, votes.second, votes.outcome, 20))
    apart = (fit.ratings - population.ratings) / fit.standard_errors()
    assert np.abs(apart).max() < 3.5
    assert 0.5 < apart.std() < 1.5
    assert fit.tie_parameter == pytest.approx(np.exp(population.log_tie), rel=0.05)


@pytest.mark.parametrize("weighting", ["battles", "uniform_pairs"])
def test_replicas_spread_as_the_sandwich_says(weighting: str) -> None:
    fit = davidson(random_counts(42, models=20, votes=15_000), weighting=weighting)
    replicas = bootstrap(fit, 600, seed=1)
    ratio = replicas.standard_errors() / fit.standard_errors()
    assert 0.97 < np.median(ratio) < 1.03
    assert np.abs(ratio - 1).max() < 0.15
    assert np.abs(replicas.median() - fit.ratings).max() < fit.standard_errors().max()


def test_replicas_solved_together_are_those_solved_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    fit = davidson(random_counts(43, models=8, votes=500))
    together = bootstrap(fit, 30).ratings
    monkeypatch.setattr("leaderboard.ratings.bootstrap.CHORD_STEPS", 0)
    alone = bootstrap(fit, 30).ratings
    assert np.abs(together - alone).max() < 0.005


def test_without_ties_it_is_bradley_terry() -> None:
    counts = PairCounts(range(12), random_counts(44).wins)
    fit, plain = davidson(counts), fit_bt(counts)
    assert fit.tie_parameter == 0.0
    assert fit.ratings.tolist() == plain.ratings.tolist()
    assert np.array_equal(fit.cov(), plain.cov())
    assert bootstrap(fit, 5).ratings.tolist() == bootstrap(plain, 5).ratings.tolist()


def test_a_winner_held_only_to_ties_has_no_finite_strength() -> None:
    # strength and nu can grow together for ever, each step making the votes likelier
    counts = PairCounts("ab", [[0, 6], [0, 0]], [[0, 4], [4, 0]])
    assert fit_bt(counts).status == (Status.OK, Status.OK)
    fit = davidson(counts)
    assert fit.status == (Status.PROVISIONAL, Status.PROVISIONAL)
    assert np.isnan(fit.ratings).all()
    assert fit.tie_parameter is None
    assert (fit.rank_ub() == 0).all()
    assert np.isnan(bootstrap(fit, 5).ratings).all()


def test_one_loss_of_that_winner_is_enough() -> None:
    fit = davidson(PairCounts("ab", [[0, 6], [1, 0]], [[0, 4], [4, 0]]))
    assert fit.converged
    assert fit.status == (Status.OK, Status.OK)


def test_a_cycle_with_more_wins_than_ties_settles_the_strengths() -> None:
    # a beat b, b beat c, c tied with a: two wins against one tie hold a and c together
    cells = [("a", "b", "lo", 3), ("b", "c", "lo", 3), ("a", "c", "tie", 2)]
    fit = davidson(PairCounts.from_cells(cells))
    assert fit.converged
    assert set(fit.status) == {Status.OK}
    # with a second tie in the circle, wins and ties balance and nothing holds
    cells = [("a", "b", "lo", 3), ("b", "c", "tie", 3), ("a", "c", "tie", 2)]
    assert set(davidson(PairCounts.from_cells(cells)).status) == {Status.PROVISIONAL}


def test_nothing_but_ties_rates_nobody() -> None:
    fit = davidson(PairCounts("abc", ties=[[0, 9, 2], [9, 0, 1], [2, 1, 0]]))
    assert set(fit.status) == {Status.PROVISIONAL}
    assert np.isnan(fit.ratings).all()


def test_a_model_that_wins_everything_shifts_nobody() -> None:
    counts = random_counts(45, models=6)
    hero = PairCounts.from_cells([(0, "hero", "hi", 12)], models=[0, "hero"])
    before, after = davidson(counts), davidson(counts + hero)
    assert after.status[-1] is Status.PROVISIONAL
    assert after.ratings[:-1].tolist() == before.ratings.tolist()
    assert after.tie_parameter == before.tie_parameter


def test_gauge_and_start_change_no_difference() -> None:
    counts = random_counts(46)
    fit = davidson(counts)
    moved = davidson(counts, gauge=Anchor(2, 1500), start=np.linspace(800, 1200, 12))
    assert moved.ratings[2] == 1500
    assert np.ptp(moved.ratings - fit.ratings) < 1e-8
    assert davidson(counts).ratings.tobytes() == fit.ratings.tobytes()


def test_an_empty_table_is_no_error() -> None:
    assert davidson(PairCounts([])).tie_parameter is None
    assert davidson(PairCounts("ab")).status == (Status.UNRATED,) * 2
