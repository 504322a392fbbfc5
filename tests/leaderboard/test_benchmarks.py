"""Benchmark results on the leaderboard: columns, files, API, chart and a model's page."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest
from django.utils import timezone

from evaluation.importing import import_shipped
from evaluation.models import Run
from evaluation.results import figures
from leaderboard import snapshots
from tests import factories as arena
from tests.evaluation import factories
from tests.leaderboard.boards import contestants, published

pytestmark = pytest.mark.django_db


def task(name, column=None, **changes):
    publish = {"publish": {"column": column, "baseline": 0.0}} if column else {}
    return factories.task(task=name, **publish, **changes)


def result(of, model, value, **fields):
    estimate = {"value": value, "low": value - 0.05, "high": value + 0.05, "n": 80}
    return factories.finished_run(
        **{
            "task": of,
            "contestant": model,
            "primary_score": value,
            "results": {of.spec["primary"]: estimate},
            "errors": 1,
            "unparsed": 2,
            "truncated": 3,
            **fields,
        }
    )


@pytest.fixture
def three():
    """Three rated models; the first two have taken both benchmarks, the last one of them."""
    models = contestants(3)
    published(models)
    sums, rules = task("sums", "Sums"), task("rules", "Rules")
    for model, score in zip(models, (0.4, 0.8, 0.6), strict=True):
        result(sums, model, score)
    for model, score in zip(models[:2], (0.5, 0.7), strict=True):
        result(rules, model, score)
    return models


def page(client, query="") -> str:
    response = client.get(f"/leaderboard/?{query}")
    assert response.status_code == 200
    return response.content.decode()


def row(text: str, model: str) -> str:
    return text.partition(f">{model}</a>")[2].partition("</tr>")[0]


def names(client, query) -> list[str]:
    rows = client.get(f"/leaderboard/export.json?{query}").json()["rows"]
    return [row["model"] for row in rows]


# --- from the run to the board -------------------------------------------------------------------


def test_the_shipped_benchmarks_run_is_on_the_board_before_there_is_a_vote(client):
    _, shipped = import_shipped("first_steps")
    model = arena.contestant(name="Small Model")
    run = factories.answered_run(["Paris"] * 60, task=shipped, contestant=model)
    snapshots.publish_all()
    benchmarks = client.get("/benchmarks/").content.decode()
    assert "First steps" in benchmarks
    assert f"/benchmarks/runs/{run.pk}/" in benchmarks
    cell = row(page(client), "Small Model")
    assert figures.score(run.primary_score) in cell
    assert (
        figures.interval(*(run.results[shipped.spec["primary"]][k] for k in ("low", "high")))
        in cell
    )
    alone = row(page(client, "columns=model,bench.first_steps"), "Small Model")
    assert "n = 60" in alone


# --- columns -------------------------------------------------------------------------------------


def test_without_results_the_board_has_no_benchmarks(client):
    published(contestants(2))
    text = page(client)
    assert "Benchmarks</" not in text.partition("<main")[2]
    assert "Single benchmarks" not in text


def test_by_default_the_average_is_shown_with_its_interval_and_only_where_it_is_whole(
    client, three
):
    text = page(client)
    heads = text.partition("<thead>")[2].partition("</thead>")[0]
    assert "Benchmarks<span" in heads
    assert "Sums" not in heads
    assert "45.0 %" in row(text, "Model 000")
    assert '<span class="sub">41.5–48.5 %, n = 160</span>' in row(text, "Model 000")
    assert " %" not in row(text, "Model 002")


def test_who_leaves_the_average_out_gets_a_board_without_it(client, three):
    heads = page(client, "columns=rank,model,rating").partition("<thead>")[2]
    assert "Benchmarks<span" not in heads.partition("</thead>")[0]


def test_a_single_benchmark_can_be_chosen_and_links_to_its_run(client, three):
    assert 'value="bench.sums"' in page(client)
    text = page(client, "columns=rank,model,bench.sums")
    run = Run.objects.get(contestant=three[2])
    cell = row(text, "Model 002")
    assert f'href="/benchmarks/runs/{run.pk}/"' in cell
    assert "60.0 %" in cell
    assert "55.0–65.0 %" in cell
    assert '<span class="sub">55.0–65.0 %, n = 80</span>' in cell
    assert "n = 80, 1 errors, 2 unparsed, 3 truncated" in cell


def test_the_board_is_sorted_by_a_benchmark_and_by_the_average(client, three):
    assert names(client, "sort=bench.sums") == ["Model 001", "Model 002", "Model 000"]
    assert names(client, "sort=bench.sums&order=asc") == ["Model 000", "Model 002", "Model 001"]
    assert names(client, "sort=bench.rules") == ["Model 001", "Model 000", "Model 002"]
    assert names(client, "sort=benchmarks") == ["Model 001", "Model 000", "Model 002"]


def test_where_less_is_better_the_lowest_score_comes_first(client, three):
    metrics = [{"metric": "exact_match", "higher_is_better": False}]
    mistakes = task("mistakes", "Mistakes", metric_list=metrics)
    for model, score in zip(three, (0.3, 0.1, 0.2), strict=True):
        result(mistakes, model, score)
    best_first = ["Model 001", "Model 002", "Model 000"]
    assert names(client, "sort=bench.mistakes") == best_first
    assert names(client, "sort=bench.mistakes&order=desc") == best_first[::-1]
    sent = client.get("/api/v1/leaderboard?sort=bench.mistakes").json()["rows"]
    assert [one["model"] for one in sent] == best_first
    text = page(client, "columns=model,bench.mistakes&sort=bench.mistakes")
    head = text.partition('col-bench num" aria-sort="')[2]
    assert head.startswith("ascending")
    assert "less is better" in head
    assert "order=desc" in head.partition("</th>")[0]  # a click turns it round


@pytest.mark.parametrize("query", ["columns=rank,bench.gone", "sort=bench.gone", "against=gone"])
def test_a_benchmark_without_a_public_result_is_no_column(client, three, query):
    assert client.get(f"/leaderboard/?{query}").status_code == 404
    response = client.get(f"/leaderboard/export.csv?{query}")
    assert response.status_code == 404
    assert "gone" in response.content.decode()


@pytest.mark.parametrize("query", ["sort=bench.a/b", "columns=bench.", "against=<b>"])
def test_what_cannot_be_a_benchmark_is_refused(client, query):
    assert client.get(f"/leaderboard/?{query}").status_code == 400


def test_a_model_with_an_older_result_only_is_to_be_run_again(client, three):
    older = task("words", "Words")
    result(older, three[0], 0.9, fingerprint="a" * 64)
    newer = task("words", "Words", task_version="2", description="Anew. ")
    result(newer, three[1], 0.5, fingerprint="b" * 64)
    text = page(client, "columns=model,bench.words")
    assert "re-run needed" in row(text, "Model 000")
    assert "50.0 %" in row(text, "Model 001")
    assert "re-run needed" not in row(text, "Model 002")


def test_a_hidden_model_is_in_no_column_and_in_no_file(client, three):
    hidden = arena.contestant(name="Secret", status="preview")
    result(task("secret", "Secret sums"), hidden, 0.9)
    for path in ("/leaderboard/", "/api/v1/leaderboard", "/api/v1/benchmarks"):
        assert b"ecret" not in client.get(path).content


def test_a_model_with_results_and_no_votes_stands_on_the_board_unrated(client):
    newcomer = arena.contestant(name="Newcomer")
    result(task("sums", "Sums"), newcomer, 0.5)
    cell = row(page(client), "Newcomer")
    assert "No votes yet" in cell
    assert "50.0 %" in cell
    published(contestants(2))
    assert "50.0 %" in row(page(client), "Newcomer")
    assert "Newcomer" not in page(client, "q=Model")
    newcomer.status = "retired"
    newcomer.save()
    assert "Newcomer" not in page(client)
    assert "Newcomer" in page(client, "retired=true")


def test_what_a_task_file_calls_its_column_is_inert(client):
    models = contestants(6)
    published(models)
    hostile = task("hostile", '<img src=x onerror="1">')
    for number, model in enumerate(models):
        result(hostile, model, number / 10)
    for path in ("", "charts/?against=hostile", "models/model-000/", "charts/benchmarks.svg"):
        assert "<img" not in client.get(f"/leaderboard/{path}").content.decode()


def test_a_withdrawn_run_leaves_the_page_at_once(client, three):
    first = client.get("/leaderboard/")
    assert client.get("/leaderboard/", headers={"If-None-Match": first["ETag"]}).status_code == 304
    Run.objects.filter(contestant=three[0]).update(
        withdrawn_at=timezone.now(), withdrawn_reason="Wrong prompts"
    )
    after = client.get("/leaderboard/", headers={"If-None-Match": first["ETag"]})
    assert after.status_code == 200
    assert " %" not in row(after.content.decode(), "Model 000")


def test_the_number_of_queries_does_not_grow_with_results(
    client, three, django_assert_num_queries, django_assert_max_num_queries
):
    with django_assert_max_num_queries(14) as few:
        page(client)
    for name in ("one", "two", "three"):
        of = task(name, name)
        for model in three:
            result(of, model, 0.5)
    with django_assert_num_queries(len(few.captured_queries)):
        page(client)


# --- files and API -------------------------------------------------------------------------------


def test_files_hold_each_figure_of_the_columns_shown(client, three):
    query = "columns=model,benchmarks,bench.sums"
    rows = client.get(f"/leaderboard/export.json?{query}").json()["rows"]
    assert rows[0] == {
        "model": "Model 000", "slug": "model-000", "benchmark_average": 0.45,
        "benchmark_low": 0.41464, "benchmark_high": 0.48536, "benchmark_n": 160, "bench.sums": 0.4,
        "bench.sums.low": pytest.approx(0.35), "bench.sums.high": pytest.approx(0.45),
        "bench.sums.n": 80,
    }  # fmt: skip
    assert rows[2]["benchmark_average"] is None
    table = pq.read_table(io.BytesIO(client.get(f"/leaderboard/export.parquet?{query}").content))
    assert table.to_pylist() == rows
    assert str(table.schema.field("bench.sums.n").type) == "int64"
    cells = client.get(f"/leaderboard/export.csv?{query}").content.decode()
    assert [float(line["bench.sums"]) for line in csv.DictReader(io.StringIO(cells))] == [
        0.4, 0.8, 0.6
    ]  # fmt: skip


def test_the_api_sends_scores_with_each_row(client, three):
    rows = client.get("/api/v1/leaderboard?sort=bench.sums").json()["rows"]
    assert [one["model"] for one in rows] == ["Model 001", "Model 002", "Model 000"]
    assert rows[1]["benchmark_average"] is None
    run = Run.objects.get(contestant=three[2])
    assert rows[1]["benchmarks"] == {
        "sums": {"value": 0.6, "low": 0.55, "high": 0.65, "n": 80, "run_id": run.pk}
    }
    assert client.get("/api/v1/leaderboard?sort=bench.gone").json() == {
        "detail": "sort: no benchmark named 'gone' has a published result", "parameter": "sort"
    }  # fmt: skip


def test_the_api_lists_benchmarks_and_results(client, three):
    content = client.get("/api/v1/benchmarks").json()
    assert [(one["key"], one["title"], one["counts"]) for one in content["benchmarks"]] == [
        ("rules", "Rules", True), ("sums", "Sums", True)
    ]  # fmt: skip
    first, _, last = content["models"]
    assert (first["model"], first["average"]) == ("model-000", pytest.approx(0.45))
    assert first["average_low"] < 0.45 < first["average_high"]
    assert (last["average"], list(last["scores"])) == (None, ["sums"])
    score = last["scores"]["sums"]
    assert (score["value"], score["n"]) == (0.6, 80)
    assert (score["errors"], score["unparsed"], score["truncated"]) == (1, 2, 3)


# --- chart ---------------------------------------------------------------------------------------


@pytest.fixture
def many():
    """Eight models, the best with people also the best on one benchmark, but for one of them."""
    models = contestants(8)
    published(models)
    sums, rules = task("sums", "Sums"), task("rules")
    for place, model in enumerate(models):
        result(sums, model, 0.9 - place / 10 if place != 6 else 0.95)
        if place < 5:
            result(rules, model, 0.5)
    return models


def test_ratings_are_drawn_against_the_average_with_their_correlation(client, many):
    text = client.get("/leaderboard/charts/").content.decode()
    section = text.partition('id="chart-benchmarks"')[2].partition("</section>")[0]
    assert "Rating against benchmark average" in section
    assert "Spearman’s ρ = 0.50 for 8 models, 95 % interval −0.36 to 0.90." in section
    better_on_benchmarks = section.partition("Better on benchmarks than with people")[2]
    assert better_on_benchmarks.index("Model 006") < better_on_benchmarks.index("−")


def test_the_chart_is_a_picture_and_a_table(client, many):
    svg = client.get("/leaderboard/charts/benchmarks.svg").content.decode()
    circles = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}circle")
    assert len(list(circles)) == 8
    cells = client.get("/leaderboard/charts/benchmarks.csv").content.decode()
    lines = list(csv.DictReader(io.StringIO(cells)))
    assert [float(line["score"]) for line in lines][:2] == [90, 80]
    assert sum(float(line["residual"]) for line in lines) == pytest.approx(0, abs=0.01)


def test_one_benchmark_is_drawn_by_choice(client, many):
    text = client.get("/leaderboard/charts/?against=rules").content.decode()
    assert "Rating against rules" in text
    assert "all of 5 models have one score" in text
    assert '<option value="rules" selected>' in text
    assert "against=rules" in text.partition("benchmarks.svg?")[2][:20]


def test_fewer_than_five_models_make_no_chart(client, many):
    Run.objects.filter(task__slug="rules", contestant=many[0]).delete()
    text = client.get("/leaderboard/charts/?against=rules").content.decode()
    assert "Fewer than 5 rated models of this view have a score in this benchmark" in text
    assert client.get("/leaderboard/charts/benchmarks.svg?against=rules").status_code == 404


# --- a model's page ------------------------------------------------------------------------------


def test_a_models_page_shows_its_results(client, three):
    text = client.get("/leaderboard/models/model-000/").content.decode()
    section = text.partition("<h2>Benchmarks</h2>")[2].partition("</table>")[0]
    assert "Average 45.0 % (41.5–48.5 %)" in section
    for run in Run.objects.filter(contestant=three[0]):
        assert f'href="/benchmarks/runs/{run.pk}/"' in section
    assert "35.0–45.0 %" in section
    plain = arena.contestant(name="Plain")
    assert plain.slug == "plain"
    assert "<h2>Benchmarks</h2>" not in client.get("/leaderboard/models/plain/").content.decode()
