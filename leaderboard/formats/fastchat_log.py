"""FastChat's conversation log: one JSON line an event, of which four kinds are votes.

Nothing says whether the names were hidden. As FastChat's own clean_battle_data.py does, blindness
is inferred from the model selectors: empty (or "Model A" in later logs) means hidden, and the names
are then in the states. The voter's address is in every line and is never taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from leaderboard.formats import values
from leaderboard.formats.records import NotAVote, Reading, Unreadable, VoteRecord
from leaderboard.formats.source import Head, Source

name = "fastchat_log"
title = "FastChat conversation log"

_VOTES = frozenset({"leftvote", "rightvote", "tievote", "bothbad_vote"})


def sniff(head: Head) -> bool:
    return head.shape != "csv" and head.fields >= {"tstamp", "type"} and "winner" not in head.fields


def read(source: Source) -> Iterator[Reading]:
    return values.readings(source, _votes_of)


def _votes_of(fields: Mapping[str, Any]) -> tuple[VoteRecord]:
    kind = fields.get("type")
    if kind not in _VOTES:
        raise NotAVote(f"an event of type {kind}" if isinstance(kind, str) else "no type of event")
    state_a, state_b = _pair(fields.get("states"), "states", dict)
    shown = [_shown_name(text) for text in _pair(fields.get("models"), "models", str)]
    hidden = [text in ("", "Model A", "Model B") for text in shown]
    if hidden[0] != hidden[1]:
        raise Unreadable("models: one name shown, the other hidden")
    named = {
        f"model_{side}": state.get("model_name") or ("" if hidden[0] else text)
        for side, state, text in (("a", state_a, shown[0]), ("b", state_b, shown[1]))
    }
    models = [values.name(named, key) for key in ("model_a", "model_b")]
    if not hidden[0] and models != shown:
        raise Unreadable("models: the names shown are not those that answered")
    turn_messages, asked_the_same = values.side_by_side(_turns(state_a), _turns(state_b))
    if not turn_messages:
        raise Unreadable("states: nothing was said")
    return (
        VoteRecord(
            model_a=models[0],
            model_b=models[1],
            winner=values.winner(kind),
            external_id=values.label(state_a, "conv_id"),
            timestamp=values.timestamp(fields, "tstamp"),
            turns=len(turn_messages),
            turn_messages=turn_messages,
            anonymous=hidden[0],
            extra={} if asked_the_same else {"prompts_differ": True},
            source_format=name,
        ),
    )


def _pair(value: Any, key: str, kind: type) -> list[Any]:
    if (
        not isinstance(value, list)
        or len(value) != 2
        or not all(isinstance(item, kind) for item in value)
    ):
        raise Unreadable(f"{key}: not one for each side")
    return value


def _shown_name(text: str) -> str:
    """Early logs hold the heading that showed the name: `<h3>Model A: vicuna-13b</h3>`."""
    if not text.startswith("<h3>"):
        return text
    return text.removeprefix("<h3>").strip().removesuffix("</h3>").partition(": ")[2].strip()


def _turns(state: Mapping[str, Any]) -> list[tuple[str, str]]:
    """(prompt, answer) from [[role, text], …]; the first `offset` messages are the template's."""
    messages, offset = state.get("messages"), state.get("offset", 0)
    if not isinstance(messages, list) or not isinstance(offset, int) or offset < 0:
        raise Unreadable("states: no list of messages")
    texts = []
    for message in messages[offset:]:
        if not isinstance(message, list) or len(message) < 2:
            raise Unreadable("states: a message that is not [role, text]")
        text = message[1]
        # With pictures it is [text, [pictures]].
        texts.append(
            values.content(text[0] if isinstance(text, list) and text else text, key="states")
        )
    if len(texts) % 2:
        texts.append("")
    return list(zip(texts[::2], texts[1::2], strict=True))
