"""Reading one value out of a row, with a reason where it is not what the format promises."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from evaluation.formats.items import Unreadable


def present(fields: Mapping[str, Any], name: str) -> Any:
    if name not in fields:
        raise Unreadable(f"no field {name!r}")
    return fields[name]


def text(fields: Mapping[str, Any], name: str, *, empty: bool = False) -> str:
    """A string, not blank unless `empty`. Raises Unreadable."""
    value = present(fields, name)
    if not isinstance(value, str):
        raise Unreadable(f"{name!r} is not a text")
    if not empty and not value.strip():
        raise Unreadable(f"{name!r} is empty")
    return value


def whole_number(fields: Mapping[str, Any], name: str) -> int:
    """An integer; true and false are none. Raises Unreadable."""
    value = present(fields, name)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Unreadable(f"{name!r} is not a whole number")
    return value


def texts(fields: Mapping[str, Any], name: str, *, least: int = 1) -> list[str]:
    """A list of at least `least` strings. Raises Unreadable."""
    value = present(fields, name)
    if not isinstance(value, list) or not all(isinstance(element, str) for element in value):
        raise Unreadable(f"{name!r} is not a list of texts")
    if len(value) < least:
        raise Unreadable(f"{name!r} has {len(value)} elements, at least {least} are needed")
    return value


def objects(fields: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """A list of JSON objects. Raises Unreadable."""
    value = present(fields, name)
    if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
        raise Unreadable(f"{name!r} is not a list of objects")
    return value
