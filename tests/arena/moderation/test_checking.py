"""Moderation on the way of a battle: what never reaches a model, and what never gets a vote."""

from __future__ import annotations

import asyncio

import pytest
from channels.db import database_sync_to_async as in_database
from django.conf import settings

from arena import generation
from arena.models import (
    Answer,
    Battle,
    Contestant,
    ModerationCategory,
    ModerationEvent,
    ModerationSettings,
    Reservation,
    Turn,
)
from tests import factories
from tests.arena.socket_page import Page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]
Provider = ModerationSettings.Provider
KEY = "sk-moderation-0123456789"


@pytest.fixture
def house(backend):
    """Two models that answer so, and a provider that knows these categories' actions."""

    def make(*scripts, terms=None, **fields):
        endpoint = factories.endpoint(base_url=backend.base_url)
        for script in scripts:
            factories.contestant(endpoint=endpoint, upstream_model=script)
        made = ModerationSettings(**{"base_url": backend.base_url, **fields})
        made.set_api_key(KEY)
        made.save()
        for action in ModerationCategory.Action.values:
            ModerationCategory.objects.create(
                house=made, name=action, title=f"Is {action}", action=action,
                terms=(terms or {}).get(action, f"flag-{action}"),
            )  # fmt: skip
        return made

    return in_database(make)


@in_database
def events():
    return list(ModerationEvent.objects.order_by("pk").values_list("subject", "category", "action"))


@in_database
def answers():
    return list(Answer.objects.order_by("slot").values_list("state", "text", "error_kind"))


@in_database
def battles():
    return [(battle.state, battle.void_reason) for battle in Battle.objects.all()]


@pytest.mark.parametrize("provider", [Provider.LIST, Provider.ENDPOINT])
async def test_a_blocked_prompt_never_reaches_a_model(house, backend, page, provider):
    await house("says:Hi", "echo", provider=provider)
    told = (await page.ask("Please flag-block this"))[-1]
    assert (told["type"], told["code"]) == ("error", "moderated")
    assert told["message"] == ("Your text was marked as: Is block. It was not sent to any model.")
    assert backend.requests == []
    assert await in_database(Battle.objects.count)() == 0
    assert await in_database(Reservation.objects.count)() == 0
    assert await events() == [("prompt", "block", "block")]
    event = await ModerationEvent.objects.aget()
    assert "Please" not in event.reason  # the text itself is kept nowhere
    assert event.turn_id is None


@pytest.mark.parametrize("provider", [Provider.LIST, Provider.ENDPOINT])
async def test_a_prompt_that_is_warned_of_goes_on_with_a_notice(house, page, provider):
    await house("says:Hi", "says:Ho", provider=provider)
    told = await page.ask("Please flag-warn this")
    assert told[-1]["type"] == "battle.ready"
    notices = [event["message"] for event in told if event["type"] == "notice"]
    assert notices == ["Your text was marked as: Is warn. It was sent."]
    assert await events() == [("prompt", "warn", "warn")]
    turn = await Turn.objects.aget()
    assert (await ModerationEvent.objects.aget()).turn_id == turn.pk


@pytest.mark.parametrize("provider", [Provider.LIST, Provider.ENDPOINT])
async def test_what_is_only_logged_or_off_nobody_is_told(house, page, provider):
    await house("says:Hi flag-off flag-log", "says:Ho", provider=provider)
    told = await page.ask("Please flag-log and flag-off this")
    assert told[-1]["type"] == "battle.ready"
    assert not [event for event in told if event["type"] == "notice"]
    assert await events() == [("prompt", "log", "log"), ("answer", "log", "log")]


@pytest.mark.parametrize("provider", [Provider.LIST, Provider.ENDPOINT])
async def test_a_blocked_answer_voids_the_battle_on_either_side(house, page, provider):
    await house("says:Hi flag-block", "says:Ho", provider=provider)
    told = (await page.ask())[-1]
    declined = "This request was declined."
    assert told == {"type": "battle.void", "message": declined, "withdrawn": ["a", "b"]}
    assert await battles() == [("void", "declined")]
    assert await answers() == [("failed", "", "withdrawn")] * 2  # nor which side it was
    assert await events() == [("answer", "block", "block")]
    event = await ModerationEvent.objects.aget()
    assert event.slot in ("a", "b")


async def test_of_a_conversation_with_named_models_the_blocked_answer_alone_is_withdrawn(
    house, page
):
    await house("says:Hi flag-block", "says:Ho", provider=Provider.LIST)
    slugs = await in_database(list)(
        Contestant.objects.order_by("pk").values_list("slug", flat=True)
    )
    await page.say(
        type="turn.submit", prompt="Why?", battle=None, mode="side_by_side", models=slugs,
        parameters={},
        terms=settings.TERMS_VERSION,
    )  # fmt: skip
    told = (await page.hear_until("battle.ready", "battle.void", "error"))[-1]
    assert told.get("withdrawn") == ["a"], told
    assert await answers() == [("failed", "", "withdrawn"), ("complete", "Ho", "")]
    battle = await Battle.objects.aget()
    again = await Page(page.cookie).open()  # it is over: seen through the database
    await again.say(type="resume", battle=battle.public_id, last_seq={})
    seen = await again.hear_until("battle.void")
    assert seen[-1]["withdrawn"] == ["a"]
    assert "Hi" not in "".join(again.raw)
    await again.close()


async def test_together_a_blocked_answer_is_never_shown(house, page, settings):
    settings.DEFAULT_PACING, settings.PACED_HOLD_SECONDS = "together", 0.02
    await house("says:Hi flag-block", "says:Ho", provider=Provider.LIST)
    told = await page.ask()
    assert [event["type"] for event in told] == ["battle.created", "turn.started", "battle.void"]
    assert "Hi" not in "".join(page.raw)


async def test_paced_a_blocked_answer_is_shown_no_further_once_it_is_whole(house, page, settings):
    settings.DEFAULT_PACING, settings.PACED_HOLD_SECONDS = "paced", 0.02
    settings.PACED_CHARACTERS_PER_SECOND = 10
    long = "word " * 30  # a reader would see it for fifteen seconds
    await house(f"says:{long} flag-block", f"says:{long}", provider=Provider.LIST)
    told = await asyncio.wait_for(page.ask(), 10)
    assert told[-1]["type"] == "battle.void"
    assert "flag-block" not in "".join(page.raw)


async def test_without_a_provider_nothing_is_checked(house, backend, page):
    await house("says:flag-block", "echo", provider=Provider.NONE)
    assert (await page.ask("flag-block"))[-1]["type"] == "battle.ready"
    assert backend.moderated == []
    assert await events() == []


async def test_both_answers_are_checked_in_one_request(house, backend, page):
    await house("says:Hi", "says:Ho", provider=Provider.ENDPOINT)
    await page.ask("A question")
    assert backend.moderated[0] == "A question"
    assert sorted(backend.moderated[1:]) == ["Hi", "Ho"]


async def test_a_category_seen_for_the_first_time_gets_a_row_and_the_default(house, page):
    await house("says:Hi", "says:Ho", provider=Provider.ENDPOINT, new_category_action="block")
    told = (await page.ask("flag-self/harm"))[-1]
    assert told["message"].startswith("Your text was marked as: self/harm.")
    assert (await ModerationCategory.objects.aget(name="self/harm")).action == "block"


@pytest.mark.parametrize(("threshold", "blocked"), [(0.89, True), (0.91, False), (None, True)])
async def test_a_threshold_replaces_the_endpoints_own_decision(house, page, threshold, blocked):
    await house("says:Hi", "says:Ho", provider=Provider.ENDPOINT)
    await ModerationCategory.objects.filter(name="block").aupdate(threshold=threshold)
    told = (await page.ask("flag-block"))[-1]
    assert (told["type"] == "error") is blocked


async def test_a_threshold_applies_to_what_the_endpoint_lets_pass(house, page):
    await house("says:Hi", "says:Ho", provider=Provider.ENDPOINT)
    await ModerationCategory.objects.filter(name="block").aupdate(name="calm", threshold=0.05)
    assert (await page.ask("Anything"))[-1]["code"] == "moderated"


@pytest.mark.parametrize("trouble", ["gone", "slow", "nonsense", "term"])
@pytest.mark.parametrize("closed", [False, True])
async def test_what_cannot_be_checked_goes_on_or_waits_as_the_administrator_set_it(
    house, page, troubled, monkeypatch, trouble, closed
):
    fields = {"provider": Provider.ENDPOINT, "fail_closed": closed, "timeout": 0.2}
    terms = None
    if trouble == "gone":
        fields["base_url"] = "http://127.0.0.1:9/v1"
    elif trouble == "term":
        monkeypatch.setattr("arena.moderation.terms.SECONDS", 0.02)
        fields["provider"], terms = Provider.LIST, {"log": "/(x|xx)+$/"}
    made = await house("says:Hi", "says:Ho", terms=terms, **fields)
    if trouble in ("slow", "nonsense"):
        await troubled(made, trouble)
    told = (await page.ask("x" * 60 + "!"))[-1]
    if closed:
        assert (told["code"], told["retry_after"]) == ("busy", 30)
        assert await in_database(Battle.objects.count)() == 0
        assert await events() == [("prompt", "", "block")]
    else:
        assert told["type"] == "battle.ready"
        assert (await events())[0] == ("prompt", "", "log")
    assert KEY not in (await ModerationEvent.objects.afirst()).reason


@pytest.fixture
async def troubled():
    """Makes a provider one that never answers, or not what it was asked for."""
    servers = []

    async def point(house, trouble):
        async def answer(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            if trouble == "nonsense":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\n")
                writer.write(b'{"results": [1]}')
            await reader.read()  # until the client goes
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        servers.append(server)
        house.base_url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        await in_database(house.save)()

    yield point
    await generation.shutdown()  # its connections first: the servers wait for them
    for server in servers:
        server.close()
        await server.wait_closed()
    await asyncio.sleep(0.01)


async def test_the_event_loop_goes_on_while_a_list_is_searched(house, monkeypatch):
    monkeypatch.setattr("arena.moderation.terms.SECONDS", 0.5)
    await house(provider=Provider.LIST, terms={"log": "/(x|xx)+$/"})
    ticks = 0

    async def tick():
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    ticking = asyncio.create_task(tick())
    verdict = await generation.current().moderator.check_prompt("x" * 60 + "!")
    ticking.cancel()
    assert verdict.failed  # after half a second in which others went on
    assert ticks > 10
