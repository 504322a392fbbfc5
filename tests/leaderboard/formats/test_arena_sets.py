"""The sets LMSYS and LMArena published, in their exact columns."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from leaderboard.formats.records import BadRow
from tests.leaderboard.formats.files import json_lines, only_vote, readings, table


def said(*texts):
    roles = ("user", "assistant")
    return [{"content": text, "role": roles[i % 2]} for i, text in enumerate(texts)]


SHARED = {
    "question_id": "58210e39b3fd4441a2bd4a518bb44c2d",
    "model_a": "chatglm-6b",
    "model_b": "koala-13b",
    "winner": "model_b",
    "judge": "arena_user_973",
    "conversation_a": said("Name two.", "One, two.", "More?", "Three."),
    "conversation_b": said("Name two.", "Two, one.", "More?", "Four."),
    "turn": 2,
    "anony": True,
    "language": "English",
    "tstamp": 1682351591.1322,
}
ROW_33K = {
    **SHARED,
    "openai_moderation": {"categories": {"hate": False}, "category_scores": {}, "flagged": False},
    "toxic_chat_tag": {
        "roberta-large": {"flagged": False, "probability": 0.01},
        "t5-large": {"flagged": True, "score": 0.9},
    },
}
ROW_100K = {
    **{key: value for key, value in SHARED.items() if key != "judge"},
    "conv_metadata": {"sum_assistant_a_tokens": 9, "bold_count_a": {"**": 0, "__": 0}},
    "is_code": False,
    "is_refusal": True,
    "dedup_tag": {"high_freq": False, "sampled": True},
    "category_tag": {"math_v0.1": {"math": False}},
    "judge_hash": "a5f3",
}
ROW_55K = {
    "id": "30192",
    "model_a": "gpt-4-1106-preview",
    "model_b": "gpt-4-0613",
    "prompt": '["First?","Second?"]',
    "response_a": '["Yes\\n\\"so\\"",null]',
    "response_b": '["No \\ud83d","Still no"]',
    "winner_model_a": 1,
    "winner_model_b": 0,
    "winner_tie": 0,
}


def part(text=None, image=None):
    kind = "text" if image is None else "image"
    mime = "image/png" if image else None
    return {"type": kind, "text": text, "image": image, "mimeType": mime}


def parts(role, *content):
    return {"role": role, "content": list(content), "num_tokens": 5}


ROW_140K = {
    "id": "c4b9710c-8d64-4bee-a0b0-94637ae4cc65",
    "model_a": "x",
    "model_b": "y",
    "winner": "both_bad",
    "evaluation_session_id": "5e55",
    "evaluation_order": 2,
    "conversation_a": [
        parts("user", part("What is it?"), part(image="pic.png")),
        parts("assistant", part("A cat.")),
    ],
    "conversation_b": [parts("user", part("What is it?")), parts("assistant", part("A dog."))],
    "full_conversation": [],
    "conv_metadata": {"header_count_a": {"h1": 1}},
    "category_tag": {"if_v0.1": {"if": True, "score": 4}},
    "language": "pl",
    "is_code": False,
    "timestamp": "2025-07-01 12:00:00.250000+00:00",
}
TURNS = (("Name two.", "One, two.", "Two, one."), ("More?", "Three.", "Four."))


@pytest.mark.parametrize("write", [json_lines, lambda row: json.dumps([row]), lambda r: table([r])])
def test_33k_rows_are_read_from_lines_an_array_and_a_table(write):
    vote = only_vote(write(ROW_33K), "lmsys_33k")
    assert vote.external_id == SHARED["question_id"]
    assert (vote.model_a, vote.model_b, vote.winner) == ("chatglm-6b", "koala-13b", "model_b")
    assert vote.judge == "arena_user_973"
    assert vote.turn_messages == TURNS
    assert vote.turns == 2
    assert vote.anonymous
    assert vote.language == "English"
    assert abs(vote.timestamp.timestamp() - 1682351591.1322) < 1e-3
    assert vote.extra == {"moderation_flagged": False, "toxic_flagged": True}


def test_100k_rows_keep_what_the_official_notebook_filters_by():
    vote = only_vote(json_lines({**ROW_100K, "winner": "tie (bothbad)"}), "arena_100k")
    assert vote.winner == "both_bad"
    assert vote.judge == "a5f3"
    assert vote.turn_messages == TURNS
    assert vote.extra == {
        "high_freq": False,
        "sampled": True,
        "is_code": False,
        "is_refusal": True,
        "category_tag": ROW_100K["category_tag"],
        "conv_metadata": ROW_100K["conv_metadata"],
    }


@pytest.mark.parametrize("write", [json_lines, lambda row: table([row])])
def test_140k_rows_give_text_without_pictures_and_say_so(write):
    vote = only_vote(write(ROW_140K), "arena_140k")
    assert vote.winner == "both_bad"
    assert vote.turn_messages == (("What is it?", "A cat.", "A dog."),)
    assert vote.timestamp == datetime(2025, 7, 1, 12, 0, 0, 250_000, tzinfo=UTC)
    assert vote.language == "pl"
    assert vote.extra["images"] == 1
    assert str(vote.extra["evaluation_order"]) == "2"
    assert vote.extra["category_tag"] == ROW_140K["category_tag"]


def test_the_expert_set_adds_occupations():
    vote = only_vote(json_lines({**ROW_140K, "occupational_tags": {"law": True}}), "arena_140k")
    assert vote.extra["occupational_tags"] == {"law": True}


def test_55k_cells_hold_lists_with_silent_turns_and_broken_emoji():
    vote = only_vote(table([ROW_55K]), "arena_55k")
    assert vote.external_id == "30192"
    assert vote.winner == "model_a"
    assert vote.turn_messages == (
        ("First?", 'Yes\n"so"', "No \ufffd"),
        ("Second?", "", "Still no"),
    )
    assert vote.turns == 2


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"winner_tie": 1}, "2 of the three winner columns are set"),
        ({"winner_model_a": 0}, "0 of the three winner columns are set"),
        ({"winner_model_a": "x"}, "winner_model_a: neither true nor false"),
        ({"prompt": '["cut'}, "prompt: not JSON: Unterminated string starting at: line 1 column 2"),
        ({"response_a": '"text"'}, "response_a: not a list of turns"),
        ({"response_b": '["\\u0000"]'}, "response_b: holds U+0000"),
    ],
)
def test_55k_rows_that_make_no_sense_say_why(change, reason):
    (bad,) = readings(table([{**ROW_55K, **change}]))
    assert isinstance(bad, BadRow)
    assert bad.reason.startswith(reason)


def test_a_conversation_that_is_python_and_not_json_is_refused():
    (bad,) = readings(table([{**ROW_100K, "conversation_a": "[{'role': 'user'}]"}]))
    assert bad.line == 2
    assert bad.reason.startswith("conversation_a: not JSON")


def test_sides_that_were_asked_different_things_are_marked():
    row = {**ROW_33K, "conversation_b": said("Name three.", "One, two, three.")}
    vote = only_vote(json_lines(row), "lmsys_33k")
    assert vote.extra["prompts_differ"] is True
    assert vote.turn_messages[0][0] == "Name two."


def test_battles_in_the_open_are_told_from_blind_ones():
    assert only_vote(json_lines({**ROW_33K, "anony": False}), "lmsys_33k").anonymous is False


def test_cleaned_battles_are_read_with_and_without_text():
    vote = only_vote(json.dumps([SHARED], indent=2), "fastchat_battles")
    assert vote.turn_messages == TURNS
    simple = {
        key: value
        for key, value in SHARED.items()
        if key not in ("question_id", "conversation_a", "conversation_b")
    }
    vote = only_vote(json.dumps([simple], indent=2), "fastchat_battles")
    assert (vote.external_id, vote.turns, vote.turn_messages) == ("", 2, ())


def test_cleaned_battles_whose_judges_are_addresses_lose_the_judges():
    vote = only_vote(
        json.dumps([{**SHARED, "judge": "arena_user_203.0.113.9"}]), "fastchat_battles"
    )
    assert vote.judge == ""
