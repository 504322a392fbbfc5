"""Exact match as lm-evaluation-harness's `exact_match`, after its filters.

Item: `target` (one or several references, the best counts), `choices` for `multi_choice_regex`.
Order of the normalisations, on both sides: patterns to ignore, case, punctuation, digits; `strip`
first (lm-eval has no such step; its regex filters strip what they find).
"""

from __future__ import annotations

import string
from collections.abc import Sequence
from dataclasses import dataclass, field

from .filters import FALLBACK, Step, apply, check
from .patterns import compiled, remove
from .score import Flag, Item, Response, Score, Scorer, references

_PUNCTUATION = str.maketrans("", "", string.punctuation)
_DIGITS = str.maketrans("", "", string.digits)


@dataclass(frozen=True, slots=True)
class Parameters:
    """lm-eval's names; `filter` is one filter list of the task."""

    filter: Sequence[Step] = field(default_factory=tuple)
    regexes_to_ignore: Sequence[str] = ()
    ignore_case: bool = False
    ignore_punctuation: bool = False
    ignore_numbers: bool = False
    strip: bool = False

    def __post_init__(self) -> None:
        check(self.filter)
        for pattern in self.regexes_to_ignore or ():
            compiled(pattern)


def exact_match(response: Response, item: Item, params: Parameters) -> Score:
    texts = apply(params.filter, [response.text], item.get("choices") or ())
    answer = texts[0] if texts else FALLBACK
    fallbacks = {s["fallback"] for s in params.filter if "fallback" in s} | {FALLBACK}
    if params.filter and answer in fallbacks:
        return Score(0.0, None, frozenset({Flag.UNPARSED}))
    ours = normalised(answer, params)
    same = any(ours == normalised(reference, params) for reference in references(item))
    return Score(float(same), answer)


def normalised(text: str, params: Parameters) -> str:
    if params.strip:
        text = text.strip()
    for pattern in params.regexes_to_ignore or ():
        text = remove(pattern, text)
    if params.ignore_case:
        text = text.lower()
    if params.ignore_punctuation:
        text = text.translate(_PUNCTUATION)
    if params.ignore_numbers:
        text = text.translate(_DIGITS)
    return text


EXACT_MATCH = Scorer("exact_match", "1.0.0", Parameters, exact_match)
