"""The charts of one view of the leaderboard, each with the table of its own numbers.

Reads what is published; `charts` draws.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import isnan

from arena.models import HIDDEN_STATUSES
from evaluation.results.published import Column as Benchmark
from leaderboard.board import Board, NoSuchCategory, Row, drawing, published
from leaderboard.board.agreement import Agreement, agreement
from leaderboard.board.drawing import Bar, Dot, Moment
from leaderboard.formats.csv_cells import TableWriter
from leaderboard.models import Rating

MAX_MATRIX = 60  # models; a larger square cannot be read
OUTLIERS = 5  # models named on each side of a line
Cell = str | int | float | None


@dataclass(frozen=True, slots=True)
class Outlier:
    model: str
    slug: str
    points: str  # how far from the line, with its sign
    interval: str  # of that, as far as the rating is uncertain


@dataclass(frozen=True, slots=True)
class Outliers:
    """The models that stand out on one side."""

    title: str
    models: tuple[Outlier, ...]


@dataclass(frozen=True, slots=True)
class Chart:
    """One picture and the numbers it shows."""

    name: str  # of its file
    title: str
    note: str
    svg: str
    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    finding: str = ""  # what the numbers come to, in a sentence
    lists: tuple[Outliers, ...] = ()

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


def _benchmarks(board: Board) -> Chart | None:
    """Rating against the average of the benchmarks, or against the one that is asked for."""
    chosen = next((b for b in board.benchmarks.columns if b.key == board.query.against), None)
    found = [
        (row, score)
        for row in _rated(board)
        if (score := _average_of(row) if chosen is None else _score_of(row, chosen)) is not None
    ]
    agreed = agreement([score.value for _, score in found], [row.rating or 0 for row, _ in found])
    if agreed is None:
        return None
    name = "benchmark average" if chosen is None else chosen.title
    title = f"Rating against {name}"
    dots = [
        Dot(row.model, score.value, row.rating or 0, row.lower, row.upper, score.low, score.high)
        for row, score in found
    ]
    order = sorted(range(len(found)), key=lambda i: -abs(agreed.residuals[i]))
    away = [(agreed.residuals[i], found[i][0]) for i in order]
    return Chart(
        "benchmarks",
        title,
        "The dotted line is that of least squares. A model above it does better with people than "
        "its score says. The names of those farthest from it come first.",
        drawing.scatter(
            [dots[i] for i in order],
            title=title,
            x_label=name if chosen is not None and not chosen.percent else f"{name}, per cent",
            line=(agreed.slope, agreed.intercept),
        ),
        ("model", "score", "score_lower", "score_upper", "rating", "lower", "upper", "residual"),
        tuple(
            (*(row.model, score.value, score.low, score.high),
             *(row.rating, row.lower, row.upper, round(residual, 3)))
            for (row, score), residual in zip(found, agreed.residuals, strict=True)
        ),
        _correlation(agreed),
        (
            _outliers("Better with people than on benchmarks", away, 1),
            _outliers("Better on benchmarks than with people", away, -1),
        ),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Score:
    """As drawn: in per cent, or on a scale of its own."""

    value: float
    low: float | None
    high: float | None


def _average_of(row: Row) -> _Score | None:
    if row.benchmark_average is None:
        return None
    return _scaled(row.benchmark_average, row.benchmark_low, row.benchmark_high, 100)


def _score_of(row: Row, benchmark: Benchmark) -> _Score | None:
    result = row.benchmarks.get(benchmark.key)
    if result is None:
        return None
    return _scaled(result.value, result.low, result.high, 100 if benchmark.percent else 1)


def _scaled(value: float, low: float | None, high: float | None, size: int) -> _Score:
    return _Score(
        round(size * value, 3),
        None if low is None else round(size * low, 3),
        None if high is None else round(size * high, 3),
    )


def _correlation(agreed: Agreement) -> str:
    rho = agreed.rho
    models = f"{rho.n} models"
    if isnan(rho.value):
        return f"Spearman’s ρ is not defined: all of {models} have one score."
    said = f"Spearman’s ρ = {_signed(rho.value, 2)} for {models}"
    if isnan(rho.low):
        return f"{said}."
    low, high = _signed(rho.low, 2), _signed(rho.high, 2)
    return f"{said}, 95 % interval {low} to {high}."


def _outliers(title: str, away: Sequence[tuple[float, Row]], side: int) -> Outliers:
    found = [(residual, row) for residual, row in away if side * residual > 0][:OUTLIERS]
    return Outliers(title, tuple(_outlier(row, residual) for residual, row in found))


def _outlier(row: Row, residual: float) -> Outlier:
    line = (row.rating or 0) - residual
    low, high = (row.lower or 0) - line, (row.upper or 0) - line
    interval = f"{_signed(low, 0, '+')} to {_signed(high, 0, '+')}"
    return Outlier(row.model, row.slug, _signed(residual, 0, "+"), interval)


def _signed(value: float, digits: int, plus: str = "") -> str:
    rounded = round(value, digits) or 0.0  # no sign before a zero
    return f"{rounded:{plus if rounded else ''}.{digits}f}".replace("-", "−")


PARETO = "The dashed line joins the models that no other beats on both axes."
CHARTS: dict[str, Callable[[Board], Chart | None]] = {
    "intervals": _intervals,
    "wins": _wins,
    "battles": _battles,
    "average-wins": _average_wins,
    "history": _history,
    "benchmarks": _benchmarks,
    "price": _against(
        "price",
        "Rating against price",
        PARETO,
        "USD per million output tokens, logarithmic",
        lambda row: row.price_output,
    ),
    "latency": _against(
        "latency",
        "Rating against latency",
        PARETO,
        "seconds to the first token, the median of late, logarithmic",
        lambda row: row.first_token,
    ),
    "size": _against(
        "size",
        "Rating against size",
        PARETO,
        "billions of parameters, logarithmic",
        lambda row: row.billions,
    ),
}
