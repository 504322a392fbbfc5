"""Plain tables and lines of votes, the format anyone can write by hand."""

from __future__ import annotations

from datetime import UTC, datetime

from leaderboard.formats.records import AGAINST_ITSELF, BadRow, Skipped
from tests.leaderboard.formats.files import json_lines, only_vote, readings, table


def test_three_columns_are_enough():
    vote = only_vote("model_a,model_b,winner\nx,y,model_b\n", "plain")
    assert (vote.model_a, vote.model_b, vote.winner) == ("x", "y", "model_b")
    assert (vote.count, vote.judge, vote.timestamp, vote.anonymous) == (1, "", None, True)


def test_everything_a_line_may_say_is_read():
    row = {
        "id": 7,
        "model_a": "x",
        "model_b": "y",
        "winner": "tie (bothbad)",
        "judge": "j1",
        "tstamp": 1751371200,
        "language": "Finnish",
        "anony": False,
        "pair_probability": 0.25,
        "count": 3,
        "prompt": "Why?",
        "response_a": "Because.",
        "response_b": None,
        "prompt_id": "p9",
        "len_a": 11,
    }
    vote = only_vote(json_lines(row), "plain")
    assert vote.external_id == "7"
    assert vote.winner == "both_bad"
    assert vote.judge == "j1"
    assert vote.timestamp == datetime(2025, 7, 1, 12, tzinfo=UTC)
    assert vote.language == "Finnish"
    assert vote.anonymous is False
    assert vote.pair_probability == 0.25
    assert vote.count == 3
    assert vote.turns == 1
    assert vote.turn_messages == (("Why?", "Because.", ""),)
    assert vote.extra == {"prompt_id": "p9", "len_a": 11}


def test_keys_may_appear_first_in_a_later_line():
    first = {"model_a": "x", "model_b": "y", "winner": "a"}
    read = readings(json_lines(first, {**first, "judge": "j", "count": 2}))
    assert [(vote.judge, vote.count) for vote in read] == [("", 1), ("j", 2)]


def test_columns_nobody_asked_for_are_not_taken_over():
    rows = [{"model_a": "x", "model_b": "y", "winner": "a", "ip": "203.0.113.9", "mail": "a@b.c"}]
    for data in (table(rows), json_lines(*rows)):
        assert "203.0.113.9" not in repr(only_vote(data, "plain"))
        assert "a@b.c" not in repr(only_vote(data, "plain"))


def test_a_model_against_itself_and_a_count_of_nothing_are_skipped_not_wrong():
    read = readings("model_a,model_b,winner,count\nx,x,tie,1\nx,y,tie,0\nx,y,tie,-1\n")
    assert read == [
        Skipped(2, AGAINST_ITSELF),
        Skipped(3, "a count of 0"),
        BadRow(4, "count: '-1'"),
    ]


def test_escaped_formulas_are_read_as_they_were():
    read = readings("model_a,model_b,winner\n'=1+1,''@x,a\n'quoted,y,a\n")
    assert [(vote.model_a, vote.model_b) for vote in read] == [("=1+1", "'@x"), ("'quoted", "y")]


def test_a_reason_never_quotes_more_than_a_line():
    (bad,) = readings(f"model_a,model_b,winner\nx,y,{'z' * 10_000}\n")
    assert len(bad.reason) < 80
