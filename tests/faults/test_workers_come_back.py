"""A worker or beat that hangs is replaced and counting goes on; the health check tells."""

from __future__ import annotations

import os
import shutil
import signal

import pytest

from tests.faults.site import served, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(180)]


@pytest.fixture
def site(tmp_path):
    with served(tmp_path) as site:
        yield site


@pytest.fixture
def cast_vote(site):
    """Casts one vote a call, as `votes.cast` leaves it."""
    battles = iter(site.battles(3))

    def cast():
        site.query(
            "INSERT INTO arena_vote (battle_id, voter_id, choice, turn, before_finished, tags, "
            "comment, created_at, status, exclusion_reason, tallied, tally_due) "
            "SELECT id, voter_id, 'a', 1, false, '[]', '', now(), 'pending', '', false, true "
            "FROM arena_battle WHERE id = %s RETURNING id",
            next(battles)["id"],
        )

    return cast


def due(site):
    return site.number("SELECT count(*) FROM arena_vote WHERE tally_due")


def counted(site):
    return site.number("SELECT count(*) FROM arena_vote WHERE tallied")


def wait_until_all_is_counted(site, votes):
    wait_for(lambda: due(site) == 0, "every vote to be counted", 90)
    assert counted(site) == votes
    assert (
        site.number(
            "SELECT sum(n) FROM leaderboard_paircount "
            "JOIN leaderboard_category category ON category.id = category_id "
            "WHERE category.slug = 'overall'"
        )
        == votes
    )


@pytest.mark.parametrize("frozen", ["worker-1", "beat"])
def test_a_frozen_process_is_replaced(site, cast_vote, frozen):
    processes = {"worker-1": site.worker("worker-1", "votes"), "beat": site.worker("beat", "beat")}
    cast_vote()
    wait_until_all_is_counted(site, 1)
    pid = processes[frozen].child()
    os.kill(pid, signal.SIGSTOP)
    cast_vote()
    wait_until_all_is_counted(site, 2)
    assert processes[frozen].child() != pid
    assert "counting votes stood still" in processes[frozen].log()


def test_counting_goes_on_after_redis_was_frozen_for_long(site, cast_vote):
    site.worker("worker-1", "votes")
    site.worker("beat", "beat")
    cast_vote()
    wait_until_all_is_counted(site, 1)
    site.redis.signal(signal.SIGSTOP)
    cast_vote()
    # Long enough for the watch-dogs to bite while Redis is still away.
    wait_for(lambda: "stood still" in site.processes[0].log(), "the watch-dog")
    assert due(site) == 1
    site.redis.signal(signal.SIGCONT)
    wait_until_all_is_counted(site, 2)


def test_an_emptied_redis_loses_nothing(site, cast_vote):
    site.worker("worker-1", "votes")
    site.worker("beat", "beat")
    cast_vote()
    wait_until_all_is_counted(site, 1)
    site.redis.kill()
    cast_vote()
    shutil.rmtree(site.redis.folder / "appendonlydir")
    site.redis.start()
    site.redis.wait()
    wait_until_all_is_counted(site, 2)


def test_the_plain_commands_of_celery_do_the_same_work(site, cast_vote):
    site.celery("worker-1", "worker", "-Q", "votes,ratings")
    site.celery("worker-2", "worker", "-Q", "votes,ratings")
    site.celery("beat", "beat")
    for _ in range(3):
        cast_vote()
    wait_until_all_is_counted(site, 3)
    wait_for(
        lambda: site.query("SELECT 1 FROM leaderboard_snapshot WHERE votes_counted = 3"),
        "a snapshot of the votes",
    )


def test_a_worker_of_ratings_publishes_what_was_counted(site, cast_vote):
    site.worker("worker-1", "votes")
    site.worker("ratings", "ratings")
    beat = site.worker("beat", "beat")
    cast_vote()
    wait_for(
        lambda: site.query("SELECT 1 FROM leaderboard_snapshot WHERE votes_counted = 1"),
        "a snapshot of the vote",
    )
    assert [process.stop() for process in site.processes] == [0, 0, 0]
    assert "stood still" not in beat.log()


def test_the_health_check_fails_while_nobody_counts(site, cast_vote):
    cast_vote()
    assert site.manage("check_worker").returncode == 0
    site.query("UPDATE arena_vote SET created_at = now() - interval '1 minute' RETURNING id")
    stalled = site.manage("check_worker")
    assert stalled.returncode == 1
    assert "waits to be counted since" in stalled.stderr
    site.worker("worker-1", "votes")
    site.worker("beat", "beat")
    wait_until_all_is_counted(site, 1)
    assert site.manage("check_worker").returncode == 0
