"""What FastChat's clean_battle_data.py writes: a JSON array of battles, with or without text.

The sets that LMSYS published from it (33k, 100k) share these keys and add their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leaderboard.formats import values
from leaderboard.formats.records import Reading, VoteRecord
from leaderboard.formats.source import Head, Source

name = "fastchat_battles"
title = "FastChat cleaned battles (clean_battle_data)"


def sniff(head: Head) -> bool:
    return head.fields >= {"model_a", "model_b", "winner", "turn", "anony", "tstamp"}


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, lambda fields: (vote(fields, source_format=name, extra={}),))


def vote(fields: Mapping[str, Any], *, source_format: str, extra: Mapping[str, Any]) -> VoteRecord:
    """The vote in the keys that all sets of this family share. Raises Unreadable."""
    model_a, model_b = values.name(fields, "model_a"), values.name(fields, "model_b")
    turn_messages, about_them = values.conversations(fields)
    return VoteRecord(
        model_a=model_a,
        model_b=model_b,
        winner=values.winner(fields.get("winner"), model_a=model_a, model_b=model_b),
        external_id=values.label(fields, "question_id"),
        judge=values.judge(fields, "judge", "judge_hash"),
        timestamp=values.timestamp(fields, "tstamp"),
        language=values.language(fields.get("language")),
        turns=values.whole(fields, "turn", default=len(turn_messages)),
        turn_messages=turn_messages,
        anonymous=values.flag(fields, "anony", default=True),
        extra={**about_them, **extra},
        source_format=source_format,
    )
