"""compar:IA's votes, in the columns of its dataset card."""

from __future__ import annotations

import pytest

from leaderboard.formats.records import BadRow, Skipped
from tests.leaderboard.formats.files import json_lines, only_vote, readings, table

ROW = {
    "id": 12,
    "timestamp": "2025-02-03 10:11:12",
    "model_a_name": "x",
    "model_b_name": "y",
    "model_pair_name": ["x", "y"],
    "chosen_model_name": "y",
    "opening_msg": "Bonjour",
    "both_equal": False,
    "conversation_a": [
        {"role": "user", "content": "Bonjour"},
        {"role": "assistant", "content": "Salut", "metadata": {}},
    ],
    "conversation_b": [
        {"role": "user", "content": "Bonjour"},
        {"role": "assistant", "content": "Bonjour !", "metadata": {}},
    ],
    "conv_turns": 1,
    "selected_category": None,
    "conversation_pair_id": "p1",
    "session_hash": "s1",
    "visitor_id": "v1",
    "conv_useful_a": True,
}


@pytest.mark.parametrize("write", [json_lines, lambda row: table([row])])
def test_the_chosen_model_wins(write):
    vote = only_vote(write(ROW), "comparia")
    assert (vote.model_a, vote.model_b, vote.winner) == ("x", "y", "model_b")
    assert (vote.external_id, vote.judge, vote.turns) == ("p1", "v1", 1)
    assert vote.turn_messages == (("Bonjour", "Salut", "Bonjour !"),)


def test_equal_models_tie_and_an_exclusion_stays_visible():
    row = {**ROW, "both_equal": True, "chosen_model_name": None, "excluded": True}
    vote = only_vote(json_lines(row), "comparia")
    assert vote.winner == "tie"
    assert vote.extra == {"excluded": True}


def test_a_vote_for_neither_is_skipped_and_one_for_a_third_refused():
    nobody, third = {**ROW, "chosen_model_name": None}, {**ROW, "chosen_model_name": "z"}
    assert readings(json_lines(nobody, third)) == [
        Skipped(1, "no model was chosen"),
        BadRow(2, "chosen_model_name: neither of the two"),
    ]
