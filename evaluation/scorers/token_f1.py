"""F1 over the tokens two answers share, after SQuAD's normalisation.

Lower case, no punctuation, no articles, white space collapsed; the best reference counts; without
tokens on one side, 1 if there are none on the other either. Source: Rajpurkar et al., SQuAD,
arXiv:1606.05250 and version 2's official script. Item: `target`.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from dataclasses import dataclass

from .score import Item, Response, Score, Scorer, references

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


@dataclass(frozen=True, slots=True)
class Parameters:
    """There is nothing to choose: SQuAD fixed it."""


def token_f1(response: Response, item: Item, params: Parameters) -> Score:
    ours = tokens(response.text)
    theirs = [tokens(reference) for reference in references(item)]
    value = max(f1(ours, reference) for reference in theirs)
    return Score(value, " ".join(ours) or None, details={"exact": ours in theirs})


def tokens(text: str) -> list[str]:
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def f1(ours: list[str], theirs: list[str]) -> float:
    """2·P·R / (P + R) of the shared tokens, in [0, 1]."""
    if not ours or not theirs:
        return float(ours == theirs)
    shared = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * shared / (len(ours) + len(theirs))


TOKEN_F1 = Scorer("token_f1", "1.0.0", Parameters, token_f1)
