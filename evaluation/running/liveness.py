"""Is anybody asking, is anybody running code? Asked of the database, not of the workers.

Each function names the work that waits, as a value that changes whenever some of it is done or a
worker says that it is still at it, or returns None when nothing waits.
"""

from __future__ import annotations

from collections.abc import Hashable

from django.db.models import Max
from django.utils import timezone

from evaluation.models import Run, Sample, Verdict


def waiting_samples() -> Hashable | None:
    """What is being asked keeps its lease alive, however long an endpoint takes."""
    pending = Sample.objects.filter(run__in=Run.objects.to_be_run(), state=Sample.State.PENDING)
    if not pending.exists():
        return None
    if Run.objects.filter(scoring_until__gt=timezone.now()).exists():
        return None  # scores are computed: nobody can say for how long
    leases = Sample.objects.filter(state=Sample.State.LEASED)
    return leases.aggregate(last=Max("lease_until"))["last"] or "nobody is at work"


def waiting_code() -> Hashable | None:
    """A program is claimed before it runs, and its verdict known after a minute at the most."""
    answers = Sample.objects.filter(
        run__in=Run.objects.to_be_run().filter(task__spec__output_type="code"),
        state=Sample.State.DONE,
        part="answer",
        verdict__passed__isnull=True,
    )
    if not answers.exists():
        return None
    last = Verdict.objects.aggregate(claim=Max("until"), verdict=Max("checked_at"))
    return last["claim"], last["verdict"]
