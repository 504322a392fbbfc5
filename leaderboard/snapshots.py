"""Publishing: pair counts → fit → one immutable snapshot. Runs in a worker, never in a request."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from django.db import transaction
from django.db.models import Q

from arena.models import Contestant
from config.version import VERSION
from leaderboard import tally
from leaderboard.models import Category, PairCount, Rating, Snapshot
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import PairCounts
from leaderboard.ratings.evidence import Status
from leaderboard.ratings.fit import Fit, Mean

METHOD = "bradley_terry"
# What a reader needs to recompute the numbers; a change here publishes a new snapshot.
CONFIGURATION: dict[str, Any] = {
    "ties": "half",
    "both_bad": "tie",
    "weighting": "battles",
    "gauge": {"mean": 1000},
    "interval": "sandwich",
    "level": 0.95,
}
ENGINE_VERSION = "1"  # of leaderboard.ratings: raise it when the same counts give other numbers

Cell = tuple[int, int, str, int]


def data_hash(cells: Sequence[Cell], models: Sequence[int]) -> str:
    """SHA-256 of everything the numbers depend on, in one canonical form."""
    content = {
        "cells": sorted(cells),
        "models": sorted(models),
        "method": METHOD,
        "configuration": CONFIGURATION,
        "engine": ENGINE_VERSION,
    }
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    ).hexdigest()


def publish_all() -> int:
    """Publish what has changed. Returns the number of new snapshots."""
    return sum(publish(category) is not None for category in Category.objects.all())


def publish(category: Category) -> Snapshot | None:
    """A new snapshot of one category, or None when nothing it depends on has changed."""
    cells: list[Cell] = list(
        PairCount.objects.filter(category=category, n__gt=0).values_list(
            "lo_id", "hi_id", "outcome", "n"
        )
    )
    seen = {model for lo, hi, _, _ in cells for model in (lo, hi)}
    models = sorted(
        Contestant.objects.filter(
            Q(pk__in=seen)
            | Q(status__in=[Contestant.Status.ACTIVE, Contestant.Status.PAUSED])
        ).values_list("pk", flat=True)
    )
    digest = data_hash(cells, models)
    if _is_current(category, digest):
        return None
    counts = PairCounts.from_cells(cells, models)
    ratings = rate(counts)
    with transaction.atomic():
        # Held while the current snapshot is replaced, so that of two computations one publishes.
        Category.objects.select_for_update().get(pk=category.pk)
        if _is_current(category, digest):
            return None
        Snapshot.objects.filter(category=category, method=METHOD, superseded=False).update(
            superseded=True
        )
        snapshot = Snapshot.objects.create(
            category=category,
            method=METHOD,
            configuration=CONFIGURATION,
            code_version=f"{VERSION}+ratings.{ENGINE_VERSION}",
            data_hash=digest,
            votes_counted=counts.total,
            votes_excluded=tally.excluded_by_reason(),
        )
        for rating in ratings:
            rating.snapshot = snapshot
        Rating.objects.bulk_create(ratings)
    return snapshot


def _is_current(category: Category, digest: str) -> bool:
    return Snapshot.objects.filter(
        category=category, method=METHOD, superseded=False, data_hash=digest
    ).exists()


def rate(counts: PairCounts) -> list[Rating]:
    """Unsaved ratings of every model in `counts`, one a model, in its order."""
    fit = fit_bt(
        counts, ties=CONFIGURATION["ties"], weighting=CONFIGURATION["weighting"], gauge=Mean(1000)
    )
    if not fit.converged:
        raise RuntimeError(f"the fit of {counts.total} votes did not converge: nothing published")
    return _as_rows(fit, counts)


def _as_rows(fit: Fit, counts: PairCounts) -> list[Rating]:
    interval = fit.interval(level=CONFIGURATION["level"])
    ranks = fit.rank_ub()
    votes = counts.per_model()
    rows = []
    for i, model in enumerate(counts.models):
        row = Rating(contestant_id=model, status=fit.status[i].value, votes=int(votes[i]))
        if fit.status[i] is Status.OK:
            row.rating = float(fit.ratings[i])
            row.lower = float(interval.lower[i])
            row.upper = float(interval.upper[i])
            row.rank = int(ranks[i])
        rows.append(row)
    return rows
