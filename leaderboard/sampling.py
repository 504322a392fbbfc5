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
        for contestant, day, state, reason, n in _battles(since):
            tally = tallies[contestant, day]
            tally.sampled += n
            if state in COMPLETED:
                tally.completed += n
            elif state == Battle.State.ABANDONED:
                tally.skipped += n
            elif state == Battle.State.VOID:
                tally.voided[reason] += n
        for contestant, day, status, reason, n in _votes(since):
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
            SamplingDay(
                contestant_id=contestant,
                day=day,
                sampled=tally.sampled,
                completed=tally.completed,
                skipped=tally.skipped,
                voided=dict(tally.voided),
                votes=tally.votes,
                held=tally.held,
                excluded=dict(tally.excluded),
                weight=weights[contestant],
            )
            for (contestant, day), tally in sorted(tallies.items())
        )
    return len(tallies)


def _since(since: date | None) -> datetime | None:
    return None if since is None else datetime.combine(since, time.min, UTC)


def _battles(since: date | None) -> Iterable[tuple[int, date, str, str, int]]:
    """(contestant, day, state, void reason, battles) of this arena's own anonymous battles."""
    own = Battle.objects.filter(mode=Battle.Mode.BATTLE, source=None)
    if (moment := _since(since)) is not None:
        own = own.filter(created_at__gte=moment)
    for side in ("contestant_a_id", "contestant_b_id"):
        yield from (
            own.order_by()
            .annotate(day=TruncDate("created_at", tzinfo=UTC))
            .values(side, "day", "state", "void_reason")
            .annotate(n=Count("id"))
            .values_list(side, "day", "state", "void_reason", "n")
        )


def _votes(since: date | None) -> Iterable[tuple[int, date, str, str, int]]:
    """(contestant, day of the battle, status, exclusion reason, votes)."""
    own = Vote.objects.filter(battle__mode=Battle.Mode.BATTLE, battle__source=None)
    if (moment := _since(since)) is not None:
        own = own.filter(battle__created_at__gte=moment)
    for side in ("battle__contestant_a_id", "battle__contestant_b_id"):
        yield from (
            own.order_by()
            .annotate(day=TruncDate("battle__created_at", tzinfo=UTC))
            .values(side, "day", "status", "exclusion_reason")
            .annotate(n=Count("id"))
            .values_list(side, "day", "status", "exclusion_reason", "n")
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
