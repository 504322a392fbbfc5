import random
from collections import Counter
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arena import pairing

weight_maps = st.dictionaries(
    st.integers(1, 50), st.floats(0.01, 100, allow_nan=False), min_size=2, max_size=12
)


def test_a_fresh_install_draws_every_pair_alike():
    weights = {1: 1.0, 2: 1.0, 3: 1.0}
    rng = random.Random(1)
    seen = Counter()
    for _ in range(3000):
        draw = pairing.draw(weights, rng)
        assert draw.probability == pytest.approx(1 / 3)
        seen[frozenset((draw.left, draw.right))] += 1
    assert all(900 < n < 1100 for n in seen.values())
    assert len(seen) == 3


@given(weight_maps)
def test_the_probabilities_of_all_pairs_add_up_to_one(weights):
    total = sum(pairing.pair_probability(weights, a, b) for a, b in combinations(weights, 2))
    assert total == pytest.approx(1)


@given(weight_maps, st.randoms(use_true_random=False))
def test_a_drawn_pair_carries_its_own_probability(weights, rng):
    draw = pairing.draw(weights, rng)
    assert draw.left != draw.right
    assert draw.probability == pytest.approx(
        pairing.pair_probability(weights, draw.left, draw.right)
    )


def test_drawn_pairs_come_as_often_as_their_stored_probability_says():
    weights = {1: 5.0, 2: 1.0, 3: 2.0}
    rng = random.Random(2)
    draws = [pairing.draw(weights, rng) for _ in range(20_000)]
    for pair in combinations(weights, 2):
        share = sum({d.left, d.right} == set(pair) for d in draws) / len(draws)
        assert share == pytest.approx(pairing.pair_probability(weights, *pair), abs=0.012)


def test_the_side_is_a_fair_coin_whatever_the_weights():
    weights = {1: 100.0, 2: 1.0}
    rng = random.Random(3)
    left = sum(pairing.draw(weights, rng).left == 1 for _ in range(10_000))
    assert 4_800 < left < 5_200


def test_a_model_of_weight_zero_is_never_drawn():
    rng = random.Random(4)
    for _ in range(200):
        draw = pairing.draw({1: 1, 2: 1, 3: 0}, rng)
        assert 3 not in (draw.left, draw.right)


@pytest.mark.parametrize("weights", [{}, {1: 1.0}, {1: 1.0, 2: 0.0}, {1: 0.0, 2: 0.0}])
def test_fewer_than_two_models_cannot_meet(weights):
    with pytest.raises(pairing.TooFewContestants):
        pairing.draw(weights, random.Random(5))


# --- replacing a model that failed -------------------------------------------------------------


def test_a_model_is_replaced_in_proportion_to_the_weights_of_the_rest():
    rng = random.Random(6)
    drawn = Counter(pairing.redraw({1: 5.0, 2: 1.0, 3: 3.0}, 1, rng)[0] for _ in range(8_000))
    assert set(drawn) == {2, 3}
    assert drawn[3] / 8_000 == pytest.approx(0.75, abs=0.02)


def test_the_probability_of_a_served_pair_holds_when_failed_models_are_replaced():
    """Of all battles in which model 4 cannot answer, as if it had never been there."""
    weights = {1: 5.0, 2: 1.0, 3: 2.0, 4: 4.0}
    rest = {model: weight for model, weight in weights.items() if model != 4}
    rng = random.Random(7)
    served: Counter[frozenset[int]] = Counter()
    for _ in range(20_000):
        draw = pairing.draw(weights, rng)
        pair = {draw.left, draw.right}
        if 4 in pair:
            (kept,) = pair - {4}
            other, probability = pairing.redraw(rest, kept, rng)
            pair = {kept, other}
            assert probability == pytest.approx(pairing.pair_probability(rest, kept, other))
        served[frozenset(pair)] += 1
    for pair in combinations(rest, 2):
        share = served[frozenset(pair)] / 20_000
        assert share == pytest.approx(pairing.pair_probability(rest, *pair), abs=0.012)


@pytest.mark.parametrize("weights", [{1: 1.0}, {1: 1.0, 2: 0.0}])
def test_nobody_is_left_to_replace_a_model(weights):
    with pytest.raises(pairing.TooFewContestants):
        pairing.redraw(weights, 1, random.Random(8))
