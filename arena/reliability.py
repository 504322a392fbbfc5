"""How reliably models answered, read from the log of upstream requests.

Figures of battles alone: probes are few, short and sent when something is wrong.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from datetime import timedelta

from django.db import models
from django.db.models import Count, F, Q, Sum, Window
from django.db.models.functions import RowNumber, TruncHour
from django.utils import timezone

from arena.failures import ANSWERED, NEUTRAL
from arena.models import UpstreamRequest

DAYS = 7
HOURS = 24


@dataclass(frozen=True, slots=True)
class Reliability:
    """Of one model, over some days. What nothing is known of is None."""

    requests: int  # answered or failed; refused and cancelled ones say nothing
    failed: int
    median_first_token: float | None  # seconds
    tokens_per_second: float | None  # of the writing alone, over all answers

    @property
    def error_rate(self) -> float:
        return self.failed / self.requests


def by_contestant(*, days: float = DAYS) -> dict[int, Reliability]:
    """The figures of every model that was asked, by its id. Two queries, however many there are."""
    asked = UpstreamRequest.objects.filter(
        purpose=UpstreamRequest.Purpose.BATTLE, at__gte=timezone.now() - timedelta(days=days)
    ).order_by()
    medians = _median_first_tokens(asked)
    written = Q(outcome=ANSWERED, output_tokens__gt=1, duration_ms__gt=F("first_token_ms"))
    figures = (
        asked.exclude(outcome__in=NEUTRAL)
        .values("contestant")
        .annotate(
            requests=Count("id"),
            failed=Count("id", filter=~Q(outcome=ANSWERED)),
            # The first token ends the wait, so it is not part of what was written after it.
            tokens=Sum(F("output_tokens") - 1, filter=written),
            writing=Sum(F("duration_ms") - F("first_token_ms"), filter=written),
        )
    )
    return {
        row["contestant"]: Reliability(
            requests=row["requests"],
            failed=row["failed"],
            median_first_token=medians.get(row["contestant"]),
            tokens_per_second=1000 * row["tokens"] / row["writing"] if row["writing"] else None,
        )
        for row in figures
    }


def _median_first_tokens(asked: models.QuerySet[UpstreamRequest]) -> dict[int, float]:
    """By contestant, in seconds. The middle one or two of each, found by the database."""
    within = Window(RowNumber(), partition_by="contestant", order_by="first_token_ms")
    number = Window(Count("id"), partition_by="contestant")
    middle = (
        asked.filter(outcome=ANSWERED, first_token_ms__isnull=False)
        .annotate(place=within, n=number)
        .filter(place__gte=F("n") / 2.0, place__lte=F("n") / 2.0 + 1)
    )
    found: dict[int, list[int]] = defaultdict(list)
    for contestant, first_token_ms in middle.values_list("contestant", "first_token_ms"):
        found[contestant].append(first_token_ms or 0)
    return {pk: sum(values) / len(values) / 1000 for pk, values in found.items()}


@dataclass(frozen=True, slots=True)
class Hour:
    """What came of an endpoint's requests within one hour, probes among them."""

    answered: int = 0
    failed: int = 0


def last_hours(endpoint_ids: Collection[int]) -> dict[int, list[Hour]]:
    """The last 24 hours of each endpoint, the present one last. One query."""
    present = timezone.now().replace(minute=0, second=0, microsecond=0)
    hours = [present - timedelta(hours=ago) for ago in reversed(range(HOURS))]
    counted = (
        UpstreamRequest.objects.filter(endpoint__in=endpoint_ids, at__gte=hours[0])
        .exclude(outcome__in=NEUTRAL)
        .order_by()
        .values("endpoint", hour=TruncHour("at"))
        .annotate(
            answered=Count("id", filter=Q(outcome=ANSWERED)),
            failed=Count("id", filter=~Q(outcome=ANSWERED)),
        )
    )
    found = {
        (row["endpoint"], row["hour"]): Hour(row["answered"], row["failed"]) for row in counted
    }
    return {pk: [found.get((pk, hour), Hour()) for hour in hours] for pk in endpoint_ids}
