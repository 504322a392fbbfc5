"""What is public beside the board: snapshots, models, their history, pairs. Reads, nothing else.

Models in preview and drafts appear in none of it, nor does any battle of theirs. Each function
takes a constant number of queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from arena.models import HIDDEN_STATUSES, Contestant
from evaluation.results.published import Benchmarks, benchmarks
from leaderboard import board
from leaderboard.board import (
    NoSuchCategory,
    Row,
    SnapshotMeta,
    elo,
    price,
    share,
    snapshot_meta,
    snapshot_rows,
)
from leaderboard.models import Category, Method, Rating, Snapshot
from leaderboard.snapshots import snapshot_counts


class NotPublished(LookupError):
    """No public thing has this name or number."""


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What is public about a model. Never its endpoint, nor its name there."""

    name: str
    slug: str
    status: str  # active, paused, retired, imported
    organisation: str
    licence: str
    licence_url: str
    url: str
    description: str
    parameters: str
    quantisation: str
    context_length: int | None
    price_input: float | None
    price_output: float | None
    memory_gb: float | None
    knowledge_cutoff: str
    open_weights: bool | None


@dataclass(frozen=True, slots=True)
class Standing:
    """A model's line in one snapshot. Numbers are None where no honest one exists."""

    snapshot: int
    category: str
    method: str
    published_at: datetime
    rank: int | None
    rank_low: int | None
    rank_high: int | None
    rating: float | None
    lower: float | None
    upper: float | None
    votes: int
    win_rate: float | None
    both_bad_rate: float | None
    status: str


@dataclass(frozen=True, slots=True)
class Pair:
    """All battles of two models in one snapshot; `model_a` comes first by slug."""

    model_a: str
    model_b: str
    battles: int
    wins_a: int
    wins_b: int
    ties: int
    both_bad: int


def snapshots(
    *, category: str | None, method: str | None, before: int | None, limit: int
) -> list[SnapshotMeta]:
    """Newest first, those with an id below `before`."""
    found = Snapshot.objects.select_related("category").defer("cells", "covariance").order_by("-id")
    if category is not None:
        found = found.filter(category=_category(category))
    if method is not None:
        found = found.filter(method=method)
    if before is not None:
        found = found.filter(pk__lt=before)
    return [snapshot_meta(snapshot) for snapshot in found[:limit]]


def snapshot(number: int) -> tuple[SnapshotMeta, list[Row]]:
    """One snapshot with all its public rows, retired models included."""
    found = (
        Snapshot.objects.select_related("category")
        .defer("cells", "covariance")
        .filter(pk=number)
        .first()
    )
    if found is None:
        raise NotPublished(f"snapshot {number}")
    return snapshot_meta(found), snapshot_rows(found, retired=True)


def models() -> list[ModelCard]:
    """By name."""
    return [_card(model) for model in _public_models().order_by("name")]


def model(slug: str) -> tuple[ModelCard, list[Standing]]:
    """A model and where it stands now in each category shown, by each method."""
    found = _model(slug)
    shown = {c.slug for c in board.shown_categories(board.current_snapshots())}
    standings = (
        Rating.objects.filter(
            contestant=found, snapshot__superseded=False, snapshot__category__slug__in=shown
        )
        .select_related("snapshot__category")
        .defer("snapshot__cells", "snapshot__covariance")
        .order_by("snapshot__category__position", "snapshot__category__name", "snapshot_id")
    )
    return _card(found), [_standing(rating) for rating in standings]


def history(
    slug: str, *, category: str, method: str, before: int | None, limit: int
) -> list[Standing]:
    """A model's line in every snapshot of one kind, newest first."""
    found = Rating.objects.filter(
        contestant=_model(slug), snapshot__category=_category(category), snapshot__method=method
    )
    if before is not None:
        found = found.filter(snapshot_id__lt=before)
    found = found.select_related("snapshot__category").defer(
        "snapshot__cells", "snapshot__covariance"
    )
    return [_standing(rating) for rating in found.order_by("-snapshot_id")[:limit]]


def benchmark_results() -> tuple[Benchmarks, list[tuple[int, str]]]:
    """Every public result, and (id, slug) of the models that have one, by slug."""
    found = benchmarks()
    models = _public_models().filter(pk__in=list(found.results)).order_by("slug")
    return found, list(models.values_list("pk", "slug"))


def pairs(*, category: str, method: str) -> tuple[SnapshotMeta | None, list[Pair]]:
    """The pair counts that the current snapshot was made from."""
    found = (
        Snapshot.objects.filter(category=_category(category), method=method, superseded=False)
        .select_related("category")
        .first()
    )
    if found is None or not found.cells:
        return None, []
    slugs = dict(_public_models().values_list("pk", "slug"))
    return snapshot_meta(found), count_pairs(snapshot_counts(found).cells(), slugs)


def count_pairs(cells: Iterable[tuple[Any, Any, str, int]], slugs: dict[int, str]) -> list[Pair]:
    """One Pair for each two models that met, of those named in `slugs`, by slug."""
    counted: dict[tuple[str, str], dict[str, int]] = {}
    for lo, hi, outcome, n in cells:
        if lo not in slugs or hi not in slugs:
            continue
        first, second = sorted((slugs[lo], slugs[hi]))
        found = counted.setdefault(
            (first, second), {"wins_a": 0, "wins_b": 0, "ties": 0, "both_bad": 0}
        )
        if outcome in ("lo", "hi"):
            winner = slugs[lo if outcome == "lo" else hi]
            found["wins_a" if winner == first else "wins_b"] += n
        else:
            found["ties" if outcome == "tie" else "both_bad"] += n
    return [
        Pair(first, second, sum(found.values()), **found)
        for (first, second), found in sorted(counted.items())
    ]


def _public_models() -> Any:
    return Contestant.objects.exclude(status__in=HIDDEN_STATUSES)


def _model(slug: str) -> Contestant:
    found: Contestant | None = _public_models().filter(slug=slug).first()
    if found is None:
        raise NotPublished(f"model {slug}")
    return found


def _category(slug: str) -> Category:
    found = Category.objects.filter(slug=slug).first()
    if found is None:
        raise NoSuchCategory(slug)
    return found


def _card(model: Contestant) -> ModelCard:
    return ModelCard(
        name=model.name,
        slug=model.slug,
        status=model.status,
        organisation=model.organisation,
        licence=model.licence,
        licence_url=model.licence_url,
        url=model.url,
        description=model.description,
        parameters=model.parameters,
        quantisation=model.quantisation,
        context_length=model.context_length,
        price_input=price(model.price_input),
        price_output=price(model.price_output),
        memory_gb=model.memory_gb,
        knowledge_cutoff=model.knowledge_cutoff,
        open_weights=model.open_weights,
    )


def _standing(rating: Rating) -> Standing:
    snapshot = rating.snapshot
    return Standing(
        snapshot=snapshot.pk,
        category=snapshot.category.slug,
        method=Method(snapshot.method).value,
        published_at=snapshot.published_at,
        rank=rating.rank,
        rank_low=rating.rank_low,
        rank_high=rating.rank_high,
        rating=elo(rating.rating),
        lower=elo(rating.lower),
        upper=elo(rating.upper),
        votes=rating.votes,
        win_rate=share(rating.win_rate),
        both_bad_rate=share(rating.both_bad_rate),
        status=rating.status,
    )
