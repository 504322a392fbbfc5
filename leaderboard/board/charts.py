"""The charts of one view of the leaderboard, each with the table of its own numbers.

Reads what is published; `charts` draws.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from arena.models import HIDDEN_STATUSES
from leaderboard.board import Board, NoSuchCategory, Row, drawing, published
from leaderboard.board.drawing import Bar, Dot, Moment
from leaderboard.formats.csv_cells import TableWriter
from leaderboard.models import Rating

MAX_MATRIX = 60  # models; a larger square cannot be read
Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture and the numbers it shows."""

    name: str  # of its file
    title: str
    note: str
    svg: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]

    def csv(self) -> bytes:
        stream = io.BytesIO()
        table = TableWriter(stream, self.head)
        for row in self.rows:
            table.row(*("" if cell is None else cell for cell in row))
        return stream.getvalue()


def all_charts(board: Board) -> list[Chart]:
    """Every chart this view has the data for."""
    return [chart for name in CHARTS if (chart := one_chart(name, board)) is not None]


def one_chart(name: str, board: Board) -> Chart | None:
    """None where the view has no data for it. Raises KeyError for an unknown name."""
    drawn = CHARTS[name](board)
    return drawn if drawn is not None and drawn.rows else None


def _rated(board: Board) -> list[Row]:
    rated = [row for row in board.rows if row.rating is not None]
    return sorted(rated, key=lambda row: -(row.rating or 0))


def _intervals(board: Board) -> Chart:
    rows = _rated(board)
    return Chart(
        "intervals",
        "Ratings with their 95 % intervals",
        "Two models whose intervals overlap may well stand the other way round.",
        drawing.intervals(
            [Bar(row.model, row.rating, row.lower, row.upper) for row in rows],
            title="Ratings with their 95 % intervals",
        ),
        ("model", "rating", "lower", "upper"),
        tuple((row.model, row.rating, row.lower, row.upper) for row in rows),
    )


def _average_wins(board: Board) -> Chart:
    rows = [row for row in _rated(board) if row.win_rate is not None]
    title = "Expected wins against all others alike"
    return Chart(
        "average-wins",
        title,
        "From the ratings, as if every model met every other equally often; a tie is half a win.",
        drawing.bars(
            [Bar(row.model, 100 * (row.win_rate or 0)) for row in rows], title=title, unit="%"
        ),
        ("model", "win_rate"),
        tuple((row.model, row.win_rate) for row in rows),
    )


def _square(board: Board) -> tuple[list[Row], dict[tuple[str, str], published.Pair]]:
    rows = _rated(board)[:MAX_MATRIX]
    try:
        _, pairs = published.pairs(category=board.query.category, method=board.query.method)
    except NoSuchCategory:
        pairs = []
    return rows, {(pair.model_a, pair.model_b): pair for pair in pairs}


def _pair(pairs: dict[tuple[str, str], published.Pair], one: str, other: str) -> tuple[int, int]:
    """(wins of `one`, decisive battles) against `other`."""
    if (pair := pairs.get((one, other))) is not None:
        return pair.wins_a, pair.wins_a + pair.wins_b
    if (pair := pairs.get((other, one))) is not None:
        return pair.wins_b, pair.wins_a + pair.wins_b
    return 0, 0


def _wins(board: Board) -> Chart:
    rows, pairs = _square(board)
    found = [[_pair(pairs, a.slug, b.slug) for b in rows] for a in rows]
    title = "Share of decisive battles won, row against column"
    return Chart(
        "wins",
        title,
        f"In per cent, ties left out. Hatched: fewer than {drawing.FEW_VOTES} battles. "
        f"The best {MAX_MATRIX} models at most.",
        drawing.matrix(
            [row.model for row in rows],
            [[won / met if met else None for won, met in line] for line in found],
            [[met for _, met in line] for line in found],
            title=title,
            percent=True,
        ),
        ("model", "against", "won", "decisive_battles"),
        tuple(
            (rows[i].model, rows[j].model, won, met)
            for i, line in enumerate(found)
            for j, (won, met) in enumerate(line)
            if met
        ),
    )


def _battles(board: Board) -> Chart:
    rows, pairs = _square(board)
    counts = [
        [
            pair.battles
            if (pair := pairs.get((a.slug, b.slug)) or pairs.get((b.slug, a.slug)))
            else None
            for b in rows
        ]
        for a in rows
    ]
    title = "Battles of each pair"
    return Chart(
        "battles",
        title,
        "Ties included. Sampling is not always even: the method page has the rates.",
        drawing.matrix([row.model for row in rows], counts, None, title=title, percent=False),
        ("model", "against", "battles"),
        tuple(
            (rows[i].model, rows[j].model, n)
            for i, line in enumerate(counts)
            for j, n in enumerate(line)
            if n and i < j
        ),
    )


def _history(board: Board) -> Chart:
    rows = _rated(board)[: len(drawing.SERIES)]
    series = moments_of([row.slug for row in rows], board.query.category, board.query.method)
    title = "Ratings over time"
    return Chart(
        "history",
        title,
        "The last snapshot of each day, with its interval as a band. The best eight of this view.",
        drawing.history([(row.model, series.get(row.slug, [])) for row in rows], title=title),
        ("model", "day", "rating", "lower", "upper"),
        tuple(
            (row.model, moment.day.isoformat(), moment.rating, moment.lower, moment.upper)
            for row in rows
            for moment in series.get(row.slug, [])
        ),
    )


def moments_of(slugs: Sequence[str], category: str, method: str) -> dict[str, list[Moment]]:
    """The last rating of each day (UTC) by slug, oldest first; one query."""
    found = (
        Rating.objects.filter(
            contestant__slug__in=slugs,
            snapshot__category__slug=category,
            snapshot__method=method,
            rating__isnull=False,
        )
        .exclude(contestant__status__in=HIDDEN_STATUSES)
        .order_by("snapshot_id")
        .values_list("contestant__slug", "snapshot__published_at", "rating", "lower", "upper")
    )
    days: dict[str, dict[object, Moment]] = {}
    for slug, at, rating, lower, upper in found:
        assert rating is not None
        assert lower is not None
        assert upper is not None  # the database has all three or none
        moment = Moment(at.date(), rating, lower, upper)
        days.setdefault(slug, {})[moment.day] = moment
    return {slug: list(by_day.values()) for slug, by_day in days.items()}


def _against(
    name: str, title: str, note: str, x_label: str, value: Callable[[Row], float | None]
) -> Callable[[Board], Chart]:
    """Rating against a figure of which less is better."""

    def draw(board: Board) -> Chart:
        rows = [(row, x) for row in _rated(board) if (x := value(row)) is not None and x > 0]
        dots = [Dot(row.model, x, row.rating or 0, row.lower, row.upper) for row, x in rows]
        return Chart(
            name,
            title,
            note,
            drawing.scatter(dots, title=title, x_label=x_label, log_x=True, pareto=True),
            ("model", name, "rating", "lower", "upper"),
            tuple((row.model, x, row.rating, row.lower, row.upper) for row, x in rows),
        )

    return draw


PARETO = "The dashed line joins the models that no other beats on both axes."
CHARTS: dict[str, Callable[[Board], Chart | None]] = {
    "intervals": _intervals,
    "wins": _wins,
    "battles": _battles,
    "average-wins": _average_wins,
    "history": _history,
    "price": _against(
        "price",
        "Rating against price",
        PARETO,
        "USD per million output tokens, logarithmic",
        lambda row: row.price_output,
    ),
    "size": _against(
        "size",
        "Rating against size",
        PARETO,
        "billions of parameters, logarithmic",
        lambda row: row.billions,
    ),
}
