"""Does the response contain the references? Case is ignored, as in RULER.

`any`: 1 if one reference occurs (RULER's string_match_part); `all`: the share of the references
that occur (string_match_all). Source: Hsieh et al., RULER, arXiv:2404.06654. Item: `target`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .score import Item, Response, Score, Scorer, references


@dataclass(frozen=True, slots=True)
class Parameters:
    match: str = "any"
    ignore_case: bool = True

    def __post_init__(self) -> None:
        if self.match not in {"any", "all"}:
            raise ValueError("contains matches any or all")


def contains(response: Response, item: Item, params: Parameters) -> Score:
    text = response.text.lower() if params.ignore_case else response.text
    wanted = references(item)
    found = [r for r in wanted if (r.lower() if params.ignore_case else r) in text]
    value = float(bool(found)) if params.match == "any" else len(found) / len(wanted)
    return Score(value, "; ".join(found) or None, details={"found": found})


CONTAINS = Scorer("contains", "1.0.0", Parameters, contains)
