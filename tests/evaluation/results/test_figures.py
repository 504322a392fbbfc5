from __future__ import annotations

import pytest

from evaluation.results import figures
from evaluation.results.figures import Axis


@pytest.mark.parametrize(
    ("value", "percent", "text"),
    [(0.625, True, "62.5 %"), (6.834, False, "6.83"), (None, True, "–"), (1.0, True, "100.0 %")],
)
def test_a_score_is_a_share_or_has_a_scale_of_its_own(value, percent, text):
    assert figures.score(value, percent=percent) == text


@pytest.mark.parametrize(
    ("result", "share"),
    [
        ({"value": 0.5, "low": 0.4, "high": 1.0}, True),
        ({"value": 0.9, "low": 0.5, "high": 1.3}, False),
        ({"value": 7.0}, False),
        ({"value": None}, True),
    ],
)
def test_a_share_lies_between_0_and_1_with_its_interval(result, share):
    assert figures.is_share(result) is share


def test_an_interval_needs_both_ends():
    assert figures.interval(0.535633, 0.589099) == "53.6–58.9 %"
    assert figures.interval(0.5, None) == "–"
    assert figures.interval(6.1, 7.25, percent=False) == "6.10–7.25"


def test_a_difference_has_its_sign():
    assert figures.points(-0.031) == "−3.1"
    assert figures.points(0.031) == "+3.1"
    assert figures.points(1.5, percent=False) == "+1.50"


@pytest.mark.parametrize(
    ("seconds", "text"), [(None, "–"), (45, "45 s"), (600, "10 min"), (7_500, "2 h 05 min")]
)
def test_a_duration_in_the_unit_that_fits(seconds, text):
    assert figures.duration(seconds) == text


@pytest.mark.parametrize(
    ("dollars", "text"), [(None, "–"), (0, "$0.00"), (0.00123, "$0.0012"), (1234.5, "$1,234.50")]
)
def test_small_money_keeps_its_digits(dollars, text):
    assert figures.money(dollars) == text


def test_an_axis_ends_at_round_numbers_beyond_all_values():
    axis = Axis.over([0.42, 0.9, None, 0.55])
    assert (axis.low, axis.high) == pytest.approx((0.40, 0.90))
    assert axis.percent(0.65) == pytest.approx(50)
    assert Axis.over([0.5, 0.5, None]) is None


def test_a_judges_details_are_said_in_words():
    found = dict(
        figures.details(
            {"won": 12, "position_bias_rate": 0.25, "longer_wins": None, "turns": {"1": 7.5}}
        )
    )
    assert found == {
        "Won": "12",
        "Position bias": "25.0 %",
        "Longer answer wins": "–",
        "By turn 1": "7.50",
    }
