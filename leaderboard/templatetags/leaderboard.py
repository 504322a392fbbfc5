"""What other pages show of the leaderboard."""

from __future__ import annotations

from typing import Any

from django import template

from leaderboard.models import OVERALL, Rating

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
