"""The leaderboard page, and what other pages show of it."""

from __future__ import annotations

import pytest
from django.template import Context, Template

from leaderboard import snapshots, tally
from leaderboard.models import Category
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
    tally.settle_all()
    return models


def publish():
    return snapshots.publish(Category.objects.get(slug="overall"))


def board(client) -> str:
    return client.get("/leaderboard/").content.decode()


def test_before_the_first_snapshot_the_page_says_so(client):
    assert "Nothing has been published yet" in board(client)


def test_the_board_shows_rank_rating_interval_votes_organisation_and_licence(client, voted):
    snapshot = publish()
    page = board(client)
    assert page.index("Best") < page.index("Middle") < page.index("Last")
    best = snapshot.ratings.get(contestant=voted[0])
    assert f">{round(best.rating)}<" in page
    assert f"+{round(best.upper - best.rating)}/−{round(best.rating - best.lower)}" in page
    assert "Best Lab" in page
    assert "MIT" in page
    assert f"#{snapshot.pk}" in page


def test_votes_show_only_once_they_are_published(client, voted):
    publish()
    factories.vote(contestant_a=voted[0], contestant_b=voted[1])
    tally.settle_all()
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
    with django_assert_num_queries(3):
        client.get("/leaderboard/")
    for _ in range(10):
        factories.contestant()
    publish()
    with django_assert_num_queries(3):
        client.get("/leaderboard/")


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
