"""Needle runs: asked as far as the endpoint's context reaches, and no further."""

from __future__ import annotations

from collections import Counter

import pytest
from django.core.management import CommandError

from evaluation.models import Dataset, Item, Run, Sample, TaskDefinition
from evaluation.running import haystacks, runs
from tests import factories as arena_factories
from tests.evaluation.working import work

pytestmark = pytest.mark.django_db(transaction=True)

GRID = ("--lengths", "500,1000,4000,8000", "--depths", "0,50,100", "--seeds", "1", "--seed", "7")


@pytest.fixture(autouse=True)
def _at_once(settings):
    settings.EVALUATION_CONCURRENCY = 1


@pytest.fixture
def contestant(backend):
    """Its context holds 8,000 characters of prompt, and it says all that it has read."""
    endpoint = arena_factories.endpoint(base_url=backend.base_url)
    return arena_factories.contestant(endpoint=endpoint, upstream_model="holds:8000")


@pytest.fixture
def new_run(said, contestant):
    def make():
        said("import_benchmark", "needle", *GRID)
        return runs.create_run(task=TaskDefinition.objects.get(), contestant=contestant)

    return make


def states(run):
    return Counter(run.samples.values_list("item__fields__length", "state", "error_kind"))


def test_a_grid_is_imported_with_its_task_and_the_same_seed_is_the_same_grid(said):
    out = said("import_benchmark", "needle", *GRID)
    assert "needle/test: 12 items" in out
    assert "The same grid again: --seed 7" in out
    assert "already there" in said("import_benchmark", "needle", *GRID)
    task, dataset = TaskDefinition.objects.get(), Dataset.objects.get()
    assert (task.slug, task.spec["dataset"]["version"]) == ("needle", dataset.version)
    assert task.spec["needle"]["lengths"] == [500, 1000, 4000, 8000]
    assert dataset.licence == "CC0-1.0"
    said("import_benchmark", "needle", *GRID[:-2])  # without a seed the numbers are new
    assert TaskDefinition.objects.count() == Dataset.objects.count() == 2


def test_a_filler_of_ones_own_is_used(said, shared_data):
    essay = shared_data / "benchmarks" / "needle" / "PaulGrahamEssays" / "addiction.txt"
    said("import_benchmark", "needle", *GRID, "--filler", essay)
    text = " ".join(essay.read_text(encoding="utf-8").split())
    haystack = Item.objects.order_by("position")[0].fields["haystack"]
    assert haystack.split(". ", 1)[1][:200] in text * 2
    assert Dataset.objects.get().licence == ""


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--lengths", "10"), "from 400"),
        (("--lengths", "many"), "numbers with commas"),
        (("--depths", "150"), "per cent"),
        (("--filler", "/nowhere"), "No such file"),
        (("--tokens-of", "nobody"), "no contestant 'nobody'"),
    ],
)
def test_a_grid_that_cannot_be_made_is_refused_for_a_reason(said, arguments, reason):
    with pytest.raises(CommandError, match=reason):
        said("import_benchmark", "needle", *arguments)
    assert not Dataset.objects.exists()


def test_a_length_can_be_counted_as_the_endpoint_counts(said, contestant, backend):
    contestant.upstream_model = "counts-words"
    contestant.save()
    out = said("import_benchmark", "needle", *GRID, "--tokens-of", contestant.slug)
    measured = TaskDefinition.objects.get().spec["needle"]["characters_per_token"]
    assert f"{measured:.2f} characters to a token" in out
    assert 5 < measured < 7  # a token is a word here
    assert [request["max_tokens"] for request in backend.requests] == [1, 1]
    contestant.upstream_model = "says:Hello"  # always the same usage
    contestant.save()
    with pytest.raises(CommandError, match="does not report the tokens"):
        said("import_benchmark", "needle", *GRID, "--tokens-of", contestant.slug)


def test_what_is_sent_is_whole_and_what_a_run_keeps_is_small(new_run, backend, contestant):
    contestant.upstream_model = "echo"
    contestant.save()
    run = work(new_run())
    assert (run.state, run.primary_score) == ("completed", 1.0)
    for sample in run.samples.select_related("item"):
        (asked,) = [
            request["messages"][-1]["content"]
            for request in backend.requests
            if sample.item.fields["question"] in request["messages"][-1]["content"]
        ]
        assert sample.item.fields["haystack"] in asked
        assert "{{" not in asked
        assert len(str(sample.messages)) < 300


def test_longer_lengths_are_not_asked_once_one_was_refused(new_run, backend):
    run = work(new_run())
    assert (run.state, run.errors, run.done) == (Run.State.COMPLETED, 0, 6)
    assert (run.primary_score, run.results["none/needle"]["n"]) == (1.0, 6)
    assert len(backend.requests) == 7  # six that fit, one that did not
    assert states(run) == {
        (500, "done", ""): 3,
        (1000, "done", ""): 3,
        (4000, "error", "context"): 1,
        (4000, "skipped", ""): 2,
        (8000, "skipped", ""): 3,
    }


def test_answers_under_way_are_dropped_when_their_length_turns_out_too_long(
    new_run, settings, backend
):
    settings.EVALUATION_CONCURRENCY = 4
    run = work(new_run())
    assert (run.state, run.done, run.errors) == (Run.State.COMPLETED, 6, 0)
    assert 7 <= len(backend.requests) <= 10
    assert set(run.samples.values_list("state", flat=True)) == {"done", "error", "skipped"}


def test_a_heat_map_has_a_cell_for_each_length_and_depth(new_run):
    run = new_run()
    before = haystacks.heat_map(run)
    assert {(cell.n, cell.score, cell.supported) for cell in before.cells} == {(0, None, True)}
    run = work(run)
    run.samples.filter(item__fields__length=500).update(prompt_tokens=321)
    table = haystacks.heat_map(run)
    assert (table.lengths, table.depths) == ((500, 1000, 4000, 8000), (0, 50, 100))
    assert [[(cell.score, cell.supported) for cell in row] for row in table.rows] == [
        [(1.0, True)] * 3,
        [(1.0, True)] * 3,
        [(None, False)] * 3,
        [(None, False)] * 3,
    ]
    assert (table.supported_length, table.rows[0][0].prompt_tokens) == (1000, 321)


def test_a_heat_map_is_one_query(new_run, django_assert_num_queries):
    run = Run.objects.select_related("task").get(pk=new_run().pk)
    with django_assert_num_queries(1):
        haystacks.heat_map(run)


def test_a_cancelled_run_says_nothing_of_the_context(new_run):
    run = new_run()
    runs.cancel(run=run)
    assert all(cell.supported for cell in haystacks.heat_map(run).cells)


def test_a_context_that_has_grown_is_asked_again(new_run, contestant):
    run = work(new_run())
    contestant.upstream_model = "holds:50000"
    contestant.save()
    assert runs.retry_errors(run=run) == 6
    run = work(run)
    assert (run.state, run.done) == (Run.State.COMPLETED, 12)
    assert haystacks.heat_map(run).supported_length == 8000


def test_other_errors_of_a_needle_run_are_errors(new_run):
    run = new_run()
    first = run.samples.order_by("id").first()
    Sample.objects.filter(pk=first.pk).update(state="error", error_kind="connect")
    run = work(run)
    assert (run.state, run.errors) == (Run.State.INCOMPLETE, 1)


def test_the_grid_is_told_on_the_command_line(said, contestant):
    said("import_benchmark", "needle", *GRID)
    out = said("evaluate", "--model", contestant.slug, "--task", "needle")
    assert "found at depth 0 % 50 % 100 %" in out
    assert "  1,000: 100% of 1, 100% of 1, 100% of 1\n" in out
    assert "  4,000: not supported, not supported, not supported\n" in out
    assert "answered 6 of 12, errors 0" in out
