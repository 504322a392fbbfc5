from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from leaderboard.ratings.counts import Outcome, aggregate
from leaderboard.ratings.simulate import BLOCK, draw_population, simulate, simulate_votes

FIELDS = ("first", "second", "outcome", "voter")


def test_the_same_seed_gives_the_same_votes_and_another_seed_others() -> None:
    population = draw_population(8, seed=4)
    one, two, other = (simulate(population, 500, seed=s) for s in (7, 7, 8))
    assert all(np.array_equal(getattr(one, f), getattr(two, f)) for f in FIELDS)
    assert not np.array_equal(one.first, other.first)


def test_fewer_votes_are_the_beginning_of_more() -> None:
    population = draw_population(8, seed=4, taste=80)
    few, many = (simulate(population, n, seed=1) for n in (BLOCK + 100, 2 * BLOCK + 5))
    for name in FIELDS:
        assert np.array_equal(getattr(few, name), getattr(many, name)[: BLOCK + 100])


def test_votes_come_in_blocks_that_hold_all_of_them() -> None:
    sizes = [b.first.size for b in simulate_votes(draw_population(5), 2 * BLOCK + 3)]
    assert sizes == [BLOCK, BLOCK, 3]
    assert list(simulate_votes(draw_population(5), 0)) == []
    assert simulate(draw_population(5), 0).first.size == 0


def test_pairs_and_outcomes_are_as_common_as_the_population_says() -> None:
    population = draw_population(6, seed=2, tie_share=0.3, both_bad_share=0.25)
    votes = 200_000
    v = simulate(population, votes)
    assert (v.first != v.second).all()
    met = np.zeros((6, 6))
    np.add.at(met, (v.first, v.second), 1)
    expected = population.pair_probabilities()
    assert expected.sum() == pytest.approx(1)
    assert np.abs(met / votes - expected).max() < 5 * np.sqrt(expected.max() / votes)
    counts = aggregate(v.first, v.second, v.outcome, 6)
    both = expected + expected.T
    wins, ties = population.outcome_probabilities()
    assert np.abs(counts.wins / votes - both * wins).max() < 0.004
    assert np.abs((counts.ties + counts.both_bad) / votes - both * ties).max() < 0.004
    bad = counts.both_bad.sum() / (counts.ties + counts.both_bad).sum()
    assert bad == pytest.approx(0.25, abs=0.01)


def test_every_voter_votes_and_equals_tie_as_often_as_asked() -> None:
    population = draw_population(4, spread=0, tie_share=0.4, voters=50)
    v = simulate(population, 20_000)
    assert np.bincount(v.voter, minlength=50).min() > 250
    assert (v.outcome >= Outcome.TIE).mean() == pytest.approx(0.4, abs=0.015)


def test_a_voter_with_a_taste_repeats_it() -> None:
    population = draw_population(2, spread=0, tie_share=0, voters=100, taste=400)
    v = simulate(population, 20_000)
    of_model_0 = np.where(v.first == 0, v.outcome == 0, v.outcome == 1)
    by_voter = np.bincount(v.voter, of_model_0) / np.bincount(v.voter)
    assert by_voter.std() > 0.2
    assert abs(of_model_0.mean() - 0.5) < 0.15


def test_popularity_falls_as_a_power_and_ratings_average_a_thousand() -> None:
    population = draw_population(30, popularity_exponent=1.0)
    falling = np.sort(population.popularity)[::-1]
    assert falling[0] / falling[9] == pytest.approx(10)
    assert population.ratings.mean() == pytest.approx(1000)


@pytest.mark.parametrize(
    "options",
    [{"models": 1}, {"tie_share": 1.0}, {"both_bad_share": -0.1}, {"voters": 0}],
)
def test_an_impossible_population_is_refused(options: dict) -> None:
    with pytest.raises(ValueError):
        draw_population(**({"models": 5} | options))


def test_popularities_that_are_no_shares_are_refused() -> None:
    population = draw_population(5)
    with pytest.raises(ValueError, match="popularities"):
        replace(population, popularity=population.popularity * 2)
    with pytest.raises(ValueError, match="negative"):
        next(simulate_votes(population, -1))
