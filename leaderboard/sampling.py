"""Who was drawn how often, and what became of it, by model and day: added up for publication.

An arena that shows some models more than others, or drops their battles more often, bends its
board without a false vote (Singh et al. 2025, arXiv 2504.20879). So the counts are public.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import Count
from django.db.models.functions import TruncDate

from arena.models import HIDDEN_STATUSES, Battle, Contestant, Vote
from leaderboard.models import SamplingDay

NUMBERS = ("sampled", "completed", "skipped", "votes", "held")
COMPLETED = (Battle.State.READY, Battle.State.VOTED, Battle.State.REVEALED)


@dataclass(slots=True)
class _Tally:
    sampled: int = 0
    completed: int = 0
    skipped: int = 0
    voided: Counter[str] = field(default_factory=Counter)
    votes: int = 0
    held: int = 0
    excluded: Counter[str] = field(default_factory=Counter)


def add_up_lately() -> int:
    """Today and yesterday; the whole is added up nightly, for votes that were excluded later."""
    return add_up(since=datetime.now(UTC).date() - timedelta(days=1))


def add_up(since: date | None = None) -> int:
    """Add up the days from `since` on (all of them if None) anew. Returns the number of rows."""
    tallies: dict[tuple[int, date], _Tally] = defaultdict(_Tally)
    with transaction.atomic():
        for contestant, day, state, reason, n in _by_model(since, "state", "void_reason"):
            tally = tallies[contestant, day]
            tally.sampled += n
            if state in COMPLETED:
                tally.completed += n
            elif state == Battle.State.ABANDONED:
                tally.skipped += n
            elif state == Battle.State.VOID:
                tally.voided[reason] += n
        for contestant, day, status, reason, n in _by_model(
            since, "vote__status", "vote__exclusion_reason", voted=True
        ):
            tally = tallies[contestant, day]
            tally.votes += n
            if status == Vote.Status.HELD:
                tally.held += n
            elif status == Vote.Status.EXCLUDED:
                tally.excluded[reason] += n
        weights = dict(Contestant.objects.values_list("pk", "weight"))
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
                    weight=weights[contestant],
                    **{name: getattr(tally, name) for name in NUMBERS},
                )
                for (contestant, day), tally in sorted(tallies.items())
            ),
            # Two workers may add up at once: the later one's rows stand.
            update_conflicts=True,
            unique_fields=["contestant", "day"],
            update_fields=[*NUMBERS, "voided", "excluded", "weight"],
        )
    return len(tallies)


def _by_model(
    since: date | None, *fields: str, voted: bool = False
) -> Iterable[tuple[int, date, str, str, int]]:
    """(contestant, day, two fields, battles): this arena's anonymous battles, by both sides."""
    own = Battle.objects.filter(mode=Battle.Mode.BATTLE, source=None).order_by()
    if since is not None:
        own = own.filter(created_at__gte=datetime.combine(since, time.min, UTC))
    if voted:
        own = own.filter(vote__isnull=False)
    for side in ("contestant_a_id", "contestant_b_id"):
        columns = (side, "day", *fields)
        yield from (
            own.annotate(day=TruncDate("created_at", tzinfo=UTC))
            .values(*columns)
            .annotate(n=Count("id"))
            .values_list(*columns, "n")
        )


# --- reading ---------------------------------------------------------------------------------

PREVIEWS = "Models in preview"  # added up: their names are not public yet


@dataclass(frozen=True, slots=True)
class SamplingRow:
    day: date
    model: str
    sampled: int
    completed: int
    skipped: int
    voided: int
    votes: int
    held: int
    excluded: int
    weight: float | None


def rows(day: date | None = None) -> list[SamplingRow]:
    """Published rows, newest day first, of one day or of all."""
    found = SamplingDay.objects.select_related("contestant").order_by("-day", "contestant__name")
    if day is not None:
        found = found.filter(day=day)
    public: list[SamplingRow] = []
    hidden: dict[date, Counter[str]] = defaultdict(Counter)
    for row in found:
        figures = {
            "sampled": row.sampled,
            "completed": row.completed,
            "skipped": row.skipped,
            "voided": sum(row.voided.values()),
            "votes": row.votes,
            "held": row.held,
            "excluded": sum(row.excluded.values()),
        }
        if row.contestant.status in HIDDEN_STATUSES:
            hidden[row.day].update(figures)
        else:
            public.append(SamplingRow(row.day, row.contestant.name, **figures, weight=row.weight))
    public += [
        SamplingRow(day=d, model=PREVIEWS, weight=None, **{name: total[name] for name in FIGURES})
        for d, total in hidden.items()
    ]
    return sorted(public, key=lambda r: (-r.day.toordinal(), r.model == PREVIEWS, r.model))


FIGURES = ("sampled", "completed", "skipped", "voided", "votes", "held", "excluded")


def days() -> list[date]:
    """The days there are rows of, newest first."""
    return list(SamplingDay.objects.order_by("-day").values_list("day", flat=True).distinct())
