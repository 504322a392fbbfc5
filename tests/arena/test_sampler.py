from datetime import timedelta

import numpy as np
import pytest
from django.utils import timezone

from arena import arena_settings, battles, pairing, sampler
from arena.models import ArenaSettings, Battle, Contestant, PairNeeds
from tests import factories

pytestmark = pytest.mark.django_db


def odds(**options):
    return sampler.odds(sampler.entrants(Contestant.objects.drawable()), **options)


@pytest.fixture
def three():
    return [factories.contestant() for _ in range(3)]


@pytest.fixture
def needs(three):
    """The first two are known well, the third is not."""
    matrix = np.array([[0, 1, 8], [1, 0, 8], [8, 8, 0]], dtype=float)
    return sampler.store_needs(contestants=[m.pk for m in three], needs=matrix, votes=9)


def test_a_fresh_install_draws_by_weight(three):
    assert odds().sampler == pairing.WEIGHTED
    assert set(odds().shares()) == {model.pk for model in three}


def test_the_settings_choose_the_sampler_and_its_floor(three, needs):
    a, b, c = (model.pk for model in three)
    assert odds().probability(a, b) == pytest.approx(1 / 3)
    arena_settings.change(sampler="active", active_floor=0.1)
    assert odds().probability(a, b) == pytest.approx(0.1 / 3 + 0.9 / 17)
    assert odds().probability(a, c) == pytest.approx(0.1 / 3 + 0.9 * 8 / 17)
    arena_settings.change(active_floor=1)
    assert odds().probability(a, b) == pytest.approx(1 / 3)


def test_a_battle_carries_sampler_version_and_pacing(three, needs):
    house = arena_settings.change(sampler="active", pacing="together")
    battles.open_battle(voter=factories.voter(), prompt="Why?")
    battle = Battle.objects.get()
    assert battle.sampler == pairing.ACTIVE
    assert battle.pair_probability == odds().probability(
        battle.contestant_a_id, battle.contestant_b_id
    )
    assert battle.parameters["settings"] == house.version
    assert battle.pacing == "together"


def test_a_replaced_side_is_drawn_by_the_active_sampler_too(three, needs):
    arena_settings.change(sampler="active", active_floor=0.1)
    started = battles.open_battle(voter=factories.voter(), prompt="Why?")
    failed, kept = (started.answers[slot].contestant_id for slot in ("a", "b"))
    battles.replace_side(turn_id=started.turn.pk, slot="a", failed={failed}, endpoint_down=True)
    battle = Battle.objects.get()
    assert (battle.sampler, battle.swapped) == (pairing.ACTIVE, True)
    assert battle.pair_probability == odds().served(kept, battle.contestant_a_id, {failed})
    assert battle.pair_probability == pytest.approx(1)


def test_without_needs_the_active_sampler_goes_by_weight(three):
    arena_settings.change(sampler="active")
    assert odds().sampler == pairing.WEIGHTED


def test_needs_that_are_too_old_are_not_gone_by(three, needs):
    arena_settings.change(sampler="active", needs_max_age_hours=3)
    PairNeeds.objects.update(made_at=timezone.now() - timedelta(hours=4))
    assert odds().sampler == pairing.WEIGHTED
    PairNeeds.objects.update(made_at=timezone.now() - timedelta(hours=2))
    assert odds().sampler == pairing.ACTIVE


def test_newer_needs_are_gone_by_at_once(three, needs):
    a, b, _ = (model.pk for model in three)
    arena_settings.change(sampler="active", active_floor=0.1)
    before = odds().probability(a, b)
    even = 1.0 - np.eye(3)
    sampler.store_needs(contestants=[m.pk for m in three], needs=even, votes=10)
    assert odds().probability(a, b) > before


def test_only_the_last_few_needs_are_kept(three):
    rows = [
        sampler.store_needs(contestants=[m.pk for m in three], needs=np.ones((3, 3)), votes=n)
        for n in range(6)
    ]
    assert list(PairNeeds.objects.order_by("pk")) == rows[-3:]


def test_previews_and_strict_targets_are_kept_apart(three):
    a, b, c = three
    Contestant.objects.filter(pk__in=[a.pk, b.pk]).update(status="preview")
    assert odds().probability(a.pk, b.pk) == 0
    a.only_meets.add(b)
    assert odds().shares() == pytest.approx({a.pk: 0, b.pk: 1, c.pk: 1})


def test_a_draw_takes_the_same_few_queries_however_many_models(
    three, needs, django_assert_num_queries
):
    arena_settings.change(sampler="active")
    odds()
    # Breakers, limits, models, settings, targets, the newest needs' id.
    with django_assert_num_queries(6):
        odds()
    for _ in range(5):
        factories.contestant()
    with django_assert_num_queries(6):
        odds()


def test_within_a_moment_nothing_is_asked_twice(three, needs, settings, django_assert_num_queries):
    arena_settings.change(sampler="active")
    odds()
    settings.SETTINGS_RECHECK_SECONDS = 60
    with django_assert_num_queries(4):  # who is out, and who is there: a breaker opens at once
        odds()


def test_each_change_of_the_settings_is_another_version():
    assert ArenaSettings.current().version == 1
    assert arena_settings.change(pacing="paced").version == 2
    assert arena_settings.change(active_floor=0.5).version == 3
    now = ArenaSettings.current()
    assert (now.version, now.pacing, now.active_floor) == (3, "paced", 0.5)
