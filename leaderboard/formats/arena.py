"""This arena's own public votes: a CSV without texts from which every snapshot can be recomputed.

One row a vote, those that do not count too, with the reason. The voter is a pseudonym. `digest`
is the beginning of SHA-256 over the row's other cells, so that a change is found where it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Any

from leaderboard.formats import values
from leaderboard.formats.csv_cells import TableWriter
from leaderboard.formats.records import (
    BadRow,
    Reading,
    VoteRecord,
    Winner,
)
from leaderboard.formats.source import Head, Row, Source, UnknownFormat

name = "arena"
title = "Public votes of an arena"

STYLES = ("tokens", "headers", "lists", "bold")
STYLE_COLUMNS = tuple(f"{style}_{side}" for style in STYLES for side in "ab")
COLUMNS = (
    *("vote_id", "model_a", "model_b", "winner", "voter", "timestamp", "turns", "language"),
    *("prompt_tokens", "flags", "pair_probability", "source"),
    *("counted", "exclusion_reason", "categories"),
    *STYLE_COLUMNS,
    "digest",
)
DIGEST_LENGTH = 16


@dataclass(frozen=True, slots=True)
class PublicVote:
    """One row, less its digest. `styles` has the figures of STYLE_COLUMNS, or is None."""

    vote_id: str
    model_a: str
    model_b: str
    winner: Winner
    voter: str  # a pseudonym, "" if unknown
    timestamp: datetime
    turns: int
    language: str
    prompt_tokens: int
    flags: tuple[str, ...]  # the yes/no features that are yes
    pair_probability: float | None
    source: str  # "" for a battle of the arena itself
    counted: bool
    exclusion_reason: str
    categories: tuple[str, ...]
    styles: tuple[int, ...] | None


class Writer:
    """Rows of the table, each written to the stream as it comes."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._table = TableWriter(stream, COLUMNS)

    def row(self, vote: PublicVote) -> None:
        cells = cells_of(vote)
        self._table.row(*cells, digest(cells))


def cells_of(vote: PublicVote) -> list[str]:
    """The row as it is written, less its digest."""
    return [
        vote.vote_id,
        vote.model_a,
        vote.model_b,
        vote.winner,
        vote.voter,
        vote.timestamp.isoformat(),
        str(vote.turns),
        vote.language,
        str(vote.prompt_tokens),
        " ".join(vote.flags),
        "" if vote.pair_probability is None else repr(vote.pair_probability),
        vote.source,
        "true" if vote.counted else "false",
        vote.exclusion_reason,
        " ".join(vote.categories),
        *(map(str, vote.styles) if vote.styles else [""] * len(STYLE_COLUMNS)),
    ]


def digest(cells: list[str]) -> str:
    """Of the cells as they were before a spreadsheet's formulas were escaped."""
    joined = "\x1f".join(cells).encode(errors="surrogatepass")
    return hashlib.sha256(joined).hexdigest()[:DIGEST_LENGTH]


def sniff(head: Head) -> bool:
    return head.shape == "csv" and head.fields == frozenset(COLUMNS)


def checked_rows(source: Source) -> Iterator[Row | BadRow]:
    """The rows as they were written; BadRow for one that is not.

    Raises UnknownFormat where the columns are not those of this format, in their order.
    """
    first = True
    for row in source:
        if isinstance(row, BadRow):
            yield row
            continue
        if first and tuple(row.fields) != COLUMNS:
            raise UnknownFormat(f"the columns are not {', '.join(COLUMNS)}")
        first = False
        *cells, stated = row.fields.values()
        if digest(cells) == stated:
            yield row
        else:
            yield BadRow(row.line, "its digest is not that of its cells: it was changed")


def read(source: Source) -> Iterator[Reading]:
    """Votes that do not count are among them; `extra["counted"]` says so."""
    return values.readings(checked_rows(source), _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    model_a, model_b = values.name(fields, "model_a"), values.name(fields, "model_b")
    extra: dict[str, Any] = {
        "counted": values.flag(fields, "counted", default=False),
        "categories": fields["categories"].split(),
        "prompt_tokens": values.whole(fields, "prompt_tokens", default=0),
        **dict.fromkeys(fields["flags"].split(), True),
    }
    for column in STYLE_COLUMNS:
        if fields[column]:
            # as the plain format calls it
            extra[column.replace("tokens", "len")] = values.whole(fields, column, default=0)
    for column in ("exclusion_reason", "source"):
        if fields[column]:
            extra[column] = fields[column]
    return (
        VoteRecord(
            model_a=model_a,
            model_b=model_b,
            winner=values.winner(fields["winner"]),
            external_id=values.label(fields, "vote_id"),
            judge=values.judge(fields, "voter"),
            timestamp=values.timestamp(fields, "timestamp"),
            language=values.language(fields["language"]),
            turns=values.whole(fields, "turns", default=0),
            pair_probability=values.probability(fields, "pair_probability"),
            extra=extra,
            source_format=name,
        ),
    )
