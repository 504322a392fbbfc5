"""Open WebUI's feedback export: a JSON array of ratings, each of one answer among its siblings.

A thumb up says that the rated model beat each sibling, a thumb down that it lost to each. A rating
of an answer that had no sibling compares nothing. Keys after the project's router and models; not
yet checked on an export of a real site.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leaderboard.formats import values
from leaderboard.formats.records import NotAVote, Reading, Unreadable, VoteRecord, Winner
from leaderboard.formats.source import Head, Source

name = "openwebui"
title = "Open WebUI feedback export"

_WINNERS: dict[str, Winner] = {"1": "model_a", "-1": "model_b"}


def sniff(head: Head) -> bool:
    return head.shape != "csv" and head.fields >= {"type", "data", "meta"}


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> list[VoteRecord]:
    if fields.get("type") != "rating":
        raise NotAVote("feedback other than a rating")
    data = _mapping(fields.get("data"))
    meta = _mapping(fields.get("meta"))
    winner = _WINNERS.get(str(data.get("rating")))
    if winner is None:
        raise NotAVote("neither a thumb up nor a thumb down")
    siblings = data.get("sibling_model_ids")
    if not siblings:
        raise NotAVote("no sibling was compared")
    if not isinstance(siblings, list):
        raise Unreadable("sibling_model_ids: not a list")
    rated = values.name(data, "model_id")
    external_id = values.label(fields, "id")
    messages = _messages(fields)
    votes = []
    for number, sibling in enumerate(siblings, 1):
        rival = values.name({"sibling_model_ids": sibling}, "sibling_model_ids")
        turn_messages = _turn(messages, meta.get("message_id"), rival)
        votes.append(
            VoteRecord(
                model_a=rated,
                model_b=rival,
                winner=winner,
                external_id=f"{external_id}/{number}" if len(siblings) > 1 else external_id,
                judge=values.judge(fields, "user_id"),
                timestamp=values.timestamp(fields, "created_at"),
                turns=len(turn_messages),
                turn_messages=turn_messages,
                anonymous=meta.get("arena") is True,
                extra=values.kept(data, "reason", "tags"),
                source_format=name,
            )
        )
    return votes


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _messages(fields: Mapping[str, Any]) -> Mapping[str, Any]:
    """The chat's messages by id: each has role, content, model, parentId and childrenIds."""
    chat = _mapping(_mapping(fields.get("snapshot")).get("chat"))
    return _mapping(_mapping(_mapping(chat.get("chat")).get("history")).get("messages"))


def _turn(
    messages: Mapping[str, Any], rated_id: Any, rival: str
) -> tuple[tuple[str, str, str], ...]:
    """The turn that was rated, if the snapshot has the prompt and both answers; else nothing."""
    rated = _mapping(messages.get(rated_id)) if isinstance(rated_id, str) else {}
    parent_id = rated.get("parentId")
    parent = _mapping(messages.get(parent_id)) if isinstance(parent_id, str) else {}
    for message in map(_mapping, messages.values()):
        if (
            message.get("parentId") == parent_id
            and message.get("id") != rated_id
            # In arena mode `model` is the arena's, and the one that was drawn stands beside it.
            and rival in (message.get("model"), message.get("selectedModelId"))
        ):
            texts = [item.get("content") for item in (parent, rated, message)]
            if all(isinstance(text, str) for text in texts):
                return ((texts[0], texts[1], texts[2]),)  # type: ignore[return-value]
    return ()
