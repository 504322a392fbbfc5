"""The leaderboard page. Reads published snapshots; computes no rating."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render

from arena.models import Contestant, Vote
from leaderboard.models import OVERALL, Rating, Snapshot


@dataclass(frozen=True, slots=True)
class Axis:
    """The common scale, in Elo, on which a page draws its intervals."""

    low: float
    high: float

    @classmethod
    def over(cls, ratings: Iterable[Rating]) -> Axis | None:
        bounds = [
            bound
            for rating in ratings
            for bound in (rating.lower, rating.upper)
            if bound is not None
        ]
        if not bounds:
            return None
        margin = max(1.0, 0.03 * (max(bounds) - min(bounds)))
        return cls(min(bounds) - margin, max(bounds) + margin)

    def percent(self, value: float) -> float:
        return round(100 * (value - self.low) / (self.high - self.low), 2)


@dataclass(frozen=True, slots=True)
class Whisker:
    """An interval in percent of the axis."""

    left: float
    width: float
    point: float


@dataclass(frozen=True, slots=True)
class Row:
    """One line as the template prints it. The numbers are None where no honest one exists."""

    rank: int | None
    name: str
    slug: str
    rating: int | None
    lower: int | None
    upper: int | None
    plus: int | None
    minus: int | None
    votes: int
    organisation: str
    licence: str
    licence_url: str
    url: str
    quantisation: str
    status: str
    status_text: str
    whisker: Whisker | None


def _row(rating: Rating, axis: Axis | None) -> Row:
    model = rating.contestant
    point, lower, upper = rating.rating, rating.lower, rating.upper
    rated = point is not None and lower is not None and upper is not None
    return Row(
        rank=rating.rank,
        name=model.name,
        slug=model.slug,
        rating=round(point) if rated else None,
        lower=round(lower) if rated else None,
        upper=round(upper) if rated else None,
        plus=round(upper - point) if rated else None,
        minus=round(point - lower) if rated else None,
        votes=rating.votes,
        organisation=model.organisation,
        licence=model.licence,
        licence_url=model.licence_url,
        url=model.url,
        quantisation=model.quantisation,
        status=rating.status,
        status_text=rating.get_status_display(),
        whisker=Whisker(
            left=axis.percent(lower),
            width=round(axis.percent(upper) - axis.percent(lower), 2),
            point=axis.percent(point),
        )
        if rated and axis
        else None,
    )


def _excluded(snapshot: Snapshot) -> list[tuple[str, int]]:
    """(reason in words, votes) as they stood when the snapshot was published."""
    words = dict(Vote.Exclusion.choices)
    return [
        (str(words.get(reason, reason)).lower(), n) for reason, n in snapshot.votes_excluded.items()
    ]


def board(request: HttpRequest) -> HttpResponse:
    snapshot = (
        Snapshot.objects.filter(category__slug=OVERALL, superseded=False)
        .select_related("category")
        .first()
    )
    ratings = (
        list(
            snapshot.ratings.select_related("contestant").exclude(
                contestant__status__in=[Contestant.Status.DRAFT, Contestant.Status.RETIRED]
            )
        )
        if snapshot
        else []
    )
    axis = Axis.over(ratings)
    return render(
        request,
        "leaderboard/board.html",
        {
            "snapshot": snapshot,
            "excluded": _excluded(snapshot) if snapshot else [],
            "pending": Vote.objects.due().count(),
            "rows": [_row(rating, axis) for rating in ratings],
            "axis": axis,
        },
    )
