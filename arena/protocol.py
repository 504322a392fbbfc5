"""What a browser may say over the battle socket. Unknown or malformed events are refused.

No Django.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

PUBLIC_ID = re.compile(r"[A-Za-z0-9_-]{1,22}")
MAX_NAME = 110  # characters of a model's name in addresses
ATTACHMENT_ID = re.compile(r"[0-9a-f]{32}")
MAX_IMAGES = 4  # of one question
SLUG = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_NAME}}}")


class BadMessage(Exception):
    """Not an event of this protocol; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Models that the reader chose by name."""

    mode: str
    models: Sequence[str]
    parameters: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Submit:
    """A question: to a battle, to a new one, or to the pair of one that is over (`continues`)."""

    prompt: str
    battle: str | None
    continues: str | None = None
    chosen: Chosen | None = None
    terms: str | None = None  # the version that the page showed
    images: Sequence[str] = ()  # ids of uploads


@dataclass(frozen=True, slots=True)
class Regenerate:
    battle: str
    slot: str | None  # None: both sides


@dataclass(frozen=True, slots=True)
class Stop:
    pass


@dataclass(frozen=True, slots=True)
class Resume:
    battle: str
    last_seq: Mapping[str, int]


ClientEvent = Submit | Regenerate | Stop | Resume

PARAMETERS: Mapping[str, tuple[type, ...]] = {
    "temperature": (int, float),
    "top_p": (int, float),
    "max_tokens": (int,),
}


def parse(text: str) -> ClientEvent:
    """One client event from one text frame. Raises BadMessage."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        raise BadMessage("not JSON") from None
    if not isinstance(message, dict):
        raise BadMessage("not an object")
    match message:
        case {"type": "turn.submit", "prompt": str(), "battle": str() | None}:
            return _submit(message)
        case {"type": "turn.regenerate", "battle": str(battle), "slot": "a" | "b" | None as slot}:
            _only(message, "type", "battle", "slot")
            return Regenerate(_public_id(battle), slot)
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


def _submit(message: Mapping[str, Any]) -> Submit:
    battle = message["battle"]
    names = ["type", "prompt", "battle", "images"]
    continues = chosen = None
    if battle is None:  # only a new battle has these
        names.append("terms")
        if "continues" in message:
            names.append("continues")
            continues = _public_id(message["continues"])
        elif "mode" in message:
            names += ["mode", "models", "parameters"]
            chosen = _chosen(message)
    _only(message, *names)
    terms = message.get("terms")
    if terms is not None and (type(terms) is not str or len(terms) > MAX_NAME):
        raise BadMessage("terms is a version")
    return Submit(
        prompt=_text(message["prompt"]),
        battle=None if battle is None else _public_id(battle),
        continues=continues,
        chosen=chosen,
        terms=None if terms is None else _text(terms),
        images=_images(message.get("images", [])),
    )


def _images(ids: object) -> Sequence[str]:
    if (
        isinstance(ids, list)
        and len(ids) <= MAX_IMAGES
        and all(type(one) is str and ATTACHMENT_ID.fullmatch(one) for one in ids)
    ):
        return tuple(ids)
    raise BadMessage(f"images are the ids of at most {MAX_IMAGES} uploads")


def _chosen(message: Mapping[str, Any]) -> Chosen:
    match message:
        case {
            "mode": "side_by_side" | "direct" as mode,
            "models": [*models],
            "parameters": dict(parameters),
        }:
            pass
        case _:
            raise BadMessage("mode, models and parameters belong together")
    if not all(type(slug) is str and SLUG.fullmatch(slug) for slug in models) or len(models) > 2:
        raise BadMessage("models are one or two names as in the page")
    for name, value in parameters.items():
        # By its type and not isinstance: true is no number here.
        if name not in PARAMETERS or type(value) not in PARAMETERS[name]:
            raise BadMessage("parameters are temperature, top_p and max_tokens, as numbers")
    return Chosen(mode, tuple(models), dict(parameters))


def _only(message: Mapping[str, object], *names: str) -> None:
    if unknown := set(message) - set(names):
        raise BadMessage(f"unknown fields: {', '.join(sorted(map(repr, unknown)))[:200]}")


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise BadMessage("the prompt holds half a character (a lone surrogate)") from None
    return value


def _public_id(value: object) -> str:
    if type(value) is not str or not PUBLIC_ID.fullmatch(value):
        raise BadMessage("not a battle id")
    return value
