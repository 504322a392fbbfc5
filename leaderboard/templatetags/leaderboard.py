"""What other pages show of the leaderboard."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from django import template
from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from leaderboard.board.answering import dollars
from leaderboard.models import OVERALL, Method, Rating

register = template.Library()


@register.inclusion_tag("leaderboard/_standing.html")
def standing(slug: str) -> dict[str, Any]:
    """The current rank and interval of the contestant with this slug, from the last snapshot."""
    rating = Rating.objects.filter(
        snapshot__category__slug=OVERALL, snapshot__superseded=False, contestant__slug=slug
    ).first()
    if rating is None or rating.rating is None or rating.lower is None or rating.upper is None:
        return {"rating": rating, "point": None}
    return {
        "rating": rating,
        "point": round(rating.rating),
        "plus": round(rating.upper - rating.rating),
        "minus": round(rating.rating - rating.lower),
    }


@register.filter
def lookup(mapping: Mapping[str, Any], key: str) -> Any:
    """The value under a key that is only known in the template; the key itself if there is none."""
    return mapping.get(key, key)


@register.filter
def method_name(value: str) -> str:
    return str(Method(value).label)


@register.filter
def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


@register.filter
def spaced(name: str) -> str:
    """A value of the database as words."""
    return name.replace("_", " ")


register.filter("dollars", dollars)


@register.filter
def as_json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


@register.filter
def backticks(text: str) -> SafeString:
    """Words between backticks as code."""
    return mark_safe(re.sub(r"`([^`]*)`", r"<code>\1</code>", escape(text)))  # noqa: S308 - escaped


@register.simple_tag
def share(part: int, taken: int, whole: int) -> str:
    """`part` of `whole` in per cent; with `taken`, what is left before the last `taken`."""
    if taken:
        return f"{100 * (whole - taken) / whole:.2f}%"
    return f"{100 * part / whole:.2f}%"
