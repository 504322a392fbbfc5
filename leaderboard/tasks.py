"""What Celery runs for the leaderboard. Each body is one call of a verb."""

from celery import shared_task

from leaderboard import snapshots, tally


@shared_task
def settle_votes() -> int:
    return tally.settle_all()


@shared_task
def publish_snapshots() -> int:
    return snapshots.publish_all()


@shared_task
def check_pair_counts() -> int:
    return tally.check()
