"""What the board says of how a model has answered of late, and of what an answer of it costs.

From the figures that `leaderboard.reliability` wrote down, and the prices of the model's card.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, log10
from typing import Any, TypedDict

from arena.models import Contestant

# Of a contestant; `answering` takes their values in this order.
FIELDS = tuple(
    f"reliability__{name}"
    for name in (
        *("requests", "failed", "first_token", "tokens_per_second"),
        *("input_tokens", "output_tokens"),
    )
)


class Answering(TypedDict):
    """Fields of a Row; None where nothing is known."""

    requests: int | None
    error_rate: float | None
    first_token: float | None
    tokens_per_second: float | None
    price_answer: float | None


NOTHING: Answering = {
    "requests": None,
    "error_rate": None,
    "first_token": None,
    "tokens_per_second": None,
    "price_answer": None,
}


def answering(figures: Sequence[Any], *, price_in: Any, price_out: Any) -> Answering:
    """From the values of FIELDS and the prices of the card, per million tokens."""
    requests, failed, first_token, tokens_per_second, asked, answered = figures
    if not requests:
        return NOTHING
    return {
        "requests": requests,
        "error_rate": round(failed / requests, 5),
        "first_token": first_token,
        "tokens_per_second": tokens_per_second,
        "price_answer": _price(price_in, price_out, asked, answered),
    }


def _price(
    price_in: Any, price_out: Any, asked: float | None, answered: float | None
) -> float | None:
    """In USD, of an answer of the mean length to a question of the mean length."""
    if price_in is None or price_out is None or asked is None or answered is None:
        return None
    return round((asked * float(price_in) + answered * float(price_out)) / 1_000_000, 9)


def dollars(price: float) -> str:
    """With two digits at least: an answer may cost a thousandth of a cent."""
    places = 2 if price <= 0 else max(2, 1 - floor(log10(price)))
    return f"${price:.{places}f}"


def answering_of(slug: str) -> Answering | None:
    """Of one model; None where it has not been asked of late."""
    known = Contestant.objects.filter(slug=slug, reliability__isnull=False)
    found = known.values_list("price_input", "price_output", *FIELDS).first()
    if found is None:
        return None
    price_in, price_out, *figures = found
    return answering(figures, price_in=price_in, price_out=price_out)
