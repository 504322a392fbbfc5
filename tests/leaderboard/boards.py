"""Published snapshots for tests, written straight into the database: no fit, any numbers."""

from __future__ import annotations

import json
import zlib
from datetime import datetime
from typing import Any

from arena.models import Contestant
from leaderboard.models import Category, Rating, Snapshot
from tests import factories


def published(
    models: list[Contestant],
    *,
    category: str = "overall",
    method: str = "bradley_terry",
    cells: list[list[Any]] | None = None,
    at: datetime | None = None,
    votes: int = 1000,
    **fields: Any,
) -> Snapshot:
    """A snapshot in which each model stands one place and 10 Elo below the one before it.

    `cells` are [lo, hi, outcome, n] by position in `models`.
    """
    kind = {"category": Category.objects.get(slug=category), "method": method}
    Snapshot.objects.filter(**kind, superseded=False).update(superseded=True)
    content = {"models": [(m.pk, m.name) for m in models], "cells": cells or []}
    snapshot = Snapshot.objects.create(
        **{
            "configuration": {"level": 0.95},
            "code_version": "test",
            "data_hash": f"{Snapshot.objects.count():064x}",
            "votes_counted": votes,
            "cells": zlib.compress(json.dumps(content).encode()),
            **kind,
            **fields,
        }
    )
    if at is not None:
        Snapshot.objects.filter(pk=snapshot.pk).update(published_at=at)
        snapshot.refresh_from_db()
    Rating.objects.bulk_create(
        Rating(
            snapshot=snapshot,
            contestant=model,
            status="ok",
            rating=1100.0 - 10 * place,
            lower=1090.0 - 10 * place,
            upper=1111.0 - 10 * place,
            boot_lower=1091.0 - 10 * place,
            boot_upper=1112.0 - 10 * place,
            rank=place + 1,
            rank_low=max(1, place),
            rank_high=place + 2,
            win_rate=0.5,
            both_bad_rate=0.1,
            votes=500 - place,
        )
        for place, model in enumerate(models)
    )
    return snapshot


def contestants(number: int, **fields: Any) -> list[Contestant]:
    """Models on one endpoint, in the order of their places."""
    endpoint = factories.endpoint()
    return [
        factories.contestant(**{"name": f"Model {place:03}", "endpoint": endpoint, **fields})
        for place in range(number)
    ]
