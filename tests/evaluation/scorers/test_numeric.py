"""Numbers read out of answers."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluation.scorers import Response, scorer
from evaluation.scorers.numeric import NUMERIC

NUMBER = scorer("numeric")


def right(text, target, **params):
    return NUMBER(Response(text), {"target": target}, params).value == 1.0


@pytest.mark.parametrize(
    "text",
    [
        "so 9 * 2 = 18\n#### 18",
        "#### $18.00",
        "9 a day, 2 each\nA: 18",
        "**Answer:** 18 dollars, for 16 eggs",
        "The answer is $18.",
        r"Thus \boxed{18} of 20.",
        r"\[ \boxed{\$18\text{ dollars}} \]",
        "She makes 18.",
        "She makes 18 %.",
        "That is −3 + 21 = **18**",
    ],
)
def test_eighteen_is_read_wherever_it_is_written(text):
    assert right(text, "18")


@pytest.mark.parametrize(
    ("written", "means"),
    [
        ("1,080", "1080"),
        ("1,080.50", "1080.5"),
        ("-7", "-7"),
        ("−7", "-7"),
        (".5", "0.5"),
        ("1e3", "1000"),
        (r"\boxed{\frac{1}{4}}", "0.25"),
        (r"\boxed{-\dfrac{1}{4}}", "-0.25"),
        (r"\boxed{1{,}080}", "1080"),
        (r"\boxed{0}, not 5", "0"),
        ("#### 0", "0"),
    ],
)
def test_numbers_are_compared_by_value(written, means):
    assert right(written, means)


def test_the_marked_answer_goes_before_the_last_number():
    assert right("#### 18\n\nQuestion: how many of 20?", "18")
    assert not right("#### 18\n\nso 20", "18", order=["last"])


def test_a_full_reference_solution_may_be_the_target():
    assert right("A: 18", "She has <<16-7=9>>9 left\n#### 18")


def test_a_pattern_of_the_task_goes_before_everything():
    assert right("total=18; #### 3", "18", pattern=r"total=(\d+)")


def test_a_tolerance_is_a_bound_on_the_distance():
    assert right("3.14", "3.14159", absolute_tolerance="0.01")
    assert not right("3.13", "3.14159", absolute_tolerance="0.01")
    assert right("99", "100", relative_tolerance=0.01)
    assert not right("98.9", "100", relative_tolerance=0.01)


def test_without_a_number_the_answer_is_unparsed():
    assert NUMBER(Response("none at all"), {"target": "1"}).unparsed


def test_a_target_without_a_number_is_a_fault_of_the_task():
    with pytest.raises(ValueError, match="the target holds no number"):
        NUMBER(Response("1"), {"target": "many"})


@pytest.mark.parametrize("params", [{"order": ["somewhere"]}, {"absolute_tolerance": -1}])
def test_impossible_parameters_are_refused(params):
    with pytest.raises(ValueError):
        NUMBER.check(params)


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1e9, max_value=1e9))
def test_every_decimal_is_read_back(value):
    assert NUMERIC(Response(f"It is {value:,f}."), {"target": f"{value:f}"}).value == 1.0


@given(st.text(alphabet="0123456789.,$%-eE/{}\\", max_size=60))
def test_digits_in_any_disorder_never_raise(text):
    NUMBER(Response(text), {"target": "1"})


def test_every_official_gsm8k_answer_is_read_as_the_gold_number(shared_data):
    rows = [
        json.loads(line)
        for name in ("test", "train")
        for line in (shared_data / f"benchmarks/gsm8k/{name}.jsonl").read_text().splitlines()
    ]

    right_ones = sum(right(row["answer"], row["answer"].split("#### ")[-1]) for row in rows)

    assert (right_ones, len(rows)) == (8792, 8792)
