"""Needle in a haystack: was it found?

`contains` over the needle's own words, so that a random key cannot be guessed. Item: `target`,
`length` (tokens), `depth` (per cent); `evaluation.needles` makes cells of them.
"""

from __future__ import annotations

from dataclasses import replace

from . import contains
from .score import Item, Response, Score, Scorer


def needle(response: Response, item: Item, params: contains.Parameters) -> Score:
    score = contains.contains(response, item, params)
    where = {key: item[key] for key in ("length", "depth") if key in item}
    return replace(score, details={**score.details, **where})


NEEDLE = Scorer("needle", "1.0.0", contains.Parameters, needle)
