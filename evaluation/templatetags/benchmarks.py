"""Scores, differences and whiskers on the benchmarks' pages."""

from __future__ import annotations

from typing import Any

from django import template
from django.utils.html import format_html
from django.utils.safestring import SafeString

from evaluation.results import figures
from evaluation.results.figures import Axis

register = template.Library()


@register.filter
def score(value: float | None, percent: bool) -> str:
    return figures.score(value, percent=percent)


@register.simple_tag
def interval(low: float | None, high: float | None, percent: bool) -> str:
    return figures.interval(low, high, percent=percent)


@register.filter
def points(value: float | None, percent: bool) -> str:
    return figures.points(value, percent=percent)


@register.filter
def signed(value: float | None) -> str:
    """A difference in whole numbers, as ratings have them."""
    return figures.NONE if value is None else f"{value:+.0f}".replace("-", "−")


@register.filter
def money(value: Any) -> str:
    return figures.money(None if value is None else float(value))


@register.filter
def duration(seconds: float | None) -> str:
    return figures.duration(seconds)


@register.filter
def heat(share: float) -> str:
    """The class of a cell's colour; its number stands in the cell."""
    return f"heat-{min(4, int(5 * share))}"


@register.filter
def whole(value: float, percent: bool) -> str:
    """An end of an axis."""
    return f"{100 * value:.0f} %" if percent else f"{value:g}"


@register.simple_tag
def whisker(axis: Axis | None, value: float | None, low: float | None, high: float | None) -> Any:
    """The interval and its point, drawn; the numbers stand beside it."""
    if axis is None or value is None or low is None or high is None:
        return ""
    left, point = axis.percent(low), axis.percent(value)
    return _whisker(left, axis.percent(high) - left, point)


def _whisker(left: float, width: float, point: float) -> SafeString:
    return format_html(
        '<svg class="whisker" width="100%" height="16" aria-hidden="true">'
        '<rect x="{}%" width="{}%" y="6.5" height="3" rx="1.5"/><circle cx="{}%" cy="8" r="4"/>'
        "</svg>",
        f"{left:.2f}",
        f"{width:.2f}",
        f"{point:.2f}",
    )
