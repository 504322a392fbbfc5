from datetime import UTC, date, datetime, timedelta

import pytest

from arena.models import Battle, Contestant, Vote
from leaderboard import sampling
from leaderboard.models import SamplingDay
from tests import factories

pytestmark = pytest.mark.django_db

TODAY = datetime(2026, 11, 20, 23, 30, tzinfo=UTC)


@pytest.fixture
def two():
    return factories.contestant(name="One"), factories.contestant(name="Two")


def met(two, *, votes=(), **fields):
    battle = factories.battle(
        contestant_a=two[0], contestant_b=two[1], **{"created_at": TODAY, **fields}
    )
    for vote in votes:
        Vote.objects.create(battle=battle, voter=battle.voter, turn=1, **vote)
    return battle


def day_of(model, day=date(2026, 11, 20)):
    return SamplingDay.objects.get(contestant=model, day=day)


def test_every_battle_and_vote_counts_for_both_of_its_models(two):
    met(two, state=Battle.State.VOTED, votes=[{"choice": "a"}])
    met(two, state=Battle.State.VOID, void_reason="failed")
    met(two, state=Battle.State.ABANDONED)
    met(two)
    sampling.add_up()
    for model in two:
        row = day_of(model)
        assert (row.sampled, row.completed, row.skipped) == (4, 2, 1)
        assert row.voided == {"failed": 1}
        assert row.votes == 1
    assert sum(SamplingDay.objects.values_list("votes", flat=True)) == 2 * Vote.objects.count()


def test_held_and_excluded_votes_are_told_apart(two):
    met(two, state="voted", votes=[{"choice": "a", "status": "held"}])
    met(
        two,
        state="voted",
        votes=[{"choice": "a", "status": "excluded", "exclusion_reason": "administrator"}],
    )
    sampling.add_up()
    row = day_of(two[0])
    assert (row.votes, row.held, row.excluded) == (2, 1, {"administrator": 1})


def test_days_end_at_midnight_utc(two):
    met(two)
    met(two, created_at=TODAY + timedelta(minutes=45))
    sampling.add_up()
    assert day_of(two[0]).sampled == 1
    assert day_of(two[0], date(2026, 11, 21)).sampled == 1


def test_imported_and_named_battles_were_not_sampled_here(two):
    factories.imported_battle(contestant_a=two[0], contestant_b=two[1])
    met(two, mode=Battle.Mode.SIDE_BY_SIDE, pair_probability=None)
    assert sampling.add_up() == 0


def test_adding_up_again_replaces_and_leaves_earlier_days_alone(two):
    met(two)
    sampling.add_up()
    met(two)
    met(two, created_at=TODAY - timedelta(days=3))
    sampling.add_up(since=TODAY.date())
    assert day_of(two[0]).sampled == 2
    assert SamplingDay.objects.count() == 2
    sampling.add_up()
    assert SamplingDay.objects.count() == 4


def test_a_day_says_by_which_sampler_its_battles_were_drawn(two):
    met(two, sampler="weighted/2")
    met(two, sampler="active/1")
    met(two, sampler="active/1")
    sampling.add_up()
    assert day_of(two[0]).samplers == {"weighted/2": 1, "active/1": 2}
    assert sampling.rows()[0].samplers == ("active/1", "weighted/2")


def test_weight_and_reason_of_a_day_that_is_over_stay_what_they_were(two):
    today = datetime.now(UTC)
    Contestant.objects.filter(pk=two[0].pk).update(weight=3, weight_reason="New this week")
    met(two)
    met(two, created_at=today)
    sampling.add_up()
    Contestant.objects.filter(pk=two[0].pk).update(weight=1, weight_reason="")
    sampling.add_up()
    then, now = day_of(two[0]), day_of(two[0], today.date())
    assert (then.weight, then.weight_reason) == (3, "New this week")
    assert (now.weight, now.weight_reason) == (1, "")
    published = {(row.day, row.model): row.weight_reason for row in sampling.rows()}
    assert published[TODAY.date(), "One"] == "New this week"


def test_previews_are_published_as_one_nameless_sum(two):
    secret = factories.contestant(name="Secret", status="preview")
    met((two[0], secret))
    met(two)
    sampling.add_up()
    rows = {row.model: row for row in sampling.rows()}
    assert "Secret" not in rows
    assert rows[sampling.PREVIEWS].sampled == 1
    assert sum(row.sampled for row in rows.values()) == 4
