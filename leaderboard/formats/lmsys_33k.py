"""lmsys/chatbot_arena_conversations, 33k votes of 2023, as JSON lines or a JSON array."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leaderboard.formats import fastchat_battles, values
from leaderboard.formats.records import Reading, VoteRecord
from leaderboard.formats.source import Head, Source

name = "lmsys_33k"
title = "lmsys/chatbot_arena_conversations (33k)"


def sniff(head: Head) -> bool:
    return head.fields >= {"model_a", "model_b", "winner"} and bool(
        head.fields & {"openai_moderation", "toxic_chat_tag"}
    )


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    extra = {}
    moderation = values.parsed(fields, "openai_moderation")
    if isinstance(moderation, dict) and isinstance(moderation.get("flagged"), bool):
        extra["moderation_flagged"] = moderation["flagged"]
    toxic = values.parsed(fields, "toxic_chat_tag")
    if isinstance(toxic, dict):
        extra["toxic_flagged"] = any(
            isinstance(tag, dict) and tag.get("flagged") is True for tag in toxic.values()
        )
    return (fastchat_battles.vote(fields, source_format=name, extra=extra),)
