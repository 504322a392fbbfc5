"""Publishing: votes → ratings → one immutable snapshot. Runs in a worker, never in a request.

`current`, `history` and `snapshot_counts` are what pages and the API read.
"""

from __future__ import annotations

import hashlib
import json
import logging
import zlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import transaction
from django.db.models import Case, Count, F, IntegerField, Sum, Value, When
from django.utils import timezone

from arena.models import Contestant, Vote
from config.version import VERSION
from leaderboard import counted_votes, covariance, methods
from leaderboard.methods import ENGINE_VERSION, Inputs, NotComputable
from leaderboard.models import OVERALL, Category, Method, PairCount, Rating, Snapshot, VoteFeatures
from leaderboard.ratings.counts import PairCounts
from leaderboard.rules import counts_leaks
from leaderboard.tally import refusals

logger = logging.getLogger(__name__)

KEPT_WHOLE = timedelta(days=2)  # older snapshots are thinned to the last of each day
_LISTED = (Contestant.Status.ACTIVE, Contestant.Status.PAUSED)  # even before their first vote


# reading


def current(category_slug: str, method: str = Method.BRADLEY_TERRY) -> Snapshot | None:
    """The published snapshot, without its cells: those take a query of their own."""
    return (
        Snapshot.objects.filter(category__slug=category_slug, method=method, superseded=False)
        .select_related("category")
        .defer("cells", "covariance")
        .first()
    )


def history(
    contestant: Contestant, category: Category, method: str = Method.BRADLEY_TERRY
) -> list[Rating]:
    """One rating a day (UTC), the last one, oldest first, each with its snapshot."""
    ratings = (
        Rating.objects.filter(
            contestant=contestant, snapshot__category=category, snapshot__method=method
        )
        .select_related("snapshot")
        .defer(
            "snapshot__cells", "snapshot__covariance", "snapshot__configuration", "snapshot__extra"
        )
        .order_by("snapshot_id")
    )
    return list({_day(rating.snapshot.published_at): rating for rating in ratings}.values())


def standard_error_of_difference(a: str, b: str) -> float | None:
    """Of two models' overall Bradley-Terry ratings, by name, in Elo; None where one has none."""
    packed = (
        Snapshot.objects.filter(
            category__slug=OVERALL, method=Method.BRADLEY_TERRY, superseded=False
        )
        .values_list("covariance", flat=True)
        .first()
    )
    return covariance.standard_error(bytes(packed or b""), a, b)


def snapshot_counts(snapshot: Snapshot) -> PairCounts:
    """The pair counts it was made from, by contestants' ids; listed models without votes too."""
    content = _unpacked(snapshot)
    ids = [pk for pk, _ in content["models"]]
    return methods.counts_from_cells(
        ((ids[lo], ids[hi], outcome, n) for lo, hi, outcome, n in content["cells"]), ids
    )


def counts_by_name(snapshot: Snapshot) -> PairCounts:
    """The same by the models' names at that time, which is how the public export knows them."""
    content = _unpacked(snapshot)
    names = [name for _, name in content["models"]]
    return methods.counts_from_cells(
        ((names[lo], names[hi], outcome, n) for lo, hi, outcome, n in content["cells"]), names
    )


def names_by_id(snapshot: Snapshot) -> dict[int, str]:
    """Of all its models, as they were called when it was published."""
    return dict(_unpacked(snapshot)["models"])


def _unpacked(snapshot: Snapshot) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(zlib.decompress(snapshot.cells))
    return content


def _packed(counts: PairCounts, listed: Sequence[str], ids: dict[str, int]) -> bytes:
    """{"models": [[id, name], …], "cells": [[lo, hi, outcome, n], …]}, models by position."""
    # Those without votes come in between, so the positions are others than in the counts.
    at = {name: i for i, name in enumerate(listed)}
    place = [at[str(model)] for model in counts.models]
    cells = [(place[lo], place[hi], o, n) for lo, hi, o, n in methods.cells_of(counts)]
    content = {"models": [(ids[name], name) for name in listed], "cells": cells}
    return zlib.compress(json.dumps(content, separators=(",", ":")).encode())


# publishing


def publish_all(published_methods: Iterable[str] = Method.values) -> int:
    """Publish what has changed. Returns the number of new snapshots.

    One that cannot be computed leaves the others as they are.
    """
    work = _Work()
    new = 0
    for method in published_methods:
        for category in work.categories:
            try:
                new += _publish(category, method, work) is not None
            except NotComputable as reason:
                logger.info("%s of %s: %s; nothing published", method, category.slug, reason)
    return new


def publish(category: Category, method: str = Method.BRADLEY_TERRY) -> Snapshot | None:
    """A new snapshot, or None when nothing it depends on has changed or there is nothing to rate.

    Raises NotComputable.
    """
    return _publish(category, method, _Work(category))


class _Work:
    """What several snapshots have in common, read once and only if one of them needs it."""

    def __init__(self, *categories: Category) -> None:
        self.categories = categories or tuple(Category.objects.all())

    @cached_property
    def models(self) -> list[tuple[int, str, bool]]:
        """(id, name, listed before its first vote) of every contestant."""
        return [
            (pk, name, status in _LISTED)
            for pk, name, status in Contestant.objects.order_by("pk").values_list(
                "pk", "name", "status"
            )
        ]

    @cached_property
    def models_digest(self) -> str:
        return hashlib.sha256(json.dumps(self.models).encode()).hexdigest()

    @cached_property
    def published(self) -> dict[tuple[int, str], str]:
        """Of the current snapshots, by category and method: the hash of what they were made of."""
        rows = Snapshot.objects.filter(category__in=self.categories, superseded=False)
        return {
            (category, method): data_hash
            for category, method, data_hash in rows.values_list(
                "category_id", "method", "data_hash"
            )
        }

    @cached_property
    def ids(self) -> dict[str, int]:
        return {name: pk for pk, name, _ in self.models}

    @cached_property
    def listed(self) -> list[str]:
        return [name for _, name, listed in self.models if listed]

    @cached_property
    def totals(self) -> dict[int, tuple[int, ...]]:
        """By category: the number of votes, and sums that change when a count does.

        Added up by the database in one pass; the counts themselves are read only after a change.
        """
        code = Case(
            *(When(outcome=o, then=Value(i)) for i, o in enumerate(PairCount.Outcome.values, 1)),
            output_field=IntegerField(),
        )
        place = (F("lo_id") * 65_537 + F("hi_id")) * 4 + code
        scattered = (place * 40_503) % 1_048_573  # so that two changes hardly ever cancel
        rows = (
            PairCount.objects.public()
            .filter(category__in=self.categories)
            .order_by()
            .values_list("category")
            .annotate(votes=Sum("n"), cells=Count("pk"), mixed=Sum(F("n") * scattered))
        )
        return {category: (votes, cells, mixed) for category, votes, cells, mixed in rows}

    @cached_property
    def with_texts(self) -> int:
        return VoteFeatures.objects.filter(tokens_a__isnull=False).count()

    @cached_property
    def votes(self) -> counted_votes.CountedVotes:
        return counted_votes.read(self.categories)

    @cached_property
    def excluded(self) -> dict[str, int]:
        return refusals.excluded_by_reason()

    def excluded_from(self, category: Category) -> dict[str, int]:
        """By reason, without those that this category counts nevertheless."""
        counted = Vote.Exclusion.IDENTITY_LEAK if counts_leaks(category.rule) else None
        return {reason: n for reason, n in self.excluded.items() if reason != counted}

    @cached_property
    def pending(self) -> int:
        return Vote.objects.filter(status__in=[Vote.Status.PENDING, Vote.Status.HELD]).count()

    def counts(self, category: Category) -> PairCounts:
        names = {pk: name for pk, name, _ in self.models}
        rows = PairCount.objects.public().filter(category=category).order_by()
        cells = [
            (names[lo], names[hi], outcome, n)
            for lo, hi, outcome, n in rows.values_list("lo_id", "hi_id", "outcome", "n").iterator()
        ]
        return methods.counts_from_cells(cells, sorted({m for cell in cells for m in cell[:2]}))

    def version(self, category: Category, method: str) -> str:
        """Changes whenever something may have changed that the numbers depend on."""
        content = [
            self.totals.get(category.pk),
            self.models_digest,
            category.rule,
            methods.CONFIGURATION[method],
            rounds(category, method),
            ENGINE_VERSION,
            self.with_texts if method == Method.STYLE_CONTROL else None,
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def rounds(category: Category, method: str) -> int:
    """Of the bootstrap."""
    if method == Method.ELO:
        return int(settings.ELO_BOOTSTRAP_ROUNDS)
    if category.slug == OVERALL:
        return int(settings.BOOTSTRAP_ROUNDS_OVERALL)
    return int(settings.BOOTSTRAP_ROUNDS)


def _publish(category: Category, method: str, work: _Work) -> Snapshot | None:
    if method == Method.ELO and category.slug != OVERALL:
        return None
    if category.stale:
        return None  # its counts are of two rules at once until they are rebuilt
    before = work.published.get((category.pk, method))
    seen = [work.version(category, method), before or ""]
    # In the cache and not in the database: to lose it costs a look at the counts, no more.
    looked_at = f"snapshot-version:{category.pk}:{method}"
    if cache.get(looked_at) == seen:
        return None
    inputs = _inputs(category, method, work, published_before=before is not None)
    snapshot = None
    try:
        if inputs and inputs.data_hash != seen[1]:
            snapshot = _store(category, inputs, work)
            seen[1] = inputs.data_hash
    except NotComputable:
        cache.set(looked_at, seen, timeout=None)  # the same votes would fail again
        raise
    cache.set(looked_at, seen, timeout=None)
    return snapshot


def _inputs(
    category: Category, method: str, work: _Work, *, published_before: bool
) -> Inputs | None:
    """None where there is no vote to rate, unless an empty board says so for the first time."""
    if method == Method.BRADLEY_TERRY:
        counts = work.counts(category)
        if not counts.total and category.slug != OVERALL and not published_before:
            return None
        return methods.inputs_of_counts(counts, listed=work.listed, rounds=rounds(category, method))
    inputs = methods.inputs_of_votes(
        method,
        work.votes.table,
        chosen=work.votes.of(category.pk),
        listed=work.listed,
        rounds=rounds(category, method),
    )
    return inputs if inputs.counts.total or published_before else None


def _store(category: Category, inputs: Inputs, work: _Work) -> Snapshot | None:
    result = methods.compute(inputs)
    cells = _packed(inputs.counts, inputs.listed, work.ids)
    with transaction.atomic():
        # Held while the current snapshot is replaced, so that of two computations one publishes.
        Category.objects.select_for_update().get(pk=category.pk)
        if _is_current(category, inputs.method, inputs.data_hash):
            return None
        Snapshot.objects.filter(category=category, method=inputs.method, superseded=False).update(
            superseded=True
        )
        snapshot = Snapshot.objects.create(
            category=category,
            method=inputs.method,
            configuration=inputs.configuration,
            code_version=f"{VERSION}+ratings.{ENGINE_VERSION}",
            data_hash=inputs.data_hash,
            votes_counted=inputs.counts.total,
            votes_excluded=work.excluded_from(category),
            votes_pending=work.pending,
            cells=cells,
            # Of the overall board alone: differences elsewhere are nobody's question.
            covariance=result.covariance if category.slug == OVERALL else b"",
            extra=result.extra,
        )
        rows = []
        for line in result.lines:
            columns = asdict(line)
            contestant = work.ids[columns.pop("model")]
            rows.append(Rating(snapshot=snapshot, contestant_id=contestant, **columns))
        Rating.objects.bulk_create(rows)
    return snapshot


def _is_current(category: Category, method: str, data_hash: str) -> bool:
    return Snapshot.objects.filter(
        category=category, method=method, superseded=False, data_hash=data_hash
    ).exists()


# thinning


def prune(now: datetime | None = None) -> int:
    """Of the superseded snapshots of a day (UTC) that ended KEPT_WHOLE ago, keep the last of each
    category and method. Returns how many went."""
    limit = (now or timezone.now()) - KEPT_WHOLE
    limit = limit.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days: defaultdict[tuple[int, str, date], list[int]] = defaultdict(list)
    old = Snapshot.objects.filter(published_at__lt=limit).order_by("pk")
    for pk, category, method, published_at in old.values_list(
        "pk", "category_id", "method", "published_at"
    ):
        days[category, method, _day(published_at)].append(pk)
    thinned = [pk for pks in days.values() for pk in pks[:-1]]
    gone = 0
    for done in range(0, len(thinned), 500):
        batch = Snapshot.objects.filter(pk__in=thinned[done : done + 500], superseded=True)
        gone += batch.delete()[1].get("leaderboard.Snapshot", 0)
    return gone


def _day(moment: datetime) -> date:
    return moment.astimezone(UTC).date()
