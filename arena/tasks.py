"""What Celery runs for the arena. Each body is one call of a verb."""

from datetime import timedelta

from celery import shared_task
from django.conf import settings

from arena import attachments, battles, breakers, health, limits, turns


@shared_task
def end_orphaned_turns() -> int:
    return turns.end_orphaned()


@shared_task
def expire_battles() -> int:
    return battles.expire(older_than=timedelta(days=settings.BATTLE_DAYS))


@shared_task
def send_due_probes() -> int:
    return health.send_due_probes()


@shared_task
def prune_requests() -> int:
    return breakers.prune(older_than=timedelta(days=settings.REQUEST_LOG_DAYS))


@shared_task
def sweep_uploads() -> int:
    return attachments.sweep()


@shared_task
def prune_spending() -> int:
    return limits.prune()
