"""What Celery runs for the leaderboard. Each body is one call of a verb."""

from celery import shared_task

from leaderboard import categories, pair_needs, reliability, sampling, snapshots
from leaderboard.models import Method
from leaderboard.tally import checking, settling
from leaderboard.transfer import import_runs


@shared_task
def settle_votes() -> int:
    return settling.settle_all()


@shared_task
def publish_snapshots() -> int:
    return snapshots.publish_all([Method.BRADLEY_TERRY])


@shared_task
def refresh_pair_needs() -> bool:
    return pair_needs.refresh() is not None


@shared_task
def publish_slow_snapshots() -> int:
    return snapshots.publish_all([Method.STYLE_CONTROL, Method.ELO])


@shared_task
def prune_snapshots() -> int:
    return snapshots.prune()


@shared_task
def check_pair_counts() -> int:
    return checking.check()


@shared_task
def run_import() -> int | None:
    return import_runs.run_next()


@shared_task
def rebuild_categories() -> int:
    return categories.rebuild_stale()


@shared_task
def refresh_reliability() -> int:
    return reliability.refresh()


@shared_task
def add_up_sampling_lately() -> int:
    return sampling.add_up_lately()


@shared_task
def add_up_sampling() -> int:
    return sampling.add_up()
