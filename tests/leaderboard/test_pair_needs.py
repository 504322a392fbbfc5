from datetime import timedelta

import pytest

from arena import pairing, sampler
from arena.models import ArenaSettings, Contestant, PairNeeds
from leaderboard import pair_needs
from leaderboard.models import Category
from leaderboard.tally import settling
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def models():
    """Two that met forty times, and one that is new."""
    old, other, new = (factories.contestant() for _ in range(3))
    for choice in ["a", "b"] * 20:
        factories.vote(choice, contestant_a=old, contestant_b=other)
    settling.settle_all()
    return old, other, new


def stored():
    row = PairNeeds.objects.latest()
    return pairing.Needs.unpack(row.contestants, bytes(row.needs))


def test_the_sampler_learns_which_pairs_need_votes(models):
    row = pair_needs.refresh()
    assert row.votes == 40
    needs = stored()
    assert needs.models == tuple(model.pk for model in models)
    assert needs.matrix[0, 1] < needs.matrix[0, 2] / 4
    ArenaSettings.objects.create(sampler="active", active_floor=0.1)
    odds = sampler.odds(sampler.entrants(Contestant.objects.drawable()))
    assert odds.sampler == pairing.ACTIVE
    assert odds.shares()[models[2].pk] > 0.9


def test_votes_on_previews_are_known_to_the_sampler_though_they_are_not_published(models):
    Contestant.objects.filter(pk=models[1].pk).update(status="preview")
    pair_needs.refresh()
    needs = stored()
    assert models[1].pk in needs.models
    assert needs.matrix[0, 1] < needs.matrix[0, 2] / 4


def test_battles_with_a_retired_model_tell_about_those_it_met(models):
    Contestant.objects.filter(pk=models[1].pk).update(status="retired")
    assert pair_needs.refresh().contestants == [models[0].pk, models[2].pk]
    known = stored().matrix[0, 1]
    Contestant.objects.filter(pk=models[0].pk).update(status="retired")
    factories.contestant()
    pair_needs.refresh()
    assert stored().matrix[0, 1] > known  # two without any vote


def test_nothing_is_written_before_something_has_changed(models):
    assert pair_needs.refresh()
    assert pair_needs.refresh() is None
    factories.vote("a", contestant_a=models[0], contestant_b=models[2])
    settling.settle_all()
    assert pair_needs.refresh().votes == 41
    factories.contestant()
    assert len(pair_needs.refresh().contestants) == 4


def test_needs_that_still_hold_are_written_again_after_a_while(models):
    first = pair_needs.refresh()
    PairNeeds.objects.update(made_at=first.made_at - timedelta(hours=2))
    assert pair_needs.refresh().pk > first.pk


def test_while_the_counts_are_rebuilt_the_sampler_keeps_what_it_has(models):
    Category.objects.filter(slug="overall").update(stale=True)
    assert pair_needs.refresh() is None


def test_fewer_than_two_models_need_nothing():
    factories.contestant()
    assert pair_needs.refresh() is None
