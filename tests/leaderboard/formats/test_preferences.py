"""Votes as training pairs and labels."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest

from leaderboard.formats.preferences import write_dpo, write_kto
from leaderboard.formats.records import VoteRecord

VOTE = VoteRecord("x", "y", "model_b", turn_messages=(("p1", "a1", "b1"), ("p2", "a2", "b2")))


def written(write, *votes):
    stream = io.BytesIO()
    count = write(votes, stream)
    rows = [json.loads(line) for line in stream.getvalue().decode().splitlines()]
    assert len(rows) == count
    return rows


def conversation(*texts):
    return [
        {"content": text, "role": role}
        for text, role in zip(texts, ("user", "assistant") * len(texts), strict=False)
    ]


def test_a_pair_holds_the_whole_conversation_of_either_side():
    assert written(write_dpo, VOTE) == [
        {
            "prompt": "p1",
            "chosen": conversation("p1", "b1", "p2", "b2"),
            "rejected": conversation("p1", "a1", "p2", "a2"),
        }
    ]


def test_the_left_side_may_be_the_chosen_one():
    (row,) = written(write_dpo, replace(VOTE, winner="model_a"))
    assert row["chosen"] == conversation("p1", "a1", "p2", "a2")


@pytest.mark.parametrize("winner", ["tie", "both_bad"])
def test_ties_prefer_nothing(winner):
    assert written(write_dpo, replace(VOTE, winner=winner)) == []


@pytest.mark.parametrize(
    ("winner", "labels"),
    [
        ("model_a", [True, False]),
        ("model_b", [False, True]),
        ("tie", [True, True]),
        ("both_bad", [False, False]),
    ],
)
def test_each_answer_is_labelled_by_itself(winner, labels):
    rows = written(write_kto, replace(VOTE, winner=winner))
    assert [row["label"] for row in rows] == labels
    assert rows[0]["prompt"] == conversation("p1", "a1", "p2")
    assert rows[0]["completion"] == [{"content": "a2", "role": "assistant"}]
    assert rows[1]["prompt"] == conversation("p1", "b1", "p2")


def test_votes_without_text_or_answer_or_difference_give_no_pair():
    votes = (
        replace(VOTE, turn_messages=()),
        replace(VOTE, turn_messages=(("p", "", "b"),)),
        replace(VOTE, turn_messages=(("p", "same", "same"),)),
    )
    assert written(write_dpo, *votes) == []
    assert len(written(write_kto, *votes)) == 3


def test_equal_votes_are_repeated_and_line_ends_stay_inside_their_line():
    vote = replace(VOTE, count=2, turn_messages=(("p\u2028\n", "a\ud83d", "b"),))
    stream = io.BytesIO()
    assert write_dpo([vote], stream) == 2
    first, second = stream.getvalue().split(b"\n")[:2]
    assert first == second
    assert json.loads(first)["rejected"] == conversation("p\u2028\n", "a\ufffd")
