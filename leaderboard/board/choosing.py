"""Which lines stay, what else could be chosen, and in which order they stand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from leaderboard.board.lines import STATUS_TEXT, Row
from leaderboard.board.query import FACET_FIELDS, STATUSES, BoardQuery


@dataclass(frozen=True, slots=True)
class FacetChoice:
    value: str
    label: str
    count: int  # rows it would leave, all other facets being as they are
    chosen: bool


# Keys are the names in the address.
FACETS: dict[str, Callable[[Row], str]] = {
    "organisation": lambda row: row.organisation,
    "licence": lambda row: row.licence,
    "quantisation": lambda row: row.quantisation,
    "status": lambda row: row.status,
}


def passes(row: Row, query: BoardQuery, *, without: str = "") -> bool:
    """Whether a row is in the view, one facet left aside."""
    for facet, value in FACETS.items():
        chosen = getattr(query, FACET_FIELDS[facet])
        if chosen and facet != without and value(row) not in chosen:
            return False
    if query.open_weights is not None and row.open_weights is not query.open_weights:
        return False
    if query.min_size is not None and (row.billions is None or row.billions < query.min_size):
        return False
    if query.max_size is not None and (row.billions is None or row.billions > query.max_size):
        return False
    if query.search:
        text = f"{row.model} {row.organisation} {row.licence}".casefold()
        return all(word in text for word in query.search.casefold().split())
    return True


def choices(rows: Sequence[Row], query: BoardQuery, facet: str) -> tuple[FacetChoice, ...]:
    value_of = FACETS[facet]
    chosen = getattr(query, FACET_FIELDS[facet])
    counts = Counter(value_of(row) for row in rows if passes(row, query, without=facet))
    values = {value_of(row) for row in rows} | set(chosen)
    labels = STATUS_TEXT if facet == "status" else {}
    return tuple(
        FacetChoice(value, labels.get(value, value), counts[value], value in chosen)
        for value in sorted(values, key=str.casefold)
        if value
    )


def ordered(rows: list[Row], query: BoardQuery) -> list[Row]:
    """Sorted by one column; what has no value there comes last in either direction."""
    # Two stable sorts: within equals, the better rating stands first, then the name.
    rows = sorted(rows, key=lambda r: (-(r.rating if r.rating is not None else -1e9), r.slug))
    value = _SORT_VALUE.get(query.sort) or (lambda row: row.value(query.sort))
    known = [row for row in rows if value(row) not in (None, "")]
    rest = [row for row in rows if value(row) in (None, "")]
    return sorted(known, key=value, reverse=bool(query.descending)) + rest


_SORT_VALUE: dict[str, Callable[[Row], Any]] = {
    "model": lambda row: row.model.casefold(),
    "organisation": lambda row: row.organisation.casefold(),
    "licence": lambda row: row.licence.casefold(),
    "interval": lambda row: None if row.plus is None else row.plus + (row.minus or 0),
    "bootstrap": lambda row: (
        None if row.boot_lower is None else (row.boot_upper or 0) - row.boot_lower
    ),
    "status": lambda row: STATUSES.index(row.status),
    "parameters": lambda row: row.billions,
    "benchmarks": lambda row: row.benchmark_average,
}
