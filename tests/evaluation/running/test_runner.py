"""Runs against a scripted model server: durable, resumable, each item exactly once."""

from __future__ import annotations

import random
import subprocess
import sys
import threading
from collections import Counter
from datetime import timedelta

import pytest
from django.db import OperationalError, connection
from django.urls import reverse
from django.utils import timezone

from arena.backends.base import BackendError, ErrorKind
from arena.keys import KeyUnreadable
from arena.models import Endpoint
from evaluation import tasks
from evaluation.importing import import_shipped
from evaluation.models import Run, Sample, Score
from evaluation.running import finishing, leases, retrying, runner, runs
from tests import factories as arena_factories
from tests.evaluation import factories
from tests.evaluation.processes import Noticing, environment
from tests.evaluation.working import work

# Shards reach the database from another thread, which sees only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

WORDS = [f"word{number}" for number in range(30)]


@pytest.fixture
def new_run(backend):
    def make(model="echo", words=WORDS, contestant=None, limit=None, cost_cap=None, **task):
        contestant = contestant or arena_factories.contestant(
            endpoint=arena_factories.endpoint(base_url=backend.base_url), upstream_model=model
        )
        return runs.create_run(
            task=factories.task(factories.dataset(words), **task),
            contestant=contestant,
            limit=limit,
            cost_cap=cost_cap,
        )

    return make


def shard_in_a_thread(run):
    try:
        runner.run_shard(run_id=run.pk)
    finally:
        connection.close()


def states(run):
    return Counter(run.samples.values_list("state", flat=True))


def test_a_run_asks_every_item_once_and_is_scored(new_run, backend):
    run = work(new_run())
    assert run.state == Run.State.COMPLETED
    assert (run.done, run.errors, run.primary_score) == (30, 0, 1.0)
    assert sorted(r["messages"][-1]["content"] for r in backend.requests) == sorted(WORDS)
    assert Score.objects.filter(sample__run=run, scorer="exact_match@1.0.0").count() == 30
    result = run.results["none/exact_match"]
    assert (result["n"], result["method"], result["high"]) == (30, "wilson", 1.0)
    assert result["low"] == pytest.approx(0.886, abs=0.001)


def test_wrong_answers_count_as_wrong(new_run):
    run = work(new_run(model="says:word0", words=["word0", "word1", "word2", "word3"]))
    assert run.primary_score == 0.25


def test_what_is_sent_is_what_the_task_says(new_run, backend):
    work(
        new_run(
            words=["one"],
            system_instruction="Repeat.",
            generation_kwargs={"temperature": 0, "max_gen_toks": 7, "seed": 5, "until": ["\n"]},
            epochs=2,
        )
    )
    first, second = sorted(backend.requests, key=lambda request: request["seed"])
    assert first["messages"] == [
        {"role": "system", "content": "Repeat."},
        {"role": "user", "content": "one"},
    ]
    assert (first["max_tokens"], first["stop"], first["seed"]) == (7, ["\n"], 5)
    assert second["seed"] == 6  # a repeat with the same seed would be no repeat


def test_a_limit_takes_the_first_items_with_the_prompts_of_the_whole_run(new_run):
    run = new_run(limit=3)
    assert [s.messages[-1]["content"] for s in run.samples.order_by("id")] == WORDS[:3]
    assert work(run).done == 3


def test_epochs_are_reduced_to_one_score_an_item(new_run):
    run = work(new_run(words=["a", "b"], epochs=3))
    assert run.done == 6
    assert run.results["none/exact_match"]["n"] == 2


def test_runs_of_the_same_question_have_the_same_fingerprint(new_run):
    first = new_run(words=["a", "b"])
    again = runs.create_run(task=first.task, contestant=first.contestant)
    partial = runs.create_run(task=first.task, contestant=first.contestant, limit=1)
    assert first.fingerprint == again.fingerprint != partial.fingerprint


def test_a_sample_that_a_killed_worker_held_is_asked_by_the_next(new_run, backend):
    run = new_run()
    held = leases.lease(run_id=run.pk, owner="killed", size=10)
    assert len(held) == 10
    assert runner.run_shard(run_id=run.pk).samples == 0  # its lease has not ended
    Sample.objects.filter(lease_owner="killed").update(
        lease_until=timezone.now() - timedelta(seconds=1)
    )
    assert leases.sweep() == [run.pk]
    assert work(run).done == 30
    assert set(Counter(r["messages"][-1]["content"] for r in backend.requests).values()) == {1}


WORKER = """
import django; django.setup()
from evaluation.running import runner
runner.run_shard(run_id={run})
"""


def test_a_run_survives_kill_9_of_its_worker(new_run, backend):
    """At worst what was under way is asked twice; nothing is stored twice."""
    run = new_run(model="count:5@20")  # 0.2 s each, so that it is killed in the middle
    enough = threading.Event()
    backend.requests = Noticing(enough, 12)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER.format(run=run.pk)],
        env=environment(EVALUATION_CONCURRENCY="4"),
    )
    try:
        assert enough.wait(30)
    finally:
        worker.kill()
        worker.wait(10)
    stored = states(run)["done"]
    assert 0 < stored < 30
    run.samples.filter(state="leased").update(lease_until=timezone.now() - timedelta(seconds=1))
    assert leases.sweep() == [run.pk]
    run.contestant.upstream_model = "echo"
    run.contestant.save()
    work(run)
    assert (run.state, run.done, run.errors) == ("completed", 30, 0)
    assert 30 <= len(backend.requests) <= 34
    assert {r["messages"][-1]["content"] for r in backend.requests} == set(WORDS)


def test_a_worker_that_has_lost_its_lease_does_not_overwrite(new_run, backend):
    run = new_run(model="gated", words=["one"])
    worker = threading.Thread(target=shard_in_a_thread, args=(run,))
    started = threading.Event()
    backend.requests = Noticing(started)
    worker.start()
    assert started.wait(30)
    run.samples.update(lease_owner="fast")
    backend.gate._loop.call_soon_threadsafe(backend.gate.set)
    worker.join(20)
    assert not worker.is_alive()
    sample = run.samples.get()
    assert (sample.state, sample.lease_owner, sample.response) == ("leased", "fast", "")


@pytest.mark.parametrize(
    ("verb", "state", "samples"),
    [
        (runs.pause, Run.State.PAUSED, {"pending": 3}),
        (runs.cancel, Run.State.CANCELLED, {"skipped": 3}),
    ],
)
def test_a_run_stops_in_the_middle_of_a_request(new_run, backend, verb, state, samples):
    run = new_run(model="silent", words=["a", "b", "c"])
    started = threading.Event()
    backend.requests = Noticing(started)
    worker = threading.Thread(target=shard_in_a_thread, args=(run,))
    worker.start()
    assert started.wait(30)
    verb(run=run)
    worker.join(20)
    assert not worker.is_alive()
    run.refresh_from_db()
    assert (run.state, states(run)) == (state, samples)
    assert runner.run_shard(run_id=run.pk).samples == 0
    assert not finishing.finish(run_id=run.pk)


def test_a_paused_run_goes_on_where_it_was(new_run, backend):
    run = new_run()
    runner.run_shard(run_id=run.pk, size=10, seconds=0)
    runs.pause(run=run)
    assert runner.run_shard(run_id=run.pk).samples == 0
    runs.resume(run=run)
    assert work(run).done == 30
    assert len(backend.requests) == 30


def test_a_short_failure_is_tried_again(new_run, backend):
    run = work(new_run(model="fails-once:x", words=["Second try."]))
    assert (run.done, run.errors, run.primary_score) == (1, 0, 1.0)
    assert run.samples.get().attempts == 2


@pytest.mark.parametrize(("status", "attempts"), [(401, 1), (404, 1), (500, 8), (429, 8)])
def test_an_endpoint_that_only_fails_pauses_the_run(new_run, backend, settings, status, attempts):
    settings.EVALUATION_CONCURRENCY = 1
    settings.EVALUATION_BREAKER = 3
    run = work(new_run(model=f"status:{status}"))
    assert (run.state, run.primary_score, run.results) == (Run.State.PAUSED, None, {})
    assert "3 samples failed in a row" in run.reason
    assert states(run) == {"error": 3, "pending": 27}
    assert len(backend.requests) == 3 * attempts


def test_a_prompt_that_does_not_fit_is_an_error_of_the_item(new_run):
    run = work(new_run(model="status:413"))
    assert run.state == Run.State.INCOMPLETE  # and not paused: the endpoint is well
    assert set(run.samples.values_list("error_kind", flat=True)) == {"context"}
    assert (run.errors, run.primary_score) == (30, None)


def test_errors_within_the_rate_are_left_out_and_shown(new_run):
    run = new_run(words=["a", "b", "c", "d"], max_error_rate=0.25)
    run.samples.filter(item__position=0).update(state="error", error_kind="context")
    work(run)
    assert (run.state, run.done, run.errors, run.primary_score) == ("completed", 3, 1, 1.0)
    assert run.results["none/exact_match"]["n"] == 3


def test_only_errors_are_retried(new_run, backend):
    run = new_run(words=["a", "b", "c"])
    run.samples.filter(item__position=1).update(state="error", error_kind="connect", attempts=8)
    assert work(run).state == Run.State.INCOMPLETE
    assert runs.retry_errors(run=run) == 1
    assert (run.state, run.primary_score) == (Run.State.QUEUED, None)
    assert work(run).state == Run.State.COMPLETED
    assert len(backend.requests) == 3


def test_silence_and_cut_answers_are_answers_and_are_counted(new_run):
    silent = work(new_run(model="empty", words=["a"]))
    assert (silent.state, silent.primary_score) == (Run.State.COMPLETED, 0.0)
    assert silent.samples.get().scores.get().flags == ["empty"]
    cut = work(new_run(model="long", words=["a"]))
    assert (cut.truncated, cut.samples.get().finish_reason) == (1, "length")


def test_thoughts_without_a_word_are_kept_and_paid_for(new_run):
    sample = work(new_run(model="thinks", words=["a"])).samples.get()
    assert (sample.state, sample.response, sample.reasoning) == ("done", "", "Hmm.")
    assert (sample.prompt_tokens, sample.completion_tokens) == (7, 9)


def test_what_is_under_way_goes_on_when_errors_are_retried_meanwhile(new_run, backend):
    run = new_run(model="gated", words=["one", "two"])
    run.samples.filter(item__position=1).update(state="error", error_kind="connect")
    looks = threading.Semaphore(0)
    worker = threading.Thread(target=shard_in_a_thread, args=(run,))
    started = threading.Event()
    backend.requests = Noticing(started)
    with pytest.MonkeyPatch.context() as patch:
        was_wanted = runner._Asking._is_wanted
        patch.setattr(
            runner._Asking, "_is_wanted", lambda asking: (was_wanted(asking), looks.release())[0]
        )
        worker.start()
        assert started.wait(30)
        runs.retry_errors(run=run)
        while looks.acquire(blocking=False):
            pass
        for _ in range(2):  # the second has begun after the change
            assert looks.acquire(timeout=10)
        backend.gate._loop.call_soon_threadsafe(backend.gate.set)
        worker.join(20)
    assert not worker.is_alive()
    assert states(run) == {"done": 2}
    assert len(backend.requests) == 2


def test_runs_at_one_endpoint_take_turns(new_run, monkeypatch):
    first = new_run()
    second, third = (new_run(contestant=first.contestant) for _ in range(2))
    assert leases.in_turn_after(second.pk) == [third.pk, first.pk, second.pk]
    sent = []
    monkeypatch.setattr(tasks.work_on, "apply_async", lambda to, **_: sent.extend(to))
    tasks.work_on(second.pk)
    assert sent == [third.pk, first.pk]  # the second has come to its end
    leases.lease(run_id=third.pk, owner="somebody", size=1)
    tasks.work_on(first.pk)  # the endpoint is taken: who has it will send for the next
    assert sent == [third.pk, first.pk]


def test_one_shard_at_a_time_is_at_an_endpoint(new_run):
    run = new_run()
    other = new_run(contestant=run.contestant)
    assert leases.lease(run_id=run.pk, owner="first", size=5)
    assert not leases.lease(run_id=run.pk, owner="second")
    assert not leases.lease(run_id=other.pk, owner="second")
    leases.release(run_id=run.pk, owner="first")
    assert leases.lease(run_id=other.pk, owner="second", size=5)


def test_a_message_that_comes_twice_or_too_early_does_no_harm(new_run, backend, monkeypatch):
    sent = []
    monkeypatch.setattr(tasks.work_on, "apply_async", lambda to, **_: sent.extend(to))
    run = new_run()
    assert tasks.sweep() == 1
    while sent:
        run_id = sent.pop()
        tasks.work_on(run_id)
        tasks.work_on(run_id)
    run.refresh_from_db()
    assert (run.state, len(backend.requests)) == (Run.State.COMPLETED, 30)
    assert tasks.sweep() == 0


def test_scoring_that_a_killed_worker_began_is_done_by_the_next(new_run):
    run = new_run(words=["a"])
    runner.run_shard(run_id=run.pk)
    soon = timezone.now() + timedelta(minutes=1)
    Run.objects.filter(pk=run.pk).update(state="scoring", scoring_until=soon)
    assert leases.sweep() == []
    assert not finishing.finish(run_id=run.pk)
    Run.objects.filter(pk=run.pk).update(scoring_until=timezone.now() - timedelta(seconds=1))
    assert leases.sweep() == [run.pk]
    assert finishing.finish(run_id=run.pk)
    assert not finishing.finish(run_id=run.pk)
    assert Score.objects.count() == 1


def test_a_run_that_cannot_be_scored_has_failed_for_a_reason(new_run):
    run = work(new_run(words=["a"], metric_list=[{"metric": "numeric"}]))
    assert (run.state, run.primary_score) == (Run.State.COMPLETED, 0.0)  # no number said
    run = work(new_run(words=["1"], doc_to_target="none", metric_list=[{"metric": "numeric"}]))
    assert run.state == Run.State.FAILED
    assert "no number" in run.reason


def test_a_run_whose_model_has_lost_its_endpoint_pauses(new_run):
    run = new_run(words=["a"])
    run.contestant.endpoint, run.contestant.upstream_model = None, ""
    run.contestant.status = "imported"
    run.contestant.save()
    work(run)
    assert run.state == Run.State.PAUSED
    assert "has no endpoint to ask" in run.reason


def test_a_run_whose_endpoints_key_cannot_be_read_pauses(new_run, monkeypatch):
    run = new_run(words=["a"])

    def is_lost(_):
        raise KeyUnreadable("a stored API key cannot be read")

    monkeypatch.setattr(Endpoint, "target", is_lost)
    work(run)
    assert (run.state, run.reason) == (Run.State.PAUSED, "a stored API key cannot be read")
    assert states(run) == {"pending": 1}


def test_a_scorer_that_breaks_down_ends_the_run(new_run, monkeypatch):
    """Else it would break down again at every attempt, and the run would never end."""
    run = new_run(words=["a"])

    def breaks_down(**_):
        raise KeyError("answer")

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "score", breaks_down)
        work(run)
    assert (run.state, run.reason) == (Run.State.FAILED, "scoring broke down: KeyError('answer')")
    runs.retry_errors(run=run)
    assert work(run).state == Run.State.COMPLETED


def test_a_database_that_is_away_while_a_run_is_scored_is_waited_for(new_run, monkeypatch):
    run = new_run(words=["a"])

    def is_away(**_):
        raise OperationalError("the server closed the connection")

    with monkeypatch.context() as patch:
        patch.setattr(finishing, "score", is_away)
        with pytest.raises(OperationalError):
            work(run)
    run.refresh_from_db()
    assert run.state == Run.State.SCORING
    Run.objects.update(scoring_until=timezone.now() - timedelta(seconds=1))
    assert work(run).state == Run.State.COMPLETED


def test_a_score_of_several_responses_stands_once_although_another_has_become_the_first(new_run):
    vote = [{"name": "vote", "filter": [{"function": "majority_vote"}, {"function": "take_first"}]}]
    run = new_run(words=["a"], epochs=3, filter_list=vote, max_error_rate=0.5)
    run.samples.filter(epoch=1).update(state="error", error_kind="connect")
    work(run)
    runs.retry_errors(run=run)
    work(run)
    assert [score.sample.epoch for score in Score.objects.filter(sample__run=run)] == [1]


def test_what_cannot_be_run_is_refused_by_name(new_run):
    with pytest.raises(runs.Refused, match="code tasks are disabled: no sandbox worker"):
        new_run(output_type="code", doc_to_target="", metric_list=[{"metric": "code"}])
    with pytest.raises(runs.Refused, match="no endpoint"):
        new_run(
            contestant=arena_factories.contestant(
                endpoint=None, upstream_model="", status="imported"
            )
        )
    task = factories.task(dataset={"name": "elsewhere", "split": "test"})
    with pytest.raises(runs.Refused, match="import it first"):
        runs.create_run(task=task, contestant=arena_factories.contestant())


def test_verbs_are_refused_when_the_run_is_over(new_run):
    run = work(new_run(words=["a"]))
    for verb in (runs.pause, runs.resume, runs.cancel):
        with pytest.raises(runs.Refused, match="is completed"):
            verb(run=run)


def test_the_shipped_benchmark_runs(backend):
    _, task = import_shipped("first_steps")
    contestant = arena_factories.contestant(
        endpoint=arena_factories.endpoint(base_url=backend.base_url), upstream_model="says:Paris."
    )
    run = work(runs.create_run(task=task, contestant=contestant))
    assert (run.state, run.total, run.done) == (Run.State.COMPLETED, 60, 60)
    assert 0 < run.primary_score < 0.1


@pytest.mark.parametrize("attempts", range(1, 9))
def test_the_wait_before_another_request_is_bounded_and_heeds_the_server(attempts):
    chance = random.Random(1)
    assert 0 <= retrying.delay(attempts, None, chance) <= retrying.LONGEST_DELAY
    assert 7 <= retrying.delay(attempts, 7.0, chance) <= 8
    assert retrying.delay(attempts, 1e9, chance) <= retrying.LONGEST_RETRY_AFTER + 1


def test_a_success_without_a_body_is_a_failure_and_a_wordless_answer_is_none():
    assert not retrying.is_an_answer(BackendError(ErrorKind.EMPTY, status=204))
    assert retrying.is_an_answer(BackendError(ErrorKind.EMPTY))
    assert retrying.is_an_answer(BackendError(ErrorKind.CONTENT_FILTER, status=400))


def test_the_staffs_list_shows_a_score_on_its_own_scale(admin_client):
    task = factories.task()
    for value in (0.5, 7.0):
        results = {task.spec["primary"]: {"value": value}}
        factories.finished_run(task=task, primary_score=value, results=results)
    page = admin_client.get(reverse("admin:evaluation_run_changelist")).content.decode()
    assert ">50.0 %<" in page
    assert ">7.00<" in page


def test_the_staff_pause_and_resume_a_run_from_its_list(admin_client, new_run):
    run = new_run(words=["a"])
    address = reverse("admin:evaluation_run_changelist")
    for action, state in (("pause", "paused"), ("resume", "queued"), ("resume", "queued")):
        page = admin_client.post(address, {"action": action, "_selected_action": run.pk})
        assert page.status_code == 302
        run.refresh_from_db()
        assert run.state == state
    page = admin_client.get(address)
    assert "cannot be resumed" in page.content.decode()
    assert "0 of 1" in page.content.decode()
    for name in ("sample", "dataset", "taskdefinition"):
        assert admin_client.get(reverse(f"admin:evaluation_{name}_changelist")).status_code == 200
    sample = reverse("admin:evaluation_sample_change", args=[run.samples.get().pk])
    assert admin_client.get(sample).status_code == 200
