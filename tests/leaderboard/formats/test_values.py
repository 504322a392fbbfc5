"""The many spellings of one thing in vote files."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from leaderboard.formats import values
from leaderboard.formats.records import Unreadable

NOON = datetime(2025, 7, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("spelling", "winner"),
    [
        ("model_a", "model_a"),
        ("A", "model_a"),
        ("leftvote", "model_a"),
        (" Model_B ", "model_b"),
        ("right", "model_b"),
        ("tie", "tie"),
        ("-", "tie"),
        ("tie (bothbad)", "both_bad"),
        ("both_bad", "both_bad"),
        ("bothbad_vote", "both_bad"),
        ("Tie (Both Bad)", "both_bad"),
        ("claude", "model_a"),
        ("gpt", "model_b"),
    ],
)
def test_every_source_has_its_own_word_for_the_winner(spelling, winner):
    assert values.winner(spelling, model_a="claude", model_b="gpt") == winner


@pytest.mark.parametrize("spelling", [None, "", "nobody", 1, True, ["model_a"], {}])
def test_a_winner_that_says_nothing_known_is_refused(spelling):
    with pytest.raises(Unreadable, match="winner"):
        values.winner(spelling, model_a="claude", model_b="gpt")


@pytest.mark.parametrize(
    "value",
    [
        "2025-07-01T12:00:00Z",
        "2025-07-01 12:00:00",
        "2025-07-01T14:00:00+02:00",
        1751371200,
        1751371200.0,
        "1751371200.0",
        1751371200_000,
        1751371200_000_000,
        1751371200_000_000_000,
    ],
)
def test_a_time_is_read_in_every_unit_and_comes_out_in_utc(value):
    read = values.timestamp({"t": value}, "t")
    assert read == NOON
    assert read.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value", ["soon", "nan", float("inf"), True, 1e300, "9999-12-31T23:00-05:00"]
)
def test_a_time_that_is_none_is_refused(value):
    with pytest.raises(Unreadable, match="t:"):
        values.timestamp({"t": value}, "t")


def test_microseconds_survive_integer_timestamps():
    moment = datetime(2025, 7, 1, 12, 0, 0, 123456, tzinfo=UTC)
    assert values.timestamp({"t": 1751371200_123_456_000}, "t") == moment


@pytest.mark.parametrize(
    "address",
    [
        "203.0.113.9",
        "arena_user_203.0.113.9",
        "2001:db8::1",
        "arena_user_2001:db8::1",
        "[2001:db8::1]",
    ],
)
def test_a_judge_that_is_a_network_address_is_never_taken_over(address):
    assert values.judge({"judge": address}, "judge") == ""


@pytest.mark.parametrize("judge", ["arena_user_17", "worker_58", "a.b", "12", "x:y"])
def test_other_judges_keep_their_opaque_name(judge):
    assert values.judge({"judge": judge}, "judge") == judge


@pytest.mark.parametrize("value", ["", None, " ", 7, "x" * 501, ["x"]])
def test_a_model_needs_a_name(value):
    with pytest.raises(Unreadable, match="model_a"):
        values.name({"model_a": value}, "model_a")


@pytest.mark.parametrize("value", ["-1", "1.5", "many", "nan", "1e13", 10**45, float("inf"), True])
def test_a_count_is_a_whole_number_of_votes(value):
    with pytest.raises(Unreadable, match="count"):
        values.whole({"count": value}, "count", default=1)
    assert values.whole({"count": "12.0"}, "count", default=1) == 12


@pytest.mark.parametrize("value", ["0", "1.01", "-0.1", "nan"])
def test_a_pair_that_was_drawn_had_a_chance_to_be(value):
    with pytest.raises(Unreadable, match="p:"):
        values.probability({"p": value}, "p")


def test_a_conversation_is_paired_into_turns():
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": [{"type": "text", "text": "Yes"}, {"type": "image"}]},
        {"role": "assistant", "content": "Indeed."},
        {"role": "user", "content": "Two?"},
        {"role": "user", "content": "Hello?"},
        {"role": "assistant", "content": None},
    ]
    assert values.conversation(messages, key="c") == [
        ("One?", "Yes\n\nIndeed."),
        ("Two?", ""),
        ("Hello?", ""),
    ]


@pytest.mark.parametrize(
    "value", ["hi", {}, [1], [{"role": "user", "content": 1}], [{"role": "x"}]]
)
def test_what_is_no_conversation_is_refused_with_its_column(value):
    with pytest.raises(Unreadable, match="c:"):
        values.conversation(value, key="c")


def test_sides_of_different_length_are_padded_and_said_to_differ():
    turns, same = values.side_by_side([("p", "a1"), ("q", "a2")], [("p", "b1")])
    assert turns == (("p", "a1", "b1"), ("q", "a2", ""))
    assert not same
    assert values.side_by_side([("p", "a")], [("p", "b")]) == ((("p", "a", "b"),), True)
