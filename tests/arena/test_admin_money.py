"""The administration's pages of budgets and of moderation."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.urls import reverse
from django.utils import timezone

from arena.models import (
    Endpoint,
    ModerationCategory,
    ModerationEvent,
    ModerationSettings,
    Spending,
)
from tests import factories

pytestmark = pytest.mark.django_db
KEY = "sk-CANARY-0123456789abcdef"


def page_of(response):
    assert response.status_code == 200
    return " ".join(response.content.decode().split())


# --- budgets -------------------------------------------------------------------------------------


def test_the_page_shows_what_is_spent_and_left_today(staff, settings):
    settings.DAILY_USD_ARENA = 2.0
    settings.DAILY_REQUESTS_VOTER = 10
    endpoint = factories.endpoint(name="Dear", daily_budget=Decimal("1.00"))
    today = timezone.now().date()
    rows = [
        {"scope": "arena", "requests": 7, "spent": 1_250_000, "held": 250_000},
        {"scope": "endpoint", "key": str(endpoint.pk), "requests": 7, "spent": 1_000_000},
        {"scope": "voter", "key": "4711", "requests": 10},
    ]
    for row in rows:
        Spending.objects.create(day=today, **row)
    Spending.objects.create(scope="arena", day=today - timedelta(days=1), spent=3_330_000)
    page = page_of(staff("view_spending").get(reverse("admin:arena_spending_changelist")))
    assert "All battles" in page
    for figure in ("1.2500", "0.2500", "2.00", "0.5000"):  # spent, held, limit, left
        assert f'<td class="arena-number">{figure}</td>' in page
    assert page.count("used up") == 2  # the endpoint's money, the voter's requests
    assert "voter 4711" in page
    assert "3.3300" in page


def test_the_page_is_only_for_those_who_may_see_it(staff):
    response = staff("view_battle").get(reverse("admin:arena_spending_changelist"))
    assert response.status_code == 403


def test_an_endpoints_limits_and_prices_are_set_in_its_form(staff):
    client = staff("view_endpoint", "change_endpoint")
    endpoint = factories.endpoint(base_url="https://api.example.com/v1")
    form = {
        "name": "Here", "kind": "openai", "base_url": endpoint.base_url, "enabled": "on",
        "connect_timeout": "5", "first_token_timeout": "30", "gap_timeout": "20",
        "total_timeout": "60", "daily_requests": "100", "daily_budget": "2.50",
        "price_input": "0.15", "price_output": "0.6",
        "contestants-TOTAL_FORMS": "0", "contestants-INITIAL_FORMS": "0",
    }  # fmt: skip
    url = reverse("admin:arena_endpoint_change", args=[endpoint.pk])
    assert client.post(url, form).status_code == 302
    stored = Endpoint.objects.get()
    assert (stored.daily_requests, stored.daily_budget) == (100, Decimal("2.50"))
    refused = client.post(url, {**form, "daily_budget": "0", "price_input": "-1"})
    assert refused.status_code == 200


# --- moderation ----------------------------------------------------------------------------------

CHANGE = ("view_moderationsettings", "change_moderationsettings", "add_moderationsettings")
CATEGORIES = ("view_moderationcategory", "change_moderationcategory", "add_moderationcategory")


def house_form(**fields):
    return {
        "provider": "endpoint", "base_url": "https://check.example.com/v1", "model": "",
        "new_api_key": "", "timeout": "5", "new_category_action": "log",
        "categories-TOTAL_FORMS": "0", "categories-INITIAL_FORMS": "0",
        **fields,
    }  # fmt: skip


def category(number=0, **fields):
    values = {"name": "violence", "title": "", "action": "block", "threshold": "", "terms": ""}
    return {
        "categories-TOTAL_FORMS": "1",
        **{f"categories-{number}-{name}": value for name, value in {**values, **fields}.items()},
    }


def test_moderation_is_set_once_and_then_changed(staff):
    client = staff(*CHANGE, *CATEGORIES)
    start = reverse("admin:arena_moderationsettings_changelist")
    add = reverse("admin:arena_moderationsettings_add")
    assert client.get(start).url == add
    saved = client.post(add, house_form(new_api_key=KEY, **category(terms="one\n/two?/")))
    assert saved.status_code == 302
    house = ModerationSettings.objects.get()
    assert (house.provider, house.api_key()) == ("endpoint", KEY)
    assert ModerationCategory.objects.get().action == "block"
    change = reverse("admin:arena_moderationsettings_change", args=[1])
    assert client.get(start).url == change
    assert client.get(add).status_code == 403
    assert KEY not in page_of(client.get(change))
    moved = client.post(change, house_form(base_url="https://other.example.com/v1"), follow=True)
    assert "the stored API key was erased" in page_of(moved)
    assert ModerationSettings.objects.get().api_key() == ""


@pytest.mark.parametrize(
    ("fields", "complaint"),
    [
        ({"base_url": ""}, "Where is the endpoint?"),
        ({"base_url": "http://169.254.169.254/v1"}, "is a private address"),
        ({"base_url": "http://user:pw@check.example.com"}, "credentials"),
        ({"new_api_key": "sk-\u00e9"}, "plain ASCII"),
        ({"timeout": "0"}, "greater than or equal to 0.1"),
        (category(terms="fine\n/(/"), "Line 2 is no regular expression"),
        (category(threshold="1.5"), "less than or equal to 1"),
    ],
)
def test_what_cannot_work_is_refused_in_the_form(staff, settings, fields, complaint):
    settings.PRIVATE_ENDPOINTS = []
    client = staff(*CHANGE, *CATEGORIES)
    answer = client.post(reverse("admin:arena_moderationsettings_add"), house_form(**fields))
    assert complaint in page_of(answer)
    assert not ModerationSettings.objects.exists()


def test_what_was_found_leads_to_the_turn_it_was_found_in(staff):
    battle = factories.battle()
    turn = battle.turns.get()
    ModerationEvent.objects.create(
        subject="answer", turn=turn, slot="b", category="violence", action="log", reason="score 0.9"
    )
    ModerationEvent.objects.create(subject="prompt", action="block", reason="no answer in time")
    page = page_of(staff("view_moderationevent").get("/admin/arena/moderationevent/"))
    assert reverse("admin:arena_turn_change", args=[turn.pk]) in page
    assert "side B" in page
    assert "not checked" in page
