"""The benchmarks' public pages: what they show, and what they keep back."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from evaluation.models import Dataset, Run
from evaluation.needles.importing import import_needles
from evaluation.pages import tables
from evaluation.running import runs
from tests import factories as arena
from tests.evaluation import factories

pytestmark = pytest.mark.django_db

WORDS = [f"word{number}" for number in range(20)]
PUBLISH = {"column": "Say it", "baseline": 0.0}
INDEX = "/benchmarks/"


@pytest.fixture
def task():
    return factories.task(factories.dataset(WORDS, licence="CC0-1.0"), publish=PUBLISH)


@pytest.fixture
def staff(client):
    user = User.objects.create_user("sam", password="x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_run"))
    client.force_login(user)
    return client


def result(task, right: int, *, name: str, **fields) -> Run:
    """A whole run with so many right answers."""
    model = fields.pop("contestant", None) or arena.contestant(name=name)
    answers = [*WORDS[:right], *["no"] * (len(WORDS) - right)]
    return factories.answered_run(answers, task=task, contestant=model, **fields)


def text(response) -> str:
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


def test_the_index_names_task_dataset_and_newest_results_with_interval_and_n(client, task):
    run = result(task, 15, name="Anna")
    page = text(client.get(INDEX))
    for part in ("Say it", "Anna", "75.0 %", "53.1–88.8 %", "n = 20", "CC0-1.0"):
        assert part in page, part
    assert run.dataset.name in page
    assert f"/benchmarks/runs/{run.pk}/" in page


def test_without_a_result_the_index_says_so(client):
    assert "No benchmark has a published result yet" in text(client.get(INDEX))


def test_a_partial_an_incomplete_and_a_hidden_run_are_on_no_public_page(client, task):
    shown = result(task, 15, name="Anna")
    kept_back = [
        result(task, 20, name="Partial", limit=20),
        factories.answered_run(
            [*WORDS[:19], None], task=task, contestant=arena.contestant(name="Incomplete")
        ),
        result(task, 20, name="Secret", contestant=arena.contestant(name="Secret", status="draft")),
    ]
    for address in (INDEX, f"/benchmarks/{task.slug}/", "/benchmarks/compare/"):
        page = text(client.get(address, {"task": task.slug}))
        for name in ("Partial", "Incomplete", "Secret"):
            assert name not in page
    assert client.get(f"/benchmarks/runs/{shown.pk}/").status_code == 200
    for run in kept_back:
        assert client.get(f"/benchmarks/runs/{run.pk}/").status_code == 404
        assert client.get(f"/benchmarks/runs/{run.pk}/samples/").status_code == 404


def test_a_table_of_results_ranks_and_marks_what_is_not_clearly_behind(client, task):
    result(task, 18, name="Best")
    result(task, 17, name="Near")
    result(task, 5, name="Far")
    page = text(client.get(f"/benchmarks/{task.slug}/"))
    assert page.index("Best") < page.index("Near") < page.index("Far")
    (table,) = tables.task(task.slug)
    assert [(line.place, line.as_good) for line in table.lines] == [
        (1, False), (2, True), (3, False),
    ]  # fmt: skip
    assert page.count(">no clear difference<") == 1


def test_equal_scores_share_their_place(task):
    result(task, 9, name="One")
    result(task, 9, name="Other")
    result(task, 3, name="Third")
    (table,) = tables.task(task.slug)
    assert [line.place for line in table.lines] == [1, 1, 3]


@pytest.mark.parametrize("path", ["nothing/", "compare/?task=nothing"])
def test_what_is_not_published_is_not_found(client, path):
    assert client.get(f"/benchmarks/{path}").status_code == 404


def test_a_task_whose_name_holds_a_slash_has_a_page(client):
    dataset = factories.dataset(WORDS)
    task = factories.task(dataset, task="group/part:1")
    result(task, 15, name="Anna")
    assert "Anna" in text(client.get("/benchmarks/group/part:1/"))


def test_two_models_are_compared_pair_by_pair(client, task):
    result(task, 18, name="Anna")
    result(task, 5, name="Bert")
    page = text(client.get("/benchmarks/compare/", {"task": task.slug, "a": "anna", "b": "bert"}))
    for part in ("+65.0", "<strong>Anna</strong> is better", "13 of 20", "Both alike"):
        assert part in page, part
    same = text(client.get("/benchmarks/compare/", {"task": task.slug, "a": "anna", "b": "anna"}))
    assert "cannot be compared with itself" in same


def test_two_equal_models_have_no_clear_difference(client, task):
    result(task, 12, name="Anna")
    result(task, 12, name="Bert")
    page = text(client.get("/benchmarks/compare/", {"task": task.slug, "a": "anna", "b": "bert"}))
    assert "no clear difference" in page
    assert "is better" not in page


def test_a_runs_page_says_how_it_was_made(client, task):
    run = result(task, 15, name="Anna")
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    for part in (
        run.fingerprint,
        run.dataset.version,
        run.spec_sha256,
        f"manage.py evaluate --model anna --task {task.slug} --task-version 1",
        "exact_match@",
        "53.1–88.8 %",
        f"/benchmarks/runs/{run.pk}/results.json",
    ):
        assert part in page, part


def test_a_withdrawn_run_keeps_its_page_with_the_reason_and_leaves_the_board(client, task):
    run = result(task, 15, name="Anna")
    runs.withdraw(run=run, reason="Another model was served.")
    assert "Anna" not in text(client.get(INDEX))
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    assert "Another model was served." in page
    assert "noindex" in page
    assert f"runs/{run.pk}/samples" not in page
    for file in ("samples/", "samples.jsonl", "results.json"):
        assert client.get(f"/benchmarks/runs/{run.pk}/{file}").status_code == 404


def test_the_answers_of_a_withdrawn_run_are_the_staffs(staff, task, client):
    run = result(task, 15, name="Anna")
    runs.withdraw(run=run, reason="Another model was served.")
    assert "15" in text(client.get(f"/benchmarks/runs/{run.pk}/samples/"))


def test_what_a_result_does_not_tell_is_a_dash(client, task):
    run = result(task, 15, name="Anna")
    primary = {**run.results[task.spec["primary"]], "unparsed": None, "truncated": None}
    run.results = {task.spec["primary"]: primary, "none/other": {"scored": 0}}
    run.unparsed = run.truncated = None
    run.save()
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    assert "none/other" in page
    assert page.count('<td class="num">–</td>') >= 7
    assert '<td class="num wide">–</td>' in text(client.get(f"/benchmarks/{task.slug}/"))
    assert '<td class="num">–</td>' in text(
        client.get(f"/leaderboard/models/{run.contestant.slug}/")
    )
    assert "None" not in page


def test_a_judge_whose_name_is_not_public_is_not_named(client, task):
    run = result(task, 15, name="Anna")
    judge = arena.contestant(name="Unnamed Judge", status="preview")
    Run.objects.filter(pk=run.pk).update(judge=judge)
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    assert "Unnamed Judge" not in page
    assert "unnamed-judge" not in page
    assert "a model whose name is not public" in page


# --- items and answers --------------------------------------------------------------------------


def test_the_answers_of_a_public_run_on_public_items_are_public(client, task):
    run = result(task, 15, name="Anna")
    page = text(client.get(f"/benchmarks/runs/{run.pk}/samples/"))
    assert "word3" in page
    right = text(client.get(f"/benchmarks/runs/{run.pk}/samples/?show=right"))
    wrong = text(client.get(f"/benchmarks/runs/{run.pk}/samples/?show=wrong"))
    assert "15 answers" in right
    assert "5 answers" in wrong
    assert "1 answer<" in text(client.get(f"/benchmarks/runs/{run.pk}/samples/?item=13"))


def test_private_items_are_shown_to_the_staff_only(client, staff, task):
    run = result(task, 15, name="Anna")
    Dataset.objects.filter(pk=run.dataset_id).update(public=False)
    address = f"/benchmarks/runs/{run.pk}/samples/"
    assert "word3" in text(staff.get(address))
    client.logout()
    assert client.get(address).status_code == 404
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    assert "word3" not in page
    assert "The items are private" in page


def test_a_private_split_keeps_back_the_prompts_that_may_quote_it(client, task):
    run = result(task, 15, name="Anna")
    factories.dataset(["hush"], name=run.dataset.name, split="train", public=False)
    assert client.get(f"/benchmarks/runs/{run.pk}/samples/").status_code == 404


def test_examples_written_into_a_private_task_are_not_on_its_runs_page(client):
    dataset = factories.dataset(WORDS, public=False)
    task = factories.task(
        dataset,
        num_fewshot=1,
        fewshot_config={"sampler": "first_n", "samples": [{"word": "confidential"}]},
    )
    run = result(task, 15, name="Anna")
    assert "confidential" not in text(client.get(f"/benchmarks/runs/{run.pk}/"))


def test_errors_are_words_of_the_upstream_and_for_staff(client, staff):
    task = factories.task(factories.dataset(WORDS), max_error_rate=0.5)
    run = factories.answered_run([*WORDS[:19], None], task=task)
    address = f"/benchmarks/runs/{run.pk}/samples/?show=errors"
    assert "503 upstream" in text(staff.get(address))
    client.logout()
    page = text(client.get(address))
    assert "unavailable" in page
    assert "503 upstream" not in page


def test_what_a_model_wrote_is_text_and_no_markup(client, task):
    answers = ["<script>alert(1)</script>", *["no"] * 19]
    run = factories.answered_run(answers, task=task)
    page = client.get(f"/benchmarks/runs/{run.pk}/samples/").content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page


def test_unparsed_answers_have_a_filter(client):
    task = factories.task(
        factories.dataset(WORDS),
        filter_list=[
            {
                "name": "number",
                "filter": [
                    {"function": "regex", "regex_pattern": r"(word\d+)"},
                    {"function": "take_first"},
                ],
            }
        ],
    )
    run = factories.answered_run([*WORDS[:17], "none", "none", "none"], task=task)
    page = text(client.get(f"/benchmarks/runs/{run.pk}/samples/?show=unparsed"))
    assert "3 answers" in page


@pytest.mark.parametrize("query", ["item=%00", "page=-1", "page=x", "show=nothing", "item=%27"])
def test_a_strange_address_is_no_accident(client, task, query):
    run = result(task, 15, name="Anna")
    assert client.get(f"/benchmarks/runs/{run.pk}/samples/?{query}").status_code == 200


@pytest.mark.parametrize("path", ["runs/99999999999999999999/", "runs/0/", "%00/"])
def test_an_address_of_nothing_is_not_found(client, path):
    assert client.get(f"/benchmarks/{path}").status_code == 404


# --- judge --------------------------------------------------------------------------------------


def test_a_judges_verdicts_stand_on_the_runs_page(client, task):
    run = result(task, 15, name="Anna")
    judge = arena.contestant(name="Judy")
    results = run.results
    results[task.spec["primary"]]["details"] = {"won": 7, "position_bias_rate": 0.25}
    Run.objects.filter(pk=run.pk).update(judge=judge, results=results)
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    for part in ("<dt>Position bias</dt><dd>25.0 %</dd>", "<dt>Won</dt><dd>7</dd>", "--judge judy"):
        assert part in page, part
    assert "prefer their own" not in page
    Run.objects.filter(pk=run.pk).update(judge=run.contestant)
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    assert "Models prefer their own answers" in page
    assert "--allow-self-judge" in page


# --- needle -------------------------------------------------------------------------------------


def test_a_needle_run_is_a_table_of_lengths_and_depths(client):
    _, task = import_needles(lengths=[500, 1000, 2000], depths=[0, 100], seeds=1, seed=1)
    run = runs.create_run(task=task, contestant=arena.contestant(name="Anna"))
    found = []
    for sample in run.samples.select_related("item").order_by("id"):
        fields = sample.item.fields
        if fields["length"] == 2000:
            sample.state, sample.error_kind = "error", "context"
        else:
            known = fields["answers"][0] if fields["depth"] == 0 else "no idea"
            sample.state, sample.response = "done", known
        sample.save()
        found.append(fields["length"])
    factories.finishing.finish(run_id=run.pk)
    page = text(client.get(f"/benchmarks/runs/{run.pk}/"))
    assert page.count("not supported</td>") == 2
    assert page.count('class="heat-4">100 %<') == 2
    assert page.count('class="heat-0">0 %<') == 2
    assert page.count("n = 1<") == 4


# --- for staff ----------------------------------------------------------------------------------


def test_a_run_under_way_is_shown_to_the_staff_only(client, staff, task):
    run = runs.create_run(task=task, contestant=arena.contestant(name="Anna"))
    Run.objects.filter(pk=run.pk).update(state="running", started_at=timezone.now())
    page = text(staff.get(f"/benchmarks/runs/{run.pk}/"))
    assert "0 of 20" in page
    assert "evaluation/live" in page
    assert 'value="pause"' not in page, "looking is not changing"
    client.logout()
    assert client.get(f"/benchmarks/runs/{run.pk}/").status_code == 404


# --- speed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["", "{slug}/", "compare/?task={slug}&a=m0&b=m1", "runs/{run}/"])
def test_the_queries_of_a_page_do_not_grow_with_the_results(client, task, path):
    def queries() -> int:
        address = INDEX + path.format(slug=task.slug, run=first.pk)
        with CaptureQueriesContext(connection) as captured:
            assert client.get(address).status_code == 200
        return len(captured)

    first = result(task, 15, name="m0")
    result(task, 14, name="m1")
    few = queries()
    for number in range(2, 6):
        result(task, 15 - number, name=f"m{number}")
    assert queries() <= few
