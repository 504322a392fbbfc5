"""Charts as SVG text, drawn on the server: no script, no font, no request.

No Django. Colours are custom properties of the page's theme with a fallback, so that the same text
serves inside a page and as a file of its own. Every label passes through `_text`, which escapes.
Each chart has a table with the same numbers beside it in the templates; to a screen reader the
picture is one labelled image.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape

INK = "var(--text, #1a1a19)"
MUTED = "var(--muted, #5c5c56)"
LINE = "var(--line, #deded8)"
ACCENT = "var(--accent, #4340c4)"
LOSS = "var(--chart-low, #b4540a)"  # below one half
WIN = "var(--chart-high, #2f5fd0)"  # above it
SERIES = tuple(
    f"var(--series-{n}, {colour})"
    for n, colour in enumerate(
        ("#4340c4", "#08715b", "#b4540a", "#a01c63", "#2f6f9f", "#6b7300", "#7a3db8", "#5c5c56"), 1
    )
)
CHAR = 6.6  # width of one character at 12 px, to reserve room for labels
FEW_VOTES = 10  # a win fraction from fewer is hatched


@dataclass(frozen=True, slots=True)
class Bar:
    """A horizontal interval or a bar. Without `point` nothing is drawn but the label."""

    label: str
    point: float | None
    lower: float | None = None
    upper: float | None = None
    href: str = ""


@dataclass(frozen=True, slots=True)
class Moment:
    day: date
    rating: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Dot:
    label: str
    x: float
    y: float
    lower: float | None = None  # of y
    upper: float | None = None
    left: float | None = None  # of x
    right: float | None = None


def ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Round numbers from `low` to `high`, about as many as asked."""
    if not high > low:
        return [low]
    raw = (high - low) / about
    size = 10 ** math.floor(math.log10(raw))
    step = next(size * m for m in (1, 2, 2.5, 5, 10) if size * m >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(n * step, 10) for n in range(first, math.floor(high / step + 1e-9) + 1)]


def intervals(rows: Sequence[Bar], *, title: str, unit: str = "Elo") -> str:
    """One line a model: its rating and its interval on a common axis, best first."""
    drawn = [row for row in rows if row.point is not None]
    bounds = [b for row in drawn for b in (row.lower, row.point, row.upper) if b is not None]
    return _horizontal(rows, bounds, title=title, unit=unit, from_zero=False)


def bars(rows: Sequence[Bar], *, title: str, unit: str) -> str:
    """One bar a row from zero, with a whisker where there is an interval."""
    bounds = [b for row in rows for b in (row.point, row.upper) if b is not None]
    return _horizontal(rows, [0.0, *bounds], title=title, unit=unit, from_zero=True)


def _horizontal(
    rows: Sequence[Bar], bounds: Sequence[float], *, title: str, unit: str, from_zero: bool
) -> str:
    left = 16 + CHAR * min(34, max((len(row.label) for row in rows), default=0))
    width, height = 880.0, 22 * len(rows) + 48.0
    low, high = _span(bounds, from_zero)
    scale = _Scale(low, high, left, width - 56)
    parts = [_grid_x(scale, 8, height - 36, unit)]
    for number, row in enumerate(rows):
        y = 8 + 22 * number + 14.0
        parts.append(_text(left - 10, y + 4, _short(row.label), anchor="end", href=row.href))
        if row.point is None:
            continue
        x = scale(row.point)
        if from_zero:
            parts.append(
                f'<rect x="{scale(0):.1f}" y="{y - 6:.1f}" width="{max(0.5, x - scale(0)):.1f}" '
                f'height="12" rx="2" fill="{ACCENT}" fill-opacity="0.35"/>'
            )
        if row.lower is not None and row.upper is not None:
            parts.append(
                f'<path d="M{scale(row.lower):.1f} {y:.1f}H{scale(row.upper):.1f}" '
                f'stroke="{ACCENT}" stroke-width="3" stroke-opacity="0.45" stroke-linecap="round"/>'
            )
        if not from_zero:
            parts.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{ACCENT}"/>')
        at = max(x, scale(row.upper) if row.upper is not None else x) + 9
        parts.append(_text(at, y + 4, _number(row.point), fill=MUTED, size=11))
    return _svg(width, height, title, parts)


def matrix(
    labels: Sequence[str],
    values: Sequence[Sequence[float | None]],
    counts: Sequence[Sequence[int]] | None,
    *,
    title: str,
    percent: bool,
) -> str:
    """A square of cells, row against column; None stays blank.

    With `percent`, values are shares between 0 and 1 on a scale that turns at one half, and cells
    with fewer than FEW_VOTES `counts` are hatched; else they are numbers on one hue.
    """
    size = len(labels)
    cell = max(15.0, min(46.0, 720 / max(1, size)))
    left = 14 + CHAR * min(30, max((len(label) for label in labels), default=0))
    top = left * 0.75 + 8
    width, height = left + cell * size + 40, top + cell * size + 8
    high = max((v for row in values for v in row if v is not None), default=1.0) or 1.0
    parts = [
        '<defs><pattern id="few" width="5" height="5" patternUnits="userSpaceOnUse" '
        f'patternTransform="rotate(45)"><path d="M0 0V5" stroke="{INK}" stroke-width="1.4" '
        'stroke-opacity="0.5"/></pattern></defs>'
    ]
    for i, label in enumerate(labels):
        middle = top + cell * (i + 0.5)
        parts.append(_text(left - 8, middle + 4, _short(label, 30), anchor="end"))
        x = left + cell * (i + 0.5) + 3
        parts.append(_text(x, top - 8, _short(label, 30), rotate=-48))
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            x, y = left + cell * j, top + cell * i
            box = f'x="{x:.1f}" y="{y:.1f}" width="{cell - 1:.1f}" height="{cell - 1:.1f}"'
            if value is None:
                parts.append(f'<rect {box} fill="{LINE}" fill-opacity="0.3"/>')
                continue
            few = counts is not None and counts[i][j] < FEW_VOTES
            hue, depth = _shade(value, high, percent)
            said = f"{value:.0%}" if percent else _number(value)
            note = f" of {counts[i][j]} battles" if counts is not None else ""
            parts.append(
                f'<rect {box} fill="{hue}" fill-opacity="{depth:.2f}">'
                f"<title>{escape(labels[i])} against {escape(labels[j])}: {said}{note}</title>"
                "</rect>"
            )
            if few:
                parts.append(f'<rect {box} fill="url(#few)" pointer-events="none"/>')
            if cell >= 26:
                figure = f"{100 * value:.0f}" if percent else _compact(value)
                parts.append(
                    _text(
                        x + cell / 2,
                        y + cell / 2 + 4,
                        figure,
                        anchor="middle",
                        size=11,
                        on_top=True,
                    )
                )
    return _svg(width, height, title, parts)


def _shade(value: float, high: float, percent: bool) -> tuple[str, float]:
    if percent:
        return (WIN if value >= 0.5 else LOSS), min(0.75, abs(value - 0.5) * 1.7)
    return ACCENT, 0.05 + 0.6 * math.sqrt(value / high)


def history(series: Sequence[tuple[str, Sequence[Moment]]], *, title: str) -> str:
    """Ratings over time, each with its interval as a band; at most eight lines are told apart."""
    width, height, right = 880.0, 380.0, 200.0
    shown = [(label, points) for label, points in series if points][: len(SERIES)]
    moments = [moment for _, points in shown for moment in points]
    if not moments:
        return _svg(width, 60, title, [_text(16, 34, "No snapshots in this range.", fill=MUTED)])
    low, high = _span([b for m in moments for b in (m.lower, m.upper)], False)
    days = [m.day.toordinal() for m in moments]
    x = _Scale(min(days), max(max(days), min(days) + 1), 56, width - right)
    y = _Scale(low, high, height - 40, 14)
    parts = [_grid_y(y, 56, width - right)]
    for tick in sorted({round(tick) for tick in ticks(min(days), max(days), 5)}):
        day = date.fromordinal(tick)
        parts.append(
            _text(x(tick), height - 18, f"{day:%-d %b %Y}", anchor="middle", fill=MUTED, size=11)
        )
    ends: list[tuple[float, str, str]] = []
    for (label, points), colour in zip(shown, SERIES, strict=False):
        at = [(x(m.day.toordinal()), m) for m in points]
        upper = " ".join(f"{px:.1f},{y(m.upper):.1f}" for px, m in at)
        lower = " ".join(f"{px:.1f},{y(m.lower):.1f}" for px, m in reversed(at))
        line = " ".join(f"{px:.1f},{y(m.rating):.1f}" for px, m in at)
        parts.append(f'<polygon points="{upper} {lower}" fill="{colour}" fill-opacity="0.14"/>')
        parts.append(
            f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2" '
            'stroke-linejoin="round"/>'
        )
        last = at[-1]
        parts.append(
            f'<circle cx="{last[0]:.1f}" cy="{y(last[1].rating):.1f}" r="3.5" fill="{colour}"/>'
        )
        ends.append((y(last[1].rating), label, colour))
    for at_y, label, colour in _spread(ends, 15, height - 40):
        parts.append(_text(width - right + 12, at_y + 4, _short(label, 28), fill=colour))
    return _svg(width, height, title, parts)


def scatter(
    dots: Sequence[Dot],
    *,
    title: str,
    x_label: str,
    y_label: str = "Arena Elo",
    log_x: bool = False,
    pareto: bool = False,
    line: tuple[float, float] | None = None,
) -> str:
    """Rating against something; `pareto` joins the models that nobody beats on both axes.

    Less of x is better there (price, latency, size). `line` is (slope, intercept) of one to draw.
    Dots are named in their order, as long as there is room; each has its name as its title.
    """
    width, height = 880.0, 420.0
    dots = [dot for dot in dots if not log_x or dot.x > 0]
    if not dots:
        return _svg(width, 60, title, [_text(16, 34, "Nothing to compare yet.", fill=MUTED)])
    xs = [math.log10(dot.x) if log_x else dot.x for dot in dots]
    low, high = _span([b for d in dots for b in (d.lower, d.y, d.upper) if b is not None], False)
    sides = [b for d in dots for b in (d.left, d.right) if b is not None]
    x = _Scale(*_span([*xs, *sides], False), 60, width - 150)
    y = _Scale(low, high, height - 48, 14)
    parts = [_grid_y(y, 60, width - 150)]
    for tick in ticks(x.low, x.high):
        shown = 10**tick if log_x else tick
        parts.append(
            _text(x(tick), height - 28, _compact(shown), anchor="middle", fill=MUTED, size=11)
        )
    parts.append(_text((60 + width - 150) / 2, height - 8, x_label, anchor="middle", fill=MUTED))
    parts.append(_text(14, 24, y_label, fill=MUTED, size=11))
    if pareto:
        best, front = -math.inf, []
        for dot, at in sorted(zip(dots, xs, strict=True), key=lambda pair: (pair[1], -pair[0].y)):
            if dot.y > best:
                best = dot.y
                front.append(f"{x(at):.1f},{y(dot.y):.1f}")
        parts.append(
            f'<polyline points="{" ".join(front)}" fill="none" stroke="{MUTED}" '
            'stroke-dasharray="4 4"/>'
        )
    if line is not None:
        slope, intercept = line
        parts.append(_straight(slope, intercept, x, y))
    names = _Room()
    for dot, at in zip(dots, xs, strict=True):
        names.take(x(at) - 5, y(dot.y) - 5, 10, 10)
    for dot, at in zip(dots, xs, strict=True):
        ends = ""
        if dot.lower is not None and dot.upper is not None:
            ends += f"M{x(at):.1f} {y(dot.lower):.1f}V{y(dot.upper):.1f}"
        if dot.left is not None and dot.right is not None:
            ends += f"M{x(dot.left):.1f} {y(dot.y):.1f}H{x(dot.right):.1f}"
        if ends:
            parts.append(
                f'<path d="{ends}" stroke="{ACCENT}" stroke-opacity="0.35" stroke-width="2"/>'
            )
        parts.append(
            f'<circle cx="{x(at):.1f}" cy="{y(dot.y):.1f}" r="4.5" fill="{ACCENT}">'
            f"<title>{escape(dot.label)}: {_number(dot.x)}, {_number(dot.y)}</title></circle>"
        )
        name = _short(dot.label, 24)
        wide = 0.92 * CHAR * len(name)
        if names.free(x(at) + 7, y(dot.y) - 6, wide, 12):
            parts.append(_text(x(at) + 8, y(dot.y) + 4, name, size=11))
        elif x(at) - 7 - wide > 60 and names.free(x(at) - 7 - wide, y(dot.y) - 6, wide, 12):
            parts.append(_text(x(at) - 8, y(dot.y) + 4, name, anchor="end", size=11))
    return _svg(width, height, title, parts)


def _straight(slope: float, intercept: float, x: _Scale, y: _Scale) -> str:
    """The part of a line that lies in the picture."""
    left, right = x.low, x.high
    if slope:
        at_low, at_high = sorted(((y.low - intercept) / slope, (y.high - intercept) / slope))
        left, right = max(left, at_low), min(right, at_high)
    start, end = intercept + slope * left, intercept + slope * right
    return (
        f'<path d="M{x(left):.1f} {y(start):.1f}L{x(right):.1f} {y(end):.1f}" stroke="{MUTED}" '
        'stroke-dasharray="2 4"/>'
    )


# --- drawing ---------------------------------------------------------------------------------


class _Room:
    """Where something stands already, by bands of BAND pixels: hundreds of labels are compared."""

    BAND = 16

    def __init__(self) -> None:
        self._taken: dict[int, list[tuple[float, float, float, float]]] = {}

    def take(self, x: float, y: float, width: float, height: float) -> None:
        for band in self._bands(y, height):
            self._taken.setdefault(band, []).append((x, y, x + width, y + height))

    def free(self, x: float, y: float, width: float, height: float) -> bool:
        """Whether nothing stands there; if so, it is taken now."""
        for band in self._bands(y, height):
            for left, top, right, bottom in self._taken.get(band, ()):
                if x < right and left < x + width and y < bottom and top < y + height:
                    return False
        self.take(x, y, width, height)
        return True

    def _bands(self, y: float, height: float) -> range:
        return range(int(y // self.BAND), int((y + height) // self.BAND) + 1)


class _Scale:
    """From values to pixels, straight."""

    def __init__(self, low: float, high: float, start: float, end: float) -> None:
        self.low, self.high, self._start = low, high, start
        self._factor = (end - start) / (high - low)

    def __call__(self, value: float) -> float:
        return self._start + (value - self.low) * self._factor


def _span(values: Iterable[float], from_zero: bool) -> tuple[float, float]:
    """The least and the greatest with some air around them; never empty."""
    finite = [value for value in values if math.isfinite(value)] or [0.0, 1.0]
    low, high = min(finite), max(finite)
    air = 0.04 * (high - low) or max(1.0, abs(high) * 0.05)
    return (low if from_zero else low - air), high + air


def _grid_x(scale: _Scale, top: float, bottom: float, unit: str) -> str:
    parts = []
    for tick in ticks(scale.low, scale.high):
        x = scale(tick)
        parts.append(f'<path d="M{x:.1f} {top:.1f}V{bottom:.1f}" stroke="{LINE}"/>')
        parts.append(_text(x, bottom + 16, _number(tick), anchor="middle", fill=MUTED, size=11))
    parts.append(
        _text(scale(scale.high) + 50, bottom + 32, unit, anchor="end", fill=MUTED, size=11)
    )
    return "".join(parts)


def _grid_y(scale: _Scale, left: float, right: float) -> str:
    parts = []
    for tick in ticks(scale.low, scale.high):
        y = scale(tick)
        parts.append(f'<path d="M{left:.1f} {y:.1f}H{right:.1f}" stroke="{LINE}"/>')
        parts.append(_text(left - 8, y + 4, _number(tick), anchor="end", fill=MUTED, size=11))
    return "".join(parts)


def _spread(
    labels: list[tuple[float, str, str]], gap: float, bottom: float
) -> list[tuple[float, str, str]]:
    """Labels moved apart so that none covers another, the lowest not below `bottom`."""
    placed: list[tuple[float, str, str]] = []
    for y, label, colour in sorted(labels):
        placed.append((max(y, placed[-1][0] + gap if placed else y), label, colour))
    shift = max(0.0, placed[-1][0] - bottom) if placed else 0.0
    return [(y - shift, label, colour) for y, label, colour in placed]


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    fill: str = INK,
    size: int = 12,
    rotate: float = 0,
    href: str = "",
    on_top: bool = False,
) -> str:
    turn = f' transform="rotate({rotate:.0f} {x:.1f} {y:.1f})"' if rotate else ""
    passive = ' pointer-events="none"' if on_top else ""
    text = (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" '
        f'fill="{fill}"{turn}{passive}>{escape(words)}</text>'
    )
    return f'<a href="{escape(href)}">{text}</a>' if href else text


def _svg(width: float, height: float, title: str, parts: Iterable[str]) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" aria-label="{escape(title)}" '
        'font-family="system-ui, sans-serif">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )


def _short(label: str, limit: int = 34) -> str:
    return label if len(label) <= limit else label[: limit - 1] + "…"


def _number(value: float) -> str:
    if abs(value) >= 100 or value == round(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _compact(value: float) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"
