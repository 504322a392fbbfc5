"""How far a run is, said from its rows."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evaluation.models import Run
from evaluation.results.figures import words
from evaluation.running import progress as watching
from evaluation.running import runs
from evaluation.running.progress import ended_of, progress
from evaluation.statistics import wilson
from tests import factories as arena
from tests.evaluation import factories

pytestmark = pytest.mark.django_db

WORDS = ["ant", "bee", "cat", "dog", "elk", "fox", "gnu", "hen"]


@pytest.fixture
def run() -> Run:
    """Under way, none of its eight items answered."""
    task = factories.task(factories.dataset(WORDS))
    model = arena.contestant(price_input=1, price_output=2)
    made = runs.create_run(task=task, contestant=model)
    Run.objects.filter(pk=made.pk).update(state="running", started_at=timezone.now())
    return Run.objects.select_related("task").get(pk=made.pk)


def test_what_is_counted_comes_from_the_rows(run):
    factories.answer(run, ["ant", "no", "cat", None])
    found = progress(run)
    assert (found["done"], found["errors"], found["ended"], found["total"]) == (3, 1, 4, 8)
    assert found["percent"] == 50.0
    assert (found["prompt_tokens"], found["completion_tokens"]) == (30, 6)
    assert found["cost"] == pytest.approx((30 * 1 + 6 * 2) / 1e6)


def test_the_running_score_has_the_interval_of_the_answers_so_far(run):
    assert progress(run)["score"] is None
    factories.answer(run, ["ant", "no", "cat"])
    score = progress(run)["score"]
    assert (score["value"], score["n"]) == (pytest.approx(2 / 3), 3)
    assert (score["low"], score["high"]) == pytest.approx(wilson(2, 3))


def test_a_second_look_scores_only_what_is_new(run, monkeypatch):
    factories.answer(run, ["ant", "no", "cat"])
    progress(run)
    scored = []
    primary_score = watching.finishing.primary_score
    monkeypatch.setattr(
        watching.finishing, "primary_score", lambda d, s: scored.append(s.pk) or primary_score(d, s)
    )
    progress(run)
    assert scored == []
    factories.answer(run, ["ant", "no", "cat", "dog"])
    assert progress(run)["score"]["n"] == 4
    assert len(scored) == 1


def test_an_error_asked_once_more_is_scored_when_it_comes_back(run):
    factories.answer(run, [None, "bee"])
    assert progress(run)["score"]["n"] == 1
    runs.retry_errors(run=run)
    progress(run)
    sample = run.samples.order_by("id").first()
    sample.state, sample.response = "done", "ant"
    sample.save()
    assert progress(run)["score"]["n"] == 2


def test_the_queries_do_not_grow_with_the_samples(run):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            progress(run)
        return len(captured)

    factories.answer(run, ["ant"])
    few = queries()
    factories.answer(run, WORDS)
    assert queries() <= few


def test_the_time_left_is_that_of_the_speed_since_the_start(run):
    Run.objects.filter(pk=run.pk).update(started_at=timezone.now() - timedelta(seconds=40))
    run.refresh_from_db()
    factories.answer(run, ["ant", "bee", "cat", "dog"])
    found = progress(run)
    assert found["per_second"] == pytest.approx(0.1, rel=0.05)
    assert found["eta"] == pytest.approx(40, abs=3)
    assert words(found)["speed"] == "6/min"


def test_a_code_run_has_ended_when_the_sandbox_has():
    task = factories.task(
        factories.dataset(WORDS[:3]),
        output_type="code",
        doc_to_target="",
        metric_list=[{"metric": "code"}],
    )
    factories.sandbox_report()
    run = runs.create_run(task=task, contestant=arena.contestant())
    Run.objects.update(state="running", started_at=timezone.now())
    run.refresh_from_db()
    factories.answer(run, ["pass", "pass"])
    factories.verdict(sample=run.samples.first())
    found = progress(run)
    assert (found["answered"], found["ended"], found["percent"]) == (2, 1, 33.3)
    assert found["checking"] is None  # there is more to ask
    factories.answer(run, ["pass", "pass", None])
    found = progress(run)
    assert (found["answered"], found["ended"], found["percent"]) == (3, 2, 66.7)
    assert words(found)["state"] == "Running: checking 1 of 2 programs"
    assert words(found)["ended"] == "3 of 3"
    factories.verdict(sample=run.samples.order_by("id")[1])
    found = progress(run)
    assert (found["ended"], found["percent"], found["checking"]) == (3, 100.0, None)


@pytest.mark.parametrize("state", ["paused", "queued"])
def test_a_run_that_stands_has_no_time_left(run, state):
    factories.answer(run, ["ant", "bee"])
    Run.objects.filter(pk=run.pk).update(state=state)
    run.refresh_from_db()
    found = progress(run)
    assert (found["eta"], found["per_second"]) == (None, None)


def test_what_cannot_be_scored_is_left_to_the_end():
    run = factories.run(state="running", started_at=timezone.now(), total=1)
    item = run.dataset.items.get()
    item.fields = {"not": "what the task asks for"}
    item.save()
    factories.sample(run=run, item=item, state="done", response="yes")
    assert progress(run)["score"] is None


def test_many_runs_are_counted_in_one_query(django_assert_num_queries):
    task = factories.task(factories.dataset(WORDS[:3]))
    whole = factories.answered_run(["ant", None, "cat"], task=task)
    runs.create_run(task=task, contestant=arena.contestant())
    listed = list(Run.objects.select_related("task"))
    with django_assert_num_queries(1):
        assert ended_of(listed) == {whole.pk: (3, 1)}
