"""What a browser may say over the battle socket. Unknown or malformed events are refused.

No Django.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

PUBLIC_ID = re.compile(r"[A-Za-z0-9_-]{1,22}")


class BadMessage(Exception):
    """Not an event of this protocol; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Submit:
    prompt: str
    battle: str | None


@dataclass(frozen=True, slots=True)
class Stop:
    pass


@dataclass(frozen=True, slots=True)
class Resume:
    battle: str
    last_seq: Mapping[str, int]


ClientEvent = Submit | Stop | Resume


def parse(text: str) -> ClientEvent:
    """One client event from one text frame. Raises BadMessage."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("not an object")
    match message:
        case {"type": "turn.submit", "prompt": str(prompt), "battle": str() | None as battle}:
            _only(message, "type", "prompt", "battle")
            return Submit(_text(prompt), _public_id(battle) if battle is not None else None)
        case {"type": "turn.stop"}:
            _only(message, "type")
            return Stop()
        case {"type": "resume", "battle": str(battle), "last_seq": dict(last_seq)}:
            _only(message, "type", "battle", "last_seq")
            if not all(
                slot in ("a", "b") and type(seq) is int and seq >= 0
                for slot, seq in last_seq.items()
            ):
                raise BadMessage("last_seq maps slots to numbers")
            return Resume(_public_id(battle), last_seq)
    raise BadMessage("unknown event, or a field is missing or of the wrong type")


def _only(message: Mapping[str, object], *names: str) -> None:
    if unknown := set(message) - set(names):
        raise BadMessage(f"unknown fields: {', '.join(sorted(map(repr, unknown)))[:200]}")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadMessage("the prompt holds half a character (a lone surrogate)") from None
    return value


def _public_id(value: str) -> str:
    if not PUBLIC_ID.fullmatch(value):
        raise BadMessage("not a battle id")
    return value
