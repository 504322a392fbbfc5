"""The leaderboard page, and what other pages show of it."""

from __future__ import annotations

import csv
import io
from xml.etree import ElementTree

import pytest
from django.template import Context, Template

from evaluation.results.published import benchmarks
from leaderboard import sampling, snapshots
from leaderboard.models import Category
from leaderboard.tally import settling
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def voted():
    """Three models, the first the best; everybody has won and lost."""
    models = [
        factories.contestant(name=name, organisation=f"{name} Lab", licence="MIT")
        for name in ("Best", "Middle", "Last")
    ]
    for better, worse in ((0, 1), (1, 2), (0, 2)):
        for choice in ("a", "a", "a", "b", "tie"):
            factories.vote(choice, contestant_a=models[better], contestant_b=models[worse])
    settling.settle_all()
    return models


def publish():
    return snapshots.publish(Category.objects.get(slug="overall"))


def board(client) -> str:
    return client.get("/leaderboard/").content.decode()


def test_before_the_first_snapshot_the_page_says_so(client):
    assert "Nothing has been published yet" in board(client)


def test_the_board_shows_rank_rating_interval_votes_organisation_and_licence(client, voted):
    snapshot = publish()
    page = board(client).partition("<tbody>")[2]
    assert page.index("Best") < page.index("Middle") < page.index("Last")
    best = snapshot.ratings.get(contestant=voted[0])
    assert f"<strong>{best.rating:.0f}</strong>" in page
    assert f"+{round(best.upper - best.rating)}/−{round(best.rating - best.lower)}" in page
    assert "Best Lab" in page
    assert "MIT" in page
    assert f"#{snapshot.pk}" in page


def test_votes_show_only_once_they_are_published(client, voted):
    publish()
    factories.vote(contestant_a=voted[0], contestant_b=voted[1])
    settling.settle_all()
    assert "<dd>15</dd>" in board(client)
    publish()
    assert "<dd>16</dd>" in board(client)


def test_a_model_without_an_honest_number_shows_none(client, voted):
    factories.contestant(name="Newcomer")
    publish()
    row = board(client).partition("Newcomer")[2].partition("</tr>")[0]
    assert "No votes yet" in row
    assert "+" not in row


def test_a_retired_model_leaves_the_board_and_keeps_its_votes(client, voted):
    voted[2].status = "retired"
    voted[2].save()
    snapshot = publish()
    assert snapshot.votes_counted == 15
    assert "Last Lab" not in board(client)


def test_the_number_of_queries_does_not_grow_with_models(client, voted, django_assert_num_queries):
    publish()
    benchmarks()  # a process reads them once for each change
    with django_assert_num_queries(12):  # six say what is current, six read it
        client.get("/leaderboard/")
    for _ in range(10):
        factories.contestant()
    publish()
    with django_assert_num_queries(12):
        client.get("/leaderboard/")
    with django_assert_num_queries(6):  # the same page again
        client.get("/leaderboard/")


def test_the_page_is_not_sent_again_to_who_has_it(client, voted):
    publish()
    first = client.get("/leaderboard/")
    again = client.get("/leaderboard/", headers={"if-none-match": first["ETag"]})
    assert again.status_code == 304
    factories.vote(contestant_a=voted[0], contestant_b=voted[1])
    settling.settle_all()
    publish()
    newer = client.get("/leaderboard/", headers={"if-none-match": first["ETag"]})
    assert newer.status_code == 200


def test_who_is_signed_in_gets_a_page_of_their_own(client, admin_client, voted):
    publish()
    assert ">Admin</a>" in board(admin_client)
    assert ">Admin</a>" not in board(client)


@pytest.mark.parametrize(
    ("query", "status"),
    [("sort=name", 400), ("method=magic", 400), ("min_size=big", 400), ("category=none", 404)],
)
def test_a_wrong_address_says_what_is_wrong(client, query, status):
    response = client.get(f"/leaderboard/?{query}")
    assert response.status_code == status
    if status == 400:
        assert query.partition("=")[0] in response.content.decode()


def test_what_administrators_type_is_inert_on_the_board(client, voted):
    hostile = '"><script>alert(1)</script>'
    voted[0].name = voted[0].organisation = voted[0].licence = voted[0].quantisation = hostile
    voted[0].save()
    publish()
    for path in ("", f"models/{voted[0].slug}/", "charts/", "compare/"):
        page = client.get(f"/leaderboard/{path}").content.decode()
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(1)" in page


def test_a_model_has_a_page_with_its_rating_rivals_and_history(client, voted):
    snapshot = publish()
    page = client.get(f"/leaderboard/models/{voted[0].slug}/").content.decode()
    assert f"{snapshot.ratings.get(contestant=voted[0]).rating:.0f}" in page
    assert "Rank 1" in page
    assert "Rating over time" in page
    assert client.get("/leaderboard/models/nobody/").status_code == 404


def test_a_preview_has_no_page_and_no_row(client, voted):
    secret = factories.contestant(name="CANARY preview", status="preview")
    factories.vote(contestant_a=secret, contestant_b=voted[0])
    settling.settle_all()
    publish()
    assert client.get(f"/leaderboard/models/{secret.slug}/").status_code == 404
    for path in ("", "charts/", "compare/", "method/"):
        assert "CANARY" not in client.get(f"/leaderboard/{path}").content.decode()


def test_two_models_are_compared_with_the_interval_of_their_difference(client, voted):
    snapshot = publish()
    a, b = (snapshot.ratings.get(contestant=model) for model in voted[:2])
    page = client.get(f"/leaderboard/compare/?a={voted[0].slug}&b={voted[1].slug}")
    text = page.content.decode()
    assert f"{a.rating - b.rating:.0f} Elo above" in text
    assert "95 % interval of the difference" in text
    assert "5 counted: Best won 3, Middle won 1, 1 both good, 0 both bad." in text
    assert (
        "cannot be compared with itself"
        in client.get(f"/leaderboard/compare/?a={voted[0].slug}&b={voted[0].slug}").content.decode()
    )
    assert client.get("/leaderboard/compare/?a=nobody&b=none").status_code == 404


def test_every_chart_comes_as_a_picture_and_as_a_table(client, voted):
    publish()
    page = client.get("/leaderboard/charts/").content.decode()
    for name in ("intervals", "wins", "battles", "average-wins", "history"):
        assert f'id="chart-{name}"' in page
        picture = client.get(f"/leaderboard/charts/{name}.svg")
        assert picture["Content-Type"].startswith("image/svg+xml")
        assert ElementTree.fromstring(picture.content).tag.endswith("svg")
        table = list(
            csv.reader(io.StringIO(client.get(f"/leaderboard/charts/{name}.csv").content.decode()))
        )
        assert len(table) > 1
    assert client.get("/leaderboard/charts/price.svg").status_code == 404  # no prices known
    assert client.get("/leaderboard/charts/magic.svg").status_code == 404


def test_the_table_of_a_chart_holds_its_numbers(client, voted):
    publish()
    text = client.get("/leaderboard/charts/wins.csv").content.decode()
    assert "Best,Middle,3,4" in text.splitlines()
    assert "Middle,Best,1,4" in text.splitlines()


def test_the_method_page_names_formulas_rules_and_what_is_in_use(client, voted):
    snapshot = publish()
    page = client.get("/leaderboard/method/").content.decode()
    assert "sandwich" in page
    assert "&quot;outcomes&quot;: [&quot;lo&quot;, &quot;hi&quot;]" in page
    assert f"#{snapshot.pk}" in page
    assert snapshot.code_version in page


def test_sampling_is_published_by_day(client, voted):
    sampling.add_up()
    page = client.get("/leaderboard/sampling/").content.decode()
    assert "Middle" in page
    rows = client.get("/leaderboard/sampling.csv").content.decode().splitlines()
    assert rows[0].startswith("day,model,sampled,completed")
    assert len(rows) == 4


def standing(slug: str) -> str:
    return Template("{% load leaderboard %}{% standing slug %}").render(Context({"slug": slug}))


def test_a_standing_names_rank_interval_and_votes(voted):
    snapshot = publish()
    rating = snapshot.ratings.get(contestant=voted[0])
    text = standing(voted[0].slug)
    assert f"Rank {rating.rank}" in text
    assert f"{round(rating.rating)}" in text
    assert "10 votes" in text


def test_a_model_that_no_snapshot_knows_has_no_standing(voted):
    assert "Not on the leaderboard yet" in standing(voted[0].slug)
