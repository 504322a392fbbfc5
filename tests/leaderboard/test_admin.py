"""The administrator's view of snapshots and categories."""

from __future__ import annotations

import pytest
from django.urls import reverse

from leaderboard.models import OVERALL, Category, Rating, Snapshot
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot():
    made = Snapshot.objects.create(
        category=Category.objects.create(slug="slice", name="Slice"),
        method="bt", configuration={}, votes_counted=1,
    )  # fmt: skip
    Rating.objects.create(
        snapshot=made, contestant=factories.contestant(name="First of all"), status="ok",
        rating=1000, lower=990, upper=1010, rank=1, votes=7,
    )  # fmt: skip
    return made


def test_a_snapshot_shows_its_ratings_and_cannot_be_changed(admin_client, snapshot):
    assert admin_client.get(reverse("admin:leaderboard_snapshot_changelist")).status_code == 200
    url = reverse("admin:leaderboard_snapshot_change", args=[snapshot.pk])
    page = admin_client.get(url)
    assert "First of all" in page.content.decode()
    assert 'name="_save"' not in page.content.decode()
    assert admin_client.post(url, {"method": "magic"}).status_code == 403
    delete = reverse("admin:leaderboard_snapshot_delete", args=[snapshot.pk])
    assert admin_client.post(delete, {"post": "yes"}).status_code == 403
    assert admin_client.post(reverse("admin:leaderboard_snapshot_add")).status_code == 403


def test_a_category_can_be_renamed_but_keeps_its_address(admin_client, snapshot):
    url = reverse("admin:leaderboard_category_change", args=[snapshot.category.pk])
    admin_client.post(
        url,
        {"slug": "other", "name": "Hard prompts", "group": "topic", "rule": "{}", "position": "3"},
    )
    category = Category.objects.get(pk=snapshot.category.pk)
    assert (category.slug, category.name) == ("slice", "Hard prompts")


def test_the_category_of_all_votes_cannot_be_deleted(admin_client):
    overall, _ = Category.objects.get_or_create(slug=OVERALL, defaults={"name": "Overall"})
    url = reverse("admin:leaderboard_category_delete", args=[overall.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 403
    page = admin_client.get(reverse("admin:leaderboard_category_changelist")).content.decode()
    assert "delete_selected" not in page
