"""What Celery runs for the arena. Each body is one call of a verb."""

from celery import shared_task

from arena import battles


@shared_task
def end_orphaned_turns() -> int:
    return battles.end_orphaned_turns()
