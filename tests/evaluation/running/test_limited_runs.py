"""Runs at endpoints with limits: requests at once, by the minute, refusals, battles first, costs,
and answers that are kept."""

from __future__ import annotations

import threading
import time
from datetime import timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest
from django.db import connection
from django.utils import timezone

from arena.models import Answer, Turn
from evaluation import tasks
from evaluation.models import CachedResponse, EndpointPace, Run
from evaluation.running import costs, gate, runner, runs
from tests import factories as arena_factories
from tests.evaluation import factories
from tests.evaluation.working import work

# Shards reach the database from another thread, which sees only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

WORDS = [f"word{number}" for number in range(30)]
PRICES = {"price_input": Decimal(1), "price_output": Decimal(2)}


@pytest.fixture(autouse=True)
def _at_once(settings):
    settings.EVALUATION_CONCURRENCY = 8


@pytest.fixture
def model(backend):
    """A contestant at an endpoint with these limits."""

    def make(name="echo", prices=None, **limits):
        endpoint = arena_factories.endpoint(base_url=backend.base_url, **limits)
        return arena_factories.contestant(endpoint=endpoint, upstream_model=name, **(prices or {}))

    return make


def new_run(contestant, words=WORDS, task=None, **options):
    changes = {"generation_kwargs": {"max_gen_toks": 10}}
    task = task or factories.task(factories.dataset(words), **changes)
    return runs.create_run(task=task, contestant=contestant, **options)


def work_in_a_thread(run):
    def shard():
        try:
            runner.run_shard(run_id=run.pk)
        finally:
            connection.close()

    thread = threading.Thread(target=shard)
    thread.start()
    return thread


def wait_for(look):
    end = time.monotonic() + 20
    while not look():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


# --- at once ------------------------------------------------------------------------------------


def test_an_endpoint_is_asked_as_much_at_once_as_it_allows(model, backend):
    work(new_run(model("after:0.05", evaluation_concurrency=3)))
    assert backend.most_streams == 3
    work(new_run(model("after:0.05")))
    assert backend.most_streams == 8


def test_two_workers_together_keep_to_the_limit_of_an_endpoint(model, backend):
    contestant = model("after:0.02", evaluation_concurrency=4)
    two = [new_run(contestant), new_run(contestant)]
    while any(run.samples.filter(state="pending").exists() for run in two):
        for thread in [work_in_a_thread(run) for run in two]:
            thread.join()
    assert backend.most_streams == 4
    assert len(backend.requests) == 60


# --- refusals -----------------------------------------------------------------------------------


def test_a_run_that_is_refused_one_time_in_five_comes_to_its_end_without_an_error(model, backend):
    run = work(new_run(model("refuses:5@0.05")))
    assert (run.state, run.done, run.errors) == (Run.State.COMPLETED, 30, 0)
    assert len(backend.requests) == 30 + 30 // 4


def test_a_refusal_is_heeded_for_all_requests_also_by_the_next_owner(model, backend):
    contestant = model("refuses:1@0.6", evaluation_concurrency=4)
    run = new_run(contestant)
    thread = work_in_a_thread(run)
    wait_for(lambda: EndpointPace.objects.filter(closed_until__gt=timezone.now()).exists())
    sent = len(backend.requests)
    assert sent <= 4
    runs.pause(run=run)
    thread.join()
    pace = EndpointPace.objects.get()
    assert pace.at_once == 2
    contestant.upstream_model = "echo"
    contestant.save()
    began = timezone.now()
    other = new_run(contestant, words=["a"])
    work(other)
    assert timezone.now() >= pace.closed_until > began
    assert other.samples.get().attempts == 1


def test_refusals_lower_the_requests_at_once_and_are_forgotten(model, backend):
    contestant = model("after:0.05", evaluation_concurrency=8)
    EndpointPace.objects.create(endpoint=contestant.endpoint, at_once=2, refused_at=timezone.now())
    work(new_run(contestant, words=["a", "b", "c", "d"]))
    assert backend.most_streams in (2, 3)
    long_ago = timezone.now() - timedelta(seconds=gate.REMEMBERED + 1)
    EndpointPace.objects.update(at_once=1, refused_at=long_ago)
    work(new_run(contestant))
    assert backend.most_streams == 8


# --- by the minute ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "limit",
    # 70 requests a minute: ten in a burst. Of tokens: 2 of the prompt and 10 of the answer each.
    [{"requests_per_minute": 70}, {"tokens_per_minute": 12 * 70}],
)
def test_limits_by_the_minute_hold_over_owners_and_runs(model, backend, limit):
    contestant = model("silent", **limit)  # no answer, so what was counted for it stays counted
    first, second = new_run(contestant), new_run(contestant)
    thread = work_in_a_thread(first)
    wait_for(lambda: len(backend.requests) == 8)  # as many as are allowed at once
    runs.pause(run=first)
    thread.join()
    thread = work_in_a_thread(second)
    wait_for(lambda: len(backend.requests) >= 10)
    time.sleep(0.3)
    sent = len(backend.requests)
    runs.pause(run=second)
    thread.join()
    assert sent <= 12  # ten, and one a second


def test_tokens_that_an_answer_did_not_need_are_given_back(model, monkeypatch):
    now = timezone.now()
    monkeypatch.setattr(gate, "timezone", SimpleNamespace(now=lambda: now))  # time stands still
    contestant = model("says:x", tokens_per_minute=1000)
    work(new_run(contestant, words=["a"]))
    ahead = EndpointPace.objects.get().tokens_clock - now
    used = (7 + 3) * 70 / 1000  # as the backend reports
    assert ahead.total_seconds() == pytest.approx(used, abs=1e-5)


# --- battles first ------------------------------------------------------------------------------


@pytest.mark.parametrize(("local", "most"), [(False, 1), (True, 0)])
def test_no_request_is_begun_beyond_one_while_a_battle_streams(model, backend, local, most):
    contestant = model("after:0.02", local=local)
    battle = arena_factories.battle(
        contestant_a=contestant if not local else model("echo", local=True), state="streaming"
    )
    run = new_run(contestant)
    thread = work_in_a_thread(run)
    if most:
        wait_for(lambda: len(backend.requests) >= 5)
    else:
        time.sleep(0.2)
        assert not backend.requests
    assert backend.most_streams == most
    battle.turns.update(state=Turn.State.DONE)
    thread.join(20)
    assert not thread.is_alive()
    assert backend.most_streams > 1
    assert run.samples.filter(state="done").count() == 30


def test_a_battle_is_on_while_somebody_waits_for_an_answer_of_the_endpoint(model):
    contestant, other = model(), model()
    assert not gate.battle_streams_at(contestant.endpoint)
    battle = arena_factories.battle(contestant_a=contestant, state="streaming")
    assert gate.battle_streams_at(contestant.endpoint)
    assert not gate.battle_streams_at(other.endpoint)
    Answer.objects.filter(contestant=contestant).update(state="complete")
    assert not gate.battle_streams_at(contestant.endpoint)
    Answer.objects.filter(contestant=contestant).update(state="queued")
    orphaned = timezone.now() - timedelta(minutes=1)
    battle.turns.update(heartbeat_at=orphaned)  # its process was killed
    assert not gate.battle_streams_at(contestant.endpoint)


# --- costs --------------------------------------------------------------------------------------


def test_a_run_never_costs_more_than_its_cap(model, backend):
    # The most a request may cost: 2 tokens for 1 and 10 for 2 millionths. It costs 7 × 1 + 3 × 2.
    cap = Decimal("0.000100")
    run = new_run(model("says:x", prices=PRICES), cost_cap=cap)
    work(run)
    assert (run.state, len(backend.requests)) == (Run.State.PAUSED, 7)
    assert runs.cost_so_far(run) == Decimal("0.000091") <= cap
    assert "cost cap of 0.000100 USD" in run.reason
    runs.resume(run=run, cost_cap=Decimal("0.01"))
    assert work(run).state == Run.State.COMPLETED
    assert len(backend.requests) == 30


def test_answers_without_a_reported_usage_count_against_the_cap_as_well(model, backend):
    run = new_run(model("echo", prices=PRICES), words=["w" * 40] * 1, cost_cap=Decimal("0.01"))
    work(run)
    assert run.samples.get().completion_tokens is None
    assert Decimal("0.000030") <= runs.cost_so_far(run) <= Decimal("0.000045")


def test_a_cap_without_a_price_is_refused(model):
    with pytest.raises(runs.Refused, match="no price"):
        new_run(model(), cost_cap=Decimal(1))


def test_a_run_is_estimated_before_it_is_started(model, backend):
    contestant = model("says:x", prices=PRICES)
    task = factories.task(
        factories.dataset(["four", "eight", "twelve"]),
        generation_kwargs={"max_gen_toks": 100},
        epochs=2,
    )
    before = costs.estimate(task=task, contestant=contestant)
    assert (before.requests, before.prompt_tokens) == (6, 2 * (1 + 2 + 2))
    assert (before.expected_tokens, before.most_tokens) == (6 * 25, 6 * 100)
    assert (before.low, before.high) == (Decimal("0.000310"), Decimal("0.001210"))
    assert costs.estimate(task=task, contestant=contestant, limit=1).requests == 2
    run = work(new_run(contestant, task=task))
    after = costs.estimate(task=task, contestant=contestant)
    assert after.expected_tokens == 6 * 3  # as the answers were
    assert after.low <= run.cost <= after.high
    free = costs.estimate(task=task, contestant=model())
    assert (free.low, free.high) == (None, None)
    assert "no prices" in str(free)


def test_the_estimate_of_a_judged_task_counts_the_judge(model):
    task = factories.task(
        factories.dataset(["one", "two"]),
        output_type="judge_pairwise",
        judge={"baseline": "word"},
        metric_list=[{"metric": "judge_pairwise"}],
    )
    judge = model(prices=PRICES)
    estimate = costs.estimate(task=task, contestant=model(), judge=judge)
    assert (estimate.contestant.requests, estimate.judge.requests) == (2, 4)  # both orders
    assert estimate.judge.prompt_tokens > 4 * 2 * estimate.contestant.expected_tokens / 2
    assert estimate.low == estimate.judge.low > 0


# --- the cache ----------------------------------------------------------------------------------


def test_an_equal_request_is_answered_from_the_cache_and_costs_nothing(model, backend):
    contestant = model("says:x", prices=PRICES)
    task = factories.task(factories.dataset(["a", "b"]), epochs=2)
    first = work(new_run(contestant, task=task, use_cache=True))
    assert len(backend.requests) == CachedResponse.objects.count() == 4  # epochs are not equal
    assert not first.samples.filter(cached=True).exists()
    second = work(new_run(contestant, task=task, use_cache=True))
    assert len(backend.requests) == 4
    assert second.samples.filter(cached=True, attempts=0, response="x").count() == 4
    assert (second.state, second.cost) == (Run.State.COMPLETED, 0)
    assert second.results == first.results
    work(new_run(contestant, task=task))
    assert len(backend.requests) == 8  # only for runs that ask for it


def test_another_request_is_not_answered_from_the_cache(model, backend):
    contestant = model("says:x")
    words = factories.dataset(["a"])
    for sent, changes in enumerate(
        ({}, {"system_instruction": "Think."}, {"generation_kwargs": {"temperature": 0.5}}), 1
    ):
        work(new_run(contestant, task=factories.task(words, **changes), use_cache=True))
        assert len(backend.requests) == sent
    contestant.endpoint.base_url += "/"
    contestant.endpoint.save()
    work(new_run(contestant, task=factories.task(words), use_cache=True))
    assert len(backend.requests) == 4


def test_old_answers_are_forgotten(settings):
    settings.EVALUATION_CACHE_DAYS = 7
    kept = factories.cached_response(created_at=timezone.now() - timedelta(days=6))
    factories.cached_response(created_at=timezone.now() - timedelta(days=8))
    assert tasks.prune_responses() == 1
    assert CachedResponse.objects.get() == kept


@pytest.mark.parametrize("name", ["status:400", "filtered", "empty"])
def test_what_is_no_answer_is_not_kept(model, name):
    work(new_run(model(name), words=["a"], use_cache=True, task=None))
    kept = set(CachedResponse.objects.values_list("response", flat=True))
    assert kept <= {"No"}
