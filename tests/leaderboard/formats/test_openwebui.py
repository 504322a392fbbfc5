"""Open WebUI's feedback export, after its router's models."""

from __future__ import annotations

import json

import pytest

from leaderboard.formats.records import BadRow, Skipped
from tests.leaderboard.formats.files import only_vote, readings

MESSAGES = {
    "m0": {"id": "m0", "parentId": None, "role": "user", "content": "Hi", "childrenIds": ["m1"]},
    "m1": {"id": "m1", "parentId": "m0", "role": "assistant", "content": "Hello", "model": "x"},
    "m2": {
        "id": "m2",
        "parentId": "m0",
        "role": "assistant",
        "content": "Hey",
        "model": "arena-model",
        "selectedModelId": "y",
    },
}
RATING = {
    "id": "f1",
    "user_id": "u1",
    "version": 0,
    "type": "rating",
    "data": {
        "rating": 1,
        "model_id": "x",
        "sibling_model_ids": ["y"],
        "reason": "accurate_information",
        "comment": "mail me: a@b.c",
        "tags": ["greeting"],
    },
    "meta": {"arena": True, "chat_id": "c", "message_id": "m1"},
    "snapshot": {"chat": {"id": "c", "chat": {"history": {"messages": MESSAGES}}}},
    "created_at": 1751371200,
    "updated_at": 1751371201,
}


def rating(**data):
    return {**RATING, "data": {**RATING["data"], **data}}


def test_a_thumb_up_says_that_the_rated_model_beat_its_sibling():
    vote = only_vote(json.dumps([RATING]), "openwebui")
    assert (vote.model_a, vote.model_b, vote.winner) == ("x", "y", "model_a")
    assert vote.external_id == "f1"
    assert vote.judge == "u1"
    assert vote.timestamp.timestamp() == 1751371200
    assert vote.anonymous
    assert vote.turn_messages == (("Hi", "Hello", "Hey"),)
    assert vote.extra == {"reason": "accurate_information", "tags": ["greeting"]}


@pytest.mark.parametrize("rating_value", [-1, "-1"])
def test_a_thumb_down_says_that_it_lost(rating_value):
    assert only_vote(json.dumps([rating(rating=rating_value)]), "openwebui").winner == "model_b"


def test_each_sibling_gives_a_vote_with_a_name_of_its_own():
    read = readings(json.dumps([rating(sibling_model_ids=["y", "z", "x"])]))
    assert [(vote.model_b, vote.external_id) for vote in read[:2]] == [("y", "f1/1"), ("z", "f1/2")]
    assert read[2] == Skipped(1, "a model against itself")
    assert read[1].turn_messages == ()


def test_names_were_shown_outside_of_the_arena_mode():
    assert not only_vote(json.dumps([{**RATING, "meta": {}}]), "openwebui").anonymous


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        (rating(sibling_model_ids=None), "no sibling was compared"),
        (rating(rating=None), "neither a thumb up nor a thumb down"),
        ({**RATING, "type": "comment"}, "feedback other than a rating"),
        ({**RATING, "data": None}, "neither a thumb up nor a thumb down"),
    ],
)
def test_feedback_that_compares_nothing_is_skipped(item, reason):
    assert readings(json.dumps([item])) == [Skipped(1, reason)]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ({"model_id": None}, "model_id: no name"),
        ({"sibling_model_ids": "y"}, "sibling_model_ids: not a list"),
        ({"sibling_model_ids": [None]}, "sibling_model_ids: no name"),
    ],
)
def test_ratings_without_names_are_refused(data, reason):
    assert readings(json.dumps([rating(**data)])) == [BadRow(1, reason)]
