"""Making a category, changing its rule, and the counts that follow."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from arena import votes
from arena.models import Turn, Vote
from leaderboard import categories, tasks
from leaderboard.models import OVERALL, Category, PairCount, VoteFeatures
from leaderboard.tally import checking, settling
from tests import factories

pytestmark = pytest.mark.django_db

PROMPTS = (
    "Write a poem about rain.",
    "Write a Python function that adds two numbers.",
    "Wie komme ich zum Bahnhof?",
    "Solve for x: 3x + 7 = 22",
)


@pytest.fixture
def counted():
    one, two, three = (factories.contestant() for _ in range(3))
    for a, b in ((one, two), (two, three), (three, one)):
        for choice in Vote.Choice.values:
            for prompt in PROMPTS:
                vote = factories.vote(choice, contestant_a=a, contestant_b=b)
                Turn.objects.filter(battle=vote.battle).update(prompt=prompt)
    settling.settle_all()


def counts(slug):
    return set(
        PairCount.objects.filter(category__slug=slug, n__gt=0).values_list(
            "lo", "hi", "outcome", "n"
        )
    )


def post(admin_client, rule, category=None, **fields):
    url = (
        reverse("admin:leaderboard_category_change", args=[category.pk])
        if category
        else reverse("admin:leaderboard_category_add")
    )
    return admin_client.post(
        url,
        {
            "slug": "hard",
            "name": "Hard",
            "group": "topic",
            "position": "9",
            "description": "",
            "rule": rule,
            **fields,
        },
    )


GERMAN_OR_CODE = '{"any": [{"language": "de"}, {"flag": "code"}]}'


def test_a_category_made_in_the_admin_and_backfilled_equals_a_count_from_scratch(
    counted, admin_client
):
    assert post(admin_client, GERMAN_OR_CODE).status_code == 302
    assert Category.objects.get(slug="hard").stale
    assert counts("hard") == set()
    call_command("backfill_categories")
    backfilled = counts("hard")
    assert sum(n for *_, n in backfilled) == 24
    assert not Category.objects.get(slug="hard").stale

    PairCount.objects.all().delete()
    VoteFeatures.objects.all().delete()
    Vote.objects.update(tallied=False, tally_due=True)
    settling.settle_all()
    assert counts("hard") == backfilled


def test_a_changed_rule_takes_effect_when_rebuilt_and_holds_for_votes_since(counted, admin_client):
    category = Category.objects.get(slug="coding")
    code = counts("coding")
    post(admin_client, '{"language": "de"}', category, slug="coding")
    vote = factories.vote()
    Turn.objects.filter(battle=vote.battle).update(prompt="Wo ist der Bahnhof, bitte?")
    settling.settle_all()
    assert counts("coding") == code  # the old counts stand until the new ones are made
    tasks.rebuild_categories()
    assert counts("coding") == counts("german") != code
    assert checking.differences() == {}


def test_a_rule_that_is_none_is_refused_with_its_reason(admin_client):
    page = post(admin_client, '{"flag": "hard"}')
    assert page.status_code == 200
    assert "none of code, math" in page.content.decode()
    assert not Category.objects.filter(slug="hard").exists()


def test_a_new_name_leaves_the_counts_and_a_running_rebuild_alone(counted, admin_client):
    category = Category.objects.get(slug="coding")
    post(admin_client, '{"flag": "code"}', category, slug="coding", name="Programs")
    category.refresh_from_db()
    assert (category.name, category.stale) == ("Programs", False)

    categories.mark_stale([category.pk])
    read_before = Category.objects.get(pk=category.pk)
    categories.rebuild_step(limit=5)
    read_before.name = "Software"
    categories.change(read_before, ["name"])
    assert Category.objects.get(pk=category.pk).rebuilt_through > 0


def test_all_votes_remain_all_votes(counted, admin_client):
    overall = Category.objects.get(slug=OVERALL)
    post(admin_client, '{"flag": "code"}', overall, slug=OVERALL, name="Everything")
    overall.refresh_from_db()
    assert (overall.name, overall.rule, overall.stale) == ("Everything", {}, False)


def test_deleting_a_category_takes_its_counts_with_it(counted, admin_client):
    category = Category.objects.get(slug="coding")
    url = reverse("admin:leaderboard_category_delete", args=[category.pk])
    assert admin_client.post(url, {"post": "yes"}).status_code == 302
    assert not PairCount.objects.filter(category=category.pk).exists()
    assert checking.differences() == {}


def test_a_rebuild_that_was_stopped_goes_on_where_it_was(counted):
    right = counts("coding")
    category = Category.objects.get(slug="coding")
    categories.mark_stale([category.pk])
    assert categories.rebuild_step(limit=10) == 10
    category.refresh_from_db()
    tenth = Vote.objects.order_by("pk")[9]
    assert (category.stale, category.rebuilt_through) == (True, tenth.pk)
    assert categories.rebuild_stale() == 1
    assert counts("coding") == right


def test_categories_that_lag_are_brought_level_and_then_walk_together(counted):
    early, late = Category.objects.filter(slug__in=["coding", "english"]).order_by("slug")
    right = counts("coding"), counts("english")
    categories.mark_stale([early.pk])
    categories.rebuild_step(limit=10)
    categories.mark_stale([late.pk])
    assert categories.rebuild_step() == 10  # the second, as far as the first
    assert categories.rebuild_step() == 38  # both, to the end
    assert categories.rebuild_step() is None
    assert (counts("coding"), counts("english")) == right


def test_votes_are_taken_from_a_half_rebuilt_category_only_as_far_as_it_is(counted):
    categories.mark_stale([Category.objects.get(slug=OVERALL).pk])
    categories.rebuild_step(limit=10)
    first, last = Vote.objects.order_by("pk").first(), Vote.objects.order_by("pk").last()
    for vote in (first, last):
        votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    settling.settle_all()
    assert sum(n for *_, n in counts(OVERALL)) == 9
    categories.rebuild_stale()
    assert sum(n for *_, n in counts(OVERALL)) == 46
    assert checking.differences() == {}


def test_the_command_computes_features_that_older_votes_lack(counted, capsys):
    right = counts("coding")
    VoteFeatures.objects.all().delete()
    categories.mark_stale(Category.objects.values_list("pk", flat=True))
    call_command("backfill_categories", "--features")
    said = capsys.readouterr().out
    assert "Computed the features of 48 votes." in said
    assert "Coding" in said
    assert counts("coding") == right
    call_command("backfill_categories", "--features")
    said = capsys.readouterr().out
    assert "of 0 votes" in said
    assert "up to date" in said


def test_rebuilding_makes_features_that_are_missing(counted):
    right = counts("coding")
    VoteFeatures.objects.all().delete()
    categories.mark_stale(Category.objects.values_list("pk", flat=True))
    categories.rebuild_stale()
    assert counts("coding") == right
    assert VoteFeatures.objects.count() == 48


def test_the_command_rebuilds_one_category_though_it_is_not_stale(counted, capsys):
    right = counts("coding")
    PairCount.objects.filter(category__slug="coding").update(n=77)
    call_command("backfill_categories", "--category", "coding")
    assert "Rebuilt Coding." in capsys.readouterr().out
    assert counts("coding") == right


def test_an_unknown_category_is_answered_with_the_known_ones():
    with pytest.raises(CommandError, match="There are: overall, "):
        call_command("backfill_categories", "--category", "codign")
