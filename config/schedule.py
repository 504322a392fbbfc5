"""What beat sends and how often, and in which queue each task waits.

Messages carry no data: a late one is worthless, so each expires, and a lost one is followed by
another.
"""

from __future__ import annotations

from typing import Any

from celery.schedules import crontab

DEFAULT_QUEUE = "votes"  # for what takes moments, so that nothing waits there

# evaluation.tasks.sweep stays in the default queue: behind shards of a minute each it would expire
# unread, and what a dead worker held would wait until the others have nothing to do.
_QUEUES = {
    "ratings": [
        "leaderboard.tasks.publish_snapshots",
        "leaderboard.tasks.publish_slow_snapshots",
        "leaderboard.tasks.prune_snapshots",
        "leaderboard.tasks.refresh_pair_needs",
        "leaderboard.tasks.refresh_reliability",
        "leaderboard.tasks.check_pair_counts",
        "leaderboard.tasks.rebuild_categories",
        "leaderboard.tasks.run_import",
        "arena.tasks.expire_battles",
        "arena.tasks.prune_requests",
        "arena.tasks.sweep_uploads",
        "arena.tasks.prune_spending",
    ],
    "probes": ["arena.tasks.send_due_probes"],
    "evaluation": ["evaluation.tasks.work_on", "evaluation.tasks.prune_responses"],
    "sandbox": ["evaluation.tasks.check_code", "evaluation.tasks.report_sandbox"],
}
ROUTES = {task: {"queue": queue} for queue, tasks in _QUEUES.items() for task in tasks}


def _every(seconds: float, task: str, *, expires: float) -> dict[str, Any]:
    return {"task": task, "schedule": seconds, "options": {"expires": expires}}


def _at(task: str, *, minute: int, hour: int | None = None) -> dict[str, Any]:
    """Each day at an hour, UTC, or each hour."""
    when = crontab(minute=str(minute), hour="*" if hour is None else str(hour))
    return {"task": task, "schedule": when, "options": {"expires": 3600}}


def beat(*, snapshot_interval: float, demo: bool) -> dict[str, dict[str, Any]]:
    """The schedule. `snapshot_interval` in seconds; a demo has one visitor, who is waiting."""
    return {
        "settle votes": _every(1.0, "leaderboard.tasks.settle_votes", expires=5),
        "publish snapshots": _every(
            snapshot_interval,
            "leaderboard.tasks.publish_snapshots",
            expires=max(5.0, snapshot_interval),
        ),
        "publish the snapshots that read every vote": _every(
            10 * snapshot_interval,
            "leaderboard.tasks.publish_slow_snapshots",
            expires=10 * snapshot_interval,
        ),
        "prune snapshots": _at("leaderboard.tasks.prune_snapshots", hour=3, minute=47),
        # Needs move slowly, and with them a count of all votes is read.
        "tell the sampler what the ratings need": _every(
            10.0 if demo else 60.0, "leaderboard.tasks.refresh_pair_needs", expires=60
        ),
        # Reads the requests of a week; nobody who looks at the board misses a few minutes.
        "sum up how reliably models answer": _every(
            30.0 if demo else 300.0, "leaderboard.tasks.refresh_reliability", expires=300
        ),
        # Looks at one small table; work is there only after a category has got another rule.
        "rebuild stale categories": _every(
            60.0, "leaderboard.tasks.rebuild_categories", expires=60
        ),
        "check the pair counts": _at("leaderboard.tasks.check_pair_counts", hour=3, minute=17),
        "import votes that the staff asked for": _every(
            3.0, "leaderboard.tasks.run_import", expires=5
        ),
        "add up who was drawn lately": _every(
            60.0 if demo else 900.0, "leaderboard.tasks.add_up_sampling_lately", expires=60
        ),
        "add up who was drawn": _at("leaderboard.tasks.add_up_sampling", hour=2, minute=47),
        "end orphaned turns": _every(3.0, "arena.tasks.end_orphaned_turns", expires=5),
        "expire battles that nobody voted on": _at("arena.tasks.expire_battles", minute=7),
        # Looks at one small table; work is there only while a breaker is open.
        "probe endpoints that are out of battles": _every(
            5.0, "arena.tasks.send_due_probes", expires=10
        ),
        "prune the log of upstream requests": _at("arena.tasks.prune_requests", hour=4, minute=17),
        # Soon after midnight UTC: what networks asked the day before is forgotten with the salt
        # they were hashed with.
        "forget yesterday's networks": _every(900.0, "arena.tasks.prune_spending", expires=900),
        "delete images that were not sent": _every(600.0, "arena.tasks.sweep_uploads", expires=600),
        "send benchmark runs to work": _every(
            3.0 if demo else 15.0, "evaluation.tasks.sweep", expires=15
        ),
        "forget old answers to benchmarks": _at(
            "evaluation.tasks.prune_responses", hour=4, minute=37
        ),
    }
