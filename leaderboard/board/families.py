"""Quantised siblings side by side: what is saved by fewer bits, and what it costs.

Each member is set against the one with the most bits: in the ratings by votes and, on the same
items, in every benchmark that both have. Reads what is published; the queries do not grow.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.db.models import F, Max, Sum

from arena import siblings
from arena.models import HIDDEN_STATUSES, Answer, Contestant
from evaluation.models import Run
from evaluation.results import comparing
from evaluation.results import published as benchmarks
from evaluation.results.published import Benchmarks, Column, Result
from evaluation.statistics import Comparison
from leaderboard import covariance
from leaderboard.models import OVERALL, Method, Rating, Snapshot

Z95 = 1.959964
LATEST_ANSWERS = 50_000  # speed is that of these, or of those of them that a model gave


@dataclass(frozen=True, slots=True)
class RatingGap:
    """In Elo, of a member minus the reference."""

    difference: float
    lower: float | None
    upper: float | None

    @property
    def clear(self) -> bool:
        if self.lower is None or self.upper is None:
            return False
        return self.lower > 0 or self.upper < 0


@dataclass(frozen=True, slots=True)
class Cell:
    """One member in one benchmark; `gap` is the reference minus it, on the same items."""

    column: Column
    result: Result | None
    gap: Comparison | None

    @property
    def difference(self) -> float | None:
        """Of the member minus the reference."""
        return None if self.gap is None else -self.gap.difference

    @property
    def lower(self) -> float | None:
        return None if self.gap is None else -self.gap.high

    @property
    def upper(self) -> float | None:
        return None if self.gap is None else -self.gap.low


@dataclass(frozen=True, slots=True)
class Member:
    model: Contestant
    bits: int | None
    tokens_per_second: float | None
    rating: Rating | None
    gap: RatingGap | None
    cells: Sequence[Cell]


@dataclass(frozen=True, slots=True)
class Family:
    name: str
    columns: Sequence[Column]
    members: Sequence[Member]  # the first is what the others are set against


def families() -> list[Family]:
    """Of public models, by name."""
    public = Contestant.objects.exclude(status__in=HIDDEN_STATUSES)
    found = siblings.families(public)
    ids = [model.pk for members in found for model in members]
    scores = benchmarks.benchmarks()
    known = _Known(
        scores=scores,
        gaps=_gaps(found, scores),
        ratings=_ratings(ids),
        covariance=_packed_covariance(),
        speeds=_speeds(ids),
    )
    return [known.family(members) for members in found]


@dataclass(frozen=True, slots=True)
class _Known:
    """All that is read of all families; by contestant, the gaps by the two runs."""

    scores: Benchmarks
    gaps: Mapping[tuple[int, int], Comparison]
    ratings: Mapping[int, Rating]
    covariance: bytes
    speeds: Mapping[int, float]

    def family(self, models: Sequence[Contestant]) -> Family:
        first = models[0]
        columns = [
            column
            for column in self.scores.columns
            if column.main and any(self._result(model, column) for model in models)
        ]
        members = [self._member(model, first, columns) for model in models]
        return Family(siblings.shown_name(first.name, first.quantisation), columns, members)

    def _member(self, model: Contestant, first: Contestant, columns: Sequence[Column]) -> Member:
        rating, reference = self.ratings.get(model.pk), self.ratings.get(first.pk)
        return Member(
            model=model,
            bits=siblings.bits(model.quantisation),
            tokens_per_second=self.speeds.get(model.pk),
            rating=rating,
            gap=None if model is first else _gap(rating, reference, self.covariance),
            cells=[self._cell(model, first, column) for column in columns],
        )

    def _cell(self, model: Contestant, first: Contestant, column: Column) -> Cell:
        result, reference = self._result(model, column), self._result(first, column)
        gap = self.gaps.get((reference.run_id, result.run_id)) if reference and result else None
        return Cell(column, result, gap)

    def _result(self, model: Contestant, column: Column) -> Result | None:
        return self.scores.results.get(model.pk, {}).get(column.key)


def _gaps(
    found: Sequence[Sequence[Contestant]], scores: Benchmarks
) -> dict[tuple[int, int], Comparison]:
    """The reference minus each of the others, in every column that both have; by their runs."""
    asked = [
        (reference.run_id, result.run_id)
        for first, *others in found
        for key, reference in scores.results.get(first.pk, {}).items()
        for other in others
        if (result := scores.results.get(other.pk, {}).get(key))
    ]
    runs = Run.objects.select_related("task").in_bulk([pk for pair in asked for pk in pair])
    return comparing.pairs((runs[first], runs[other]) for first, other in asked)


def _ratings(ids: Sequence[int]) -> dict[int, Rating]:
    current = Rating.objects.filter(
        snapshot__category__slug=OVERALL,
        snapshot__method=Method.BRADLEY_TERRY,
        snapshot__superseded=False,
        contestant__in=ids,
        rating__isnull=False,
    )
    return {rating.contestant_id: rating for rating in current.select_related("contestant")}


def _packed_covariance() -> bytes:
    packed = Snapshot.objects.filter(
        category__slug=OVERALL, method=Method.BRADLEY_TERRY, superseded=False
    ).values_list("covariance", flat=True)
    return bytes(packed.first() or b"")


def _gap(rating: Rating | None, reference: Rating | None, packed: bytes) -> RatingGap | None:
    if rating is None or reference is None:
        return None
    assert rating.rating is not None, "only rated ones are read"
    assert reference.rating is not None, "only rated ones are read"
    difference = rating.rating - reference.rating
    error = covariance.standard_error(packed, rating.contestant.name, reference.contestant.name)
    if error is None:
        return RatingGap(difference, None, None)
    return RatingGap(difference, difference - Z95 * error, difference + Z95 * error)


def _speeds(ids: Sequence[int]) -> dict[int, float]:
    """Tokens a second of writing, without the wait for the first one, in battles of late."""
    newest = Answer.objects.aggregate(newest=Max("pk"))["newest"] or 0
    answers = Answer.objects.filter(
        pk__gt=newest - LATEST_ANSWERS,
        contestant__in=ids,
        state=Answer.State.COMPLETE,
        output_tokens__gt=1,
        duration_ms__gt=F("first_token_ms"),
    )
    summed = (
        answers.order_by()
        .values_list("contestant")
        .annotate(tokens=Sum("output_tokens"), took=Sum(F("duration_ms") - F("first_token_ms")))
    )
    return {pk: 1000 * tokens / took for pk, tokens, took in summed}
