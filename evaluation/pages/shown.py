"""What the pages have in common: what is not shown, who is not named, who scored."""

from __future__ import annotations

from collections.abc import Iterable

from arena.models import HIDDEN_STATUSES, Contestant
from evaluation.models import Score


class NotShown(LookupError):
    """There is no such page, or not for this reader."""


def scorers(runs: Iterable[int]) -> dict[int, list[str]]:
    """The scorers, with their versions, that have scored each run."""
    found: dict[int, list[str]] = {}
    rows = Score.objects.filter(sample__run__in=list(runs)).order_by("scorer").distinct()
    for run_id, scorer in rows.values_list("sample__run", "scorer"):
        found.setdefault(run_id, []).append(scorer)
    return found


def public_name(model: Contestant | None) -> str:
    """Nobody is named before the model is public."""
    if model is None:
        return ""
    return "a model whose name is not public" if model.status in HIDDEN_STATUSES else model.name
