from datetime import UTC, date, datetime, timedelta

import pytest

from arena.models import Battle, Contestant, UpstreamRequest, Vote
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


def failed(model, outcome="unavailable", **fields):
    factories.upstream_request(outcome, contestant=model, **{"at": TODAY, **fields})


@pytest.fixture
def log_kept(settings):
    """For long enough to hold the day of these tests, whenever they run."""
    settings.REQUEST_LOG_DAYS = (datetime.now(UTC) - TODAY).days + 3


def test_who_failed_before_any_text_is_counted_although_the_battle_is_anothers(two, log_kept):
    replaced = factories.contestant(name="Replaced")
    met(two)
    failed(replaced)
    failed(replaced, "connect", at=TODAY + timedelta(hours=1))
    failed(two[0])
    sampling.add_up()
    row = day_of(replaced)
    assert (row.sampled, row.failures) == (0, 1)
    assert day_of(replaced, date(2026, 11, 21)).failures == 1
    assert (day_of(two[0]).sampled, day_of(two[0]).failures) == (1, 1)
    assert sum(SamplingDay.objects.values_list("sampled", flat=True)) == 2


def test_what_broke_off_later_or_says_nothing_about_the_model_is_no_failure_to_answer(
    two, log_kept
):
    failed(two[0], "answered", first_token_ms=100)
    failed(two[0], "disconnected", first_token_ms=100)  # its battle is void, and counted there
    failed(two[0], "cancelled")
    failed(two[0], "content_filter")
    failed(two[0], purpose="probe")
    sampling.add_up()
    assert not SamplingDay.objects.exists()


def test_failures_of_days_that_are_no_longer_in_the_log_stay_published(two, log_kept, settings):
    failed(two[0])
    sampling.add_up()
    UpstreamRequest.objects.all().delete()
    settings.REQUEST_LOG_DAYS = 1
    now = datetime.now(UTC)
    failed(two[0], at=now)
    sampling.add_up()
    sampling.add_up()
    kept = dict(SamplingDay.objects.values_list("day", "failures"))
    assert kept == {TODAY.date(): 1, now.date(): 1}


def test_the_reasons_of_what_did_not_count_are_published(two, client):
    for reason in ("failed", "busy", "busy"):
        met(two, state=Battle.State.VOID, void_reason=reason)
    excluded = {"choice": "a", "status": "excluded", "exclusion_reason": "same_prompt"}
    met(two, state="voted", votes=[excluded])
    sampling.add_up()
    row = sampling.rows()[0]
    assert row.void_reasons == (("busy", 2), ("failed", 1))
    assert row.exclusion_reasons == (("same_prompt", 1),)
    assert row.voided == 3
    page = client.get("/leaderboard/sampling/").content.decode()
    assert "2 busy" in page
    assert "1 same prompt" in page
    csv = client.get("/leaderboard/sampling.csv").content.decode()
    assert "busy=2 failed=1,same_prompt=1" in csv


def test_all_pairs_add_up_to_exactly_the_votes_there_are(two):
    three = factories.contestant()
    for pair in (two, (two[1], three), (three, two[0])):
        for status, reason in (("pending", ""), ("held", ""), ("excluded", "administrator")):
            met(
                pair,
                state="voted",
                votes=[{"choice": "tie", "status": status, "exclusion_reason": reason}],
            )
    met(two, state=Battle.State.VOID, void_reason="busy")
    sampling.add_up()
    assert sum(row.votes for row in sampling.rows()) == 2 * Vote.objects.count() == 18


def test_previews_are_published_as_one_nameless_sum(two):
    secret = factories.contestant(name="Secret", status="preview")
    met((two[0], secret))
    met(two)
    sampling.add_up()
    rows = {row.model: row for row in sampling.rows()}
    assert "Secret" not in rows
    assert rows[sampling.PREVIEWS].sampled == 1
    assert sum(row.sampled for row in rows.values()) == 4
