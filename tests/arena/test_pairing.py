import random
from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from arena import pairing
from arena.pairing import Entrant, Needs

DRAWS = 20_000


def by_weight(weights):
    return pairing.odds(tuple(Entrant(model, weight) for model, weight in weights.items()))


def needs_of(models, *values):
    """Of the pairs in the order of `combinations`."""
    matrix = np.zeros((len(models), len(models)))
    matrix[np.triu_indices(len(models), k=1)] = values
    return Needs(tuple(models), matrix + matrix.T)


def pairs_of(odds):
    return {
        frozenset(pair): odds.probability(*pair)
        for pair in combinations(odds.models, 2)
        if odds.probability(*pair) > 0
    }


def assert_as_often_as_said(seen, chances):
    """`seen` counts pairs, `chances` gives each its probability; both know the same pairs."""
    assert set(seen) <= set(chances)
    total = sum(seen.values())
    assert sum(chances.values()) == pytest.approx(1)
    expected = [total * chances[pair] for pair in chances]
    assert chisquare([seen[pair] for pair in chances], expected).pvalue > 1e-3


weights = st.floats(0.01, 100, allow_nan=False)
weight_maps = st.dictionaries(st.integers(1, 50), weights, min_size=2, max_size=12)


@st.composite
def fields(draw):
    """Models of every kind, and what the ratings need of some of them."""
    ids = draw(st.lists(st.integers(1, 50), min_size=2, max_size=10, unique=True))
    targets = st.frozensets(st.sampled_from(ids), max_size=2)
    entrants = tuple(
        Entrant(pk, draw(weights), draw(st.booleans()), draw(targets) - {pk}) for pk in ids
    )
    known = draw(st.lists(st.integers(1, 50), min_size=2, max_size=8, unique=True))
    size = len(known) * (len(known) - 1) // 2
    values = draw(st.lists(st.floats(0, 10), min_size=size, max_size=size))
    needs = draw(st.none() | st.just(needs_of(known, *values)))
    return entrants, needs, draw(st.floats(0.01, 1))


# --- by weight ---------------------------------------------------------------------------------


def test_a_fresh_install_draws_every_pair_alike():
    odds = by_weight({1: 1.0, 2: 1.0, 3: 1.0})
    assert pairs_of(odds) == {
        frozenset(pair): pytest.approx(1 / 3) for pair in [(1, 2), (1, 3), (2, 3)]
    }


@given(weight_maps)
def test_the_second_model_is_drawn_among_the_others(weights):
    odds, total = by_weight(weights), sum(weights.values())
    for a, b in combinations(weights, 2):
        first, second = weights[a], weights[b]
        expected = first * second / total * (1 / (total - first) + 1 / (total - second))
        assert odds.probability(a, b) == pytest.approx(expected, rel=1e-6)


def test_drawn_pairs_come_as_often_as_their_stored_probability_says():
    odds = by_weight({1: 5.0, 2: 1.0, 3: 2.0, 4: 0.5})
    rng = random.Random(2)
    draws = [odds.draw(rng) for _ in range(DRAWS)]
    seen = Counter(frozenset((d.left, d.right)) for d in draws)
    assert_as_often_as_said(seen, {frozenset((d.left, d.right)): d.probability for d in draws})
    assert {d.sampler for d in draws} == {pairing.WEIGHTED}


def test_the_side_is_a_fair_coin_whatever_the_weights():
    odds, rng = by_weight({1: 100.0, 2: 1.0}), random.Random(3)
    draws = [odds.draw(rng) for _ in range(10_000)]
    assert 4_800 < sum(d.left == 1 for d in draws) < 5_200
    assert all(d.swapped == (d.left == 2) for d in draws)


def test_a_model_of_weight_zero_is_never_drawn():
    assert set(by_weight({1: 1, 2: 1, 3: 0}).models) == {1, 2}


@pytest.mark.parametrize("weights", [{}, {1: 1.0}, {1: 1.0, 2: 0.0}, {1: 0.0, 2: 0.0}])
def test_fewer_than_two_models_cannot_meet(weights):
    with pytest.raises(pairing.TooFewContestants):
        by_weight(weights).draw(random.Random(5))


# --- who may meet whom ---------------------------------------------------------------------------


def test_two_previews_never_meet():
    odds = pairing.odds((Entrant(1), Entrant(2, preview=True), Entrant(3, preview=True)))
    assert set(pairs_of(odds)) == {frozenset((1, 2)), frozenset((1, 3))}


def test_previews_alone_are_too_few():
    with pytest.raises(pairing.TooFewContestants):
        pairing.odds((Entrant(1, preview=True), Entrant(2, preview=True))).draw(random.Random(1))


def test_strict_targets_bind_both_sides():
    odds = pairing.odds((Entrant(1, only_meets=frozenset({2, 9})), Entrant(2), Entrant(3)))
    assert set(pairs_of(odds)) == {frozenset((1, 2)), frozenset((2, 3))}


def test_a_model_whose_targets_are_away_is_not_drawn():
    odds = pairing.odds((Entrant(1, 50.0, only_meets=frozenset({9})), Entrant(2), Entrant(3)))
    assert pairs_of(odds) == {frozenset((2, 3)): pytest.approx(1)}


@given(fields())
def test_the_probabilities_of_all_pairs_add_up_to_one_and_each_that_may_meet_has_one(field):
    entrants, needs, floor = field
    odds = pairing.odds(entrants, needs, floor)
    chances = pairs_of(odds)
    may_meet = {
        frozenset((a.id, b.id))
        for a, b in combinations(entrants, 2)
        if not (a.preview and b.preview)
        and (not a.only_meets or b.id in a.only_meets)
        and (not b.only_meets or a.id in b.only_meets)
    }
    assert set(chances) == may_meet
    assert sum(chances.values()) == pytest.approx(1 if may_meet else 0)
    assert sum(odds.shares().values()) == pytest.approx(2 if may_meet else 0)


@given(fields(), st.randoms(use_true_random=False))
def test_a_drawn_pair_carries_its_own_probability(field, rng):
    odds = pairing.odds(*field)
    if not pairs_of(odds):
        return
    draw = odds.draw(rng)
    assert draw.left != draw.right
    assert draw.probability == odds.probability(draw.left, draw.right) > 0


# --- active --------------------------------------------------------------------------------------

FOUR = tuple(Entrant(model) for model in (1, 2, 3, 4))


def test_pairs_are_drawn_by_their_need_above_a_floor():
    odds = pairing.odds(FOUR, needs_of((1, 2, 3, 4), 1, 0, 0, 0, 0, 3), 0.2)
    floor = 0.2 / 6
    assert odds.probability(1, 2) == pytest.approx(floor + 0.8 / 4)
    assert odds.probability(3, 4) == pytest.approx(floor + 0.8 * 3 / 4)
    assert odds.probability(1, 4) == pytest.approx(floor)
    assert odds.sampler == pairing.ACTIVE


def test_a_new_model_has_the_highest_need():
    odds = pairing.odds(FOUR, needs_of((1, 2, 3), 1, 2, 3), 0.1)
    assert odds.probability(1, 4) == odds.probability(2, 4) == odds.probability(2, 3)
    assert odds.probability(1, 2) < odds.probability(1, 3) < odds.probability(1, 4)


def test_needs_of_models_that_are_gone_change_nothing():
    some = pairing.odds(FOUR[:3], needs_of((1, 2, 3), 1, 2, 3), 0.1)
    more = pairing.odds(FOUR[:3], needs_of((1, 2, 3, 9), 1, 2, 0, 3, 0, 0), 0.1)
    assert np.allclose(some.pairs, more.pairs)


def test_weights_count_as_well_as_needs():
    entrants = (Entrant(1, 3.0), Entrant(2), Entrant(3))
    odds = pairing.odds(entrants, needs_of((1, 2, 3), 1, 1, 1), 0.01)
    assert odds.probability(1, 2) / odds.probability(2, 3) == pytest.approx(3, rel=0.02)


def test_where_nothing_is_needed_weights_decide():
    odds = pairing.odds(FOUR, needs_of((1, 2, 3, 4), 0, 0, 0, 0, 0, 0), 0.1)
    assert list(pairs_of(odds).values()) == [pytest.approx(1 / 6)] * 6


def test_active_draws_come_as_often_as_their_stored_probability_says():
    odds = pairing.odds(FOUR, needs_of((1, 2, 3), 0.1, 2, 0.4), 0.25)
    rng = random.Random(6)
    draws = [odds.draw(rng) for _ in range(DRAWS)]
    seen = Counter(frozenset((d.left, d.right)) for d in draws)
    assert_as_often_as_said(seen, {frozenset((d.left, d.right)): d.probability for d in draws})


@pytest.mark.parametrize("floor", [0, -0.1, 1.1])
def test_without_a_floor_pairs_would_never_meet(floor):
    with pytest.raises(ValueError, match="floor"):
        pairing.odds(FOUR, needs_of((1, 2), 1), floor)


def test_packed_needs_come_back_with_seven_digits():
    needs = needs_of((5, 7, 9), 0.1, 2.5e-7, 12.0)
    again = Needs.unpack([5, 7, 9], pairing.pack_needs(needs.matrix))
    assert again.models == (5, 7, 9)
    assert np.allclose(again.matrix, needs.matrix, rtol=1e-7)


# --- replacing a model that failed -------------------------------------------------------------


def test_a_model_is_replaced_in_proportion_to_the_weights_of_the_rest():
    odds, rng = by_weight({1: 5.0, 2: 1.0, 3: 3.0, 4: 9.0}), random.Random(6)
    drawn = Counter(odds.redraw(1, {4}, rng)[0] for _ in range(8_000))
    assert set(drawn) == {2, 3}
    assert drawn[3] / 8_000 == pytest.approx(0.75, abs=0.02)


def replaced_until_served(odds, failing, rng):
    """What becomes of a battle when these models never answer: the pair, and its stored chance."""
    draw = odds.draw(rng)
    pair, probability, failed = [draw.left, draw.right], draw.probability, set()
    while broken := [side for side in (0, 1) if pair[side] in failing]:
        side = rng.choice(broken)
        failed.add(pair[side])
        pair[side], probability = odds.redraw(pair[1 - side], failed, rng)
    return frozenset(pair), probability, failed


@pytest.mark.parametrize("failing", [{4}, {3, 4}])
@pytest.mark.parametrize(
    "needs",
    [None, needs_of((1, 2, 3, 4, 5), 1, 0, 5, 2, 0, 3, 1, 9, 4, 1)],
    ids=["weight", "active"],
)
def test_served_pairs_come_as_often_as_said_when_failed_models_are_replaced(failing, needs):
    entrants = tuple(Entrant(pk, w) for pk, w in [(1, 5.0), (2, 1.0), (3, 2.0), (4, 4.0), (5, 1.0)])
    odds, rng = pairing.odds(entrants, needs, 0.3), random.Random(7)
    served = Counter()
    chances = {}
    for _ in range(6_000):
        pair, probability, failed = replaced_until_served(odds, failing, rng)
        served[pair] += 1
        if failed == failing:  # then all that is to be known of the failures is known
            chances[pair] = probability
    assert_as_often_as_said(served, chances)


@given(weight_maps.filter(lambda weights: len(weights) > 3), st.randoms(use_true_random=False))
def test_by_weight_a_failed_model_is_as_if_it_had_never_been_there(weights, rng):
    kept, *rest = weights
    for failed in (rest[:1], rest[:2]):
        drawn, probability = by_weight(weights).redraw(kept, failed, rng)
        without = by_weight({pk: w for pk, w in weights.items() if pk not in failed})
        assert probability == pytest.approx(without.probability(kept, drawn), rel=1e-6)


@given(fields(), st.data())
def test_the_chances_of_all_served_pairs_add_up_to_one(field, data):
    """As long as whoever stays finds somebody else: else the battle is void."""
    odds = pairing.odds(*field)
    failed = data.draw(st.sets(st.sampled_from(odds.models), max_size=3))
    rest = [model for model in odds.models if model not in failed]
    if not all(any(odds.probability(a, b) > 0 for b in rest if b != a) for a in odds.models):
        return
    total = sum(odds.served(a, b, failed) for a, b in combinations(rest, 2))
    assert total == pytest.approx(1)


@pytest.mark.parametrize("weights", [{1: 1.0}, {1: 1.0, 2: 0.0}, {1: 1.0, 2: 1.0}])
def test_nobody_is_left_to_replace_a_model(weights):
    with pytest.raises(pairing.TooFewContestants):
        by_weight(weights).redraw(1, {2}, random.Random(8))
