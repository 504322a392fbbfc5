"""What battles cost, from the socket to the counters: by what the servers say they used."""

from __future__ import annotations

from decimal import Decimal

import pytest
from channels.db import database_sync_to_async as in_database

from arena import limits
from arena.models import Reservation, Spending
from tests import factories
from tests.arena.socket_page import Page

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("quick")]
PROMPT_TOKENS = 7  # as the scripted server reports for every prompt


@pytest.fixture
def models(backend):
    """Makes contestants that behave as named, each at an endpoint of its own, for 1 and 10 USD."""

    def make(*scripts):
        return [
            factories.contestant(
                endpoint=factories.endpoint(base_url=backend.base_url),
                upstream_model=script,
                price_input=Decimal(1),
                price_output=Decimal(10),
            )
            for script in scripts
        ]

    return in_database(make)


@in_database
def spending(scope="arena", key=""):
    row = Spending.objects.get(scope=scope, key=key)
    return row.requests, row.held, row.spent


async def test_a_battle_costs_what_its_servers_report(models, page):
    await models("count:20", "count:30")
    assert (await page.ask())[-1]["type"] == "battle.ready"
    assert await spending() == (2, 0, 2 * PROMPT_TOKENS + 10 * (20 + 30))


async def test_a_server_cannot_report_more_than_was_planned_for_it(models, page, settings):
    settings.MAX_ANSWER_TOKENS = 5
    await models("count:200", "count:200")
    await page.ask()
    held = 4 + limits.TOKENS_AROUND_A_MESSAGE + 5 * 10
    assert await spending() == (2, 0, 2 * held)


async def test_a_request_that_was_refused_costs_nothing_and_is_counted(models, page):
    await models("count:20", "fails-once:it")
    assert (await page.ask())[-1]["type"] == "battle.ready"
    requests, held, spent = await spending()
    assert (requests, held) == (3, 0)
    assert spent < 2 * PROMPT_TOKENS + 10 * (20 + 20)


async def test_the_replacement_of_a_model_is_paid_where_it_answers(models, page):
    refused, *_ = await models("status:401", "count:10", "count:10")
    while (await page.ask())[-1]["type"] == "battle.ready":
        row = await Spending.objects.filter(scope="endpoint", key=str(refused.endpoint_id)).afirst()
        if row:
            break
    assert (row.requests, row.held, row.spent) == (1, 0, 0)
    _, held, spent = await spending()
    assert held == 0
    assert spent % (PROMPT_TOKENS + 100) == 0


async def test_a_stopped_answer_costs_what_was_said(models, page):
    await models("count:2000@100", "count:2000@100")
    await page.say(type="turn.submit", prompt="Why?", battle=None)
    seen = set()
    while seen != {"a", "b"}:
        event = await page.hear()
        if event["type"] == "slot.delta":
            seen.add(event["slot"])
    await page.say(type="turn.stop")
    assert (await page.hear_until("battle.ready", "battle.void"))[-1]["type"] == "battle.ready"
    requests, held, spent = await spending()
    assert (requests, held) == (2, 0)
    assert 2 <= spent < 2 * 1_000 * 10


async def test_who_has_asked_enough_is_told_when_to_come_back(models, page, backend, settings):
    settings.DAILY_REQUESTS_NETWORK = 2
    settings.BEHIND_PROXY = False
    await models("count:3", "count:3")
    assert (await page.ask())[-1]["type"] == "battle.ready"
    asked = len(backend.requests)
    told = (await page.ask())[-1]
    assert (told["type"], told["code"]) == ("error", "limit_network")
    assert 0 < told["retry_after"] <= 24 * 3600
    another = await Page().open()  # another voter behind the same router
    assert (await another.ask())[-1]["code"] == "limit_network"
    await another.close()
    assert len(backend.requests) == asked
    assert await in_database(Reservation.objects.count)() == 1


async def test_a_new_answer_to_the_same_question_is_paid_for_too(models, page):
    await models("count:5", "count:5")
    battle = (await page.ask())[0]["battle"]
    before = await spending()
    await page.say(type="turn.regenerate", battle=battle, slot=None)
    assert (await page.hear_until("battle.ready", "error"))[-1]["type"] == "battle.ready"
    assert await spending() == (4, 0, 2 * before[2])
