"""What a reader sees of the sources that answers name."""

from __future__ import annotations

import pytest

from arena import sources
from arena.models import Answer
from tests import factories
from tests.arena.test_views import browser_of, vote

pytestmark = pytest.mark.django_db

CITED = [
    {"url": "https://CANARY-host.test/page", "title": "A page"},
    {"url": "https://CANARY-host.test/page", "title": "The same again"},
    {"url": "http://other.test/", "title": " "},
    {"url": "javascript:alert(1)", "title": "No link"},
    {"url": "https://[broken", "title": "No address"},
]


def cited(**fields):
    battle = factories.battle(**fields)
    Answer.objects.filter(turn__battle=battle, slot="a").update(citations=CITED)
    return battle


def test_each_address_counts_once_and_only_what_can_be_a_link():
    assert sources.of_answer(Answer(citations=CITED)) == [
        {"url": "https://CANARY-host.test/page", "title": "A page"},
        {"url": "http://other.test/", "title": "other.test"},
    ]


def test_before_the_vote_both_sides_say_how_many_and_neither_says_where():
    battle = cited()
    answers = Answer.objects.filter(turn__battle=battle)
    assert sources.of_turn(answers, named=False) == {"a": 2, "b": 0}
    page = browser_of(battle.voter).get(f"/battle/{battle.public_id}/").content.decode()
    assert "2 sources, shown after the vote" in page
    assert "No sources" in page
    assert "CANARY" not in page


def test_the_links_come_with_the_names():
    battle = cited()
    client = browser_of(battle.voter)
    answer = vote(client, battle).json()
    assert "https://CANARY-host.test/page" in answer["sources"]["a"]["1"]
    assert "No sources" in answer["sources"]["b"]["1"]
    page = client.get(f"/battle/{battle.public_id}/").content.decode()
    assert 'href="https://CANARY-host.test/page" target="_blank" rel="nofollow noopener' in page


def test_where_the_models_are_named_the_links_are_there_at_once():
    battle = cited(mode="side_by_side", pair_probability=None)
    page = browser_of(battle.voter).get(f"/battle/{battle.public_id}/").content.decode()
    assert "https://CANARY-host.test/page" in page


def test_a_turn_without_sources_does_not_speak_of_them():
    battle = factories.battle()
    assert sources.of_turn(Answer.objects.filter(turn__battle=battle), named=False) is None
    page = browser_of(battle.voter).get(f"/battle/{battle.public_id}/").content.decode()
    assert "No sources" not in page
