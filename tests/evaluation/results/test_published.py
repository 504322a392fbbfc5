"""Which scores are public, and in which columns."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from evaluation.definitions.definition import from_json, spec_hash
from evaluation.models import Run, TaskDefinition
from evaluation.results.published import benchmarks, state
from tests import factories as arena
from tests.evaluation import factories

pytestmark = pytest.mark.django_db

NEWER, OLDER, FOREIGN = "a" * 64, "b" * 64, "c" * 64


def publish(column="Words", baseline=0.0):
    return {"column": column, "baseline": baseline}


def edition(of: TaskDefinition, version: str) -> TaskDefinition:
    """The same task, registered again under another version."""
    spec = {**of.spec, "task_version": version}
    return TaskDefinition.objects.create(
        slug=of.slug, task_version=version, spec=spec, spec_sha256=spec_hash(from_json(spec))
    )


def result(task, value=0.5, *, days_ago=0, **fields):
    """A finished run that is public unless `fields` say otherwise."""
    metric = task.spec["primary"]
    then = timezone.now() - timedelta(days=days_ago)
    estimate = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40}
    return factories.finished_run(
        **{
            "task": task,
            "primary_score": value,
            "results": {metric: estimate},
            "errors": 0,
            "unparsed": 2,
            "truncated": 1,
            "fingerprint": NEWER,
            "started_at": then,
            "finished_at": then,
            **fields,
        }
    )


def test_a_whole_completed_run_is_public_with_its_interval_and_counts():
    task = factories.task(publish=publish())
    run = result(task, 0.6)
    found = benchmarks()
    (column,) = found.columns
    one = found.results[run.contestant_id][column.key]
    assert (column.task, column.title, column.metric) == (task.slug, "Words", task.spec["primary"])
    assert (column.main, column.counts, column.percent) == (True, True, True)
    assert (one.run_id, one.value, one.n) == (run.pk, 0.6, 40)
    assert (one.low, one.high) == pytest.approx((0.5, 0.7))
    assert (one.errors, one.unparsed, one.truncated) == (0, 2, 1)
    assert one.finished_at == run.finished_at


@pytest.mark.parametrize(
    "fields",
    [
        {"limit": 5},
        {"state": "incomplete"},
        {"state": "cancelled", "primary_score": None},
        {"state": "running", "finished_at": None, "primary_score": None},
        {"withdrawn_at": timezone.now(), "withdrawn_reason": "Wrong prompts"},
        {"primary_score": None},
    ],
    ids=["partial", "incomplete", "cancelled", "running", "withdrawn", "without a score"],
)
def test_no_other_run_is_public(fields):
    result(factories.task(publish=publish()), **fields)
    assert benchmarks().columns == ()
    assert not benchmarks().results


@pytest.mark.parametrize("status", ["draft", "preview"])
def test_a_contestant_without_a_public_name_has_no_public_score(status):
    result(factories.task(), contestant=arena.contestant(status=status))
    assert not benchmarks().results


def test_what_another_program_has_not_told_is_not_taken_for_nothing():
    task = factories.task()
    run = result(task, source="lm-eval 0.4", unparsed=None, truncated=None)
    (found,) = benchmarks().results[run.contestant_id].values()
    assert (found.errors, found.unparsed, found.truncated) == (0, None, None)


def test_a_retired_contestant_keeps_its_score():
    run = result(factories.task(), contestant=arena.contestant(status="retired"))
    assert run.contestant_id in benchmarks().results


def test_a_task_that_publishes_no_column_has_one_of_its_own_name_and_does_not_count():
    task = factories.task()
    result(task)
    (column,) = benchmarks().columns
    assert (column.title, column.counts) == (task.slug, False)
    assert not benchmarks().average


def test_the_newest_run_of_a_model_counts():
    task, model = factories.task(publish=publish()), arena.contestant()
    newest = result(task, 0.7, contestant=model)
    result(task, 0.6, contestant=model, days_ago=2)
    assert benchmarks().results[model.pk][task.slug].run_id == newest.pk


def test_another_edition_is_another_column_and_asks_for_a_rerun():
    old = factories.task(publish=publish())
    new = edition(old, "2")
    left, both = arena.contestant(), arena.contestant()
    result(old, 0.9, contestant=left, fingerprint=OLDER)
    result(old, 0.8, contestant=both, fingerprint=OLDER)  # ran later than the new edition did
    result(new, 0.4, contestant=both, fingerprint=NEWER, days_ago=3)
    found = benchmarks()
    main, older = found.of_task(old.slug)
    assert (main.fingerprint, main.key, main.title) == (NEWER, old.slug, "Words")
    assert older.fingerprint == OLDER
    assert older.key == f"{old.slug}-{OLDER[:8]}"
    assert older.title == "Words (version 1)"
    assert (main.counts, older.counts) == (True, False)
    assert found.reruns == {left.pk: frozenset({main.key})}
    assert found.average == {both.pk: pytest.approx(0.4)}


def test_what_was_run_elsewhere_stands_apart_and_names_its_source():
    task, model = factories.task(publish=publish()), arena.contestant()
    result(task, 0.4, contestant=model)
    result(task, 0.9, contestant=model, source="lm-eval 0.4.9", fingerprint=FOREIGN)
    found = benchmarks()
    ours, theirs = found.columns
    assert theirs.title == "Words (lm-eval 0.4.9)"
    assert theirs.key == f"{task.slug}-lm-eval-0-4-9"
    assert (ours.main, theirs.main, theirs.counts) == (True, False, False)
    assert found.results[model.pk][theirs.key].value == 0.9
    assert found.average[model.pk] == pytest.approx(0.4)
    assert not found.reruns


def test_two_judges_are_two_columns_and_a_hidden_one_is_not_named():
    task = factories.task(publish=publish())
    result(task, judge=arena.contestant(name="Judge Known"), fingerprint="1" * 64)
    result(task, judge=arena.contestant(name="Secret", status="preview"), fingerprint="2" * 64)
    result(task, judge=arena.contestant(name="Judge New"), fingerprint="3" * 64)
    titles = [column.title for column in benchmarks().of_task(task.slug)]
    assert titles == ["Words", "Words (22222222)", "Words (judge Judge Known)"]


def test_two_tasks_of_one_title_are_told_apart_and_so_are_their_keys():
    for task in ("words/one", "words one", "words:one"):
        result(factories.task(task=task.replace(" ", "-"), publish=publish()), fingerprint=NEWER)
    found = benchmarks()
    assert len({column.title for column in found.columns}) == 3
    assert len({column.key for column in found.columns}) == 3
    assert all("/" not in column.key and ":" not in column.key for column in found.columns)


def test_the_average_is_normalised_and_only_of_models_that_have_all_parts():
    quarter = factories.task(publish=publish("Choices", 0.25))
    plain = factories.task(publish=publish("Plain"))
    factories_only = factories.task()
    whole, half, guesser = arena.contestant(), arena.contestant(), arena.contestant()
    for model, scores in ((whole, (0.625, 0.3)), (guesser, (0.1, 0.2))):
        result(quarter, scores[0], contestant=model)
        result(plain, scores[1], contestant=model)
    result(quarter, 0.9, contestant=half)
    result(factories_only, 0.9, contestant=whole)
    found = benchmarks()
    assert {column.title for column in found.parts} == {"Choices", "Plain"}
    assert found.average == {whole.pk: pytest.approx(0.4), guesser.pk: pytest.approx(0.1)}


def test_the_average_has_an_interval_where_every_part_has_one():
    one, two = factories.task(publish=publish("One")), factories.task(publish=publish("Two"))
    known, unknown = arena.contestant(), arena.contestant()
    for model in (known, unknown):
        result(one, 0.4, contestant=model)
        result(two, 0.6, contestant=model)
    Run.objects.filter(task=two, contestant=unknown).update(results={})
    found = benchmarks()
    assert set(found.average) == {known.pk, unknown.pk}
    # Two halves of 0.1 each: √(0.1² + 0.1²) / 2.
    assert found.average_interval == {known.pk: pytest.approx((0.429289, 0.570711), abs=1e-6)}


def test_a_judges_scale_is_no_share_and_is_brought_to_one_for_the_average():
    task = factories.task(
        output_type="judge_single",
        metric_list=[{"metric": "judge_single"}],
        judge={"criteria": "Kindness"},
        publish=publish("Judged"),
    )
    run = result(task, 5.5)
    found = benchmarks()
    (column,) = found.columns
    assert (column.percent, column.lowest, column.highest) == (False, 1, 10)
    assert found.results[run.contestant_id][column.key].value == 5.5
    assert found.average[run.contestant_id] == pytest.approx(0.5)


def test_a_figure_outside_its_scale_is_neither_a_share_nor_a_part_of_the_average():
    run = result(factories.task(publish=publish("Bleu")), 27.0)
    found = benchmarks()
    (column,) = found.columns
    assert (column.percent, column.counts) == (False, False)
    assert run.contestant_id not in found.average


def test_a_metric_of_which_less_is_better_does_not_count():
    task = factories.task(
        metric_list=[{"metric": "exact_match", "higher_is_better": False}], publish=publish()
    )
    result(task)
    (column,) = benchmarks().columns
    assert (column.higher_is_better, column.counts) == (False, False)


def test_an_interval_that_is_not_known_is_none():
    task = factories.task()
    run = result(task, results={task.spec["primary"]: {"low": None, "high": None, "n": 1}})
    one = benchmarks().results[run.contestant_id][task.slug]
    assert (one.low, one.high, one.n) == (None, None, 1)


def test_the_queries_do_not_grow_with_runs(django_assert_num_queries):
    for _ in range(3):
        result(factories.task(publish=publish()))
    with django_assert_num_queries(4):
        benchmarks()
    for task in TaskDefinition.objects.all():
        result(task)
        result(edition(task, "2"), fingerprint=OLDER)
    with django_assert_num_queries(4):
        changed = benchmarks()
    with django_assert_num_queries(2):  # nothing has changed since
        assert benchmarks() is changed


def test_the_state_changes_with_every_public_change(django_assert_num_queries):
    task = factories.task(publish=publish())
    judge = arena.contestant()
    run = result(task, judge=judge)
    seen = [state()]

    def change(row, **fields):
        for name, value in fields.items():
            setattr(row, name, value)
        row.save()
        seen.append(state())

    change(run, withdrawn_at=timezone.now(), withdrawn_reason="Wrong prompts")
    change(run, withdrawn_at=None, withdrawn_reason="", finished_at=timezone.now())
    change(run.contestant, status="preview")
    change(judge, name="Another name")
    other = result(task)
    seen.append(state())
    change(other, state="queued", primary_score=None, finished_at=None)
    change(run.contestant, status="active")
    assert len(set(seen)) == len(seen) - 1
    assert seen[-4] == seen[-2]  # a run came and went
    result(task, limit=3)
    with django_assert_num_queries(2):
        assert state() == seen[-1]
