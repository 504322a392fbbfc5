from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from arena import votes
from arena.models import Vote
from leaderboard import liveness, snapshots
from leaderboard.tally import settling
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def no_second_look(monkeypatch):
    monkeypatch.setattr(liveness, "SWEEP_SECONDS", 0)


def age(vote, seconds):
    Vote.objects.filter(pk=vote.pk).update(created_at=timezone.now() - timedelta(seconds=seconds))


def test_the_oldest_vote_that_is_due_is_what_waits():
    assert liveness.waiting_vote() is None
    first, _ = factories.vote(), factories.vote()
    assert liveness.waiting_vote() == first.pk
    settling.settle_all()
    assert liveness.waiting_vote() is None


def test_a_snapshot_is_outdated_from_a_count_to_the_next_publication():
    assert liveness.outdated_snapshot() is None
    factories.vote()
    assert liveness.outdated_snapshot() is None
    settling.settle_all()
    assert liveness.outdated_snapshot() == 0
    snapshots.publish_all()
    assert liveness.outdated_snapshot() is None
    factories.vote()
    settling.settle_all()
    assert liveness.outdated_snapshot() is not None


def test_a_vote_that_waits_too_long_fails_the_health_check(settings):
    vote = factories.vote()
    age(vote, settings.WORKER_STALL_SECONDS - 5)
    call_command("check_worker")
    age(vote, settings.WORKER_STALL_SECONDS + 5)
    with pytest.raises(CommandError, match=f"Vote {vote.pk} waits to be counted since 35 s"):
        call_command("check_worker")
    settling.settle_all()
    call_command("check_worker")


def test_an_old_vote_just_taken_out_of_the_count_is_no_stall(settings, monkeypatch):
    vote = factories.vote()
    settling.settle_all()
    age(vote, 10_000)
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    # The sweep comes between the two looks.
    monkeypatch.setattr(liveness.time, "sleep", lambda seconds: settling.settle_all())
    call_command("check_worker")
