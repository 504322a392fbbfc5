"""The health check of the workers: how long do votes wait?"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.utils import timezone

from leaderboard import liveness


class Command(BaseCommand):
    help = "Exit 1 when a vote waits to be counted for longer than WORKER_STALL_SECONDS."
    requires_system_checks = []  # asked every few seconds

    def handle(self, **options: Any) -> None:
        vote = liveness.stalled_vote(settings.WORKER_STALL_SECONDS)
        if vote is not None:
            waited = (timezone.now() - vote.created_at).total_seconds()
            raise CommandError(
                f"Vote {vote.pk} waits to be counted since {waited:.0f} s; more than "
                f"{settings.WORKER_STALL_SECONDS} s mean that no worker is at work."
            )
        self.stdout.write("Votes are being counted.")
