"""What Celery runs for benchmarks. A message carries a run's id and may be lost or doubled."""

from datetime import timedelta
from typing import Any

from celery import shared_task
from celery.signals import worker_ready
from django.conf import settings

from evaluation.running import finishing, leases, response_cache, runner, sandboxes, verdicts

CHECK_EXPIRES = 60.0  # seconds: by then the sweep has sent another
WORK_EXPIRES = 90.0  # longer than a shard; else busy workers would find a heap of them


@shared_task
def work_on(run_id: int) -> int:
    """One turn, and the messages for the next; who finds the endpoint taken sends none."""
    shard = runner.run_shard(run_id=run_id)
    if verdicts.waits(run_id=run_id):
        check_code.apply_async((run_id,), expires=CHECK_EXPIRES)
    finishing.finish(run_id=run_id)
    if shard.samples:
        for waiting in leases.in_turn_after(run_id):
            work_on.apply_async((waiting,), expires=WORK_EXPIRES)
    return shard.samples


@shared_task
def sweep() -> int:
    run_ids = leases.sweep()
    for run_id in run_ids:
        work_on.apply_async((run_id,), expires=WORK_EXPIRES)
    if sandboxes.is_due():
        report_sandbox.apply_async(expires=CHECK_EXPIRES)
    for run_id in verdicts.sweep():
        check_code.apply_async((run_id,), expires=CHECK_EXPIRES)
    return len(run_ids)


@shared_task
def check_code(run_id: int) -> int:
    """Answers to a code task through the sandbox, and the message for more of them."""
    checked = verdicts.check(run_id=run_id)
    if not finishing.finish(run_id=run_id) and checked:
        check_code.apply_async((run_id,), expires=CHECK_EXPIRES)
    return checked


@shared_task
def prune_responses() -> int:
    return response_cache.prune(older_than=timedelta(days=settings.EVALUATION_CACHE_DAYS))


@shared_task
def report_sandbox() -> bool:
    return sandboxes.report().ok


@worker_ready.connect
def report_sandbox_at_start(sender: Any, **_: Any) -> None:
    """Code tasks need not wait for beat to ask."""
    if "sandbox" in sender.app.amqp.queues.consume_from:
        sandboxes.report()
