"""arena-human-preference-55k: a table with the text of every turn, the winner in three columns.

`prompt`, `response_a` and `response_b` are JSON lists with one item a turn, null where a side gave
no answer. The set knows one kind of tie and blind votes only.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from leaderboard.formats import values
from leaderboard.formats.csv_cells import TableWriter
from leaderboard.formats.records import Reading, Unreadable, VoteRecord, Winner
from leaderboard.formats.source import Head, Source

name = "arena_55k"
title = "arena-human-preference-55k"

COLUMNS = (
    *("id", "model_a", "model_b", "prompt", "response_a", "response_b"),
    *("winner_model_a", "winner_model_b", "winner_tie"),
)
_WINNERS: dict[str, Winner] = {
    "winner_model_a": "model_a",
    "winner_model_b": "model_b",
    "winner_tie": "tie",
}


def sniff(head: Head) -> bool:
    return head.fields >= {"model_a", "model_b", *_WINNERS}


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    won = [side for side in _WINNERS if values.flag(fields, side, default=False)]
    if len(won) != 1:
        raise Unreadable(f"{len(won)} of the three winner columns are set")
    prompts, a, b = (_turns(fields, key) for key in ("prompt", "response_a", "response_b"))
    length = max(len(prompts), len(a), len(b))
    silent = [""] * length
    turn_messages = tuple(zip(*((side + silent)[:length] for side in (prompts, a, b)), strict=True))
    return (
        VoteRecord(
            model_a=values.name(fields, "model_a"),
            model_b=values.name(fields, "model_b"),
            winner=_WINNERS[won[0]],
            external_id=values.label(fields, "id"),
            turns=length,
            turn_messages=turn_messages,
            source_format=name,
        ),
    )


def _turns(fields: Mapping[str, Any], key: str) -> list[str]:
    items = values.parsed(fields, key)
    if items is None:
        return []
    if not isinstance(items, list):
        raise Unreadable(f"{key}: not a list of turns")
    return [values.content(item, key=key) for item in items]


def write(records: Iterable[VoteRecord], stream: IO[bytes]) -> int:
    """The blind votes as a CSV, both kinds of tie as one; returns the number of rows.

    An aggregated vote takes `count` rows.
    """
    table = TableWriter(stream, COLUMNS)
    rows = 0
    for vote in records:
        if not vote.anonymous:
            continue
        turns = [json.dumps(side, ensure_ascii=False) for side in _sides(vote)]
        for _ in range(vote.count):
            rows += 1
            table.row(
                vote.external_id,
                vote.model_a,
                vote.model_b,
                *turns,
                int(vote.winner == "model_a"),
                int(vote.winner == "model_b"),
                int(vote.winner in ("tie", "both_bad")),
            )
    return rows


def _sides(vote: VoteRecord) -> tuple[list[str], list[str], list[str]]:
    return (
        [prompt for prompt, _, _ in vote.turn_messages],
        [answer for _, answer, _ in vote.turn_messages],
        [answer for _, _, answer in vote.turn_messages],
    )
