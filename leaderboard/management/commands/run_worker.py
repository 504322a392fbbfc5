"""One Celery process of the production set-up, kept at work by a watch-dog."""

from __future__ import annotations

import sys
from argparse import ArgumentParser
from collections.abc import Callable, Hashable
from typing import Any

from django.conf import settings
from django.core.management import BaseCommand, CommandError
from django.db import Error as DatabaseError
from django.db import connection

from config.watchdog import Supervisor, Watch
from evaluation.running import liveness as evaluation
from evaluation.running.verdicts import CLAIM
from leaderboard import liveness


def unless_database_is_away(look: Callable[[], Hashable | None]) -> Callable[[], Hashable | None]:
    """Nobody can work without the database, so a restart would only add to the trouble."""

    def outstanding() -> Hashable | None:
        try:
            return look()
        except DatabaseError:
            return None
        finally:
            connection.close()

    return outstanding


ROLES = ["votes", "ratings", "evaluation", "sandbox", "probes", "beat"]


class Command(BaseCommand):
    help = (
        "Run a Celery worker (votes, ratings, evaluation, sandbox, probes) or beat, and restart it "
        "when it dies or when its work stands still for WORKER_STALL_SECONDS."
    )

    requires_system_checks = []  # the child runs them

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("role", choices=ROLES)

    def handle(self, *, role: str, **options: Any) -> None:
        if settings.EMBEDDED_WORKER:
            raise CommandError(
                "REDIS_URL is not set: the worker and beat are threads of the web process."
            )
        votes = Watch(
            "counting votes",
            unless_database_is_away(liveness.waiting_vote),
            settings.WORKER_STALL_SECONDS,
        )
        ratings = Watch(
            "publishing snapshots",
            unless_database_is_away(liveness.outdated_snapshot),
            settings.WORKER_STALL_SECONDS + 2 * settings.SNAPSHOT_INTERVAL,
        )
        # A worker says twice in each of these times that it is still there.
        asking = Watch(
            "asking benchmarks' questions",
            unless_database_is_away(evaluation.waiting_samples),
            settings.WORKER_STALL_SECONDS + settings.EVALUATION_LEASE_SECONDS,
        )
        checking = Watch(
            "running benchmarks' programs",
            unless_database_is_away(evaluation.waiting_code),
            settings.WORKER_STALL_SECONDS + CLAIM.total_seconds(),
        )
        watches = {
            "votes": [votes],
            "ratings": [ratings],
            "evaluation": [asking],
            "sandbox": [checking],
        }
        celery = [sys.executable, "-m", "celery", "--quiet", "--app", "config"]
        if role == "beat":
            # Without beat neither queue moves, so either may be its fault.
            supervisor = Supervisor([*celery, "beat"], [votes, ratings])
        else:
            # Solo: one process a worker. More work is more workers.
            worker = ["worker", "--pool", "solo", "--without-gossip", "--without-mingle"]
            supervisor = Supervisor(
                [*celery, *worker, "--queues", role, "--hostname", f"{role}@%h"],
                watches.get(role, []),
            )
        sys.exit(supervisor.run())
