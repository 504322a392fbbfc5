"""A table or JSON lines of `model_a, model_b, winner`, and what else a line cares to say.

Known besides: `count` for aggregated rows, a judge, a time, a language, the sampler's probability,
one turn's `prompt, response_a, response_b`, and the columns of `KEPT`. Others are not taken over:
what nobody asked for may be an address.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import IO, Any

from leaderboard.formats import values
from leaderboard.formats.csv_cells import TableWriter
from leaderboard.formats.records import NotAVote, Reading, VoteRecord
from leaderboard.formats.source import Head, Source

name = "plain"
title = "Plain votes (model_a, model_b, winner)"

KEPT = (
    *("prompt_id", "ranking_id", "outcome_a", "category", "is_code", "is_refusal", "sampled"),
    *("evaluation_session_id", "evaluation_order"),
    *(f"{count}_{side}" for count in ("len", "headers", "lists", "bold") for side in "ab"),
)
WRITTEN = (
    *("id", "model_a", "model_b", "winner", "count", "judge", "timestamp", "language", "turns"),
    *("anonymous", "pair_probability"),
)


def sniff(head: Head) -> bool:
    return head.fields >= {"model_a", "model_b", "winner"}


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _reader(source.head))


def _reader(head: Head) -> Callable[[Mapping[str, Any]], tuple[VoteRecord]]:
    """Looks up in each row only what the table has: most have three of the thirty columns."""

    def present(*keys: str) -> tuple[str, ...]:
        # A key of JSON lines may first appear later than in the first line.
        return tuple(key for key in keys if head.shape != "csv" or key in head.fields)

    ids = present("id", "question_id", "vote_id", "battle_id")
    judges = present("judge", "judge_hash", "voter", "annotator")
    times = present("timestamp", "tstamp", "created_at")
    languages = present("language")
    turns = present("turns", "turn")
    blindness = present("anonymous", "anony")
    probabilities = present("pair_probability")
    counts = present("count", "n")
    texts = present("prompt", "response_a", "response_b")
    kept = present(*KEPT)

    def votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
        model_a, model_b = values.name(fields, "model_a"), values.name(fields, "model_b")
        count = values.whole(fields, *counts, default=1)
        if not count:
            raise NotAVote("a count of 0")
        turn_messages: tuple[tuple[str, str, str], ...] = ()
        if len(texts) == 3 and fields.get("prompt"):
            prompt, answer_a, answer_b = (values.content(fields.get(key), key=key) for key in texts)
            turn_messages = ((prompt, answer_a, answer_b),)
        return (
            VoteRecord(
                model_a=model_a,
                model_b=model_b,
                winner=values.winner(fields.get("winner"), model_a=model_a, model_b=model_b),
                external_id=values.label(fields, *ids),
                judge=values.judge(fields, *judges),
                timestamp=values.timestamp(fields, *times),
                language=values.language(fields.get("language")) if languages else "",
                turns=values.whole(fields, *turns, default=len(turn_messages)),
                turn_messages=turn_messages,
                anonymous=values.flag(fields, *blindness, default=True),
                pair_probability=values.probability(fields, *probabilities),
                count=count,
                extra=values.kept(fields, *kept),
                source_format=name,
            ),
        )

    return votes_of


def write(records: Iterable[VoteRecord], stream: IO[bytes], *, extra: tuple[str, ...] = ()) -> int:
    """A CSV of votes without text; returns the number of rows.

    `extra` names the entries of `VoteRecord.extra` that get a column; texts, numbers and truth
    values come back as texts and truth values, as cells do.
    """
    table = TableWriter(stream, (*WRITTEN, *extra))
    rows = 0
    for rows, vote in enumerate(records, 1):  # noqa: B007
        table.row(
            vote.external_id,
            vote.model_a,
            vote.model_b,
            # The spelling that FastChat's and most other rating scripts know.
            "tie (bothbad)" if vote.winner == "both_bad" else vote.winner,
            vote.count,
            vote.judge,
            vote.timestamp.isoformat() if vote.timestamp else "",
            vote.language,
            vote.turns or "",
            vote.anonymous,
            "" if vote.pair_probability is None else vote.pair_probability,
            *(vote.extra.get(key, "") for key in extra),
        )
    return rows
