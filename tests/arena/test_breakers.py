"""Circuit breakers: what opens them, for how long, and what closes them."""

from __future__ import annotations

import logging
from datetime import timedelta

import pytest
from django.utils import timezone

from arena import breakers, health
from arena.backends.base import BackendError, ErrorKind
from arena.models import Breaker, Contestant, UpstreamRequest
from tests import factories, scripted_backend

pytestmark = pytest.mark.django_db


@pytest.fixture
def model():
    return factories.contestant()


@pytest.fixture(autouse=True)
def no_jitter(monkeypatch):
    monkeypatch.setattr(breakers, "JITTER", 0)


def fail(model, kind=ErrorKind.UNAVAILABLE, *, times=1, at=None, retry_after=None):
    for _ in range(times):
        request = UpstreamRequest(
            endpoint=model.endpoint,
            contestant=model,
            purpose=UpstreamRequest.Purpose.BATTLE,
            outcome=kind,
            at=at or timezone.now(),
            duration_ms=5,
            detail="upstream words",
        )
        breakers.record_failure(request, BackendError(kind, "", retry_after=retry_after))


def answer(model, times=1, at=None):
    for _ in range(times):
        factories.upstream_request(contestant=model, at=at or timezone.now())


def is_drawn(model):
    return Contestant.objects.drawable().filter(pk=model.pk).exists()


def breaker_of(model):
    return Breaker.objects.get(endpoint=model.endpoint)


def minutes_ago(minutes):
    return timezone.now() - timedelta(minutes=minutes)


def seconds_out(breaker):
    return (breaker.until - breaker.since).total_seconds()


# --- opening -----------------------------------------------------------------------------------


def test_five_failures_in_a_row_take_an_endpoint_out_of_battles(model):
    other = factories.contestant(endpoint=model.endpoint)
    fail(model, times=4)
    assert is_drawn(model)
    fail(other)
    assert not is_drawn(model)
    assert not is_drawn(other)  # it is the endpoint that is down
    breaker = breaker_of(model)
    assert (breaker.reason, breaker.detail) == ("unavailable", "upstream words")
    assert seconds_out(breaker) == 30


def test_an_answer_between_failures_starts_the_row_anew(model):
    fail(model, times=4)
    answer(model)
    fail(model, times=4)
    assert is_drawn(model)


def test_half_of_ten_requests_within_a_minute_are_too_many_to_fail(model):
    for _ in range(4):
        answer(model)
        fail(model)
    assert is_drawn(model)
    answer(model)
    fail(model)
    assert not is_drawn(model)


def test_failures_of_long_ago_do_not_count_with_those_of_now(model):
    for _ in range(4):
        answer(model, at=minutes_ago(2))
        fail(model, at=minutes_ago(2))
    answer(model)
    fail(model)
    assert is_drawn(model)


@pytest.mark.parametrize("kind", [ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER])
def test_refusals_of_the_question_leave_the_endpoint_in_battles(model, kind):
    fail(model, kind, times=20)
    assert is_drawn(model)
    assert not Breaker.objects.exists()
    assert UpstreamRequest.objects.count() == 20


@pytest.mark.parametrize("kind", [ErrorKind.AUTHENTICATION, ErrorKind.QUOTA])
def test_what_only_an_administrator_can_mend_opens_at_once_and_tells_him(model, kind, caplog):
    with caplog.at_level(logging.ERROR):
        fail(model, kind)
    assert not is_drawn(model)
    assert model.endpoint.name in caplog.text


def test_a_missing_model_is_out_alone(model):
    other = factories.contestant(endpoint=model.endpoint)
    fail(model, ErrorKind.NOT_FOUND)
    assert not is_drawn(model)
    assert is_drawn(other)


@pytest.mark.parametrize("kind", [ErrorKind.TLS, ErrorKind.REDIRECT, ErrorKind.BLOCKED_ADDRESS])
def test_who_cannot_be_trusted_is_out_until_an_administrator_has_looked(model, kind):
    fail(model, kind)
    assert not is_drawn(model)
    assert breaker_of(model).until is None
    assert breakers.claim_due_probes() == []


def test_distrust_outweighs_an_outage(model):
    fail(model, times=5)
    fail(model, ErrorKind.TLS)
    assert breaker_of(model).until is None


# --- pauses ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "given"), [(7, 7), (599.5, 599.5), (3_000_000, 600), (None, breakers.PAUSE), (0, 0)]
)
def test_an_endpoint_is_left_alone_as_long_as_it_asks_and_ten_minutes_at_most(model, asked, given):
    fail(model, ErrorKind.RATE_LIMITED, retry_after=asked)
    breaker = breaker_of(model)
    assert (breaker.state, seconds_out(breaker)) == ("paused", given)
    assert is_drawn(model) is (given == 0)


def test_a_pause_ends_by_itself(model):
    fail(model, ErrorKind.RATE_LIMITED, retry_after=60, at=minutes_ago(0.9))
    assert not is_drawn(model)
    Breaker.objects.update(until=minutes_ago(0.01))
    assert is_drawn(model)
    assert not breaker_of(model).is_blocking


def test_being_busy_is_no_outage(model):
    fail(model, ErrorKind.RATE_LIMITED, retry_after=0, times=20)
    assert is_drawn(model)


# --- closing -----------------------------------------------------------------------------------


def opened(model, times):
    """The breaker, after so many outages shortly one after the other."""
    for _ in range(times):
        fail(model, times=5)
        last = seconds_out(breaker_of(model))
        breakers.close(endpoint=model.endpoint)
    return last


def test_an_endpoint_that_recovers_and_fails_waits_longer_each_time(model):
    waits = [opened(model, 1) for _ in range(7)]
    assert waits == [30, 60, 120, 240, 480, 600, 600]


def test_a_long_healthy_time_forgets_former_outages(model):
    assert opened(model, 3) == 120
    Breaker.objects.update(since=minutes_ago(11))
    assert opened(model, 1) == 30


def test_old_failures_do_not_open_a_closed_breaker_again(model):
    fail(model, times=5)
    breakers.close(endpoint=model.endpoint)
    fail(model)
    assert is_drawn(model)


def test_waits_are_spread(model, monkeypatch):
    monkeypatch.setattr(breakers, "JITTER", 0.2)
    spread = {breakers._jittered(30).total_seconds() for _ in range(50)}
    assert len(spread) > 40
    assert all(24 <= wait <= 36 for wait in spread)


def test_a_late_failure_of_an_open_endpoint_does_not_prolong_its_absence(model):
    fail(model, times=5)
    before = breaker_of(model).until
    fail(model, times=5)
    assert breaker_of(model).until == before


# --- probes ------------------------------------------------------------------------------------


def make_due():
    Breaker.objects.filter(state="open").update(until=minutes_ago(0.1))


def test_a_probe_that_is_not_due_is_not_sent(model):
    fail(model, times=5)
    assert breakers.claim_due_probes() == []


def test_a_due_probe_is_given_to_one_caller_only(model):
    fail(model, times=5)
    make_due()
    assert [due.contestant for due in breakers.claim_due_probes()] == [model]
    assert breakers.claim_due_probes() == []


def test_the_model_that_failed_is_the_one_that_is_probed(model):
    for _ in range(3):
        factories.contestant(endpoint=model.endpoint)
    fail(model, times=5)
    make_due()
    assert [due.contestant for due in breakers.claim_due_probes()] == [model]


def test_an_endpoint_that_nobody_wants_in_battles_is_not_probed(model):
    fail(model, times=5)
    make_due()
    Contestant.objects.update(status="paused")
    assert breakers.claim_due_probes() == []


@pytest.fixture
def backend():
    with scripted_backend.in_a_thread() as running:
        yield running


@pytest.fixture
def out(backend):
    """A model of the scripted server whose endpoint is out of battles, its probe due."""

    def make(script):
        endpoint = factories.endpoint(base_url=backend.base_url)
        contestant = factories.contestant(upstream_model=script, endpoint=endpoint)
        fail(contestant, times=5)
        make_due()
        return contestant

    return make


def test_a_probe_that_is_answered_brings_an_endpoint_back(out, backend):
    model = out("says:Hello")
    assert health.send_due_probes() == 1
    assert is_drawn(model)
    assert [request["max_tokens"] for request in backend.requests] == [1]
    logged = UpstreamRequest.objects.filter(purpose="probe").get()
    assert (logged.outcome, logged.contestant) == ("answered", model)


def test_a_probe_that_fails_is_repeated_soon(out, backend):
    model = out("status:503")
    assert health.send_due_probes() == 1
    assert not is_drawn(model)
    due_in = (breaker_of(model).until - timezone.now()).total_seconds()
    assert 25 < due_in <= breakers.PROBE_INTERVAL
    assert UpstreamRequest.objects.get(purpose="probe").outcome == "unavailable"


def test_a_server_that_says_nothing_in_one_token_is_asked_for_more(out, backend):
    model = out("wordless-at-first")
    assert health.send_due_probes() == 1
    assert is_drawn(model)
    assert [request["max_tokens"] for request in backend.requests] == [1, health.PROBE_TOKENS]


def test_probes_of_many_endpoints_go_out_together(out):
    back = [out("says:Hello"), out("says:Hi")]
    gone = out("status:500")
    assert health.send_due_probes() == 3
    assert [is_drawn(model) for model in (*back, gone)] == [True, True, False]


# --- the log -----------------------------------------------------------------------------------


def test_old_requests_are_forgotten_in_steps(model):
    for days in (40, 31, 29, 0):
        factories.upstream_request(contestant=model, at=minutes_ago(days * 1440))
    assert breakers.prune(older_than=timedelta(days=30), batch=1) == 2
    assert UpstreamRequest.objects.count() == 2
