"""FastChat's event log: votes among other events, blindness inferred, addresses left behind."""

from __future__ import annotations

import pytest

from leaderboard.formats.records import BadRow, Skipped, VoteRecord
from tests.leaderboard.formats.files import json_lines, only_vote, readings


def state(model, *texts, conv_id="c1", offset=0):
    roles = ("USER", "ASSISTANT")
    return {
        "template_name": "one_shot",
        "messages": [[roles[i % 2], text] for i, text in enumerate(texts)],
        "offset": offset,
        "conv_id": conv_id,
        "model_name": model,
    }


BLIND = {
    "tstamp": 1682351591.5,
    "type": "leftvote",
    "models": ["", ""],
    "states": [
        state("vicuna-13b", "Hi", "Hello"),
        state("koala-13b", "Hi", "Hey", conv_id="c2"),
    ],
    "ip": "203.0.113.9",
}
CHAT = {
    "tstamp": 1682351590.0,
    "type": "chat",
    "model": "vicuna-13b",
    "gen_params": {"temperature": 0.7, "top_p": 1.0, "max_new_tokens": 512},
    "start": 1.0,
    "finish": 2.0,
    "state": state("vicuna-13b", "Hi", "Hello"),
    "ip": "203.0.113.9",
}


@pytest.mark.parametrize(
    ("kind", "winner"),
    [
        ("leftvote", "model_a"),
        ("rightvote", "model_b"),
        ("tievote", "tie"),
        ("bothbad_vote", "both_bad"),
    ],
)
def test_four_kinds_of_events_are_votes(kind, winner):
    vote = only_vote(json_lines({**BLIND, "type": kind}), "fastchat_log")
    assert vote.winner == winner


def test_a_blind_vote_takes_the_names_from_the_states():
    vote = only_vote(json_lines(BLIND), "fastchat_log")
    assert vote.anonymous
    assert (vote.model_a, vote.model_b) == ("vicuna-13b", "koala-13b")
    assert vote.external_id == "c1"
    assert vote.turn_messages == (("Hi", "Hello", "Hey"),)
    assert vote.timestamp.timestamp() == 1682351591.5


def test_later_logs_show_a_placeholder_for_the_hidden_name():
    assert only_vote(
        json_lines({**BLIND, "models": ["Model A", "Model B"]}), "fastchat_log"
    ).anonymous


@pytest.mark.parametrize(
    "shown",
    [
        ["vicuna-13b", "koala-13b"],
        ["<h3>Model A: vicuna-13b</h3>\n", "<h3>Model B: koala-13b</h3>\n"],
    ],
)
def test_names_in_the_selectors_mean_that_the_voter_saw_them(shown):
    vote = only_vote(json_lines({**BLIND, "models": shown}), "fastchat_log")
    assert not vote.anonymous
    assert (vote.model_a, vote.model_b) == ("vicuna-13b", "koala-13b")


def test_the_address_is_in_nothing_that_is_read():
    assert "203.0.113.9" not in repr(readings(json_lines(CHAT, BLIND, {**BLIND, "models": [1, 2]})))


def test_other_events_are_skipped_by_name():
    events = [CHAT, *({**BLIND, "type": kind} for kind in ("share", "upvote", "downvote", "flag"))]
    read = readings(json_lines(*events, BLIND))
    assert read[:5] == [
        Skipped(line, f"an event of type {kind}")
        for line, kind in enumerate(("chat", "share", "upvote", "downvote", "flag"), 1)
    ]
    assert isinstance(read[5], VoteRecord)


def test_messages_of_the_template_are_no_turns_and_an_unfinished_answer_is_silent():
    left = state("x", "example", "of the template", "Hi", "Hello", "And?", None, offset=2)
    right = state("y", "Hi", ["Hey", ["picture"]], "And?")
    vote = only_vote(json_lines({**BLIND, "states": [left, right]}), "fastchat_log")
    assert vote.turn_messages == (("Hi", "Hello", "Hey"), ("And?", "", ""))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"models": ["", "koala-13b"]}, "models: one name shown, the other hidden"),
        ({"models": ["gpt-4", "koala-13b"]}, "models: the names shown are not those that answered"),
        ({"models": [None, None]}, "models: not one for each side"),
        ({"states": [state("x", "Hi")]}, "states: not one for each side"),
        ({"states": [state("x"), state("y")]}, "states: nothing was said"),
        ({"states": [state(None, "Hi"), state("y", "Hi")]}, "model_a: no name"),
        ({"states": [{"messages": 1}, {"messages": 1}], "models": ["", ""]}, "model_a: no name"),
    ],
)
def test_votes_that_cannot_be_attributed_are_refused(change, reason):
    assert readings(json_lines({**BLIND, **change})) == [BadRow(1, reason)]
