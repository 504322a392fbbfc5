"""The page of the arena's settings: the odds are shown first, and what was shown is saved."""

from __future__ import annotations

import re
from datetime import timedelta

import numpy as np
import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from arena import arena_settings, sampler
from arena.models import ArenaSettings, Contestant, PairNeeds
from tests import factories

pytestmark = pytest.mark.django_db

PAGE = "/admin/arena/arenasettings/"


@pytest.fixture
def models():
    return [factories.contestant(name=name) for name in ("Alder", "Birch", "Cedar")]


def values(**changed):
    house = ArenaSettings.objects.filter(pk=1).first() or ArenaSettings()
    form = {
        "version": house.version,
        "sampler": house.sampler,
        "active_floor": house.active_floor,
        "needs_max_age_hours": house.needs_max_age_hours,
        "pacing": house.pacing,
    }
    for contestant in Contestant.objects.all():
        form[f"weight_{contestant.pk}"] = contestant.weight
        form[f"reason_{contestant.pk}"] = contestant.weight_reason
    return {**form, **changed}


def text(response):
    page = response.content.decode()
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def hidden_form(response):
    """What the button under the odds sends."""
    inputs = re.findall(
        r'<input type="hidden" name="(\w+)" value="([^"]*)"', response.content.decode()
    )
    return {**dict(inputs), "do": "save"}


def test_the_page_shows_the_odds_as_they_are(admin_client, models):
    shown = text(admin_client.get(PAGE))
    assert "3 pairs can be drawn" in shown
    assert "once in 3 battles" in shown
    assert shown.count("66.7 %") == 3  # of all battles, each of three models


def test_new_odds_are_shown_and_nothing_is_saved(admin_client, models):
    alder = models[0]
    new = {f"weight_{alder.pk}": 4, f"reason_{alder.pk}": "New this week"}
    shown = text(admin_client.post(PAGE, values(**new)))
    assert "Not saved yet" in shown
    assert "Alder: weight 1 → 4 (New this week)" in shown
    assert "93.3 %" in shown  # 4/6 + 2 · 1/6 · 4/5
    alder.refresh_from_db()
    assert (alder.weight, ArenaSettings.objects.exists()) == (1, False)


def test_what_was_shown_is_saved_with_its_reason_in_the_log(admin_client, models):
    alder = models[0]
    new = {
        f"weight_{alder.pk}": 4, f"reason_{alder.pk}": "New this week",
        "sampler": "active", "active_floor": 0.2, "pacing": "paced",
    }  # fmt: skip
    preview = admin_client.post(PAGE, values(**new))
    saved = admin_client.post(PAGE, hidden_form(preview), follow=True)
    assert "Saved as version 2" in text(saved)
    house = ArenaSettings.objects.get()
    assert (house.sampler, house.active_floor, house.pacing) == ("active", 0.2, "paced")
    alder.refresh_from_db()
    assert (alder.weight, alder.weight_reason) == (4, "New this week")
    log = {entry.object_repr: entry.get_change_message() for entry in LogEntry.objects.all()}
    assert "weight 1 → 4 (New this week)" in log["Alder"].lower().replace("new", "New")
    assert "Floor of the active sampler: 0.5 → 0.2" in log[str(house)]


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("weight", 3, "Give the reason for this weight"),
        ("weight", -1, "greater than or equal to 0"),
        ("weight", "", "required"),
        ("weight", "nan", "Enter a number"),
    ],
)
def test_a_weight_that_will_not_do_is_refused_at_its_place(
    admin_client, models, field, value, said
):
    response = admin_client.post(PAGE, values(**{f"{field}_{models[1].pk}": value, "do": "save"}))
    assert said in text(response)
    models[1].refresh_from_db()
    assert models[1].weight == 1


@pytest.mark.parametrize("floor", ["0", "-0.2", "1.5"])
def test_a_floor_is_a_share_above_zero(admin_client, models, floor):
    admin_client.post(PAGE, values(active_floor=floor, do="save"))
    assert not ArenaSettings.objects.exists()


def test_pairs_are_ranked_by_what_the_ratings_need(admin_client, models):
    needs = np.array([[0, 1, 90], [1, 0, 9], [90, 9, 0]], dtype=float)
    sampler.store_needs(contestants=[m.pk for m in models], needs=needs, votes=1234)
    shown = text(admin_client.post(PAGE, values(sampler="active", active_floor=0.1)))
    assert "active/1" in shown
    assert "1,234 votes" in shown
    assert "The rarest is Alder against Birch" in shown
    assert re.search(r"Drawn most often .* Alder – Cedar", shown)


def test_needs_that_are_too_old_are_said_to_be(admin_client, models):
    assert "told nothing yet" in text(admin_client.get(PAGE))
    sampler.store_needs(contestants=[m.pk for m in models], needs=np.ones((3, 3)), votes=7)
    assert "too old" not in text(admin_client.get(PAGE))
    PairNeeds.objects.update(made_at=timezone.now() - timedelta(hours=49))
    assert "too old: the active sampler draws by weight" in text(admin_client.get(PAGE))


def test_two_administrators_do_not_overwrite_each_other(admin_client, models):
    seen = values(pacing="paced")
    arena_settings.change(pacing="together")
    response = admin_client.post(PAGE, {**seen, "do": "save"}, follow=True)
    assert "changed the settings meanwhile" in text(response)
    assert ArenaSettings.objects.get().pacing == "together"


def test_without_models_the_page_says_so(admin_client):
    assert "Fewer than two models may meet" in text(admin_client.get(PAGE))


def test_who_may_not_change_contestants_changes_no_weight(staff, models):
    client = staff("change_arenasettings")
    alder = models[0]
    new = {f"weight_{alder.pk}": 4, f"reason_{alder.pk}": "x", "pacing": "paced", "do": "save"}
    client.post(PAGE, values(**new))
    alder.refresh_from_db()
    assert (alder.weight, ArenaSettings.objects.get().pacing) == (1, "paced")


def test_who_may_only_look_changes_nothing(staff, models):
    client = staff("view_arenasettings")
    assert client.get(PAGE).status_code == 200
    assert "Show what would be drawn" not in client.get(PAGE).content.decode()
    assert client.post(PAGE, values(pacing="paced", do="save")).status_code == 403
    assert not ArenaSettings.objects.exists()


def test_others_see_nothing(staff, models):
    assert staff("view_contestant").get(PAGE).status_code == 403


def test_the_page_takes_the_same_few_queries_however_many_models(
    admin_client, models, django_assert_max_num_queries
):
    for number in range(20):
        factories.contestant(name=f"Model {number}")
    with django_assert_max_num_queries(10):
        admin_client.get(PAGE)


def test_a_contestants_card_asks_for_the_reason_of_its_weight(admin_client, models):
    alder = models[0]
    url = reverse("admin:arena_contestant_change", args=[alder.pk])
    form = {
        "name": alder.name, "status": "active", "weight": "3", "weight_reason": "",
        "endpoint": alder.endpoint_id, "upstream_model": alder.upstream_model,
    }  # fmt: skip
    assert "Give the reason for this weight" in text(admin_client.post(url, form))
    admin_client.post(url, {**form, "weight_reason": "New", "only_meets": [models[1].pk]})
    alder.refresh_from_db()
    assert (alder.weight, alder.weight_reason) == (3, "New")
    assert list(alder.only_meets.all()) == [models[1]]
