"""The lines of the leaderboard's table as HTML.

Not a template: three hundred models of seven cells each cost the template engine 150 ms, and this
5 ms. Whatever comes from a database passes through `escape` here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from django.urls import reverse
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from evaluation.results import figures
from evaluation.results.published import Column as Benchmark
from evaluation.results.published import Result
from leaderboard.board import BENCHMARK, Row
from leaderboard.board.answering import dollars

NONE = "–"


@dataclass(frozen=True, slots=True)
class Axis:
    """The common scale, in Elo, on which a page draws its intervals."""

    low: float
    high: float

    @classmethod
    def over(cls, rows: Iterable[Row]) -> Axis | None:
        bounds = [b for row in rows for b in (row.lower, row.upper) if b is not None]
        if not bounds:
            return None
        margin = max(1.0, 0.03 * (max(bounds) - min(bounds)))
        return cls(min(bounds) - margin, max(bounds) + margin)

    def percent(self, value: float) -> float:
        return 100 * (value - self.low) / (self.high - self.low)


def table_rows(
    rows: Sequence[Row],
    columns: Sequence[str],
    axis: Axis | None,
    benchmarks: Iterable[Benchmark] = (),
) -> SafeString:
    """A <tr> a row with a cell for each of `columns` (keys of Board.columns)."""
    # One look at the URL configuration instead of one a model.
    address = reverse("leaderboard:model", args=["SLUG"])
    cells = {**_CELLS, **_benchmark_cells(columns, benchmarks)}
    averages = "benchmarks" in columns
    parts: list[str] = []
    for row in rows:
        parts.append("<tr>" if row.rating is not None else '<tr class="unranked">')
        for column in columns:
            if column == "model":
                parts.append(_model(row, address.replace("SLUG", row.slug), averages))
            elif column == "rating":
                parts.append(_rating(row) + _whisker(row, axis))
            else:
                parts.append(cells[column](row))
        parts.append("</tr>\n")
    return mark_safe("".join(parts))  # noqa: S308 - every value is escaped below


def _benchmark_cells(
    columns: Sequence[str], benchmarks: Iterable[Benchmark]
) -> dict[str, Callable[[Row], str]]:
    shown = [benchmark for benchmark in benchmarks if BENCHMARK + benchmark.key in columns]
    if not shown:
        return {}
    address = reverse("evaluation:run", args=[0])
    before, _, after = address.rpartition("0")

    def cell(benchmark: Benchmark) -> Callable[[Row], str]:
        def draw(row: Row) -> str:
            result = row.benchmarks.get(benchmark.key)
            if result is None:
                older = benchmark.key in row.reruns
                return _number('<span class="sub">re-run needed</span>' if older else NONE, "bench")
            return _score(benchmark, result, f"{before}{result.run_id}{after}")

        return draw

    return {BENCHMARK + benchmark.key: cell(benchmark) for benchmark in shown}


def _score(benchmark: Benchmark, result: Result, address: str) -> str:
    said = figures.score(result.value, percent=benchmark.percent)
    interval = ""
    if result.low is not None and result.high is not None:
        interval = figures.interval(result.low, result.high, percent=benchmark.percent)
    return _number(
        f'<a href="{escape(address)}" title="{escape(told(result))}">{said}</a>'
        + _beside(interval, result.n),
        "bench",
    )


def _beside(interval: str, n: int) -> str:
    return f'<span class="sub">{interval}{", " if interval else ""}n = {n:,}</span>'


def told(result: Result) -> str:
    """What stands beside a score: of how many items, what went wrong, and when."""
    parts = [f"n = {result.n:,}"]
    for number, name in (
        (result.errors, "errors"),
        (result.unparsed, "unparsed"),
        (result.truncated, "truncated"),
    ):
        if number:
            parts.append(f"{number:,} {name}")
    parts.append(f"{result.finished_at:%-d %b %Y}")
    if result.source:
        parts.append(f"run by {result.source}")
    return ", ".join(parts)


def _average(row: Row) -> str:
    if row.benchmark_average is None:
        return _number(NONE, "benchmarks")
    interval = ""
    if row.benchmark_low is not None and row.benchmark_high is not None:
        interval = figures.interval(row.benchmark_low, row.benchmark_high)
    said = figures.score(row.benchmark_average)
    return _number(f"{said}{_beside(interval, row.benchmark_n or 0)}", "benchmarks")


def _number(html: str, column: str = "other") -> str:
    return f'<td class="num col-{column}">{html}</td>'


def _text(text: str, column: str = "other") -> str:
    return f'<td class="col-{column}">{escape(text) or NONE}</td>'


def _rank(row: Row) -> str:
    parts = [f'<span class="rank">{row.rank if row.rank is not None else NONE}</span>']
    if row.rank_change:
        way, arrow = ("up", "▲") if row.rank_change > 0 else ("down", "▼")
        parts.append(
            f'<span class="change {way}" title="Since the last snapshot of an earlier day">'
            f"{arrow}{abs(row.rank_change)}</span>"
        )
    # From the rank, which counts who is surely better, to the worst place of the bootstrap's 95 %.
    worst = row.rank_high if row.rank is not None and (row.rank_high or 0) > row.rank else None
    parts.append(
        '<span class="sub" title="From the rank to the worst place it holds in the middle 95 % of '
        f'the bootstrap">{f"{row.rank}–{worst}" if worst else ""}</span>'
    )
    return _number("".join(parts), "rank")


def _model(row: Row, address: str, averages: bool) -> str:
    parts = [f'<a href="{escape(address)}">{escape(row.model)}</a>']
    if row.quantisation:
        parts.append(f' <span class="tag">{escape(row.quantisation)}</span>')
    if row.retired:
        parts.append(' <span class="tag">retired</span>')
    if row.provisional:
        parts.append(f'<span class="sub">{escape(row.status_text)}</span>')
    facts = " · ".join(filter(None, (row.organisation, row.licence)))
    if facts:
        parts.append(f'<span class="sub narrow">{escape(facts)}</span>')
    if averages and row.benchmark_average is not None:
        said = figures.score(row.benchmark_average)
        figure = f'<span class="num">{said}, n = {row.benchmark_n:,}</span>'
        parts.append(f'<span class="sub tight usual">Benchmarks {figure}</span>')
    return f'<th scope="row" class="col-model">{"".join(parts)}</th>'


def _ends(row: Row) -> str:
    return NONE if row.plus is None else f"+{row.plus:.0f}/−{row.minus:.0f}"


def _rating(row: Row) -> str:
    if row.rating is None:
        return _number(NONE, "rating")
    return _number(
        f'<strong>{row.rating:.0f}</strong><span class="sub tight">{_ends(row)}</span>', "rating"
    )


def _whisker(row: Row, axis: Axis | None) -> str:
    picture = ""
    if axis and row.rating is not None and row.lower is not None and row.upper is not None:
        left = axis.percent(row.lower)
        picture = (
            '<svg class="whisker" width="100%" height="16" aria-hidden="true">'
            f'<rect x="{left:.2f}%" width="{axis.percent(row.upper) - left:.2f}%" y="6.5" '
            f'height="3" rx="1.5"/><circle cx="{axis.percent(row.rating):.2f}%" cy="8" r="4"/>'
            "</svg>"
        )
    return f'<td class="whisker-cell">{picture}</td>'


def _licence(row: Row) -> str:
    if not row.licence_url:
        return _text(row.licence, "licence")
    return (
        f'<td class="col-licence"><a href="{escape(row.licence_url)}" rel="noopener">'
        f"{escape(row.licence)}</a></td>"
    )


def _share(value: float | None) -> str:
    return _number(NONE if value is None else f"{100 * value:.0f} %")


def _price(value: float | None) -> str:
    return _number(NONE if value is None else f"${value:.4f}".rstrip("0").rstrip("."))


def _error_rate(row: Row) -> str:
    if row.error_rate is None:
        return _number(NONE)
    return _number(f'{100 * row.error_rate:.1f} %<span class="sub">n = {row.requests:,}</span>')


_CELLS: dict[str, Callable[[Row], str]] = {
    "rank": _rank,
    "interval": lambda row: _number(_ends(row), "interval"),
    "votes": lambda row: _number(f"{row.votes:,}", "votes"),
    "organisation": lambda row: _text(row.organisation, "organisation"),
    "licence": _licence,
    "win_rate": lambda row: _share(row.win_rate),
    "both_bad_rate": lambda row: _share(row.both_bad_rate),
    "bootstrap": lambda row: _number(
        NONE if row.boot_lower is None else f"{row.boot_lower:.0f}–{row.boot_upper:.0f}"
    ),
    "status": lambda row: _text(row.status_text),
    "quantisation": lambda row: _text(row.quantisation),
    "parameters": lambda row: _number(escape(row.parameters) or NONE),
    "context_length": lambda row: _number(
        NONE if row.context_length is None else f"{row.context_length:,}"
    ),
    "price_input": lambda row: _price(row.price_input),
    "price_output": lambda row: _price(row.price_output),
    "price_answer": lambda row: _number(
        NONE if row.price_answer is None else dollars(row.price_answer)
    ),
    "error_rate": _error_rate,
    "first_token": lambda row: _number(
        NONE if row.first_token is None else f"{row.first_token:.2f} s"
    ),
    "tokens_per_second": lambda row: _number(
        NONE if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}"
    ),
    "memory_gb": lambda row: _number(NONE if row.memory_gb is None else f"{row.memory_gb:g} GB"),
    "knowledge_cutoff": lambda row: _text(row.knowledge_cutoff),
    "benchmarks": _average,
    "open_weights": lambda row: _text({True: "yes", False: "no", None: ""}[row.open_weights]),
}
