"""Scorers: pure functions of (response, item, params), each under an id and a version.

`scorer("exact_match")` is the newest, `scorer("exact_match@1.0.0")` that one and no other. BLEU
and chrF are not among them: they would bring sacrebleu for no benchmark of the board.
"""

from __future__ import annotations

from typing import Any

from .code import CODE, pass_at_k
from .contains import CONTAINS
from .exact_match import EXACT_MATCH
from .ifeval import IFEVAL
from .judge import JUDGE_PAIRWISE, JUDGE_SINGLE
from .multiple_choice import MULTIPLE_CHOICE
from .needle import NEEDLE
from .numeric import NUMERIC
from .patterns import PatternTimedOut
from .score import Flag, Item, Response, Score, Scorer
from .token_f1 import TOKEN_F1

__all__ = [
    "SCORERS",
    "Flag",
    "Item",
    "PatternTimedOut",
    "Response",
    "Score",
    "Scorer",
    "pass_at_k",
    "scorer",
]

# Oldest first: a changed scorer is added, and the version that stored scores name stays.
_ALL: tuple[Scorer[Any], ...] = (
    EXACT_MATCH,
    NUMERIC,
    MULTIPLE_CHOICE,
    CONTAINS,
    TOKEN_F1,
    CODE,
    IFEVAL,
    JUDGE_SINGLE,
    JUDGE_PAIRWISE,
    NEEDLE,
)
SCORERS: dict[str, Scorer[Any]] = {one.key: one for one in _ALL}
_NEWEST: dict[str, Scorer[Any]] = {one.id: one for one in _ALL}


def scorer(name: str) -> Scorer[Any]:
    """By "id" or "id@version". Raises ValueError, naming what there is."""
    found = SCORERS.get(name) or _NEWEST.get(name)
    if found is None:
        raise ValueError(f"no scorer {name!r}; there are {', '.join(sorted(SCORERS))}")
    return found
