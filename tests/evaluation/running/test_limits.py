"""Limits by the minute, by refusals and by a budget, on a clock of the test's own."""

from __future__ import annotations

import random

import pytest

from evaluation.running import limits
from evaluation.running.limits import AtOnce, Budget


def starts(amounts, per_minute, waits=None, equal=False):
    """When requests of these amounts start if each is wanted as soon as the one before began."""
    clock, now, began = 0.0, 1000.0, []
    for number, amount in enumerate(amounts):
        now += waits[number] if waits else 0
        seconds = limits.seconds_taken(amount, per_minute)
        now = limits.earliest_start(clock, seconds, now, equal=equal)
        clock = limits.clock_after(clock, seconds, now)
        began.append(now)
    return began


def busiest_minute(began, amounts):
    return max(
        sum(
            amount
            for other, amount in zip(began, amounts, strict=True)
            if start <= other < start + 59.999999
        )
        for start in began
    )


@pytest.mark.parametrize("per_minute", [1, 3, 7, 60, 500])
def test_no_minute_holds_more_requests_than_the_limit(per_minute):
    began = starts([1] * 1200, per_minute, equal=True)
    assert busiest_minute(began, [1] * 1200) <= per_minute
    # Nearly all of it is used; the rest is the price of letting some start at once.
    assert 1200 / (began[-1] - began[0]) * 60 >= per_minute * 0.85


def test_no_minute_holds_more_tokens_than_the_limit_whatever_the_requests_are_like():
    chance = random.Random(5)
    for _ in range(20):
        amounts = [chance.choice([10, 200, 3000, 9000]) for _ in range(150)]
        waits = [chance.choice([0, 0, 0, 5, 40]) for _ in amounts]
        assert busiest_minute(starts(amounts, 10_000, waits), amounts) <= 10_000


def test_a_few_requests_start_at_once_after_quiet():
    began = starts([1] * 100, 420, equal=True)
    assert (began[59], began[60] > began[59]) == (began[0], True)  # ten seconds' worth


def test_a_request_larger_than_the_limit_waits_and_is_not_refused_for_ever():
    first, large, after = starts([1, 20_000, 1], 10_000)
    assert first < large < after < float("inf")
    assert after - large > 60


def test_requests_at_once_are_halved_by_a_refusal_and_grow_by_one_a_round():
    at_once = AtOnce(16)
    at_once.refused(began=0, now=1)
    assert at_once.limit == 8
    for _ in range(9):
        at_once.answered()
    assert at_once.limit == 9


def test_refusals_of_the_same_moment_count_once():
    at_once = AtOnce(16)
    for _ in range(16):
        at_once.refused(began=0, now=1)
    assert at_once.limit == 8
    at_once.refused(began=1.5, now=2)
    assert at_once.limit == 4


def test_requests_at_once_stay_between_one_and_the_ceiling():
    at_once = AtOnce(4)
    for _ in range(100):
        at_once.answered()
    assert at_once.limit == 4
    for moment in range(10):
        at_once.refused(began=moment, now=moment)
    assert at_once.limit == 1
    assert AtOnce(4, 100).limit == 4
    assert AtOnce(4, 0.2).limit == 1


def test_a_budget_counts_what_is_under_way_with_the_most_it_may_cost():
    budget = Budget(cap=10)
    assert budget.fits(6)
    budget.reserve(6)
    assert not budget.fits(5)
    budget.settle(6, 2)
    assert budget.fits(8)
    assert not budget.fits(8.5)
    assert Budget(cap=None).fits(1e12)


@pytest.mark.parametrize(("characters", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2)])
def test_tokens_are_estimated_by_characters(characters, tokens):
    assert limits.estimated_tokens(characters) == tokens
