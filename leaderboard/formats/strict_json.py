"""JSON as PostgreSQL can store it: finite numbers, no U+0000, no half of a surrogate pair.

The items of an array are cut out of the stream by their brackets, so that an array of any length
needs the memory of one item, and an item that is not JSON costs only itself. With `ijson`, the
library for the purpose, the first malformed byte would end the reading.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from leaderboard.formats.records import Unreadable

_STRING = r'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
# Everything up to the next bracket, or up to a string that has not ended yet.
_WITHIN = re.compile(rf'(?:[^"{{}}\[\]]++|{_STRING})*+', re.DOTALL)
# The same between items, where a comma matters too.
_BETWEEN = re.compile(rf'(?:[^"{{}}\[\],]++|{_STRING})*+', re.DOTALL)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_CHUNK = 1 << 16


class CutShort(Exception):
    """The stream ended inside the array, or an item outgrew its limit: nothing more can be read."""


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # 1e999, which would leave here as a constant JSON does not have
        raise ValueError("a number out of range")
    return number


_decode = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode


def well_formed(text: str) -> str:
    """The text with U+FFFD for every half of a surrogate pair, which UTF-8 cannot hold."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def loads(text: str) -> Any:
    """The value of a JSON text, its strings well formed. Raises Unreadable."""
    try:
        value = _decode(text)
        # Only an escape can bring either in: raw ones are refused where the bytes are decoded.
        if "\\u0000" in text or "\\ud" in text or "\\uD" in text:
            value = _storable(value)
    except RecursionError:
        raise Unreadable("JSON nested too deeply") from None
    except Unreadable:
        raise
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}") from None
    return value


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            raise Unreadable("holds U+0000")
        return well_formed(value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(item) for key, item in value.items()}
    return value


def array_items(first: str, read: Callable[[int], str], *, limit: int) -> Iterator[str]:
    """The text of each item of the array that begins in `first` and goes on in `read(n)`.

    The items are not checked, only cut apart. Raises CutShort when the text ends before the array
    does or an item is longer than `limit` characters.
    """
    buffer = first[first.index("[") + 1 :]
    start = position = depth = 0
    while True:
        found = (_WITHIN if depth else _BETWEEN).match(buffer, position)
        position = found.end() if found else position
        if position == len(buffer) or buffer[position] == '"':  # the rest is still to come
            # Reading as much again as is held keeps the scanning of a long string linear.
            more = read(max(_CHUNK, len(buffer) - start))
            if not more:
                raise CutShort("the JSON array does not end")
            if len(buffer) - start > limit:
                raise CutShort(f"an item of more than {limit} characters; the rest was not read")
            buffer = buffer[start:] + more
            position, start = position - start, 0
            continue
        mark = buffer[position]
        if mark in "[{":
            depth += 1
        elif depth:
            depth -= 1
        elif mark in ",]":
            yield buffer[start:position]
            if mark == "]":
                return
            start = position + 1
        position += 1
