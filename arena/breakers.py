"""The log of upstream requests, and the circuit breakers that follow from it.

The database is what all processes share: a failure seen by one keeps the endpoint out of the next
draw of every other. An open breaker is closed by a probe (`health`) or by an administrator, never
by a reader's battle.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from arena.backends.base import BackendError, ErrorKind
from arena.failures import ANSWERED, OF_THE_MODEL, TABLE, Health, rule_for
from arena.models import Breaker, Contestant, Endpoint, UpstreamRequest

log = logging.getLogger(__name__)

IN_A_ROW = 5  # failures that open the breaker
WINDOW = timedelta(seconds=60)
SHARE, LEAST = 0.5, 10  # so large a share of at least so many requests within the window
# Seconds out of battles before the first probe, doubled with each opening in a row. Probes that
# fail are repeated at the interval, so that an endpoint is back soon after it has recovered,
# however long it was away: what has to wait longer and longer is one that recovers and fails.
FIRST_WAIT, LONGEST_WAIT = 30.0, 600.0
PROBE_INTERVAL = 30.0
JITTER = 0.2  # of every wait: endpoints that fell together are not asked together
HEALTHY = timedelta(minutes=10)  # after that long a new outage has nothing to do with the last
MAX_DETAIL = 2_000  # characters of what an endpoint said
PAUSE = 30.0  # seconds, when an endpoint is too busy and does not say for how long
COUNTED = [kind for kind, rule in TABLE.items() if rule.health is Health.COUNTED]


def record(requests: Iterable[UpstreamRequest]) -> None:
    """Log attempts that say nothing bad: answered, or cancelled by us."""
    UpstreamRequest.objects.bulk_create(requests)


@transaction.atomic
def record_failure(request: UpstreamRequest, error: BackendError) -> None:
    """Log a failed attempt, and let the breaker draw its conclusion."""
    request.save()
    rule = rule_for(error)
    if rule.health is Health.UNTOUCHED:
        return
    breaker = _lock_breaker_for(request, error.kind)
    if breaker.state == Breaker.State.OPEN and rule.health is not Health.UNTIL_ADMIN:
        return  # an attempt that had begun before
    breaker.reason, breaker.detail = error.kind, request.detail
    if rule.health is Health.PAUSED:
        asked = PAUSE if error.retry_after is None else error.retry_after
        breaker.state, breaker.since = Breaker.State.PAUSED, request.at
        breaker.until = request.at + timedelta(seconds=min(asked, LONGEST_WAIT))
        breaker.save()
    elif rule.health is not Health.COUNTED or _too_many(breaker, request):
        _open(breaker, request.at, rule.health)


def _lock_breaker_for(request: UpstreamRequest, kind: ErrorKind) -> Breaker:
    """The breaker this failure belongs to: that of the model, or that of the whole endpoint."""
    if kind in OF_THE_MODEL:
        breaker, _ = Breaker.objects.get_or_create(contestant=request.contestant)
    else:
        breaker, _ = Breaker.objects.get_or_create(endpoint=request.endpoint)
    # Two failures at the same moment open it once.
    return Breaker.objects.select_for_update().get(pk=breaker.pk)


def _too_many(breaker: Breaker, request: UpstreamRequest) -> bool:
    """Whether the endpoint's last failures, the newest of them already in the log, are too many."""
    seen = UpstreamRequest.objects.filter(
        endpoint=request.endpoint, outcome__in=[ANSWERED, *COUNTED]
    )
    if breaker.openings:  # what opened it before must not open it again
        seen = seen.filter(at__gt=breaker.since)
    last = list(seen.values_list("outcome", flat=True)[:IN_A_ROW])
    if len(last) == IN_A_ROW and ANSWERED not in last:
        return True
    recent = list(seen.filter(at__gt=request.at - WINDOW).values_list("outcome", flat=True))
    failed = sum(outcome != ANSWERED for outcome in recent)
    return len(recent) >= LEAST and failed >= SHARE * len(recent)


def _open(breaker: Breaker, now: datetime, health: Health) -> None:
    again = breaker.openings and now - breaker.since < HEALTHY
    breaker.openings = breaker.openings + 1 if again else 1
    breaker.state, breaker.since = Breaker.State.OPEN, now
    if health is Health.UNTIL_ADMIN:
        breaker.until = None
    elif breaker.reason == ErrorKind.BAD_REQUEST:
        # One odd question may have been refused, or all of them are: a probe at once tells, so
        # that nobody can keep models out of battles by asking odd questions.
        breaker.until = now
    else:
        doubled = FIRST_WAIT * 2 ** min(breaker.openings - 1, 10)
        breaker.until = now + _jittered(min(doubled, LONGEST_WAIT))
    breaker.save()
    alert = log.warning if health is Health.COUNTED else log.error
    alert(
        "%s is out of battles (%s) until %s: %s",
        breaker.contestant or breaker.endpoint,
        breaker.reason,
        "an administrator has looked" if breaker.until is None else "a probe is answered",
        breaker.detail,
    )


def _jittered(seconds: float) -> timedelta:
    return timedelta(seconds=seconds * random.uniform(1 - JITTER, 1 + JITTER))  # noqa: S311


# --- probes and administrators -----------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class DueProbe:
    """A breaker to be tried, and the model to try it with."""

    breaker: Breaker
    contestant: Contestant


def claim_due_probes() -> list[DueProbe]:
    """The probes that are due now, each given to one caller only.

    The claim ends by itself: when the caller dies, the next probe is due an interval later.
    """
    claimed = []
    for breaker in Breaker.objects.due().select_related("contestant", "endpoint"):
        contestant = _model_to_probe(breaker)
        mine = Breaker.objects.due().filter(pk=breaker.pk, until=breaker.until)
        if mine.update(until=timezone.now() + _jittered(PROBE_INTERVAL)) and contestant:
            claimed.append(DueProbe(breaker, contestant))
    return claimed


def _model_to_probe(breaker: Breaker) -> Contestant | None:
    """The one that failed last, of those that an administrator wants in battles."""
    wanted = Contestant.objects.in_battles()
    if breaker.contestant_id:
        return wanted.filter(pk=breaker.contestant_id).first()
    candidates = {c.pk: c for c in wanted.filter(endpoint=breaker.endpoint_id)}
    failed = UpstreamRequest.objects.filter(
        endpoint=breaker.endpoint_id, contestant__in=candidates
    ).exclude(outcome=ANSWERED)
    last = failed.values_list("contestant", flat=True).first()
    return candidates[last] if last else next(iter(candidates.values()), None)


@transaction.atomic
def record_probe(breaker: Breaker, request: UpstreamRequest, error: BackendError | None) -> None:
    """Log a probe: answered, it closes the breaker it was for."""
    request.save()
    current = Breaker.objects.select_for_update().get(pk=breaker.pk)
    if current.state != Breaker.State.OPEN:
        return  # an administrator was quicker
    if error is None:
        _close(current)
        return
    current.reason, current.detail = error.kind, request.detail
    if TABLE[error.kind].health is Health.UNTIL_ADMIN:
        _open(current, request.at, Health.UNTIL_ADMIN)
    else:
        current.save(update_fields=["reason", "detail"])


@transaction.atomic
def close(*, endpoint: Endpoint, model: str | None = None) -> int:
    """Take an endpoint back into battles now, with all its models or the one that is named.

    Returns how many of them were out.
    """
    not_closed = Breaker.objects.select_for_update(of=("self",)).exclude(state="closed")
    models = endpoint.contestants.all()
    if model is not None:
        models = models.filter(upstream_model=model)
    out = [*not_closed.filter(endpoint=endpoint), *not_closed.filter(contestant__in=models)]
    for breaker in out:
        _close(breaker)
    return len(out)


def _close(breaker: Breaker) -> None:
    breaker.state, breaker.since, breaker.until = Breaker.State.CLOSED, timezone.now(), None
    breaker.save(update_fields=["state", "since", "until"])
    log.warning("%s is back in battles", breaker.contestant or breaker.endpoint)


def prune(*, older_than: timedelta, batch: int = 5_000) -> int:
    """Forget requests older than that, in steps that hold no lock for long."""
    limit = timezone.now() - older_than
    pruned = 0
    while ids := list(
        UpstreamRequest.objects.filter(at__lt=limit)
        .order_by("at")
        .values_list("pk", flat=True)[:batch]
    ):
        pruned += UpstreamRequest.objects.filter(pk__in=ids).delete()[0]
    return pruned
