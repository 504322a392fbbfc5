"""The leaderboard as last published: rows ready for a page, the API or a file.

Reads published snapshots and benchmark results and never computes a rating; the number of queries
is constant (7 at most).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any

from django.conf import settings
from django.db.models import Count, OuterRef, Subquery
from django.db.models.functions import Coalesce

from arena.models import HIDDEN_STATUSES, Contestant, Vote
from evaluation.results.published import Benchmarks, benchmarks
from evaluation.results.published import Column as Benchmark
from leaderboard.board import answering
from leaderboard.board.choosing import FACETS, FacetChoice, choices, ordered, passes
from leaderboard.board.lines import Row, row_of
from leaderboard.board.query import (
    BENCHMARK,
    COLUMNS,
    DEFAULT_COLUMNS,
    BoardQuery,
    Column,
    benchmark_of,
)
from leaderboard.models import OVERALL, Category, Method, Rating, Snapshot


class NoSuchCategory(LookupError):
    """No category of this name is shown: unknown, or with too few battles or models."""


class NoSuchBenchmark(LookupError):
    """No public result stands in this column: never did, or no longer does."""

    def __init__(self, parameter: str, name: str) -> None:
        super().__init__(f"{parameter}: no benchmark named {name!r} has a published result")
        self.parameter = parameter


@dataclass(frozen=True, slots=True)
class CategoryChoice:
    slug: str
    name: str
    group: str  # overall, topic, form, language
    description: str
    votes: int
    models: int
    methods: tuple[str, ...]  # those with a published snapshot


@dataclass(frozen=True, slots=True)
class SnapshotMeta:
    id: int
    category: str
    method: str
    published_at: datetime
    superseded: bool
    votes_counted: int
    votes_excluded: dict[str, int]  # by reason
    votes_pending: int  # when it was published
    configuration: dict[str, Any]
    code_version: str
    data_hash: str
    extra: dict[str, Any]
    looked_at_every: float  # seconds between two looks at whether there is something to publish

    @property
    def excluded_in_words(self) -> list[tuple[str, int]]:
        words = dict(Vote.Exclusion.choices)
        return [(str(words.get(k, k)).lower(), n) for k, n in self.votes_excluded.items()]


@dataclass(frozen=True, slots=True)
class Board:
    query: BoardQuery
    category: CategoryChoice
    categories: tuple[CategoryChoice, ...]  # those shown, in their order
    snapshot: SnapshotMeta | None  # None: nothing published yet
    rows: tuple[Row, ...]
    listed: int  # rows without the filters
    facets: dict[str, tuple[FacetChoice, ...]]  # keys as in FACETS
    benchmarks: Benchmarks

    @property
    def columns(self) -> tuple[Column, ...]:
        """Those shown. By default the average is, as soon as a model has one."""
        return tuple(column for column in self.all_columns if column.key in self.query.columns)

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Those to choose from."""
        asked = self.query.columns != DEFAULT_COLUMNS and "benchmarks" in self.query.columns
        averages = bool(self.benchmarks.average) or asked
        always = (c for c in COLUMNS.values() if averages or c.key != "benchmarks")
        return (*always, *map(benchmark_column, self.benchmarks.columns))

    @property
    def methods(self) -> list[tuple[str, str]]:
        """(value, label) of the methods this category is published with."""
        return [(v, str(label)) for v, label in Method.choices if v in self.category.methods]


def benchmark_column(benchmark: Benchmark) -> Column:
    key = BENCHMARK + benchmark.key
    return Column(
        key,
        benchmark.title,
        (key, f"{key}.low", f"{key}.high", f"{key}.n"),
        f"{benchmark.metric} of {benchmark.task}, with its 95 % interval"
        + (f"; run by {benchmark.source}" if benchmark.source else "")
        + ("" if benchmark.higher_is_better else "; less is better"),
        descending=benchmark.higher_is_better,
    )


def read(query: BoardQuery) -> Board:
    """The board as last published. Raises NoSuchCategory and NoSuchBenchmark."""
    current = current_snapshots()
    categories = shown_categories(current)
    category = next((c for c in categories if c.slug == query.category), None)
    if category is None:
        raise NoSuchCategory(query.category)
    snapshot = next(
        (s for s in current if (s.category.slug, s.method) == (query.category, query.method)), None
    )
    public = benchmarks()
    _check_benchmarks(query, public)
    if query.descending is None:
        sorted_by = next(c for c in public.columns if c.key == benchmark_of(query.sort))
        query = replace(query, descending=sorted_by.higher_is_better)
    rows = _rows(snapshot, public, retired=query.retired) if snapshot else []
    # A model that nobody has voted on stands on the overall board for its results alone.
    if query.category == OVERALL and (snapshot or not category.methods):
        rows += _unrated(snapshot, rows, public, retired=query.retired)
    return Board(
        query=query,
        category=category,
        categories=categories,
        snapshot=snapshot_meta(snapshot) if snapshot else None,
        rows=tuple(ordered([row for row in rows if passes(row, query)], query)),
        listed=len(rows),
        facets={facet: choices(rows, query, facet) for facet in FACETS},
        benchmarks=public,
    )


def _check_benchmarks(query: BoardQuery, public: Benchmarks) -> None:
    """Raises NoSuchBenchmark for a name in the address that has no column."""
    known = {column.key for column in public.columns}
    asked = [("sort", benchmark_of(query.sort)), ("against", query.against)]
    asked += [("columns", benchmark_of(key)) for key in query.columns]
    for parameter, name in asked:
        if name and name not in known:
            raise NoSuchBenchmark(parameter, name)


def current_snapshots() -> list[Snapshot]:
    """The current snapshot of each category and method, each with `models`: those with votes."""
    # A subquery: grouping the snapshots themselves would group by their JSON as well.
    models = (
        Rating.objects.filter(snapshot=OuterRef("pk"), votes__gt=0)
        .order_by()
        .values("snapshot")
        .annotate(n=Count("pk"))
        .values("n")
    )
    return list(
        Snapshot.objects.filter(superseded=False)
        .select_related("category")
        .defer("cells", "covariance")  # megabytes that no page shows
        .annotate(models=Coalesce(Subquery(models), 0))
        .order_by("category__position", "category__name", "id")
    )


def shown_categories(current: Iterable[Snapshot]) -> tuple[CategoryChoice, ...]:
    """Overall always; others from a number of battles and of models (in the settings)."""
    published: dict[int, dict[str, Any]] = {}
    for snapshot in current:
        found = published.setdefault(
            snapshot.category_id, {"votes": 0, "models": 0, "methods": set()}
        )
        found["votes"] = max(found["votes"], snapshot.votes_counted)
        found["models"] = max(found["models"], snapshot.models)  # type: ignore[attr-defined]
        found["methods"].add(snapshot.method)
    shown = []
    for category in Category.objects.all():
        found = published.get(category.pk, {"votes": 0, "models": 0, "methods": set()})
        if category.slug != OVERALL and (
            found["votes"] < settings.MIN_CATEGORY_BATTLES
            or found["models"] < settings.MIN_CATEGORY_MODELS
        ):
            continue
        shown.append(
            CategoryChoice(
                slug=category.slug,
                name=category.name,
                group=category.group,
                description=category.description,
                votes=found["votes"],
                models=found["models"],
                methods=tuple(m for m in Method.values if m in found["methods"]),
            )
        )
    return tuple(shown)


def snapshot_meta(snapshot: Snapshot) -> SnapshotMeta:
    return SnapshotMeta(
        id=snapshot.pk,
        category=snapshot.category.slug,
        method=snapshot.method,
        published_at=snapshot.published_at,
        superseded=snapshot.superseded,
        votes_counted=snapshot.votes_counted,
        votes_excluded=snapshot.votes_excluded,
        votes_pending=snapshot.votes_pending,
        configuration=snapshot.configuration,
        code_version=snapshot.code_version,
        data_hash=snapshot.data_hash,
        extra=snapshot.extra,
        looked_at_every=settings.SNAPSHOT_INTERVAL,
    )


_RATING = (
    "rank", "rank_low", "rank_high", "rating", "lower", "upper", "boot_lower", "boot_upper",
    "votes", "win_rate", "both_bad_rate", "status",
)  # fmt: skip
_CARD = (
    "name", "slug", "url", "organisation", "licence", "licence_url", "quantisation", "parameters",
    "context_length", "price_input", "price_output", "memory_gb", "knowledge_cutoff",
    "open_weights", "status",
)  # fmt: skip
_OF_CONTESTANT = (*_CARD, *answering.FIELDS)


def snapshot_rows(snapshot: Snapshot, *, retired: bool) -> list[Row]:
    """Every public row of one snapshot, best first, in two queries."""
    return _rows(snapshot, _NO_BENCHMARKS, retired=retired)


_NO_BENCHMARKS = Benchmarks((), {}, {}, {}, {})


def _rows(snapshot: Snapshot, public: Benchmarks, *, retired: bool) -> list[Row]:
    # Tuples: three hundred model instances of two tables cost three times as much.
    found = (
        Rating.objects.filter(snapshot=snapshot)
        .exclude(contestant__status__in=_unlisted(retired))
        .order_by()
        .values_list("contestant_id", *_RATING, *(f"contestant__{name}" for name in _OF_CONTESTANT))
    )
    before = ranks_before(snapshot)
    card, rest = 1 + len(_RATING), 1 + len(_RATING) + len(_CARD)
    rows = [
        row_of(
            values[0],
            dict(zip(_RATING, values[1:card], strict=True)),
            dict(zip(_CARD, values[card:rest], strict=True)),
            values[rest:],
            before.get(values[0]),
            public,
        )
        for values in found
    ]
    return ordered(rows, BoardQuery())


def _unlisted(retired: bool) -> list[str]:
    return [*HIDDEN_STATUSES, *([] if retired else [Contestant.Status.RETIRED])]


_NO_RATING = {**dict.fromkeys(_RATING), "votes": 0, "status": Rating.Status.UNRATED.value}


def _unrated(
    snapshot: Snapshot | None, listed: Iterable[Row], public: Benchmarks, *, retired: bool
) -> list[Row]:
    """Models with results that the snapshot does not list, by name."""
    missing = public.results.keys() - {row.contestant_id for row in listed}
    if not missing:
        return []
    found = Contestant.objects.filter(pk__in=missing)
    if snapshot:
        found = found.exclude(pk__in=Rating.objects.filter(snapshot=snapshot).values("contestant"))
    found = found.exclude(status__in=_unlisted(retired)).order_by("name")
    return [
        row_of(
            values[0],
            _NO_RATING,
            dict(zip(_CARD, values[1 : 1 + len(_CARD)], strict=True)),
            values[1 + len(_CARD) :],
            None,
            public,
        )
        for values in found.values_list("pk", *_OF_CONTESTANT)
    ]


def ranks_before(snapshot: Snapshot) -> dict[int, int]:
    """Rank by contestant in the last snapshot of an earlier day (UTC)."""
    day: date = snapshot.published_at.astimezone(UTC).date()
    earlier = (
        Snapshot.objects.filter(
            category=snapshot.category_id,
            method=snapshot.method,
            published_at__lt=datetime.combine(day, time.min, UTC),
        )
        .order_by("-id")
        .values("id")[:1]
    )
    ranks = Rating.objects.filter(snapshot=Subquery(earlier)).order_by()
    return {
        contestant: rank
        for contestant, rank in ranks.values_list("contestant_id", "rank")
        if rank is not None
    }
