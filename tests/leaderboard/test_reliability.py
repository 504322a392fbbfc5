"""How models have answered of late: written down by a worker, the same from every process."""

from __future__ import annotations

import csv
import io
from datetime import timedelta

import pytest
from django.utils import timezone

from arena.models import Answer, UpstreamRequest
from leaderboard import reliability
from leaderboard.board import BoardQuery, answering, read, response_cache
from leaderboard.models import Reliability, Snapshot
from tests import factories
from tests.evaluation.factories import finished_run
from tests.leaderboard.boards import contestants, published

pytestmark = pytest.mark.django_db

FIELDS = ("requests", "error_rate", "first_token", "tokens_per_second", "price_answer")


def asked(model, *, seconds=(0.2, 0.4, 0.9), failed=1):
    """Answers of 101 tokens in a second of writing, and failures."""
    for first in seconds:
        ms = round(1000 * first)
        factories.upstream_request(
            contestant=model, first_token_ms=ms, duration_ms=ms + 1000, output_tokens=101
        )
    for _ in range(failed):
        factories.upstream_request("disconnected", contestant=model)


def answered(model, *, asked, answered):
    battle = factories.battle(contestant_a=model)
    Answer.objects.filter(turn__battle=battle, contestant=model).update(
        state=Answer.State.COMPLETE, input_tokens=asked, output_tokens=answered
    )


@pytest.fixture
def three():
    """The first two have been asked; the second answers sooner and never fails."""
    models = contestants(3, price_input=2, price_output=10)
    published(models)
    asked(models[0])
    asked(models[1], seconds=(0.1, 0.1), failed=0)
    answered(models[0], asked=100, answered=300)
    answered(models[0], asked=300, answered=500)
    reliability.refresh()
    return models


def line(slug):
    return next(row for row in read(BoardQuery()).rows if row.slug == slug)


def names(client, query):
    return [row["model"] for row in client.get(f"/api/v1/leaderboard?{query}").json()["rows"]]


# --- writing -------------------------------------------------------------------------------------


def test_only_what_has_changed_is_written(three):
    assert reliability.refresh() == 0
    asked(three[1], seconds=(), failed=1)
    assert reliability.refresh() == 1
    assert Reliability.objects.get(contestant=three[1]).failed == 1


def test_a_model_that_was_not_asked_for_a_week_has_no_figures_left(three):
    UpstreamRequest.objects.filter(contestant=three[0]).update(
        at=timezone.now() - timedelta(days=8)
    )
    assert reliability.refresh() == 1
    assert list(Reliability.objects.values_list("contestant", flat=True)) == [three[1].pk]


# --- reading -------------------------------------------------------------------------------------


def test_a_row_says_how_often_the_model_failed_how_soon_and_how_fast_it_wrote(three):
    first, second, third = (line(model.slug) for model in three)
    assert (first.requests, first.error_rate, first.first_token) == (4, 0.25, 0.4)
    assert first.tokens_per_second == 100
    assert (second.error_rate, second.first_token) == (0, 0.1)
    assert [getattr(third, name) for name in FIELDS] == [None] * 5


def test_an_answer_costs_its_mean_length_at_the_prices_of_the_card(three):
    assert line(three[0].slug).price_answer == pytest.approx((200 * 2 + 400 * 10) / 1e6)
    assert line(three[1].slug).price_answer is None  # nobody knows how long its answers are
    three[0].price_input = None
    three[0].save()
    assert line(three[0].slug).price_answer is None


@pytest.mark.parametrize(
    ("price", "said"),
    [(0, "$0.00"), (1.5, "$1.50"), (0.0123, "$0.012"), (0.0000456, "$0.000046")],
)
def test_a_small_price_keeps_two_digits(price, said):
    assert answering.dollars(price) == said


def test_columns_are_shown_by_choice_only_and_sorted_by_their_better_end(client, three):
    heads = client.get("/leaderboard/").content.decode().partition("<thead>")[2]
    assert "Error rate" not in heads.partition("</thead>")[0]
    chosen = "columns=model,error_rate,first_token,tokens_per_second,price_answer"
    page = client.get(f"/leaderboard/?{chosen}").content.decode()
    cells = page.partition(">Model 000</a>")[2].partition("</tr>")[0]
    for said in ("25.0 %", "n = 4", "0.40 s", ">100<", "$0.0044"):
        assert said in cells
    assert names(client, "sort=error_rate") == ["Model 001", "Model 000", "Model 002"]
    assert names(client, "sort=first_token") == ["Model 001", "Model 000", "Model 002"]
    assert names(client, "sort=price_answer")[0] == "Model 000"


def test_files_and_the_api_hold_the_same_figures(client, three):
    chosen = "columns=model,error_rate,first_token,tokens_per_second,price_answer"
    (row, *_) = client.get(f"/leaderboard/export.json?{chosen}").json()["rows"]
    (sent, *_) = client.get("/api/v1/leaderboard").json()["rows"]
    assert {name: row[name] for name in FIELDS} == {name: sent[name] for name in FIELDS}
    cells = client.get(f"/leaderboard/export.csv?{chosen}").content.decode()
    (first, *_) = csv.DictReader(io.StringIO(cells))
    assert [float(first[name]) for name in FIELDS] == [row[name] for name in FIELDS]
    number = Snapshot.objects.get().pk
    assert b"first_token" not in client.get(f"/api/v1/snapshots/{number}").content


def test_a_hidden_model_is_in_no_answer(client, three):
    hidden = factories.contestant(name="Secret", status="preview")
    asked(hidden)
    assert reliability.refresh() == 1
    for path in ("/leaderboard/?columns=model,error_rate", "/api/v1/leaderboard",
                 "/leaderboard/charts/latency.csv"):  # fmt: skip
        assert b"ecret" not in client.get(path).content
    assert client.get(f"/leaderboard/models/{hidden.slug}/").status_code == 404


def test_a_model_with_benchmark_results_alone_has_its_figures_too():
    model = factories.contestant(name="Newcomer")
    finished_run(contestant=model, primary_score=0.5)
    asked(model)
    reliability.refresh()
    assert line(model.slug).error_rate == 0.25


def test_a_kept_page_is_made_anew_only_when_a_figure_has_changed(three):
    before = response_cache._digest()
    reliability.refresh()
    assert response_cache._digest() == before
    asked(three[0], failed=1, seconds=())
    assert response_cache._digest() == before  # the board knows nothing of it yet
    reliability.refresh()
    assert response_cache._digest() != before


def test_ratings_are_drawn_against_the_time_to_the_first_token(client, three):
    cells = client.get("/leaderboard/charts/latency.csv").content.decode()
    drawn = {row["model"]: float(row["latency"]) for row in csv.DictReader(io.StringIO(cells))}
    assert drawn == {"Model 000": 0.4, "Model 001": 0.1}
    assert b"stroke-dasharray" in client.get("/leaderboard/charts/latency.svg").content


def test_a_models_page_says_how_reliably_it_answers(client, three):
    text = client.get("/leaderboard/models/model-000/").content.decode()
    section = text.partition("<h2>Reliability</h2>")[2].partition("</dl>")[0]
    for said in ("4 requests", "25.0 %", "0.40 s", "100 tokens/s", "$0.0044"):
        assert said in section
    assert "<h2>Reliability" not in client.get("/leaderboard/models/model-002/").content.decode()
