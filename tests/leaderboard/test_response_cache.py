"""Finished answers: kept while they are true, sent in few bytes, never another's."""

from __future__ import annotations

import gzip

import pytest
from django.http import HttpResponse

from leaderboard.board import response_cache
from leaderboard.board.response_cache import Answer, Shelf, respond
from leaderboard.models import Category
from tests.leaderboard.boards import contestants, published

TEXT = b"a rating, an interval; " * 100


def answer(size: int) -> Answer:
    return Answer((), b"x" * (size - 500), b"", "")


def test_the_least_recently_used_answer_makes_room():
    shelf = Shelf()
    for name in "abcd":
        shelf.put((name,), answer(1000), limit=4000)
    shelf.get(("a",))
    shelf.put(("e",), answer(1000), limit=4000)
    assert [name for name in "abcde" if shelf.get((name,))] == ["a", "c", "d", "e"]
    assert shelf.bytes == 4000


def test_an_answer_larger_than_a_quarter_of_the_shelf_is_not_kept():
    shelf = Shelf()
    shelf.put(("a",), answer(1001), limit=4000)
    assert len(shelf) == 0


def test_putting_the_same_answer_twice_counts_its_bytes_once():
    shelf = Shelf()
    shelf.put(("a",), answer(1000), limit=4000)
    shelf.put(("a",), answer(1000), limit=4000)
    assert (shelf.bytes, len(shelf)) == (1000, 1)


class Built:
    """Builds an answer, and counts how often."""

    def __init__(self, status: int = 200) -> None:
        self.status, self.times = status, 0

    def __call__(self) -> HttpResponse:
        self.times += 1
        return HttpResponse(TEXT, status=self.status, content_type="text/plain")


@pytest.fixture
def ask(rf, db, monkeypatch):
    # In an empty database every test has the same state, and would find another's answers.
    monkeypatch.setattr(response_cache, "shelf", Shelf())
    built = Built()

    def asked(path="/board", query="", *, shared=True, **headers):
        request = rf.get(path, headers=headers)
        return respond(request, query=query, build=built, shared=shared)

    asked.built = built
    return asked


def test_an_answer_is_built_once_for_each_path_and_query(ask):
    published(contestants(1))
    for path, query in [("/a", ""), ("/a", "q=1"), ("/b", ""), ("/a", ""), ("/a", "q=1")]:
        assert ask(path, query).content == TEXT
    assert ask.built.times == 3


def test_a_new_snapshot_a_changed_card_and_a_changed_category_build_it_anew(ask):
    models = contestants(1)
    published(models)
    ask()
    published(models)
    ask()
    models[0].organisation = "Renamed"
    models[0].save()
    ask()
    Category.objects.filter(slug="overall").update(name="Everything")
    ask()
    assert ask.built.times == 4


def test_a_weight_that_changes_with_each_draw_builds_nothing(ask):
    models = contestants(1)
    published(models)
    ask()
    models[0].weight = 0.5
    models[0].save()
    ask()
    assert ask.built.times == 1


def test_between_two_looks_at_the_database_there_is_no_query(
    ask, settings, django_assert_num_queries
):
    settings.BOARD_RECHECK_SECONDS = 3600
    ask()
    with django_assert_num_queries(0):
        ask()


def test_who_has_the_tag_gets_no_body(ask):
    tag = ask()["ETag"]
    for header in (tag, f'"other", {tag}', tag.removeprefix("W/"), "*"):
        response = ask(**{"If-None-Match": header})
        assert (response.status_code, response.content) == (304, b"")
        assert response["ETag"] == tag
    assert ask(**{"If-None-Match": '"other"'}).status_code == 200


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [("gzip", "gzip"), ("br, gzip;q=0.5", "gzip"), ("*", "gzip"), ("gzip;q=0", None), ("", None)],
)
def test_it_is_compressed_for_who_accepts_that(ask, accepted, coding):
    response = ask(**{"Accept-Encoding": accepted})
    assert response.get("Content-Encoding") == coding
    assert (gzip.decompress(response.content) if coding else response.content) == TEXT
    assert "Accept-Encoding" in response["Vary"]


def test_an_answer_for_one_person_is_built_each_time_and_not_to_be_kept(ask):
    for _ in range(2):
        response = ask(shared=False)
    assert ask.built.times == 2
    assert response["Cache-Control"] == "private, no-store"
    assert "ETag" not in response


def test_a_failure_is_not_kept(ask):
    ask.built.status = 404
    ask()
    ask()
    assert ask.built.times == 2


def test_the_tag_is_the_same_in_another_process(ask, monkeypatch):
    tag = ask()["ETag"]
    monkeypatch.setattr(response_cache, "shelf", Shelf())
    assert ask()["ETag"] == tag
