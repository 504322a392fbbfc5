"""What the cells and keys of the vote files mean, in every spelling their sources use.

Each function takes a value as JSON or CSV gives it and raises Unreadable, naming the field.
"""

from __future__ import annotations

import ipaddress
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from leaderboard.formats import strict_json
from leaderboard.formats.records import (
    AGAINST_ITSELF,
    BadRow,
    NotAVote,
    Reading,
    Skipped,
    Unreadable,
    VoteRecord,
    Winner,
)
from leaderboard.formats.source import Row

MAX_NAME = 500  # characters of a model's, a judge's or a vote's name
MAX_COUNT = 10**12

Message = tuple[str, str, str]  # prompt, answer of A, answer of B

_SPELLINGS: dict[Winner, tuple[str, ...]] = {
    "model_a": ("model_a", "model a", "a", "left", "leftvote"),
    "model_b": ("model_b", "model b", "b", "right", "rightvote"),
    "tie": ("tie", "tievote", "-", "draw", "equal", "both_good", "both good", "bothgood"),
    "both_bad": (
        *("both_bad", "both bad", "bothbad", "bothbad_vote"),
        *("tie (bothbad)", "tie (both bad)", "tie (both_bad)", "tie(bothbad)"),
    ),
}
_WINNERS = {spelling: won for won, spellings in _SPELLINGS.items() for spelling in spellings}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNKNOWN_LANGUAGE = frozenset({"", "unknown", "und", "none", "null", "nan"})


def readings(
    rows: Iterable[Row | BadRow], votes_of: Callable[[Mapping[str, Any]], Iterable[VoteRecord]]
) -> Iterator[Reading]:
    """Every row turned into votes by `votes_of`, or into why it gives none."""
    for row in rows:
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            votes = votes_of(row.fields)
        except NotAVote as why:
            yield Skipped(row.line, str(why))
            continue
        except Unreadable as error:
            yield BadRow(row.line, str(error))
            continue
        for vote in votes:
            if vote.model_a == vote.model_b:
                yield Skipped(row.line, AGAINST_ITSELF)
            else:
                yield vote


def winner(value: Any, *, model_a: str = "", model_b: str = "") -> Winner:
    """Who won, by side, or by the model's own name where that is not a side's."""
    known = _WINNERS.get(value) if isinstance(value, str) else None
    if known is None and isinstance(value, str):
        known = _WINNERS.get(value.strip().lower())
        if known is None and value and model_a != model_b and value in (model_a, model_b):
            known = "model_a" if value == model_a else "model_b"
    if known is None:
        raise Unreadable(f"winner: {_shown(value)}" if value else "winner: nothing said")
    return known


def name(fields: Mapping[str, Any], key: str) -> str:
    """A model's name as it stands, which must be there."""
    value = fields.get(key)
    if not isinstance(value, str) or not value or value.isspace():
        raise Unreadable(f"{key}: {'no name' if not value else _shown(value)}")
    if len(value) > MAX_NAME:
        raise Unreadable(f"{key}: a name of more than {MAX_NAME} characters")
    return value


def label(fields: Mapping[str, Any], *keys: str) -> str:
    """The first of the keys that has something to say, as text; "" if none has."""
    for key in keys:
        value = fields.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, (dict, list, bool)):
            raise Unreadable(f"{key}: {_shown(value)}")
        text = str(value)
        if len(text) > MAX_NAME:
            raise Unreadable(f"{key}: more than {MAX_NAME} characters")
        return text
    return ""


def judge(fields: Mapping[str, Any], *keys: str) -> str:
    """Who voted, unless that is a network address: FastChat's cleaning script writes
    `arena_user_<address>` when it is not told to number its users."""
    text = label(fields, *keys)
    if "." in text or ":" in text:
        try:
            ipaddress.ip_address(text.removeprefix("arena_user_").strip("[]"))
        except ValueError:
            return text
        return ""
    return text


def language(value: Any) -> str:
    text = value if isinstance(value, str) else ""
    return "" if text.lower() in _UNKNOWN_LANGUAGE else text


def flag(fields: Mapping[str, Any], *keys: str, default: bool) -> bool:
    for key in keys:
        value = fields.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, str):
            value = {"true": True, "1": True, "false": False, "0": False}.get(value.lower())
        if value is True or value is False or value in (0, 1):
            return bool(value)
        raise Unreadable(f"{key}: neither true nor false")
    return default


def whole(fields: Mapping[str, Any], *keys: str, default: int) -> int:
    """A number of things, from 0 to MAX_COUNT."""
    for key in keys:
        value = fields.get(key)
        if value is None or value == "":
            continue
        number = _number(value, key)
        if number != int(number) or not 0 <= number <= MAX_COUNT:
            raise Unreadable(f"{key}: {_shown(value)}")
        return int(number)
    return default


def probability(fields: Mapping[str, Any], *keys: str) -> float | None:
    for key in keys:
        value = fields.get(key)
        if value is None or value == "":
            continue
        number = float(_number(value, key))
        if not 0 < number <= 1:
            raise Unreadable(f"{key}: {_shown(value)} is no probability of a pair that was drawn")
        return number
    return None


def timestamp(fields: Mapping[str, Any], *keys: str) -> datetime | None:
    """ISO 8601, in UTC if it names no zone; or seconds, ms, µs or ns since 1970, told by size."""
    for key in keys:
        value = fields.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, str) and not _is_number(value):
            try:
                moment = datetime.fromisoformat(value.strip())
                # Ends of the calendar overflow on the way to UTC: found here, not in a database.
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC)
            except (ValueError, OverflowError):
                raise Unreadable(f"{key}: {_shown(value)} is no time") from None
        number = _number(value, key)
        for unit in (1, 10**3, 10**6, 10**9):
            if abs(number) < 10**11 * unit:
                try:
                    if isinstance(number, int) and unit > 1:
                        return _EPOCH + timedelta(microseconds=number * 10**6 // unit)
                    return _EPOCH + timedelta(seconds=number / unit)
                except OverflowError:
                    break
        raise Unreadable(f"{key}: {_shown(value)} is no time")
    return None


def parsed(fields: Mapping[str, Any], key: str) -> Any:
    """A list or object, written as JSON where the file is a table; None if there is none."""
    value = fields.get(key)
    if isinstance(value, str):
        if not value or value.isspace():
            return None
        try:
            return strict_json.loads(value)
        except Unreadable as error:
            raise Unreadable(f"{key}: {error}") from None
    return value


def kept(fields: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """Those of the keys that say something; objects and lists are read out of a table's cells."""
    found = {}
    for key in keys:
        value = fields.get(key)
        if value is None or value == "":
            continue
        if isinstance(value, str) and value[0] in "{[":
            value = parsed(fields, key)
        elif isinstance(value, str) and value.lower() in ("true", "false"):
            value = value.lower() == "true"
        found[key] = value
    return found


def conversation(value: Any, *, key: str) -> list[tuple[str, str]]:
    """(prompt, answer) of every turn of a list of {role, content}, system messages left out.

    `content` is a text or, as in the 140k set, a list of parts of which the texts are taken.
    """
    if value is None:
        return []
    if not isinstance(value, list):
        raise Unreadable(f"{key}: not a list of messages")
    turns: list[tuple[str, str]] = []
    for message in value:
        if not isinstance(message, dict):
            raise Unreadable(f"{key}: {_shown(message)} is no message")
        role, said = message.get("role"), content(message.get("content"), key=key)
        if role == "user":
            turns.append((said, ""))
        elif role == "assistant":
            prompt, answer = turns.pop() if turns else ("", "")
            turns.append((prompt, f"{answer}\n\n{said}" if answer else said))
        elif role != "system":
            raise Unreadable(f"{key}: a message of role {_shown(role)}")
    return turns


def content(value: Any, *, key: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        texts = [part.get("text") if isinstance(part, dict) else part for part in value]
        return "\n".join(text for text in texts if isinstance(text, str) and text)
    raise Unreadable(f"{key}: {_shown(value)} is no text")


def side_by_side(
    a: list[tuple[str, str]], b: list[tuple[str, str]]
) -> tuple[tuple[Message, ...], bool]:
    """The turns of both sides together, and whether the two were asked the same.

    A side that has fewer turns is silent in the others; where the prompts differ A's is kept.
    """
    if not a and not b:
        return (), True
    length = max(len(a), len(b))
    asked_the_same = len(a) == len(b) and all(x[0] == y[0] for x, y in zip(a, b, strict=True))
    a = a + [("", "")] * (length - len(a))
    b = b + [("", "")] * (length - len(b))
    return (
        tuple((x[0] or y[0], x[1], y[1]) for x, y in zip(a, b, strict=True)),
        asked_the_same,
    )


def conversations(
    fields: Mapping[str, Any], key_a: str = "conversation_a", key_b: str = "conversation_b"
) -> tuple[tuple[Message, ...], dict[str, Any]]:
    """The turns of two columns of messages, and what `extra` must say about them."""
    turns, asked_the_same = side_by_side(
        conversation(parsed(fields, key_a), key=key_a),
        conversation(parsed(fields, key_b), key=key_b),
    )
    return turns, {} if asked_the_same else {"prompts_differ": True}


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _number(value: Any, key: str) -> int | float:
    if isinstance(value, str):
        try:
            value = int(value)
        except ValueError:
            value = float(value) if _is_number(value) else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Unreadable(f"{key}: not a number")
    if isinstance(value, float) and not math.isfinite(value):
        raise Unreadable(f"{key}: {value}")
    return value


def _shown(value: Any) -> str:
    """The value as a reason quotes it: short, whatever it is."""
    if isinstance(value, int) and abs(value) >= 10**40:  # over 4300 digits str() raises
        return "a huge number"
    text = repr(value) if isinstance(value, (str, int, float)) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:57]}…"
