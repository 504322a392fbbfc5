"""Bytes in, rows out: decompressed, decoded, numbered, and never more than one of them in memory.

A row is the cells of a CSV record under its header's names, or one JSON object. What a row means is
the business of the formats.
"""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Any, Literal, NamedTuple

from leaderboard.formats import strict_json
from leaderboard.formats.records import BadRow, Unreadable
from leaderboard.formats.strict_json import CutShort, array_items

MAX_ROW = 16 << 20  # characters of one line, one CSV record, one JSON item
_HEAD = 1 << 16  # the header of a table must end within this
_LOOKED_AT = 100  # rows seen before a file without a readable one is given up
_ESCAPED = re.compile(r"'+[=+\-@\t\r\n]")  # what csv_cells.escape_formula writes

Shape = Literal["csv", "jsonl", "json"]


class UnknownFormat(ValueError):
    """The file is in none of the known formats, or not in the one that was asked for."""


class Row(NamedTuple):
    line: int
    fields: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Head:
    """What a format is recognised by: the names of the columns, or of the first object's keys."""

    shape: Shape
    fields: frozenset[str]


class _Counted(io.RawIOBase):
    """Counts the bytes taken from a stream, which stays its owner's to close."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.done = 0

    def readable(self) -> bool:
        return True

    def readinto(self, target: Any) -> int:
        data = self._stream.read(len(target))
        target[: len(data)] = data
        self.done += len(data)
        return len(data)


class Source:
    """The rows of one file, once. `for row in source` gives Row, or BadRow for what is none.

    `unit` says what the numbers of the rows count: lines, or the items of a JSON array. Raises
    UnknownFormat where no table, no JSON lines and no JSON array begins.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._raw = _Counted(stream)
        buffered: IO[bytes] = io.BufferedReader(self._raw, 1 << 16)
        if buffered.peek(2)[:2] == b"\x1f\x8b":  # type: ignore[attr-defined]
            buffered = gzip.GzipFile(fileobj=buffered)  # type: ignore[assignment]
        # Bytes that are not UTF-8 become surrogates, so that they cost a row and not the file.
        # `newline=""` keeps the line ends inside quoted cells as they are.
        self._text = io.TextIOWrapper(
            buffered, encoding="utf-8-sig", errors="surrogateescape", newline=""
        )
        self._line = 0
        try:
            first = self._first_line()
            rows = self._rows(first)
            # Up to the first that is whole: what was bad before it is small, it may be large.
            looked_at = []
            for row in itertools.islice(rows, _LOOKED_AT):
                looked_at.append(row)
                if isinstance(row, Row):
                    break
        except (OSError, EOFError, zlib.error) as error:
            raise UnknownFormat(f"cannot be read: {error}") from None
        self._iterator = itertools.chain(looked_at, rows)
        self.head = Head(self.shape, self._fields(looked_at))
        if looked_at and isinstance(looked_at[0], BadRow):
            self.first_trouble = f"{self.unit} {looked_at[0].line}: {looked_at[0].reason}"

    shape: Shape
    first_trouble = ""  # what is wrong with the first row, if it is what the head should be

    @property
    def unit(self) -> str:
        return "item" if self.shape == "json" else "line"

    @property
    def done(self) -> int:
        """Bytes of the file taken so far, as they lie on the disk."""
        return self._raw.done

    @property
    def line(self) -> int:
        """Of the row that was given last, in `unit`."""
        return self._line

    def __iter__(self) -> Iterator[Row | BadRow]:
        try:
            yield from self._iterator
        except (OSError, EOFError, zlib.error) as error:
            yield BadRow(self._line, f"the file is damaged from here on: {error}")

    def _first_line(self) -> str:
        for _ in range(_LOOKED_AT):
            line = self._text.readline(_HEAD)
            self._line += 1
            if line.strip():
                return line
            if not line:
                break
        raise UnknownFormat("the file is empty")

    def _rows(self, first: str) -> Iterator[Row | BadRow]:
        """Decides the shape at once; the rows come as they are asked for."""
        if "\0" in first:
            raise UnknownFormat("not a text in UTF-8")
        start = first.lstrip()[0]
        if start == "[":
            self.shape = "json"
            return self._array(first)
        if start == "{":
            self.shape = "jsonl"
            return self._json_lines(first)
        self.shape = "csv"
        return self._table(first)

    def _fields(self, rows: list[Row | BadRow]) -> frozenset[str]:
        if self.shape == "csv":
            return frozenset(self._columns)
        return frozenset(key for row in rows if isinstance(row, Row) for key in row.fields)

    # JSON

    def _array(self, first: str) -> Iterator[Row | BadRow]:
        self._line = number = 0
        items = array_items(first, self._text.read, limit=MAX_ROW)
        try:
            for number, item in enumerate(items, 1):
                self._line = number
                if item.strip():
                    yield _json_row(number, item)
        except CutShort as error:
            yield BadRow(number + 1, str(error))

    def _json_lines(self, first: str) -> Iterator[Row | BadRow]:
        line = self._rest_of(first)
        while line:
            if len(line) > MAX_ROW:
                yield BadRow(self._line, f"a line of more than {MAX_ROW} characters")
            elif not line.isspace():
                yield _json_row(self._line, line)
            self._line += 1
            line = self._rest_of(self._text.readline(MAX_ROW + 1))

    def _rest_of(self, line: str) -> str:
        """The line whole, or its first MAX_ROW + 1 characters, the others passed over."""
        if not line or line[-1] in "\r\n":
            return line
        line += self._text.readline(MAX_ROW + 1 - len(line)) if len(line) <= MAX_ROW else ""
        rest = line
        while len(line) > MAX_ROW and rest and rest[-1] not in "\r\n":
            rest = self._text.readline(MAX_ROW)
        return line

    # tables

    def _table(self, first: str) -> Iterator[Row | BadRow]:
        if first[-1] not in "\r\n" and len(first) >= _HEAD:
            raise UnknownFormat("neither JSON nor a table: its first line does not end")
        delimiter = max("\t;,", key=first.count)
        lines = _Lines(self._text)
        try:
            self._columns = next(csv.reader([first], delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise UnknownFormat(f"not a table: {error}") from None
        self._columns = [name.strip() for name in self._columns]
        if len(set(self._columns)) < len(self._columns):
            raise UnknownFormat("a column occurs twice")
        return self._records(lines, csv.reader(lines, delimiter=delimiter, strict=True))

    def _records(self, lines: _Lines, reader: Iterator[list[str]]) -> Iterator[Row | BadRow]:
        header, width = self._columns, len(self._columns)
        before = self._line  # lines above the first record
        while True:
            line = self._line = before + lines.number + 1
            lines.begin_record()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield BadRow(line, f"not CSV: {error}")
                continue
            except _TooLong:
                yield BadRow(line, f"a record of more than {MAX_ROW} characters")
                continue
            if not cells:
                continue
            if lines.trouble:
                yield BadRow(line, lines.trouble)
            elif len(cells) != width:
                yield BadRow(line, f"{len(cells)} cells under {width} columns")
            else:
                if lines.apostrophe:
                    cells = [cell[1:] if _ESCAPED.match(cell) else cell for cell in cells]
                yield Row(line, dict(zip(header, cells, strict=True)))


class _TooLong(Exception):
    pass


class _Lines:
    """Lines for a csv.reader, looked at once as they pass, since looking at cells costs more.

    Not a generator: one that raises is over, and the file goes on after a record that is too long.
    """

    def __init__(self, text: io.TextIOWrapper) -> None:
        self._readline = text.readline
        self._left = MAX_ROW
        self.number = 0  # lines given so far
        self.trouble = ""  # why the record that began last must be refused
        self.apostrophe = False  # it may hold an escaped formula

    def begin_record(self) -> None:
        self._left = MAX_ROW
        self.trouble = ""
        self.apostrophe = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._readline(MAX_ROW + 1)
        if not line:
            raise StopIteration
        self.number += 1
        self._left -= len(line)
        if self._left < 0:
            while line and line[-1] not in "\r\n":
                line = self._readline(MAX_ROW)
            raise _TooLong
        if "\0" in line:
            self.trouble = "holds U+0000"
        if not _is_utf8(line):
            self.trouble = "not UTF-8"
        if "'" in line:
            self.apostrophe = True
        return line


def _json_row(line: int, text: str) -> Row | BadRow:
    if not _is_utf8(text):
        return BadRow(line, "not UTF-8")
    try:
        value = strict_json.loads(text)
    except Unreadable as error:
        return BadRow(line, str(error))
    return Row(line, value) if isinstance(value, dict) else BadRow(line, "not a JSON object")


def _is_utf8(text: str) -> bool:
    """Whether the bytes the text was decoded from were, see `errors` above."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


# The limit is the interpreter's, not a reader's: only ever raised, and never to less than others
# may have asked for.
csv.field_size_limit(max(csv.field_size_limit(), MAX_ROW))
