"""What a source says of a vote that came without its texts, as the columns of VoteFeatures."""

from __future__ import annotations

import re
from typing import Any

from django.conf.locale import LANG_INFO

from leaderboard.formats.records import VoteRecord
from leaderboard.rating_files import STYLE_COLUMNS, style_count

MAX_STORED = 2**31 - 1  # of an integer column
_COLUMNS = dict(zip(STYLE_COLUMNS, ("tokens", "headers", "lists", "bold"), strict=True))
_FLAGS = {
    "code": ("is_code",),
    "refusal": ("is_refusal",),
}
# LMArena's classifiers: the tag's name without its version, and the key of its verdict.
_TAGS = {
    "creative": ("creative_writing", "creative_writing"),
    "instructions": ("if", "if"),
    "math": ("math", "math"),
}
_CODE = re.compile(r"([a-z]{2,3})(?:[-_][A-Za-z0-9]+)*")
# By the English name; what Django names by script or country only is added.
_CODES = {
    str(info["name"]).lower(): code
    for code, info in LANG_INFO.items()
    if "name" in info and "-" not in code
} | {"chinese": "zh", "norwegian": "no", "farsi": "fa", "tagalog": "tl", "filipino": "tl"}


def language_code(text: str) -> str:
    """ISO 639 for "English", "en", "en-GB" or "zh_CN"; "" for what names no known language."""
    text = text.strip()
    if code := _CODES.get(text.lower()):
        return code
    found = _CODE.fullmatch(text)
    return found[1] if found else ""


def features(record: VoteRecord) -> dict[str, Any]:
    """Values for VoteFeatures: what the source does not say keeps the column's default."""
    said: dict[str, Any] = {
        "language": language_code(record.language),
        "turns": max(1, record.turns),
    }
    for flag, keys in _FLAGS.items():
        said[flag] = any(record.extra.get(key) is True for key in (flag, *keys))
    for flag, (tag, key) in _TAGS.items():
        said[flag] = record.extra.get(flag) is True or _tagged(record, tag, key)
    prompt_tokens = _whole(record.extra.get("prompt_tokens"))
    if prompt_tokens is not None:
        said["prompt_tokens"] = prompt_tokens
    for style, column in _COLUMNS.items():
        for side in "ab":
            count = _whole(record.extra.get(f"{column}_{side}"))
            said[f"{column}_{side}"] = (
                _whole(style_count(record, style, side)) if count is None else count
            )
    return said


def _tagged(record: VoteRecord, tag: str, key: str) -> bool:
    tags = record.extra.get("category_tag")
    if not isinstance(tags, dict):
        return False
    return any(
        isinstance(verdict, dict) and verdict.get(key) is True
        for name, verdict in tags.items()
        if str(name).rpartition("_v")[0] == tag
    )


def _whole(value: Any) -> int | None:
    try:
        number = int(float(value))
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 <= number <= MAX_STORED else None
