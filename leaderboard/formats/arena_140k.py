"""lmarena-ai/arena-human-preference-140k, and arena-expert-5k, which adds occupational tags.

A person may judge a conversation several times as it goes on: LMArena's analysis keeps the first,
`extra["evaluation_order"] == 1` (news.lmarena.ai/opendata-july2025). Images are left out and
counted in `extra["images"]`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC
from typing import IO, Any

from leaderboard.formats import values
from leaderboard.formats.records import Reading, VoteRecord
from leaderboard.formats.source import Head, Source
from leaderboard.formats.strict_json import well_formed

name = "arena_140k"
title = "arena-human-preference-140k"

_KEPT = (
    *("evaluation_session_id", "evaluation_order", "is_code"),
    *("category_tag", "occupational_tags", "conv_metadata"),
)


def sniff(head: Head) -> bool:
    return head.fields >= {"model_a", "model_b", "winner"} and bool(
        head.fields & {"evaluation_session_id", "full_conversation"}
    )


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    turn_messages, about_them = values.conversations(fields)
    images = sum(
        _images(values.parsed(fields, key)) for key in ("conversation_a", "conversation_b")
    )
    extra = {**about_them, **values.kept(fields, *_KEPT)}
    if images:
        extra["images"] = images
    return (
        VoteRecord(
            model_a=values.name(fields, "model_a"),
            model_b=values.name(fields, "model_b"),
            winner=values.winner(fields.get("winner")),
            external_id=values.label(fields, "id"),
            timestamp=values.timestamp(fields, "timestamp"),
            language=values.language(fields.get("language")),
            turns=len(turn_messages),
            turn_messages=turn_messages,
            extra=extra,
            source_format=name,
        ),
    )


def _images(messages: Any) -> int:
    return sum(
        isinstance(part, dict) and part.get("type") == "image"
        for message in messages or ()
        if isinstance(message.get("content"), list)
        for part in message["content"]
    )


def write(records: Iterable[VoteRecord], stream: IO[bytes]) -> int:
    """The blind votes as JSON lines; returns their number.

    An aggregated vote takes `count` lines. A vote of no known session is the first and only one of
    its own. Token counts are null: they are the tokenizer's, and this text does not name one.
    """
    rows = 0
    for vote in records:
        if not vote.anonymous:
            continue
        line = well_formed(json.dumps(_row(vote), ensure_ascii=False, allow_nan=False)).encode()
        for _ in range(vote.count):
            rows += 1
            stream.write(line + b"\n")
    return rows


def _row(vote: VoteRecord) -> dict[str, Any]:
    extra = vote.extra
    turns = vote.turn_messages
    return {
        "id": vote.external_id,
        "model_a": vote.model_a,
        "model_b": vote.model_b,
        "winner": vote.winner,
        "evaluation_session_id": extra.get("evaluation_session_id", vote.external_id),
        "evaluation_order": extra.get("evaluation_order", 1),
        "conversation_a": [m for p, a, _ in turns for m in (_said("user", p), _said(_BOT, a))],
        "conversation_b": [m for p, _, b in turns for m in (_said("user", p), _said(_BOT, b))],
        "full_conversation": [
            {
                "user": _said("user", prompt),
                "model_side_a": _said(_BOT, answer_a),
                "model_side_b": _said(_BOT, answer_b),
            }
            for prompt, answer_a, answer_b in turns
        ],
        "conv_metadata": extra.get("conv_metadata"),
        "category_tag": extra.get("category_tag"),
        "language": vote.language or "und",
        "is_code": extra.get("is_code"),
        "timestamp": vote.timestamp.astimezone(UTC).isoformat() if vote.timestamp else None,
    }


_BOT = "assistant"


def _said(role: str, text: str) -> dict[str, Any]:
    part = {"type": "text", "text": text, "image": None, "mimeType": None}
    return {"role": role, "content": [part], "num_tokens": None}
