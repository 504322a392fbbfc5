"""Budgets: held before the models are asked, settled after, refused with a time to come back."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from arena import battles, limits, networks, turns
from arena.limits import Charge
from arena.models import (
    Answer,
    Battle,
    Contestant,
    NetworkSalt,
    Reservation,
    Spending,
    Turn,
)
from arena.refusals import Refused
from tests import factories

pytestmark = pytest.mark.django_db

PRICE = {"price_input": Decimal(1), "price_output": Decimal(10)}
MAX_TOKENS = 100
# "Why?" is four bytes, and a message has some tokens around it.
HELD_BY_A_SIDE = (4 + limits.TOKENS_AROUND_A_MESSAGE) * 1 + MAX_TOKENS * 10
HELD = 2 * HELD_BY_A_SIDE
USD = limits.MILLIONTHS


@pytest.fixture(autouse=True)
def few_tokens(settings):
    settings.MAX_ANSWER_TOKENS = MAX_TOKENS


@pytest.fixture
def models():
    return [factories.contestant(**PRICE) for _ in range(2)]


def opened(voter=None, network="", prompt="Why?"):
    return battles.open_battle(voter=voter or factories.voter(), prompt=prompt, network=network)


def finished(started, charges=None, text="Because."):
    for answer in started.answers.values():
        answer.text, answer.state = text, Answer.State.COMPLETE
    return turns.finish(
        turn_id=started.turn.pk, answers=list(started.answers.values()), charges=charges
    )


def charged(started, *millionths):
    endpoints = [answer.contestant.endpoint_id for answer in started.answers.values()]
    return [Charge(endpoints[i % 2], amount) for i, amount in enumerate(millionths)]


def spending(scope="arena", key=""):
    row = Spending.objects.get(scope=scope, key=key)
    return row.requests, row.held, row.spent


def test_a_turn_holds_the_most_it_may_cost_and_gives_the_rest_back(models):
    started = opened()
    assert spending() == (2, HELD, 0)
    finished(started, charged(started, 300, 500))
    assert spending() == (2, 0, 800)
    for slot, cost in (("a", 300), ("b", 500)):
        endpoint = started.answers[slot].contestant.endpoint_id
        assert spending("endpoint", str(endpoint)) == (1, 0, cost)


def test_what_retries_and_replacements_used_is_paid_for_as_well(models):
    started = opened()
    another = factories.endpoint()
    finished(started, [*charged(started, 300, 500, 40), Charge(another.pk, 7)])
    assert spending() == (4, 0, 847)
    assert spending("endpoint", str(another.pk)) == (1, 0, 7)


def test_a_budget_of_money_refuses_what_it_could_not_pay(models, settings):
    settings.DAILY_USD_ARENA = (2 * HELD + 3) / USD
    first = opened()
    second = opened()
    with pytest.raises(Refused) as refused:
        opened()
    # Nothing is spent yet: soon there will be room again.
    assert (refused.value.code, refused.value.retry_after) == ("busy", 30)
    assert Battle.objects.count() == 2
    finished(first, charged(first, 1, 1))
    finished(second, charged(second, 1, 1))
    third = opened()
    finished(third, charged(third, HELD_BY_A_SIDE, HELD_BY_A_SIDE))
    with pytest.raises(Refused) as refused:
        opened()
    assert refused.value.code == "limit_arena"
    assert "budget of today" in refused.value.message
    assert 0 < refused.value.retry_after <= 24 * 3600
    assert spending() == (6, 0, HELD + 4)


def test_a_budget_that_is_spent_still_pays_for_models_that_cost_nothing(settings):
    for _ in range(2):
        factories.contestant()
    settings.DAILY_USD_ARENA = 0.000001
    Spending.objects.create(scope="arena", day=timezone.now().date(), spent=5)
    assert opened().battle.state == Battle.State.STREAMING


@pytest.mark.parametrize(
    ("setting", "whose"),
    [("DAILY_REQUESTS_VOTER", "person"), ("DAILY_REQUESTS_NETWORK", "network")],
)
def test_requests_of_one_person_and_of_one_network_are_limited(models, settings, setting, whose):
    setattr(settings, setting, 4)
    voter = factories.voter()
    for _ in range(2):
        opened(voter, "203.0.113.0/24")
    with pytest.raises(Refused) as refused:
        opened(voter, "203.0.113.0/24")
    assert whose in refused.value.message
    assert "midnight UTC" in refused.value.message
    opened(factories.voter(), "198.51.100.0/24")  # others are not touched


def test_a_further_turn_is_paid_for_with_all_that_was_said_before(models):
    started = opened()
    finished(started, charged(started, 0, 0), text="x" * 1000)
    battles.take_turn(battle_id=started.battle.pk, prompt="And?")
    assert spending()[1] == HELD + 2 * (1000 + 4 + 2 * limits.TOKENS_AROUND_A_MESSAGE)


def test_a_prompt_is_never_more_tokens_than_bytes(models):
    opened(prompt="模型")
    assert spending()[1] == 2 * (6 + limits.TOKENS_AROUND_A_MESSAGE + 10 * MAX_TOKENS)


def test_a_model_without_a_price_has_that_of_its_endpoint():
    endpoint = factories.endpoint(price_input=Decimal(2), price_output=Decimal("0.5"))
    model = factories.contestant(endpoint=endpoint)
    assert limits.cost(model, input_tokens=10, output_tokens=3) == 22  # 21.5, rounded up
    model.price_input = Decimal(0)
    assert limits.cost(model, input_tokens=10, output_tokens=4) == 2
    assert limits.cost(factories.contestant(), input_tokens=10**6, output_tokens=10**6) == 0


def test_an_endpoint_that_reached_its_limit_is_not_drawn_until_midnight(monkeypatch):
    busy = factories.endpoint(daily_requests=2)
    dear = factories.endpoint(daily_budget=Decimal("0.01"))
    for endpoint in (busy, dear, factories.endpoint()):
        factories.contestant(endpoint=endpoint)
    assert Contestant.objects.drawable().count() == 3
    today = timezone.now().date()
    Spending.objects.create(scope="endpoint", key=str(busy.pk), day=today, requests=2)
    Spending.objects.create(scope="endpoint", key=str(dear.pk), day=today, spent=9_999, held=1)
    assert Contestant.objects.drawable().count() == 1
    Spending.objects.update(day=today - timedelta(days=1))
    assert Contestant.objects.drawable().count() == 3


def test_a_turn_whose_process_was_killed_is_settled_by_the_sweep(models):
    started = opened()
    Answer.objects.filter(turn=started.turn, slot="a").update(text="x" * 400, state="streaming")
    Turn.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    assert turns.end_orphaned() == 1
    requests, held, spent = spending()
    assert (requests, held) == (2, 0)
    assert spent == 100 * 10 + 2 * 1  # 400 characters said, four heard by each side


def test_a_process_that_was_taken_for_dead_has_the_last_word_on_what_it_used(models):
    started = opened()
    Turn.objects.update(heartbeat_at=timezone.now() - timedelta(minutes=1))
    turns.end_orphaned()
    assert not finished(started, charged(started, 111, 222))
    assert spending() == (2, 0, 333)


def test_a_turn_that_ends_after_midnight_is_settled_on_the_day_it_began(models, settings):
    settings.DAILY_REQUESTS_VOTER = settings.DAILY_REQUESTS_NETWORK = 10
    started = opened(network="203.0.113.0/24")
    yesterday = timezone.now().date() - timedelta(days=1)
    Spending.objects.update(day=yesterday)
    Reservation.objects.update(day=yesterday)
    limits.prune()
    assert Spending.objects.filter(scope="voter").exists()  # the turn still runs
    finished(started, charged(started, 5, 5))
    assert spending() == (2, 0, 10)
    limits.prune()
    assert not Spending.objects.filter(scope__in=["voter", "network"]).exists()
    # The owner's late word finds the people forgotten, and the arena's day as it was.
    assert not finished(started, charged(started, 6, 6))
    assert spending() == (2, 0, 12)


def test_yesterdays_networks_are_forgotten_with_their_salt():
    today = timezone.now().date()
    before = networks.key_of("203.0.113.0/24", today - timedelta(days=1))
    assert before != networks.key_of("203.0.113.0/24", today)
    limits.prune()
    assert [salt.day for salt in NetworkSalt.objects.all()] == [today]
    assert networks.key_of("203.0.113.0/24", today - timedelta(days=1)) != before


def test_no_address_is_stored_anywhere(models, settings):
    settings.DAILY_REQUESTS_NETWORK = 10
    opened(network="203.0.113.0/24")
    row = Spending.objects.get(scope="network")
    assert set(row.key) <= set("0123456789abcdef")
    assert Reservation.objects.get().network == row.key
    assert len(row.key) == 32


def test_the_time_to_come_back_is_midnight_utc(models, settings, monkeypatch):
    settings.DAILY_REQUESTS_VOTER = 1
    monkeypatch.setattr(timezone, "now", lambda: datetime(2026, 3, 1, 22, 30, tzinfo=UTC))
    with pytest.raises(Refused) as refused:
        opened()
    assert refused.value.message.endswith("after midnight UTC, in 91 min.")
    assert Spending.objects.count() == 0  # of what was refused nothing stays


# --- many at once --------------------------------------------------------------------------------


@pytest.mark.django_db(transaction=True)
def test_many_at_once_never_spend_more_than_the_budget(settings):
    """Each opens a battle, and uses all that it holds or a part of it."""
    for _ in range(40):  # of so many that they rarely wait for each other at an endpoint's row
        factories.contestant(**PRICE)
    clients = 200 if connection.vendor == "postgresql" else 50  # SQLite has one writer anyway
    room = 25  # battles that the budget can pay in full
    settings.DAILY_USD_ARENA = room * HELD / USD
    cap = room * HELD
    voters = [factories.voter() for _ in range(clients)]
    seen = []

    def play(number):
        try:
            try:
                started = opened(voters[number], "203.0.113.0/24")
            except Refused as refused:
                return refused.code, 0
            row = Spending.objects.filter(scope="arena").values_list("held", "spent").get()
            seen.append(sum(row))
            used = HELD_BY_A_SIDE if number % 2 else HELD_BY_A_SIDE // 3
            finished(started, charged(started, used, used))
            return "played", 2 * used
        finally:
            connection.close()

    with ThreadPoolExecutor(clients) as pool:
        results = list(pool.map(play, range(clients)))
    played = [used for code, used in results if code == "played"]
    assert {code for code, _ in results} <= {"played", "busy", "limit_arena"}
    assert room <= len(played) < clients
    assert max(seen) <= cap
    # No settlement is lost: what the counters say is what was used.
    assert spending() == (2 * len(played), 0, sum(played))
    assert sum(played) <= cap
    assert not Reservation.objects.filter(settled=False).exists()
    of_endpoints = Spending.objects.filter(scope="endpoint")
    assert {row.held for row in of_endpoints} == {0}
    assert sum(row.spent for row in of_endpoints) == sum(played)
