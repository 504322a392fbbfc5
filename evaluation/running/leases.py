"""Who may ask which samples, and until when: rows that an owner holds for a while.

One owner at a time is at an endpoint, whichever worker it is in, so that its limits hold across
processes. What a killed owner held is taken up again when its lease has ended.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from arena.models import Endpoint
from evaluation.models import Run, Sample
from evaluation.running import following
from evaluation.running.runs import cost_so_far, pause

SHARD = 50  # samples leased at a time
NOBODYS = {"state": Sample.State.PENDING, "lease_owner": "", "lease_until": None}


def lease(
    *, run_id: int, owner: str, size: int = SHARD, of_judge: bool | None = None
) -> list[Sample]:
    """Samples to ask now: none while another owner is at the endpoint, or the run is not wanted.

    All of them are for one model: the judge's or the contestant's as `of_judge` says, else those
    that there are, answers before judgements.
    """
    for judges in (False, True) if of_judge is None else (of_judge,):
        if samples := _lease(run_id, owner, size, judges):
            return samples
    return []


def _lease(run_id: int, owner: str, size: int, of_judge: bool) -> list[Sample]:
    """The endpoint's row is the lock, so that two workers that look at the same moment do not both
    begin.
    """
    now = timezone.now()
    with transaction.atomic():
        run = Run.objects.select_related("contestant", "judge").get(pk=run_id)
        one = run.judge if of_judge else run.contestant
        if one is None:
            return []
        endpoint = one.endpoint_id
        if endpoint is not None:
            Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint)
        run = Run.objects.select_for_update(no_key=True).get(pk=run_id)
        if run.state not in (Run.State.QUEUED, Run.State.RUNNING):
            return []
        waiting = run.samples.filter(following.OF_JUDGE if of_judge else ~following.OF_JUDGE)
        waiting = waiting.filter(state=Sample.State.PENDING)
        if endpoint is None:
            if waiting.exists():  # it was taken away meanwhile
                pause(run=run, reason=f"{one} has no endpoint to ask")
            return []
        busy = Sample.objects.filter(
            following.at_endpoint(endpoint), state=Sample.State.LEASED, lease_until__gt=now
        ).exclude(lease_owner=owner)
        if busy.exists():
            return []
        if run.cost_cap is not None and (cost_so_far(run) or 0) >= run.cost_cap:
            pause(run=run, reason=f"the cost cap of {run.cost_cap} USD is reached")
            return []
        ids = list(
            waiting.select_for_update(skip_locked=True)
            .order_by("id")
            .values_list("pk", flat=True)[:size]
        )
        Sample.objects.filter(pk__in=ids).update(
            state=Sample.State.LEASED, lease_owner=owner, lease_until=lease_end()
        )
        run.state = Run.State.RUNNING
        run.started_at = run.started_at or now
        run.save(update_fields=["state", "started_at"])
        return list(Sample.objects.filter(pk__in=ids).select_related("item").order_by("id"))


def lease_end() -> Any:
    return timezone.now() + timedelta(seconds=settings.EVALUATION_LEASE_SECONDS)


@transaction.atomic
def release(*, run_id: int, owner: str) -> int:
    """Gives back what an owner has leased and not asked to the end."""
    following.lock(run_id)
    return int(held(run_id, owner).update(**NOBODYS))


def held(run_id: int, owner: str) -> Any:
    return Sample.objects.filter(run=run_id, state=Sample.State.LEASED, lease_owner=owner)


def sweep() -> list[int]:
    """Takes back ended leases; the ids of runs that a worker should be at and none is."""
    ended = Sample.objects.filter(state=Sample.State.LEASED, lease_until__lt=timezone.now())
    with transaction.atomic():
        # What is being stored at this moment has come to its end, late as it is.
        free = ended.select_for_update(skip_locked=True).order_by("pk")
        ids = list(free.values_list("pk", flat=True))
        Sample.objects.filter(pk__in=ids).update(**NOBODYS)
    return _waiting()


def _waiting() -> list[int]:
    at_work = Sample.objects.filter(run=OuterRef("pk"), state=Sample.State.LEASED)
    waiting = Run.objects.to_be_run().exclude(scoring_until__gt=timezone.now())
    return list(waiting.exclude(Exists(at_work)).order_by("id").values_list("pk", flat=True))


def in_turn_after(run_id: int) -> list[int]:
    """The runs that wait for a worker once this one's turn is over; itself the last.

    In a circle: the next message of a run that has just had its turn would else always be the
    first at its endpoint, and the others would wait for its end.
    """
    waiting = _waiting()
    return [pk for pk in waiting if pk > run_id] + [pk for pk in waiting if pk <= run_id]
