"""Needle in a haystack: was it found, and the grid of lengths by depths.

Finding is `contains` over the needle's own words, so that a random key cannot be guessed. A cell
is never filled in by its neighbours, and a length that the endpoint refused is "not supported",
not zero. Idea of the grid: Kamradt, LLMTest_NeedleInAHaystack. Item: `target`, `length` (tokens),
`depth` (per cent).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from . import contains
from .score import Item, Response, Score, Scorer


@dataclass(frozen=True, slots=True)
class Sample:
    """One place tried once; `score` None when the endpoint said the context was exceeded."""

    length: int
    depth: float
    score: float | None


@dataclass(frozen=True, slots=True)
class Cell:
    length: int
    depth: float
    n: int  # scored samples
    mean: float | None  # None without any
    supported: bool


@dataclass(frozen=True, slots=True)
class Grid:
    """`cells[row][column]`: rows are lengths, columns depths, both ascending."""

    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    cells: tuple[tuple[Cell, ...], ...]

    @property
    def supported_length(self) -> int | None:
        """The longest length that no sample found too long."""
        good = [row[0].length for row in self.cells if all(cell.supported for cell in row)]
        return max(good, default=None)


def needle(response: Response, item: Item, params: contains.Parameters) -> Score:
    score = contains.contains(response, item, params)
    where = {key: item[key] for key in ("length", "depth") if key in item}
    return replace(score, details={**score.details, **where})


def grid(samples: Iterable[Sample]) -> Grid:
    """Samples to cells. One refusal makes the whole length unsupported from there on."""
    samples = list(samples)
    lengths = tuple(sorted({s.length for s in samples}))
    depths = tuple(sorted({s.depth for s in samples}))
    refused = {s.length for s in samples if s.score is None}
    places: dict[tuple[int, float], list[float]] = {}
    for s in samples:
        if s.score is not None:
            places.setdefault((s.length, s.depth), []).append(s.score)

    def cell(length: int, depth: float) -> Cell:
        scores = places.get((length, depth), [])
        mean = sum(scores) / len(scores) if scores else None
        return Cell(length, depth, len(scores), mean, length not in refused)

    rows = tuple(tuple(cell(length, depth) for depth in depths) for length in lengths)
    return Grid(lengths, depths, rows)


NEEDLE = Scorer("needle", "1.0.0", contains.Parameters, needle)
