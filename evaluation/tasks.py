"""What Celery runs for benchmarks. A message carries a run's id and may be lost or doubled."""

from celery import shared_task

from evaluation import finishing, runner


@shared_task
def work_on(run_id: int) -> int:
    """One shard, and the message for the next; who finds the endpoint taken sends none."""
    shard = runner.run_shard(run_id=run_id)
    if not finishing.finish(run_id=run_id) and shard.samples:
        work_on.delay(run_id)
    return shard.samples


@shared_task
def sweep() -> int:
    run_ids = runner.sweep()
    for run_id in run_ids:
        work_on.delay(run_id)
    return len(run_ids)
