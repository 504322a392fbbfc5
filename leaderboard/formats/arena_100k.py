"""lmarena-ai/arena-human-preference-100k, as JSON lines or a table with JSON in its cells.

`extra` holds what LMArena's own notebook filters by: it keeps `dedup_tag.sampled` rows only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leaderboard.formats import fastchat_battles, values
from leaderboard.formats.records import Reading, VoteRecord
from leaderboard.formats.source import Head, Source

name = "arena_100k"
title = "arena-human-preference-100k"


def sniff(head: Head) -> bool:
    return head.fields >= {"model_a", "model_b", "winner", "tstamp"} and bool(
        head.fields & {"dedup_tag", "judge_hash", "conv_metadata"}
    )


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    extra = values.kept(fields, "is_code", "is_refusal", "category_tag", "conv_metadata")
    dedup = values.parsed(fields, "dedup_tag")
    if isinstance(dedup, dict):
        extra |= {key: dedup[key] for key in ("high_freq", "sampled") if key in dedup}
    return (fastchat_battles.vote(fields, source_format=name, extra=extra),)
