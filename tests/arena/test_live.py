"""How readers follow a turn: everything, in order, in as few frames as they ask for."""

from __future__ import annotations

import asyncio

import pytest

from arena import states
from arena.live import Ended, LiveTurn, SideState


@pytest.fixture
def turn():
    return LiveTurn(battle="abc", number=1, prompt="Why?", slots="ab")


def say(turn, slot, text):
    turn.sides[slot].append(text)
    turn.changed()


def complete(turn, slot, html="<p>All</p>", notice=None):
    side = turn.sides[slot]
    side.html, side.notice, side.state = html, notice, SideState.COMPLETE
    turn.changed()


async def rest(reader):
    return [event async for event in reader]


async def until(reader, type):
    """The events up to the first of this type."""
    events = []
    async for event in reader:
        events.append(event)
        if event["type"] == type:
            break
    return events


def types(events):
    return [event["type"] for event in events]


def text_of(events, slot):
    deltas = [e for e in events if e["type"] == "slot.delta" and e["slot"] == slot]
    return "".join(e.get("text", "") for e in deltas)


async def test_the_first_event_is_the_prompt_and_the_last_the_verdict(turn):
    turn.end(Ended(can_continue=True))
    assert await rest(turn.follow(0)) == [
        {"type": "turn.started", "turn": 1, "prompt": "Why?", "slots": ["a", "b"]},
        {"type": "battle.ready", "turn": 1, "can_continue": True},
    ]


async def test_a_void_turn_ends_with_the_words_for_it(turn):
    say(turn, "a", "Half")
    turn.end(Ended(void_message="It does not count."))
    events = await rest(turn.follow(0))
    assert events[-1] == {"type": "battle.void", "message": "It does not count."}
    assert text_of(events, "a") == "Half"


async def test_tokens_that_come_between_two_frames_leave_as_one(turn):
    reader = turn.follow(0)
    await anext(reader)
    for i in range(100):
        say(turn, "a", f"{i} ")
    events = await until(reader, "slot.delta")
    assert types(events) == ["slot.started", "slot.delta"]
    assert events[-1]["text"] == "".join(f"{i} " for i in range(100))
    assert events[-1]["seq"] == len(events[-1]["text"])


async def test_a_frame_takes_the_news_of_both_sides(turn):
    reader = turn.follow(0)
    await anext(reader)
    say(turn, "b", "Blue")
    say(turn, "a", "Red")
    turn.end(Ended())
    events = await rest(reader)
    assert [(e["slot"], e["text"]) for e in events if e["type"] == "slot.delta"] == [
        ("a", "Red"),
        ("b", "Blue"),
    ]


async def test_a_reader_waits_its_interval_however_fast_tokens_come(turn):
    """An hour between frames: whatever is said after the first frame stays unsent."""
    reader = turn.follow(3600)
    await anext(reader)
    say(turn, "a", "Red")
    await until(reader, "slot.delta")
    waiting = asyncio.ensure_future(anext(reader))
    for _ in range(50):
        say(turn, "a", " and red")
        await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_the_first_words_after_a_pause_leave_at_once(turn):
    reader = turn.follow(3600)
    await anext(reader)
    waiting = asyncio.ensure_future(until(reader, "slot.delta"))
    await asyncio.sleep(0)  # it has looked, and found nothing yet
    say(turn, "a", "Red")
    async with asyncio.timeout(5):
        assert text_of(await waiting, "a") == "Red"


async def test_two_readers_see_the_same_text_whenever_they_come(turn):
    early = turn.follow(0)
    await anext(early)
    say(turn, "a", "One ")
    seen = await until(early, "slot.delta")
    late = turn.follow(0)
    say(turn, "a", "two ")
    say(turn, "b", "Three")
    turn.end(Ended())
    seen += await rest(early)
    seen_late = await rest(late)
    for slot, text in (("a", "One two "), ("b", "Three")):
        assert text_of(seen, slot) == text_of(seen_late, slot) == text
    assert sum(e.get("reset", False) for e in seen_late) == 2  # one fresh start a side


async def test_a_slow_reader_holds_up_neither_the_owner_nor_the_others(turn):
    slow, quick = turn.follow(0), turn.follow(0)
    await anext(slow)
    await anext(quick)
    quick_events = []
    for i in range(20):
        say(turn, "a", f"{i} ")
        quick_events += await until(quick, "slot.delta")
    slow_events = await until(slow, "slot.delta")
    assert types(quick_events).count("slot.delta") == 20
    assert types(slow_events).count("slot.delta") == 1
    assert text_of(slow_events, "a") == text_of(quick_events, "a") == turn.sides["a"].text


async def test_an_answer_that_completes_while_a_frame_is_sent_is_told_complete(turn):
    reader = turn.follow(0)
    await anext(reader)
    say(turn, "a", "Red")
    await until(reader, "slot.delta")  # the reader is busy sending this frame, when…
    say(turn, "a", " and blue")
    complete(turn, "a")
    turn.end(Ended())
    assert types(await rest(reader)) == ["slot.completed", "battle.ready"]


async def test_what_is_said_while_a_frame_is_sent_does_not_wait_for_more(turn):
    reader = turn.follow(0)
    await anext(reader)
    say(turn, "a", "Red")
    await until(reader, "slot.delta")
    say(turn, "a", " and blue")
    async with asyncio.timeout(5):
        assert (await anext(reader))["text"] == " and blue"


async def test_finished_blocks_come_as_html_and_the_rest_as_text(turn):
    reader = turn.follow(0)
    await anext(reader)
    say(turn, "a", "One **bold** word.\n\nAnd *then")
    delta = (await until(reader, "slot.delta"))[-1]
    assert "<strong>bold</strong>" in delta["html"]
    assert delta["text"] == "And *then"
    say(turn, "a", "*.\n\nEnd")
    delta = (await until(reader, "slot.delta"))[-1]
    assert "<em>then</em>" in delta["html"]
    assert "bold" not in delta["html"]
    assert delta["text"] == "End"


async def test_what_was_said_before_the_end_is_sent_before_the_end(turn):
    reader = turn.follow(0)
    await anext(reader)
    waiting = asyncio.ensure_future(rest(reader))
    await asyncio.sleep(0)
    say(turn, "a", "The last word")
    turn.end(Ended())
    events = await waiting
    assert types(events) == ["slot.started", "slot.delta", "battle.ready"]


async def test_a_complete_answer_replaces_its_deltas_and_comes_once(turn):
    reader = turn.follow(0)
    await anext(reader)
    say(turn, "a", "Three small words")
    await until(reader, "slot.delta")
    complete(turn, "a", "<p>Three small words</p>", notice="Cut.")
    turn.end(Ended())
    assert await rest(reader) == [
        {
            "type": "slot.completed",
            "slot": "a",
            "seq": 17,
            "html": "<p>Three small words</p>",
            "words": 3,
            "notice": "Cut.",
        },
        {"type": "battle.ready", "turn": 1, "can_continue": False},
    ]


async def test_a_reader_who_comes_after_the_end_gets_the_whole_answers_only(turn):
    for slot in "ab":
        say(turn, slot, "Long ago")
        complete(turn, slot)
    turn.end(Ended())
    assert types(await rest(turn.follow(0))) == [
        "turn.started",
        "slot.started", "slot.completed",
        "slot.started", "slot.completed",
        "battle.ready",
    ]  # fmt: skip


async def test_a_retry_is_told_once_and_then_the_side_starts(turn):
    reader = turn.follow(0)
    await anext(reader)
    turn.sides["b"].state = SideState.RETRYING
    turn.changed()
    assert await anext(reader) == {"type": "slot.retrying", "slot": "b"}
    say(turn, "a", "Meanwhile")
    say(turn, "b", "Second try")
    turn.end(Ended())
    events = await rest(reader)
    assert "slot.retrying" not in types(events)
    assert {"type": "slot.started", "slot": "b"} in events
    assert text_of(events, "b") == "Second try"


async def test_a_reader_who_leaves_is_no_longer_counted(turn):
    one, other = turn.follow(0), turn.follow(0)
    await anext(one)
    await anext(other)
    assert turn.readers == 2
    await one.aclose()
    assert turn.readers == 1
    turn.end(Ended())
    await rest(other)
    assert turn.readers == 0


# --- the states of a side ----------------------------------------------------------------------


async def test_a_replacement_looks_like_a_retry(turn):
    reader = turn.follow(0)
    await anext(reader)
    side = turn.sides["a"]
    for state in (SideState.STARTING, SideState.RETRYING, SideState.SWAPPED, SideState.SWAPPED):
        side.enter(state)
        turn.changed()
    assert await anext(reader) == {"type": "slot.retrying", "slot": "a"}
    side.enter(SideState.RETRYING)
    say(turn, "a", "At last")
    turn.end(Ended())
    assert types(await rest(reader)) == ["slot.started", "slot.delta", "battle.ready"]


def test_a_side_goes_its_way_and_no_other(turn):
    side = turn.sides["a"]
    side.enter(SideState.STARTING)
    side.append("Red")
    with pytest.raises(states.Forbidden):
        side.enter(SideState.RETRYING)
    side.enter(SideState.COMPLETE)
    with pytest.raises(states.Forbidden):
        side.append("and more")
    assert side.text == "Red"
