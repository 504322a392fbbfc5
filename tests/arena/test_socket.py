"""The battle socket against a scripted backend: what a browser sees, event by event."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest
from channels.db import database_sync_to_async as in_database
from django.conf import settings
from django.db import OperationalError

from arena import generation, mirror, turns
from arena.models import Answer, Battle, Breaker, Contestant, Endpoint, Turn, UpstreamRequest
from tests import factories
from tests.arena.socket_page import Page, of

pytestmark = pytest.mark.django_db(transaction=True)

FAILED = "One of the two models could not answer. This battle does not count."


async def saved(**fields):
    return await in_database(lambda: list(Answer.objects.filter(**fields).order_by("slot")))()


async def test_both_answers_stream_and_the_battle_becomes_ready(models, page):
    await models("says:Hello **you**", "echo")
    events = await page.ask("one two three")
    assert [e["type"] for e in events][:2] == ["battle.created", "turn.started"]
    assert events[-1] == {"type": "battle.ready", "turn": 1, "can_continue": True}
    done = {e["slot"]: e for e in of(events, "slot.completed")}
    htmls = sorted(e["html"] for e in done.values())
    assert "<strong>you</strong>" in htmls[0]
    assert "one two three" in htmls[1]
    answers = await saved()
    assert [a.state for a in answers] == ["complete", "complete"]
    battle = await Battle.objects.aget(public_id=events[0]["battle"])
    assert battle.state == Battle.State.READY
    assert battle.pair_probability == 1


async def test_nothing_sent_names_a_contestant(models, page, backend):
    contestants = await models("says:Hi", "status:500")
    await page.ask()
    await models("says:Ho")
    for _ in range(3):
        await page.ask()
    sent = "\n".join(page.raw)
    for contestant in contestants:
        assert contestant.name not in sent
        assert contestant.slug not in sent
    assert "secret upstream words" not in sent
    assert str(backend.port) not in sent


async def test_a_stalled_side_does_not_hold_the_other(models, page, backend):
    await models("gated", "says:Quick answer")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    events = await page.hear_until("slot.completed")
    assert "Quick answer" in events[-1]["html"]
    assert not of(events, "slot.completed", "b" if events[-1]["slot"] == "a" else "a")
    backend.gate.set()
    rest = await page.hear_until("battle.ready")
    assert "Before. After." in of(rest, "slot.completed")[0]["html"]


async def test_deltas_add_up_to_the_whole_answer(models, page):
    await models("count:60@600", "count:40@600")
    events = await page.ask()
    for slot in "ab":
        deltas = of(events, "slot.delta", slot)
        assert deltas[0]["reset"] is True
        assert [d["seq"] for d in deltas] == sorted({d["seq"] for d in deltas})
        done = of(events, "slot.completed", slot)[0]
        assert done["seq"] >= deltas[-1]["seq"]
        shown = "".join(d.get("text", "") for d in deltas)
        assert len(shown) == deltas[-1]["seq"]  # one paragraph: all of it is tail


async def test_stop_keeps_what_was_shown_and_closes_the_upstream(models, page, backend):
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    seen = set()
    while seen != {"a", "b"}:
        event = await page.hear()
        if event["type"] == "slot.delta":
            seen.add(event["slot"])
    assert backend.open_streams == 2
    await page.say(type="turn.stop")
    events = await page.hear_until("battle.ready")
    notices = {e["notice"] for e in of(events, "slot.completed")}
    assert notices == {"You stopped this answer."}
    await asyncio.wait_for(backend.idle.wait(), 5)
    assert [(a.text, a.stopped) for a in await saved()] == [("Before. ", True)] * 2


async def test_stop_before_both_have_spoken_leaves_nothing_to_vote_on(models, page):
    await models("silent", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    await page.hear_until("slot.delta")
    await page.say(type="turn.stop")
    events = await page.hear_until("battle.ready", "battle.void")
    assert events[-1]["type"] == "battle.void"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("status:500", FAILED),
        ("empty", FAILED),
        ("dies", FAILED),
        ("filtered", "This request was declined."),
    ],
)
async def test_a_failed_side_voids_the_battle_in_neutral_words(models, page, script, message):
    await models(script, "says:Fine")
    events = await page.ask()
    assert events[-1] == {"type": "battle.void", "message": message}
    battle = await Battle.objects.aget()
    assert battle.state == Battle.State.VOID


async def test_a_side_that_fails_before_text_is_tried_once_more(models, page):
    await models("fails-once:x", "says:Fine")
    events = await page.ask()
    assert len(of(events, "slot.retrying")) == 1
    assert events[-1]["type"] == "battle.ready"
    assert sorted(a.attempts for a in await saved()) == [1, 2]


# --- failures before any text ------------------------------------------------------------------


@pytest.fixture
def drawn_first(backend, quick):
    """Makes two contestants that are drawn before any other, each at an endpoint of its own."""

    def make(*scripts: str):
        return [
            factories.contestant(
                endpoint=factories.endpoint(base_url=backend.base_url, first_token_timeout=0.3),
                upstream_model=script,
                name=f"FIRST-{number}-{script}",
                weight=1e12,
            )
            for number, script in enumerate(scripts)
        ]

    return lambda *scripts: in_database(make)(*scripts)


async def log_of_requests():
    def look():
        return Counter(UpstreamRequest.objects.values_list("contestant__upstream_model", "outcome"))

    return await in_database(look)()


@pytest.mark.parametrize(
    ("script", "asked"),
    [
        ("status:500", 2),
        ("empty", 2),
        ("status:401", 1),
        ("status:429", 1),
        ("status:302", 1),
        ("silent", 1),
    ],
)
async def test_a_side_that_shows_nothing_is_replaced_in_silence(
    models, drawn_first, page, script, asked
):
    await drawn_first(script, "says:Fine")
    await models("says:Spare")
    events = await page.ask()
    assert events[-1]["type"] == "battle.ready"
    assert sorted(e["html"].strip() for e in of(events, "slot.completed")) == [
        "<p>Fine</p>",
        "<p>Spare</p>",
    ]
    battle = await Battle.objects.select_related("contestant_a", "contestant_b").aget()
    assert battle.swapped
    pair = {battle.contestant_a.upstream_model, battle.contestant_b.upstream_model}
    assert pair == {"says:Fine", "says:Spare"}
    served = {a.contestant_id for a in await saved()}
    assert served == {battle.contestant_a_id, battle.contestant_b_id}
    retrying = of(events, "slot.retrying")
    assert all(event.keys() == {"type", "slot"} for event in retrying)
    # Between a refusal and the next model lie milliseconds, which a reader may miss.
    assert retrying or asked == 1
    await generation.shutdown()  # writes the log
    counts = await log_of_requests()
    assert sum(n for (model, _), n in counts.items() if model == script) == asked


async def test_the_stored_probability_is_that_of_the_pair_that_was_served(
    models, drawn_first, page
):
    await drawn_first("status:500", "says:Fine")
    await models("says:One", "says:Two", "says:Three")
    await page.ask()
    battle = await Battle.objects.aget()
    # Without the one that failed, the other first one meets each of the three alike.
    assert battle.pair_probability == pytest.approx(1 / 3)


async def test_two_sides_may_be_replaced(models, drawn_first, page):
    await drawn_first("status:500", "status:401")
    await models("says:One", "says:Two")
    events = await page.ask()
    assert events[-1]["type"] == "battle.ready"
    battle = await Battle.objects.select_related("contestant_a", "contestant_b").aget()
    pair = {battle.contestant_a.upstream_model, battle.contestant_b.upstream_model}
    assert pair == {"says:One", "says:Two"}


async def test_a_side_is_replaced_twice_and_not_a_third_time(models, drawn_first, page, backend):
    await drawn_first("says:Fine", "status:401")
    for status in (402, 403, 404, 410):
        await models(f"status:{status}")
    events = await page.ask()
    assert events[-1] == {"type": "battle.void", "message": FAILED}
    assert len([r for r in backend.requests if r["model"] != "says:Fine"]) == 3


async def test_a_side_is_not_replaced_when_it_first_failed_long_ago(
    models, drawn_first, page, monkeypatch
):
    monkeypatch.setattr(generation, "SWAP_SECONDS", 0.1)  # a retry takes longer
    await drawn_first("status:500", "says:Fine")
    await models("says:Spare")
    events = await page.ask()
    assert events[-1] == {"type": "battle.void", "message": FAILED}


async def test_a_model_that_has_spoken_in_the_battle_is_not_replaced(models, page):
    await models("fails-after:1", "says:Fine")
    first = await page.ask()
    assert first[-1]["type"] == "battle.ready"
    await models("says:Spare")
    second = await page.ask("Again", battle=first[0]["battle"])
    assert second[-1] == {"type": "battle.void", "message": FAILED}


async def test_when_neither_side_can_answer_the_arena_is_busy(models, page):
    await models("status:500", "status:503")
    events = await page.ask()
    assert events[-1]["type"] == "battle.void"
    assert events[-1]["message"] == "Busy, please retry in 60 s."
    assert (await Battle.objects.aget()).void_reason == Battle.VoidReason.BUSY


async def test_a_text_that_is_too_long_for_one_model_is_not_tried_on_others(models, page):
    await models("status:413", "says:Fine", "says:Spare")
    await in_database(
        lambda: Contestant.objects.filter(upstream_model="status:413").update(weight=1e12)
    )()
    events = await page.ask()
    assert events[-1] == {
        "type": "battle.void",
        "message": "Your text is too long for one of the models.",
    }


async def test_a_side_that_fails_after_text_voids_the_battle(models, drawn_first, page):
    await drawn_first("dies", "says:Fine")
    await models("says:Spare")
    events = await page.ask()
    assert events[-1] == {"type": "battle.void", "message": FAILED}
    battle = await Battle.objects.aget()
    assert (battle.state, battle.swapped) == (Battle.State.VOID, False)


async def test_what_a_failed_model_thought_is_not_the_replacements(models, drawn_first, page):
    await drawn_first("thinks-then-dies", "says:Fine")
    await models("says:Spare")
    await page.ask()
    assert {a.text: a.reasoning for a in await saved()} == {"Fine": "", "Spare": ""}


async def test_every_attempt_is_logged_for_the_administrator(models, drawn_first, page):
    await drawn_first("status:500", "says:Fine")
    await models("says:Spare")
    await page.ask()
    await generation.shutdown()
    assert await log_of_requests() == {
        ("status:500", "unavailable"): 2,
        ("says:Fine", "answered"): 1,
        ("says:Spare", "answered"): 1,
    }
    failed = await UpstreamRequest.objects.filter(outcome="unavailable").afirst()
    assert failed.detail == "secret upstream words"
    answered = await UpstreamRequest.objects.filter(outcome="answered").afirst()
    assert (answered.output_tokens, answered.purpose) == (3, "battle")
    assert "secret" not in "".join(page.raw)


async def test_a_stopped_answer_is_logged_as_neither_answered_nor_failed(models, page):
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    await page.hear_until("slot.delta")
    await page.say(type="turn.stop")
    await page.hear_until("battle.ready", "battle.void")
    await generation.shutdown()
    assert await log_of_requests() == {("gated", "cancelled"): 2}


async def test_a_key_that_cannot_be_read_is_the_endpoints_failure(models, drawn_first, page):
    broken, _ = await drawn_first("says:Locked", "says:Fine")
    await models("says:Spare")
    await in_database(
        lambda: Endpoint.objects.filter(pk=broken.endpoint_id).update(api_key_sealed="nonsense")
    )()
    events = await page.ask()
    assert events[-1]["type"] == "battle.ready"
    assert (await Breaker.objects.aget()).reason == "authentication"


async def test_an_endpoint_that_keeps_failing_is_no_longer_asked(
    models, drawn_first, page, backend
):
    await drawn_first("status:500", "says:Fine")
    await models("says:Spare")
    for _ in range(6):
        assert (await page.ask())[-1]["type"] == "battle.ready"
    # Two attempts a battle until the fifth failure, which opens the breaker.
    assert [r["model"] for r in backend.requests].count("status:500") in (5, 6)


async def test_an_answer_cut_at_the_length_limit_says_so_neutrally(models, page):
    await models("long", "long")
    events = await page.ask()
    assert {e["notice"] for e in of(events, "slot.completed")} == {
        "This answer was cut at the length limit."
    }


async def test_a_second_turn_sends_each_side_its_own_history(models, page, backend):
    await models("says:Red", "says:Blue")
    first = await page.ask("Colour?")
    await page.ask("Why that one?", battle=first[0]["battle"])
    followups = [r for r in backend.requests if len(r["messages"]) == 3]
    assert {r["messages"][1]["content"] for r in followups} == {"Red", "Blue"}
    for request in followups:
        assert request["model"] == f"says:{request['messages'][1]['content']}"
        assert request["max_tokens"] > 0


async def test_the_turn_limit_is_told_before_the_last_turn_is_over(models, page, settings):
    settings.MAX_TURNS = 2
    await models("says:Red", "says:Blue")
    first = await page.ask()
    battle = first[0]["battle"]
    second = await page.ask("Again", battle=battle)
    assert second[-1]["can_continue"] is False
    third = await page.ask("And again", battle=battle)
    assert third[-1]["code"] == "turn_limit"


async def test_a_page_that_comes_back_sees_the_same_text_continue(models, page, backend):
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    created = await page.hear()
    await page.hear_until("slot.delta")
    await page.close()
    again = await Page(page.cookie).open()
    await again.say(type="resume", battle=created["battle"], last_seq={"a": 3, "b": 0})
    started = await again.hear()
    assert started == {"type": "turn.started", "turn": 1, "prompt": "Go", "slots": ["a", "b"]}
    backend.gate.set()
    events = await again.hear_until("battle.ready")
    for slot in "ab":
        assert "Before. After." in of(events, "slot.completed", slot)[0]["html"]
    await again.close()


async def test_another_process_shows_the_turn_through_the_database(models, page, backend):
    await models("gated", "says:Done")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    created = await page.hear()
    await page.hear_until("slot.completed")
    owner = generation._current
    try:
        generation._current = None  # as in a process that does not own the turn
        other = await Page(page.cookie).open()
        await other.say(type="resume", battle=created["battle"], last_seq={})
        await other.hear_until("slot.delta")
        backend.gate.set()
        events = await other.hear_until("battle.ready")
        assert {("Before. After." in e["html"]) for e in of(events, "slot.completed")} <= {
            True,
            False,
        }
        assert any("Before. After." in e["html"] for e in of(events, "slot.completed"))
        await other.close()
        await generation.shutdown()
    finally:
        generation._current = owner


async def test_a_stop_from_another_process_reaches_the_owner(models, page, backend):
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    created = await page.hear()
    seen = set()
    while seen != {"a", "b"}:
        event = await page.hear()
        if event["type"] == "slot.delta":
            seen.add(event["slot"])
    await in_database(lambda: Turn.objects.update(stop_requested=True))()
    events = await page.hear_until("battle.ready")
    assert len(of(events, "slot.completed")) == 2
    assert created["type"] == "battle.created"


async def test_an_answer_nobody_waits_for_is_cancelled_after_the_grace_period(
    models, page, backend, settings
):
    settings.READER_GRACE_SECONDS = 0.1
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    created = await page.hear()
    await page.hear_until("slot.delta")
    await page.close()
    turn = generation.current()._turns[created["battle"]]
    await asyncio.wait_for(turn.task, 5)
    await asyncio.wait_for(backend.idle.wait(), 5)
    assert not await Turn.objects.filter(state="running").aexists()


async def test_shutdown_voids_what_was_running_and_saves_its_text(models, page, backend):
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    seen = set()
    while seen != {"a", "b"}:
        event = await page.hear()
        if event["type"] == "slot.delta":
            seen.add(event["slot"])
    await generation.shutdown()
    events = await page.hear_until("battle.void")
    assert "interrupted" in events[-1]["message"]
    assert [a.text for a in await saved()] == ["Before. ", "Before. "]
    assert (await Battle.objects.aget()).void_reason == Battle.VoidReason.INTERRUPTED


@pytest.fixture
async def seen_from_elsewhere(models, page):
    """A turn of gated models in this process, and a page whose process does not own it."""
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    created = await page.hear()
    await page.hear_until("slot.delta")
    owner, generation._current = generation._current, None
    other = await Page(page.cookie).open()
    await other.say(type="resume", battle=created["battle"], last_seq={})
    await other.hear_until("slot.delta")
    yield other, owner[1], created["battle"]
    await other.close()
    await generation.shutdown()
    generation._current = owner


async def test_a_reader_at_another_process_keeps_the_answer_going(
    seen_from_elsewhere, page, backend, settings
):
    settings.READER_GRACE_SECONDS = 0.2
    other, owner, battle = seen_from_elsewhere
    await page.close()
    task = owner._turns[battle].task
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(task), 0.7)
    backend.gate.set()
    events = await other.hear_until("battle.ready")
    assert len(of(events, "slot.completed")) == 2


async def test_a_reader_notices_when_the_owner_has_died(seen_from_elsewhere, settings):
    other, owner, battle = seen_from_elsewhere
    settings.ORPHAN_SECONDS = 0.2
    owner._checkpoints._task.cancel()  # the owner is heard of no more
    events = await other.hear_until("battle.void")
    assert "interrupted" in events[-1]["message"]
    await in_database(lambda: Battle.objects.get(public_id=battle, state="void"))()


async def test_a_reader_elsewhere_outlasts_a_database_that_is_away(
    seen_from_elsewhere, backend, monkeypatch
):
    other, _, battle = seen_from_elsewhere
    looks = 0
    look = mirror._latest_turn

    def away(battle):
        nonlocal looks
        looks += 1
        if looks < 4:
            raise OperationalError("the database is away")
        return look(battle)

    monkeypatch.setattr(mirror, "_latest_turn", away)
    backend.gate.set()
    events = await other.hear_until("battle.ready")
    assert len(of(events, "slot.completed")) == 2
    assert looks >= 4
    looks = 0
    await other.say(type="resume", battle=battle, last_seq={})
    events = await other.hear_until("battle.ready")
    assert len(of(events, "slot.completed")) == 2


async def test_a_process_that_stops_lets_its_answers_end(models, page, backend, settings):
    settings.DRAIN_SECONDS = 30
    await models("gated", "gated")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    await page.hear_until("slot.delta")
    closing = asyncio.create_task(generation.shutdown())
    await asyncio.sleep(0.05)
    assert not closing.done()
    backend.gate.set()
    await asyncio.wait_for(closing, 10)
    assert {(a.state, a.text) for a in await saved()} == {("complete", "Before. After.")}
    assert (await Battle.objects.aget()).state == Battle.State.READY


@pytest.mark.parametrize(
    ("prompt", "code"),
    [("", "prompt_empty"), ("   \n", "prompt_empty"), ("x" * 8001, "prompt_too_long")],
)
async def test_a_prompt_is_refused_never_cut(models, page, prompt, code):
    await models("says:Red", "says:Blue")
    events = await page.ask(prompt)
    assert events[-1]["code"] == code
    assert not await Battle.objects.aexists()


async def test_fewer_than_two_models_spend_nothing(models, page, backend):
    await models("says:Alone")
    events = await page.ask()
    assert events[-1]["code"] == "no_models"
    assert events[-1]["retry_after"] == 60
    assert backend.requests == []


async def test_a_paused_model_and_a_disabled_endpoint_are_not_drawn(models, page):
    await models("says:Off", "says:Too", enabled=False)
    await models("says:One", "says:Two")
    await in_database(
        lambda: Contestant.objects.filter(upstream_model="says:One").update(status="paused")
    )()
    events = await page.ask()
    assert events[-1]["code"] == "no_models"


async def test_somebody_elses_battle_does_not_exist(models, page):
    await models("says:Red", "says:Blue")
    created = (await page.ask())[0]
    stranger = await Page().open()
    await stranger.say(type="resume", battle=created["battle"], last_seq={})
    assert (await stranger.hear())["code"] == "not_found"
    events = await stranger.ask("Mine now", battle=created["battle"])
    assert events[-1]["code"] == "not_found"
    await stranger.close()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{",
        '{"type":"battle.reveal"}',
        '{"type":"turn.submit"}',
        '{"type":"turn.submit","prompt":1,"battle":null}',
        '{"type":"turn.submit","prompt":"hi","battle":null,"model":"gpt"}',
        '{"type":"turn.submit","prompt":"\\ud800","battle":null}',
        '{"type":"resume","battle":"../../x","last_seq":{}}',
        '{"type":"resume","battle":"abc","last_seq":{"c":1}}',
        '{"type":"resume","battle":"abc","last_seq":{"a":true}}',
        "[" * 100_00,
    ],
)
async def test_an_unknown_event_is_refused_not_ignored(page, text):
    await page.socket.send(text)
    assert (await page.hear())["code"] == "bad_message"


async def test_a_socket_without_our_cookie_is_closed(quick):
    page = await Page(cookie="arena_voter=forged:signature").open()
    closed = await page.socket.output()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4401)


async def test_too_many_frames_close_the_socket(page):
    for _ in range(21):
        await page.say(type="nonsense")
    output = {"type": ""}
    while output["type"] != "websocket.close":
        output = await page.socket.output()
    assert output["code"] == 4429


async def test_an_orphaned_turn_becomes_void(quick):
    from datetime import timedelta

    from django.utils import timezone

    def check():
        lost = factories.battle(state=Battle.State.STREAMING)
        alive = factories.battle(state=Battle.State.STREAMING)
        Turn.objects.filter(battle=lost).update(heartbeat_at=timezone.now() - timedelta(minutes=1))
        assert turns.end_orphaned() == 1
        lost.refresh_from_db()
        alive.refresh_from_db()
        assert (lost.state, lost.void_reason) == ("void", "interrupted")
        assert alive.state == "streaming"

    await in_database(check)()


# --- pacing ------------------------------------------------------------------------------------


@pytest.fixture
def paced(settings):
    settings.DEFAULT_PACING = "paced"
    settings.PACED_HOLD_SECONDS = 0.3
    settings.PACED_CHARACTERS_PER_SECOND = 400  # pieces of 40


async def test_in_a_paced_battle_both_sides_leave_in_equal_pieces(models, page, paced):
    await models("count:60", "count:60@400")
    events = await page.ask()
    sizes = {}
    for slot in "ab":
        seen = [e["seq"] for e in of(events, "slot.delta", slot)]
        sizes[slot] = {b - a for a, b in zip([0, *seen], seen, strict=False)}
    assert all(size % 40 == 0 for size in sizes["a"] | sizes["b"])  # late ones leave as one
    order = [e["slot"] for e in of(events, "slot.delta")]
    assert order[:2] == ["a", "b"]
    assert [len(e["html"].split()) for e in of(events, "slot.completed")] == [60, 60]
    assert events[-1]["type"] == "battle.ready"
    assert (await Battle.objects.aget()).pacing == "paced"


async def test_a_paced_battle_takes_no_vote_before_all_is_shown(models, page, paced):
    await models("count:60", "count:80")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    await page.hear_until("slot.delta")
    assert (await Battle.objects.aget()).state == Battle.State.STREAMING
    await page.hear_until("battle.ready")
    assert (await Battle.objects.aget()).state == Battle.State.READY


async def test_elsewhere_no_more_of_a_paced_battle_is_known_than_was_shown(models, page, paced):
    """Pages and other processes read what the checkpoints saved."""
    await models("count:200", "count:220")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    for _ in range(3):
        await page.hear_until("slot.delta")
    for _ in range(5):
        await asyncio.sleep(0.05)
        one, other = await saved()
        assert one.text == other.text
        assert len(one.text.split()) < 200
        assert one.state == other.state == Answer.State.STREAMING


async def test_a_stop_keeps_as_much_of_both_answers_as_was_shown(models, page, paced):
    await models("count:200", "count:300@100")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    await page.hear_until("slot.delta")
    await page.say(type="turn.stop")
    events = await page.hear_until("battle.ready")
    assert {e["notice"] for e in of(events, "slot.completed")} == {"You stopped this answer."}
    answers = await saved()
    assert all(answer.stopped for answer in answers)
    assert len(answers[0].text) == len(answers[1].text) < 500


async def test_a_paced_answer_nobody_waits_for_is_stored_whole(models, page, paced, settings):
    settings.READER_GRACE_SECONDS = 0.1
    await models("count:400", "count:400")  # four seconds of showing
    await page.say(type="turn.submit", prompt="Go", battle=None)
    created = await page.hear()
    await page.hear_until("slot.delta")
    await page.close()
    turn = generation.current()._turns[created["battle"]]
    await asyncio.wait_for(turn.task, 3)
    assert {(len(a.text.split()), a.state) for a in await saved()} == {(400, "complete")}
    assert (await Battle.objects.aget()).state == Battle.State.READY


async def test_a_paced_battle_whose_side_fails_is_void_at_once(models, page, paced):
    await models("dies", "count:400")
    events = await page.ask()
    assert events[-1] == {"type": "battle.void", "message": FAILED}
    assert not of(events, "slot.completed")


async def test_a_process_that_stops_shows_what_is_complete_at_once(models, page, paced, settings):
    settings.DRAIN_SECONDS = 30
    await models("count:4000", "count:4000")
    await page.say(type="turn.submit", prompt="Go", battle=None)
    await page.hear_until("slot.delta")
    await asyncio.wait_for(generation.shutdown(), 10)
    events = await page.hear_until("battle.ready")
    assert len(of(events, "slot.completed")) == 2


async def test_together_shows_both_answers_at_once(models, page, paced, settings):
    settings.DEFAULT_PACING = "together"
    await models("says:Quick", "count:30@100")
    events = await page.ask()
    assert [e["type"] for e in events[2:]] == [
        "slot.started", "slot.completed", "slot.started", "slot.completed", "battle.ready",
    ]  # fmt: skip


async def ask_chosen(page, mode, *slugs, **parameters):
    await page.say(
        type="turn.submit",
        prompt="Why?",
        battle=None,
        terms=settings.TERMS_VERSION,
        mode=mode,
        models=list(slugs),
        parameters=parameters,
    )
    return await page.hear_until("battle.ready", "battle.void", "error")


async def test_chosen_models_answer_on_the_sides_and_with_the_parameters_asked_for(
    models, page, backend
):
    left, right = await models("says:Left", "says:Right")
    events = await ask_chosen(
        page, "side_by_side", left.slug, right.slug, temperature=0.5, max_tokens=7
    )
    assert events[-1]["type"] == "battle.ready"
    assert "Left" in of(events, "slot.completed", "a")[0]["html"]
    assert "Right" in of(events, "slot.completed", "b")[0]["html"]
    for request in backend.requests:
        assert (request["temperature"], request["max_tokens"]) == (0.5, 7)
        assert "top_p" not in request


async def test_a_chat_is_answered_by_one_model_and_goes_on(models, page, backend):
    (model,) = await models("echo")
    events = await ask_chosen(page, "direct", model.slug)
    assert events[-1] == {"type": "battle.ready", "turn": 1, "can_continue": True}
    assert of(events, "turn.started")[0]["slots"] == ["a"]
    events = await page.ask("And then?", events[0]["battle"])
    assert events[-1]["turn"] == 2
    heard = [message["content"].strip() for message in backend.requests[-1]["messages"]]
    assert heard == ["Why?", "Why?", "And then?"]


async def test_a_hidden_model_cannot_be_chosen(models, page, backend):
    (model,) = await models("says:Hi")
    await Contestant.objects.filter(pk=model.pk).aupdate(status="preview")
    events = await ask_chosen(page, "direct", model.slug)
    assert events[-1]["code"] == "model_unavailable"
    assert backend.requests == []


async def test_one_failed_side_by_side_keeps_the_other_answer_and_tries_again(models, page):
    good, bad = await models("says:Good", "fails-after:0")
    events = await ask_chosen(page, "side_by_side", good.slug, bad.slug)
    assert events[-1]["type"] == "battle.void"
    assert "try again" in events[-1]["message"]
    assert [a.state for a in await saved()] == ["complete", "failed"]
    await Contestant.objects.filter(pk=bad.pk).aupdate(upstream_model="says:Better")
    await page.say(type="turn.regenerate", battle=events[0]["battle"], slot=None)
    events = await page.hear_until("battle.ready", "battle.void", "error")
    assert events[-1]["type"] == "battle.ready"
    assert events[0]["slots"] == ["b"]
    assert [a.text for a in await saved()] == ["Good", "Better"]


async def test_both_sides_answer_again_and_a_resume_shows_the_new_texts(models, page):
    await models("count:5", "count:6")
    battle = (await page.ask())[0]["battle"]
    await page.say(type="turn.regenerate", battle=battle, slot=None)
    events = await page.hear_until("battle.ready", "battle.void", "error")
    assert events[0]["type"] == "turn.started"
    assert len(of(events, "slot.completed")) == 2
    assert all(len(a.earlier) == 1 for a in await saved())
    await page.say(type="resume", battle=battle, last_seq={})
    again = await page.hear_until("battle.ready", "battle.void", "error")
    assert of(again, "slot.completed") == of(events, "slot.completed")


async def test_somebody_elses_battle_is_neither_answered_again_nor_continued(models, page):
    await models("says:One", "says:Two")
    other = await in_database(factories.battle)(state="revealed")
    await page.say(type="turn.regenerate", battle=other.public_id, slot=None)
    assert (await page.hear())["code"] == "not_found"
    await page.say(
        type="turn.submit", prompt="More?", battle=None, continues=other.public_id, terms="1"
    )
    assert (await page.hear())["code"] == "not_found"


async def test_the_terms_agreed_to_are_stored_with_the_person_and_the_battle(models, page):
    await models("says:One", "says:Two")
    await page.say(type="turn.submit", prompt="Why?", battle=None, terms=settings.TERMS_VERSION)
    await page.hear_until("battle.ready")
    battle = await Battle.objects.select_related("voter").aget()
    assert battle.consent_version == battle.voter.consent_version == settings.TERMS_VERSION


async def test_terms_that_have_changed_meanwhile_are_to_be_read_first(models, page):
    await models("says:One", "says:Two")
    await page.say(type="turn.submit", prompt="Why?", battle=None, terms="of yesterday")
    assert (await page.hear())["code"] == "terms_changed"
    assert not await Battle.objects.aexists()
