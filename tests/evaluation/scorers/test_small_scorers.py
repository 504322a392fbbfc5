"""Contains, token F1, code and the needle."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scorers import Response, pass_at_k, scorer


def test_contains_any_asks_for_one_reference_and_all_for_their_share():
    item = {"target": ["4731", "9026"]}
    text = Response("The numbers are 4731 and 1111.")

    assert scorer("contains")(text, item).value == 1.0
    assert scorer("contains")(text, item, {"match": "all"}).value == 0.5


def test_contains_ignores_case_unless_told():
    assert scorer("contains")(Response("PARIS"), {"target": "Paris"}).value == 1.0
    assert (
        scorer("contains")(Response("PARIS"), {"target": "Paris"}, {"ignore_case": False}).value
        == 0
    )


def test_token_f1_is_that_of_the_shared_tokens():
    f1 = scorer("token_f1")

    assert f1(Response("The Eiffel Tower!"), {"target": "eiffel tower"}).value == 1.0
    # One of two tokens, and one of three: 2 · 1/2 · 1/3 / (1/2 + 1/3).
    assert f1(Response("red house"), {"target": "big red dog"}).value == pytest.approx(0.4)
    assert f1(Response("blue"), {"target": ["red", "blue"]}).value == 1.0
    assert f1(Response("the"), {"target": "a"}).value == 1.0
    assert f1(Response("the"), {"target": "red"}).value == 0.0


@given(st.integers(1, 9), st.data())
def test_pass_at_k_is_the_share_of_draws_that_hold_a_passing_response(n, data):
    c = data.draw(st.integers(0, n))
    k = data.draw(st.integers(1, n))
    draws = list(combinations([True] * c + [False] * (n - c), k))

    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws))


@pytest.mark.parametrize(("n", "c", "k"), [(1, 0, 2), (3, 4, 1), (3, -1, 1), (3, 1, 0)])
def test_pass_at_k_refuses_what_cannot_be(n, c, k):
    with pytest.raises(ValueError):
        pass_at_k(n, c, k)


def test_code_is_scored_by_the_sandbox_alone():
    code = scorer("code")

    assert code(Response("print('passed')", passed=False), {}).value == 0.0
    assert code(Response("", passed=True), {}).value == 1.0
    with pytest.raises(ValueError, match="sandbox's verdict"):
        code(Response("def f(): ..."), {})


def test_the_needle_is_found_by_its_own_words_and_keeps_its_place():
    item = {"target": "7f3a-91", "length": 4000, "depth": 50}

    score = scorer("needle")(Response("The key is 7F3A-91."), item)

    assert score.value == 1.0
    assert (score.details["length"], score.details["depth"]) == (4000, 50)
