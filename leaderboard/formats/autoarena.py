"""AutoArena's head-to-heads: A, B or - between two responses.

A table that AutoArena downloads names the models and holds the text. The one it takes as an upload
(`response_a_id, response_b_id, judge_id, winner`) holds numbers only: the models are in its tables
of responses (`model, response_id, prompt, response`), which must be given beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import IO, Any

from leaderboard.formats import values
from leaderboard.formats.records import BadRow, Reading, Unreadable, VoteRecord
from leaderboard.formats.source import Head, Source, UnknownFormat

name = "autoarena"
title = "AutoArena head-to-heads"

_NUMBERED = frozenset({"response_a_id", "response_b_id", "winner"})
_NAMED = frozenset({"prompt", "model_a", "model_b", "response_a", "response_b", "judge", "winner"})
_RESPONSES = frozenset({"model", "response_id", "prompt", "response"})


def sniff(head: Head) -> bool:
    return head.fields >= _NUMBERED or head.fields == _NAMED


def read(source: Source, responses: Iterable[IO[bytes]] = ()) -> Iterator[Reading]:
    """The votes; `responses` are the tables of responses, held in memory.

    Raises UnknownFormat when they are needed and missing, or are not such tables.
    """
    if not source.head.fields >= _NUMBERED:
        return values.readings(source, _votes_of_names)
    by_id: dict[str, tuple[str, str, str]] = {}
    for stream in responses:
        by_id.update(_responses(stream))
    if not by_id:
        raise UnknownFormat(
            "these head-to-heads have numbers for names: give the tables of responses"
            " (model, response_id, prompt, response) with them"
        )
    return values.readings(source, lambda fields: (_vote_of_numbers(fields, by_id),))


def _responses(stream: IO[bytes]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    table = Source(stream)
    if not table.head.fields >= _RESPONSES:
        raise UnknownFormat("a table of responses has model, response_id, prompt and response")
    for row in table:
        if isinstance(row, BadRow):
            raise UnknownFormat(f"responses, {table.unit} {row.line}: {row.reason}")
        fields = row.fields
        try:
            yield (
                values.label(fields, "response_id"),
                (
                    values.name(fields, "model"),
                    values.content(fields["prompt"], key="prompt"),
                    values.content(fields["response"], key="response"),
                ),
            )
        except Unreadable as error:
            raise UnknownFormat(f"responses, {table.unit} {row.line}: {error}") from None


def _vote_of_numbers(
    fields: Mapping[str, Any], responses: Mapping[str, tuple[str, str, str]]
) -> VoteRecord:
    a, b = (_response(fields, key, responses) for key in ("response_a_id", "response_b_id"))
    return _vote(fields, a=a, b=b)


def _response(
    fields: Mapping[str, Any], key: str, responses: Mapping[str, tuple[str, str, str]]
) -> tuple[str, str, str]:
    number = values.label(fields, key)
    if number not in responses:
        raise Unreadable(f"{key}: no response {number!r}")
    return responses[number]


def _votes_of_names(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    prompt, *answers = (
        values.content(fields.get(key), key=key) for key in ("prompt", "response_a", "response_b")
    )
    models = [values.name(fields, key) for key in ("model_a", "model_b")]
    return (_vote(fields, a=(models[0], prompt, answers[0]), b=(models[1], prompt, answers[1])),)


def _vote(
    fields: Mapping[str, Any], *, a: tuple[str, str, str], b: tuple[str, str, str]
) -> VoteRecord:
    turn_messages, asked_the_same = values.side_by_side([a[1:]], [b[1:]])
    return VoteRecord(
        model_a=a[0],
        model_b=b[0],
        winner=values.winner(fields.get("winner")),
        judge=values.judge(fields, "judge", "judge_id"),
        turns=1,
        turn_messages=turn_messages,
        extra={} if asked_the_same else {"prompts_differ": True},
        source_format=name,
    )
