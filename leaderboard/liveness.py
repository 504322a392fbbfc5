"""Is anybody counting, is anybody rating? Asked of the database, not of the workers.

Each function names the work that waits, as a value that changes whenever some of it is done, or
returns None when nothing waits.
"""

from __future__ import annotations

import time
from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from arena.models import Vote
from leaderboard.models import OVERALL, Method, PairCount, Snapshot

# A vote taken out of the count or brought back is due although it is old, until the next sweep.
SWEEP_SECONDS = 5


def waiting_vote() -> int | None:
    """The id of the oldest vote that is due."""
    return Vote.objects.due().values_list("pk", flat=True).first()


def outdated_snapshot() -> int | None:
    """The id of the current overall snapshot if votes were counted since (0: there is none)."""
    counts = PairCount.objects.public().filter(category__slug=OVERALL)
    counted = counts.aggregate(n=Sum("n"))["n"] or 0
    current = Snapshot.objects.filter(
        category__slug=OVERALL, method=Method.BRADLEY_TERRY, superseded=False
    ).first()
    if counted == (current.votes_counted if current else 0):
        return None
    return current.pk if current else 0


def stalled_vote(stall_seconds: float) -> Vote | None:
    """A vote that waits for longer than `stall_seconds`, or None. May take SWEEP_SECONDS."""
    limit = timezone.now() - timedelta(seconds=stall_seconds)
    old = Vote.objects.due().filter(created_at__lt=limit)
    vote = old.first()
    if vote is None:
        return None
    time.sleep(SWEEP_SECONDS)
    return old.filter(pk=vote.pk).first()
