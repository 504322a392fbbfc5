"""Reliability figures, from known attempts."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from arena import reliability
from arena.reliability import Hour
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return factories.contestant()


def asked(model, outcome="answered", **fields):
    return factories.upstream_request(outcome, contestant=model, **fields)


def figures(model, **options):
    return reliability.by_contestant(**options).get(model.pk)


def test_the_error_rate_is_that_of_answered_and_failed_attempts(model):
    for outcome in ("answered", "answered", "answered", "unavailable"):
        asked(model, outcome)
    for neutral in ("cancelled", "content_filter", "context_length"):
        asked(model, neutral)
    assert (figures(model).requests, figures(model).error_rate) == (4, 0.25)


@pytest.mark.parametrize(
    ("waits", "median"),
    [([300], 0.3), ([900, 100], 0.5), ([100, 5_000, 200], 0.2), ([100, 200, 400, 90_000], 0.3)],
)
def test_the_median_wait_for_the_first_token(model, waits, median):
    for wait in waits:
        asked(model, first_token_ms=wait, duration_ms=wait + 100)
    asked(model, "stalled", first_token_ms=1)
    assert figures(model).median_first_token == pytest.approx(median)


def test_speed_is_of_the_writing_alone_over_all_answers(model):
    asked(model, first_token_ms=1_000, duration_ms=2_000, output_tokens=101)
    asked(model, first_token_ms=500, duration_ms=3_500, output_tokens=101)
    asked(model, first_token_ms=5, duration_ms=5, output_tokens=50)  # all at once
    assert figures(model).tokens_per_second == pytest.approx(200 / 4)


def test_what_is_not_known_is_none(model):
    asked(model, "connect")
    assert (figures(model).median_first_token, figures(model).tokens_per_second) == (None, None)


def test_probes_and_old_attempts_are_left_out(model):
    asked(model, "connect", purpose="probe")
    asked(model, "connect", at=timezone.now() - timedelta(days=8))
    assert figures(model) is None
    assert figures(model, days=9).requests == 1


def test_models_are_kept_apart_in_a_constant_number_of_queries(django_assert_num_queries):
    models = [factories.contestant() for _ in range(5)]
    for number, model in enumerate(models):
        asked(model, first_token_ms=100 * (number + 1), duration_ms=1_000)
    with django_assert_num_queries(2):
        found = reliability.by_contestant()
    medians = [found[model.pk].median_first_token for model in models]
    assert medians == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


def test_the_last_hours_of_an_endpoint(model, django_assert_num_queries):
    now = timezone.now()
    asked(model, at=now)
    asked(model, "connect", at=now)
    asked(model, "cancelled", at=now)
    asked(model, "answered", purpose="probe", at=now - timedelta(hours=2))
    asked(model, at=now - timedelta(hours=25))
    quiet = factories.endpoint()
    with django_assert_num_queries(1):
        hours = reliability.last_hours([model.endpoint_id, quiet.pk])
    assert hours[quiet.pk] == [Hour()] * 24
    seen = hours[model.endpoint_id]
    assert (seen[-1], seen[-3], sum(hour != Hour() for hour in seen)) == (Hour(1, 1), Hour(1), 2)
