"""One vote, whatever file it came from, and what is said of a row that gives none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Winner = Literal["model_a", "model_b", "tie", "both_bad"]

AGAINST_ITSELF = "a model against itself"


class Unreadable(ValueError):
    """One row cannot be made a vote; the text says why, for the person who brought the file."""


class NotAVote(Exception):
    """The row is sound and says something other than a vote."""


@dataclass(frozen=True, slots=True)
class VoteRecord:
    """One judgement of two answers, or `count` equal ones of which only the number is known.

    `turn_messages` holds (prompt, answer of A, answer of B) of every turn where the source has the
    text, else nothing; a side that gave no answer has "". `extra` holds the few flags and tags of
    the source that say how to filter or to group: values as JSON has them, never an address.
    """

    model_a: str
    model_b: str
    winner: Winner
    external_id: str = ""  # the vote's name in its source, "" if it has none
    judge: str = ""  # an opaque name, equal for votes of one person or program; "" if unknown
    timestamp: datetime | None = None  # aware
    language: str = ""  # as the source spells it ("English", "en"); "" if unknown
    turns: int = 0  # 0 if unknown
    turn_messages: tuple[tuple[str, str, str], ...] = ()
    anonymous: bool = True  # the names were hidden until the vote
    pair_probability: float | None = None  # with which the sampler drew this pair
    count: int = 1
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    source_format: str = ""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that should be a vote and is not readable as one."""

    line: int  # of the file, from 1; in a JSON array the item
    reason: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """A sound row that gives no vote to count: a chat event, a model against itself."""

    line: int
    reason: str


Reading = VoteRecord | BadRow | Skipped
