"""Files in, rows out: decompressed, decoded, numbered. What a row means is the formats' business.

JSON is taken as PostgreSQL can store it: finite numbers, no U+0000, no half of a surrogate pair. A
row that is not readable costs only itself, except in a JSON array, which is read whole.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from evaluation.formats.items import BadRow, Unreadable

MAX_ROW = 16 << 20  # characters of one line or of one CSV record
MAX_ARRAY = 256 << 20  # characters of a file that is one JSON value
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Row:
    """One JSON object, or the cells of one CSV record under the names of its columns."""

    index: int  # from 0, rows that cannot be read included
    line: int  # from 1; in a JSON array the place of the element
    fields: dict[str, Any]


def json_value(text: str) -> Any:
    """The value of a JSON text. Raises Unreadable."""
    try:
        value = json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise Unreadable("JSON nested too deeply") from None
    except ValueError as error:
        raise Unreadable(f"not JSON: {error}") from None
    # Only an escape can bring these in: raw ones are refused where the bytes are decoded.
    return _storable(value) if "\\u0000" in text or "\\ud" in text.lower() else value


def json_lines(path: Path) -> Iterator[Row | BadRow]:
    """The objects of a JSON Lines file, gzipped or not."""
    index = 0
    with _opened(path) as text:
        for line, content in enumerate(_lines(text), 1):
            if content.isspace() or not content:
                continue
            yield _object_row(index, line, content)
            index += 1


def json_document(path: Path) -> Any:
    """The one JSON value of a file, gzipped or not. Raises Unreadable."""
    with _opened(path) as text:
        try:
            content = text.read(MAX_ARRAY + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"the file is damaged: {error}") from None
    if len(content) > MAX_ARRAY:
        raise Unreadable(f"longer than {MAX_ARRAY} characters")
    if not _is_utf8(content):
        raise Unreadable("not UTF-8")
    return json_value(content)


def elements(values: Any) -> Iterator[Row | BadRow]:
    """The objects of a JSON array. Raises Unreadable where it is none."""
    if not isinstance(values, list):
        raise Unreadable("not a JSON array")
    for index, value in enumerate(values):
        if isinstance(value, dict):
            yield Row(index, index + 1, value)
        else:
            yield BadRow(index + 1, "not a JSON object")


def begins_array(path: Path) -> bool:
    """Whether the first character that is not a space opens a JSON array."""
    with _opened(path) as text:
        return text.read(1 << 16).lstrip()[:1] == "["


def csv_records(
    path: Path, *, columns: tuple[str, ...] | None = None, delimiter: str = ","
) -> Iterator[Row | BadRow]:
    """The records of a CSV file, gzipped or not; `columns` names them where the file does not.

    Cells stay as they are, spaces included. Raises Unreadable where the header is missing or names
    a column twice.
    """
    with _opened(path) as text:
        lines = _Numbered(text)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        try:
            header = list(columns) if columns is not None else next(reader, [])
        except csv.Error as error:
            raise Unreadable(f"not CSV: {error}") from None
        if not header:
            raise Unreadable("the file is empty")
        if len(set(header)) < len(header):
            raise Unreadable("a column occurs twice")
        index = 0
        while True:
            line = lines.number + 1
            lines.begin_record()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(line, f"not CSV: {error}")
            else:
                if not cells:
                    continue
                if lines.trouble:
                    yield BadRow(line, lines.trouble)
                elif len(cells) != len(header):
                    yield BadRow(line, f"{len(cells)} cells under {len(header)} columns")
                else:
                    yield Row(index, line, dict(zip(header, cells, strict=True)))
            index += 1


def csv_width(path: Path) -> int:
    """The number of cells of a CSV file's first record. Raises Unreadable."""
    with _opened(path) as text:
        try:
            first = next(csv.reader(_Numbered(text), strict=True), [])
        except csv.Error as error:
            raise Unreadable(f"not CSV: {error}") from None
    if not first:
        raise Unreadable("the file is empty")
    return len(first)


@contextmanager
def _opened(path: Path) -> Iterator[IO[str]]:
    try:
        stream: IO[bytes] = path.open("rb")
    except OSError as error:
        raise Unreadable(f"cannot be opened: {error.strerror}") from None
    with stream:
        zipped = stream.read(2) == b"\x1f\x8b"
        stream.seek(0)
        binary = gzip.GzipFile(fileobj=stream) if zipped else stream
        # Bytes that are not UTF-8 become surrogates, so that they cost a row and not the file.
        # `newline=""` keeps the line ends inside quoted cells as they are.
        with io.TextIOWrapper(
            binary,
            encoding="utf-8-sig",
            errors="surrogateescape",
            newline="",
        ) as text:
            yield text


def _lines(text: IO[str]) -> Iterator[str]:
    while True:
        try:
            line = text.readline(MAX_ROW + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise Unreadable(f"the file is damaged: {error}") from None
        if not line:
            return
        if len(line) > MAX_ROW:
            raise Unreadable(f"a line of more than {MAX_ROW} characters")
        yield line


class _Numbered:
    """Lines for a csv.reader, counted and looked at as they pass."""

    def __init__(self, text: IO[str]) -> None:
        self._lines = _lines(text)
        self._left = MAX_ROW
        self.number = 0
        self.trouble = ""  # why the record that is being read must be refused

    def begin_record(self) -> None:
        self._left = MAX_ROW
        self.trouble = ""

    def __iter__(self) -> _Numbered:
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self.number += 1
        self._left -= len(line)
        if self._left < 0:  # a quote that never closes would take the rest of the file
            raise Unreadable(f"line {self.number}: a record of more than {MAX_ROW} characters")
        if "\0" in line:
            self.trouble = "holds U+0000"
        if not _is_utf8(line):
            self.trouble = "not UTF-8"
        return line


def _object_row(index: int, line: int, text: str) -> Row | BadRow:
    if not _is_utf8(text):
        return BadRow(line, "not UTF-8")
    if "\0" in text:
        return BadRow(line, "holds U+0000")
    try:
        value = json_value(text)
    except Unreadable as error:
        return BadRow(line, str(error))
    return Row(index, line, value) if isinstance(value, dict) else BadRow(line, "not a JSON object")


def _storable(value: Any) -> Any:
    if isinstance(value, str):
        if "\0" in value:
            raise Unreadable("holds U+0000")
        return _LONE_SURROGATE.sub("\ufffd", value)
    if isinstance(value, list):
        return [_storable(element) for element in value]
    if isinstance(value, dict):
        return {_storable(key): _storable(element) for key, element in value.items()}
    return value


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):  # 1e999, which would leave here as a constant JSON does not have
        raise ValueError("a number out of range")
    return number


def _is_utf8(text: str) -> bool:
    """Whether the bytes the text was decoded from were, see `errors` above."""
    return text.isascii() or not _LONE_SURROGATE.search(text)


# The limit is the interpreter's, not a reader's: only ever raised.
csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
