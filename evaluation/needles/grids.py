"""Needle in a haystack: a sentence hidden in a long text, at several lengths and depths.

`make_items` writes the grid, `grid` reads the answers into cells. A cell is never filled in by its
neighbours, and a length that the endpoint refused is "not supported", which is not zero.

Idea: Kamradt, LLMTest_NeedleInAHaystack: a buffer of 200 tokens for the question and the answer,
the needle between two sentences, depth 100 at the very end. Unlike there each cell has a key and a
number of its own, so that no answer can be guessed, or known from another cell.
"""

from __future__ import annotations

import bisect
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

BUFFER = 200  # tokens of a length that are not filler: the question, the answer, the chat template
CHARACTERS_PER_TOKEN = 4.0  # of English, where the endpoint's tokenizer is not known
SHORTEST = 400  # tokens: below, the buffer is most of it
MOST_CHARACTERS = 100_000_000  # of all haystacks of a grid together, which the database keeps once
PLACE = "{{haystack}}"  # in stored messages, where the item's haystack stands in what is sent

_ADJECTIVES = (
    "amber", "brisk", "calm", "distant", "early", "faded", "gentle", "hollow", "idle", "jagged",
    "keen", "lunar", "mellow", "narrow", "olive", "patient", "quiet", "rustic", "silver", "tidal",
    "upper", "velvet", "wooden", "yellow",
)  # fmt: skip
_NOUNS = (
    "anchor", "beacon", "canyon", "desert", "ember", "falcon", "garden", "harbour", "island",
    "juniper", "kettle", "lantern", "meadow", "needle", "orchard", "pebble", "quarry", "river",
    "saddle", "timber", "umbrella", "valley", "willow", "yarrow",
)  # fmt: skip


class BadGrid(ValueError):
    """The grid cannot be made; the text is for whoever asked for it."""


# --- writing --------------------------------------------------------------------------------------


def make_items(
    *,
    lengths: Sequence[int],
    depths: Sequence[float],
    seeds: int,
    seed: int,
    filler: str,
    characters_per_token: float = CHARACTERS_PER_TOKEN,
) -> list[dict[str, Any]]:
    """The items of a grid, the shortest first, so that a refusal comes before what it spares.

    `seeds` places are tried for each length and depth. The same `seed` makes the same grid. A
    filler that is too short is repeated. Raises BadGrid.
    """
    lengths = sorted(set(lengths))
    depths = sorted({depth if depth % 1 else int(depth) for depth in depths})
    _check(lengths, depths, seeds, characters_per_token)
    sentences = _sentences(filler)
    total = sum(lengths) * len(depths) * seeds * characters_per_token
    if total > MOST_CHARACTERS:
        raise BadGrid(
            f"{len(lengths) * len(depths) * seeds:,} haystacks of together {total / 1e6:,.0f} "
            f"million characters are more than {MOST_CHARACTERS / 1e6:,.0f} million: take fewer "
            "lengths, depths or seeds"
        )
    items: list[dict[str, Any]] = []
    keys: set[str] = set()
    for length in lengths:
        for depth in depths:
            for number in range(1, seeds + 1):
                chance = random.Random(f"{seed}/{length}/{depth:g}/{number}")  # noqa: S311
                key = _new_key(chance, keys)
                secret = chance.randint(1_000_000, 9_999_999)
                needle = f"The access number of the {key} is {secret}."
                room = int((length - BUFFER) * characters_per_token) - len(needle) - 2
                haystack = _haystack(sentences, room, start=chance.randrange(len(sentences)))
                items.append(
                    {
                        "length": length,
                        "depth": depth,
                        "seed": number,
                        "haystack": insert(haystack, needle, depth=depth),
                        "question": f"What is the access number of the {key}?",
                        "needle": needle,
                        "answers": [str(secret), f"{secret:,}"],
                    }
                )
    return items


def _check(
    lengths: Sequence[int], depths: Sequence[float], seeds: int, characters_per_token: float
) -> None:
    if not lengths or lengths[0] < SHORTEST:
        raise BadGrid(f"lengths are whole numbers of tokens from {SHORTEST}")
    if not depths or not (depths[0] >= 0 and depths[-1] <= 100):
        raise BadGrid("depths are per cent, from 0 (the beginning) to 100 (the end)")
    if not 1 <= seeds <= 100:
        raise BadGrid("seeds, the tries for each cell, are 1 to 100")
    if not 1 <= characters_per_token <= 10:
        raise BadGrid("a token has from 1 to 10 characters")


def _sentences(filler: str) -> list[str]:
    """Of any text: white space is one space, and a sentence ends where a reader would say so."""
    plain = " ".join(filler.split())
    if PLACE in plain:
        raise BadGrid(f"the filler may not contain {PLACE}")
    sentences = [one for one in re.split(r"(?<=[.!?])\s", plain) if one]
    if len(plain) < 1_000 or len(sentences) < 10:
        raise BadGrid("the filler is a text of at least 1,000 characters and ten sentences")
    return sentences


def _haystack(sentences: Sequence[str], room: int, *, start: int) -> list[str]:
    """Whole sentences from `start` on, round and round, of at most `room` characters together."""
    chosen: list[str] = []
    for number in range(start, start + 10 * room):
        sentence = sentences[number % len(sentences)]
        room -= len(sentence) + 1
        if room < 0:
            break
        chosen.append(sentence)
    return chosen


def insert(sentences: Sequence[str], needle: str, *, depth: float) -> str:
    """The text with the needle at `depth` per cent of it, before the sentence that spans that
    place; at 100 at the end."""
    ends = list(accumulate(len(one) + 1 for one in sentences))
    if depth >= 100 or not ends:
        place = len(ends)
    else:
        place = bisect.bisect_right(ends, ends[-1] * depth / 100)
    return " ".join([*sentences[:place], needle, *sentences[place:]])


def _new_key(chance: random.Random, taken: set[str]) -> str:
    while True:
        key = f"{chance.choice(_ADJECTIVES)} {chance.choice(_NOUNS)}"
        if len(taken) >= len(_ADJECTIVES) * len(_NOUNS) // 2:
            key += f" {chance.randint(10, 99_999)}"
        if key not in taken:
            taken.add(key)
            return key


# --- what the database keeps of it ----------------------------------------------------------------


def without_haystack(
    messages: Iterable[Mapping[str, str]], fields: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Messages to be stored: the haystack is with the item already, and a run needs no copy."""
    return [
        {**one, "content": one["content"].replace(fields["haystack"], PLACE)} for one in messages
    ]


def with_haystack(
    messages: Iterable[Mapping[str, str]], fields: Mapping[str, Any]
) -> list[dict[str, str]]:
    """Stored messages as they are sent."""
    return [
        {**one, "content": one["content"].replace(PLACE, fields["haystack"])} for one in messages
    ]


# --- reading --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Try:
    """One place tried once; `score` None: not answered, or not scored yet."""

    length: int
    depth: float
    score: float | None
    supported: bool = True
    prompt_tokens: int | None = None  # as the endpoint reported: what the length truly was


@dataclass(frozen=True, slots=True)
class Cell:
    """`n` samples have a score, and `score` is their mean: None without any.

    `prompt_tokens` is the mean of what the endpoint reported. `supported` False: the endpoint said
    that this length, or a shorter one, exceeds its context.
    """

    length: int
    depth: float
    n: int
    score: float | None
    supported: bool
    prompt_tokens: int | None


@dataclass(frozen=True, slots=True)
class Grid:
    """`rows[i][j]`: rows are lengths, columns depths, both ascending."""

    lengths: tuple[int, ...]
    depths: tuple[float, ...]
    rows: tuple[tuple[Cell, ...], ...]

    @property
    def cells(self) -> tuple[Cell, ...]:
        return tuple(cell for row in self.rows for cell in row)

    @property
    def supported_length(self) -> int | None:
        """The longest length that the endpoint took; None without any."""
        return max((row[0].length for row in self.rows if row[0].supported), default=None)


def grid(tries: Iterable[Try]) -> Grid:
    """Tries to cells. One refusal makes that length unsupported, and every longer one."""
    tries = list(tries)
    lengths = tuple(sorted({one.length for one in tries}))
    depths = tuple(sorted({one.depth for one in tries}))
    refused = min((one.length for one in tries if not one.supported), default=None)
    places: dict[tuple[int, float], list[Try]] = {}
    for one in tries:
        places.setdefault((one.length, one.depth), []).append(one)

    def cell(length: int, depth: float) -> Cell:
        here = places.get((length, depth), [])
        scores = [one.score for one in here if one.score is not None]
        tokens = [one.prompt_tokens for one in here if one.prompt_tokens is not None]
        return Cell(
            length,
            depth,
            n=len(scores),
            score=sum(scores) / len(scores) if scores else None,
            supported=refused is None or length < refused,
            prompt_tokens=round(sum(tokens) / len(tokens)) if tokens else None,
        )

    rows = tuple(tuple(cell(length, depth) for depth in depths) for length in lengths)
    return Grid(lengths, depths, rows)
