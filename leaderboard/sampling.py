"""Who was drawn how often, and what became of it, by model and day: added up for publication.

An arena that shows some models more than others, or drops their battles more often, bends its
board without a false vote (Singh et al. 2025, arXiv 2504.20879). So the counts are public.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Count
from django.db.models.functions import TruncDate

from arena.failures import ANSWERED, NEUTRAL
from arena.models import HIDDEN_STATUSES, Battle, Contestant, UpstreamRequest, Vote
from leaderboard.models import SamplingDay

NUMBERS = ("sampled", "completed", "skipped", "failures", "votes", "held")
_BESIDE = ("voided", "excluded", "samplers", "weight", "weight_reason")
COMPLETED = (Battle.State.READY, Battle.State.VOTED, Battle.State.REVEALED)


@dataclass(slots=True)
class _Tally:
    sampled: int = 0
    completed: int = 0
    skipped: int = 0
    failures: int = 0
    voided: Counter[str] = field(default_factory=Counter)
    votes: int = 0
    held: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    samplers: Counter[str] = field(default_factory=Counter)


def add_up_lately() -> int:
    """Today and yesterday; the whole is added up nightly, for votes that were excluded later."""
    return add_up(since=datetime.now(UTC).date() - timedelta(days=1))


def add_up(since: date | None = None) -> int:
    """Add up the days from `since` on (all of them if None) anew. Returns the number of rows."""
    tallies: dict[tuple[int, date], _Tally] = defaultdict(_Tally)
    with transaction.atomic():
        for contestant, day, (state, reason, sampler), n in _by_model(
            since, "state", "void_reason", "sampler"
        ):
            tally = tallies[contestant, day]
            tally.sampled += n
            tally.samplers[sampler] += n
            if state in COMPLETED:
                tally.completed += n
            elif state == Battle.State.ABANDONED:
                tally.skipped += n
            elif state == Battle.State.VOID:
                tally.voided[reason] += n
        for contestant, day, (status, reason), n in _by_model(
            since, "vote__status", "vote__exclusion_reason", voted=True
        ):
            tally = tallies[contestant, day]
            tally.votes += n
            if status == Vote.Status.HELD:
                tally.held += n
            elif status == Vote.Status.EXCLUDED:
                tally.excluded[reason] += n
        for (contestant, day), n in _failures(since).items():
            tallies[contestant, day].failures = n
        weights = _weights(tallies)
        replaced = SamplingDay.objects.all()
        if since is not None:
            replaced = replaced.filter(day__gte=since)
        replaced.delete()
        SamplingDay.objects.bulk_create(
            (
                SamplingDay(
                    contestant_id=contestant,
                    day=day,
                    voided=dict(tally.voided),
                    excluded=dict(tally.excluded),
                    samplers=dict(tally.samplers),
                    weight=weights[contestant, day][0],
                    weight_reason=weights[contestant, day][1],
                    **{name: getattr(tally, name) for name in NUMBERS},
                )
                for (contestant, day), tally in sorted(tallies.items())
            ),
            # Two workers may add up at once: the later one's rows stand.
            update_conflicts=True,
            unique_fields=["contestant", "day"],
            update_fields=[*NUMBERS, *_BESIDE],
        )
    return len(tallies)


def _weights(wanted: Iterable[tuple[int, date]]) -> dict[tuple[int, date], tuple[float, str]]:
    """Weight and reason of each model and day: of a day that is over, what was written then."""
    now = {
        pk: (weight, reason)
        for pk, weight, reason in Contestant.objects.values_list("pk", "weight", "weight_reason")
    }
    then = {
        (pk, day): (weight, reason)
        for pk, day, weight, reason in SamplingDay.objects.filter(
            day__lt=datetime.now(UTC).date()
        ).values_list("contestant_id", "day", "weight", "weight_reason")
    }
    return {key: then.get(key, now[key[0]]) for key in wanted}


def _failures(since: date | None) -> dict[tuple[int, date], int]:
    """Requests that failed before any text, by model and day: asked again, or replaced unseen.

    A battle belongs to the model that was drawn in the end, so of the first one only the log of
    requests knows. The log is pruned; of days that it no longer holds whole, what was written then.
    """
    whole = datetime.now(UTC).date() - timedelta(days=settings.REQUEST_LOG_DAYS - 1)
    first = whole if since is None else max(since, whole)
    found = {
        (pk, day): n
        for pk, day, n in UpstreamRequest.objects.filter(
            purpose=UpstreamRequest.Purpose.BATTLE,
            first_token_ms=None,
            at__gte=datetime.combine(first, time.min, UTC),
        )
        .exclude(outcome__in=(ANSWERED, *NEUTRAL))
        .order_by()
        .annotate(day=TruncDate("at", tzinfo=UTC))
        .values_list("contestant", "day")
        .annotate(n=Count("id"))
    }
    earlier = SamplingDay.objects.filter(day__lt=first, failures__gt=0)
    if since is not None:
        earlier = earlier.filter(day__gte=since)
    return found | {
        (pk, day): n for pk, day, n in earlier.values_list("contestant", "day", "failures")
    }


def _by_model(
    since: date | None, *fields: str, voted: bool = False
) -> Iterable[tuple[int, date, list[str], int]]:
    """(contestant, day, the fields, battles): this arena's anonymous battles, by both sides."""
    own = Battle.objects.filter(mode=Battle.Mode.BATTLE, source=None).order_by()
    if since is not None:
        own = own.filter(created_at__gte=datetime.combine(since, time.min, UTC))
    if voted:
        own = own.filter(vote__isnull=False)
    for side in ("contestant_a_id", "contestant_b_id"):
        columns = (side, "day", *fields)
        for contestant, day, *values, n in (
            own.annotate(day=TruncDate("created_at", tzinfo=UTC))
            .values(*columns)
            .annotate(n=Count("id"))
            .values_list(*columns, "n")
        ):
            yield contestant, day, values, n


# --- reading ---------------------------------------------------------------------------------

Reasons = tuple[tuple[str, int], ...]  # with how often each, the most frequent first
PREVIEWS = "Models in preview"  # added up: their names are not public yet


@dataclass(frozen=True, slots=True)
class SamplingRow:
    day: date
    model: str
    sampled: int
    completed: int
    skipped: int
    voided: int
    failures: int
    votes: int
    held: int
    excluded: int
    void_reasons: Reasons
    exclusion_reasons: Reasons
    weight: float | None
    weight_reason: str
    samplers: tuple[str, ...]  # the names of those it was drawn by, the most frequent first


def rows(day: date | None = None) -> list[SamplingRow]:
    """Published rows, newest day first, of one day or of all."""
    found = SamplingDay.objects.select_related("contestant").order_by("-day", "contestant__name")
    if day is not None:
        found = found.filter(day=day)
    public: list[SamplingRow] = []
    hidden: dict[date, Counter[str]] = defaultdict(Counter)
    hidden_samplers: dict[date, Counter[str]] = defaultdict(Counter)
    hidden_reasons: dict[str, dict[date, Counter[str]]] = {
        "voided": defaultdict(Counter),
        "excluded": defaultdict(Counter),
    }
    for row in found:
        figures = {
            "sampled": row.sampled,
            "completed": row.completed,
            "skipped": row.skipped,
            "voided": sum(row.voided.values()),
            "failures": row.failures,
            "votes": row.votes,
            "held": row.held,
            "excluded": sum(row.excluded.values()),
        }
        if row.contestant.status in HIDDEN_STATUSES:
            hidden[row.day].update(figures)
            hidden_samplers[row.day].update(row.samplers)
            hidden_reasons["voided"][row.day].update(row.voided)
            hidden_reasons["excluded"][row.day].update(row.excluded)
        else:
            public.append(
                SamplingRow(
                    day=row.day,
                    model=row.contestant.name,
                    **figures,
                    void_reasons=_most_frequent(row.voided),
                    exclusion_reasons=_most_frequent(row.excluded),
                    weight=row.weight,
                    weight_reason=row.weight_reason,
                    samplers=_names(row.samplers),
                )
            )
    public += [
        SamplingRow(
            day=d,
            model=PREVIEWS,
            **{name: total[name] for name in FIGURES},
            void_reasons=_most_frequent(hidden_reasons["voided"][d]),
            exclusion_reasons=_most_frequent(hidden_reasons["excluded"][d]),
            weight=None,
            weight_reason="",
            samplers=_names(hidden_samplers[d]),
        )
        for d, total in hidden.items()
    ]
    return sorted(public, key=lambda r: (-r.day.toordinal(), r.model == PREVIEWS, r.model))


def _names(samplers: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(name for name, _ in _most_frequent(samplers) if name)


def _most_frequent(counted: Mapping[str, int]) -> Reasons:
    return tuple(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


FIGURES = ("sampled", "completed", "skipped", "voided", "failures", "votes", "held", "excluded")


def days() -> list[date]:
    """The days there are rows of, newest first."""
    return list(SamplingDay.objects.order_by("-day").values_list("day", flat=True).distinct())
