"""Scorers by name, and what holds for every one of them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.scorers import SCORERS, Flag, Response, scorer

ITEM = {
    "target": "4",
    "choices": ["one", "two", "three", "four"],
    "answers": ["[[A]]"],
    "instruction_id_list": ["punctuation:no_comma", "detectable_format:title"],
    "kwargs": [{}, {}],
}


def test_a_scorer_is_found_by_its_id_or_by_one_version_of_it():
    assert scorer("numeric") is scorer("numeric@1.0.0")


def test_an_unknown_scorer_is_refused_with_what_there_is():
    with pytest.raises(ValueError, match=r"no scorer 'numeric@9\.9\.9'.*exact_match@1\.0\.0"):
        scorer("numeric@9.9.9")


@pytest.mark.parametrize("key", SCORERS)
def test_an_unknown_parameter_is_refused_by_name(key):
    with pytest.raises(ValueError, match="knows no parameter tolerence"):
        scorer(key).check({"tolerence": 1})


# `code` reads the sandbox's verdict, not the text.
@pytest.mark.parametrize("key", [key for key in SCORERS if not key.startswith("code@")])
@settings(max_examples=60)
@given(
    text=st.text(max_size=300)
    | st.text(alphabet="[]AB>=*.,\n -#$\\{}0123boxed()\"'`<", max_size=80)
)
def test_no_text_makes_a_scorer_raise(key, text):
    score = SCORERS[key](Response(text), ITEM)

    assert score.value is None or 0 <= score.value <= 10


def test_truncated_empty_and_refused_are_said_beside_the_score():
    contains = scorer("contains")
    item = {"target": "Paris"}

    assert contains(Response("It is Paris, of", finish_reason="length"), item).flags == {
        Flag.TRUNCATED
    }
    assert contains(Response(" \n"), item).flags == {Flag.EMPTY}
    assert contains(Response("Paris", finish_reason="content_filter"), item).value == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I cannot assist with this request.",
        "Sorry, I’m unable to provide that.",
        "As an AI language model, I must decline.",
        "Unfortunately, I am not able to comply.",
    ],
)
def test_an_opening_refusal_is_flagged(text):
    assert Flag.REFUSED in scorer("contains")(Response(text), {"target": "x"}).flags


@pytest.mark.parametrize(
    "text",
    [
        "I can't believe it either: the answer is 4.",
        "The guard said: I cannot help with that.",
        "Sorry seems to be the hardest word.",
    ],
)
def test_an_answer_that_sounds_like_one_is_no_refusal(text):
    assert Flag.REFUSED not in scorer("contains")(Response(text), {"target": "x"}).flags


@pytest.mark.parametrize("key", ["exact_match", "numeric", "contains", "token_f1", "needle"])
def test_an_item_without_a_target_is_a_fault_of_the_task(key):
    with pytest.raises(ValueError, match="no target"):
        scorer(key)(Response("4"), {})


@pytest.mark.parametrize("key", ["numeric", "multiple_choice", "judge_single", "judge_pairwise"])
@pytest.mark.parametrize(
    "unit",
    ["1,", "9", "$", "A: ", "\\boxed{", "(A", "[[A]]", '"[[A]]', "a cat ", "####", "\n", "> "],
)
def test_a_long_monotonous_text_is_scored_in_linear_work(key, unit):
    # Quadratic work on 200,000 characters would run into the suite's time limit.
    scorer(key)(Response(unit * (200_000 // len(unit))), {**ITEM, "answers": [unit * 9_999]})
