"""Any benchmark as JSON lines, a JSON array, or CSV with or without a header.

Whatever columns there are become the item's fields. A field `id` that is a text or a whole number
names the item. Cells of CSV are texts; a file without a header has the columns `column_1` and on.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import BadRow, Unreadable

_MAX_FIELDS = 200


def _json_rows(path: Path) -> Iterator[rows.Row | BadRow]:
    if rows.begins_array(path):
        return rows.elements(rows.json_document(path))
    return rows.json_lines(path)


def _headless_rows(path: Path) -> Iterator[rows.Row | BadRow]:
    columns = tuple(f"column_{number}" for number in range(1, rows.csv_width(path) + 1))
    return rows.csv_records(path, columns=columns)


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    if not fields:
        raise Unreadable("no fields")
    if len(fields) > _MAX_FIELDS:
        raise Unreadable(f"more than {_MAX_FIELDS} fields")
    name = fields.get("id")
    if isinstance(name, bool) or not isinstance(name, str | int) or name == "":
        return Parsed(dict(fields))
    return Parsed(dict(fields), str(name))


def _generic(name: str, title: str, pattern: str, read: Any) -> BenchmarkFormat:
    return BenchmarkFormat(
        name=name,
        title=title,
        licence="",
        files={"test": pattern},
        rows=read,
        parse=_parse,
    )


JSON = _generic("json", "JSON lines or a JSON array", "*.json*", _json_rows)
CSV = _generic("csv", "CSV with a header", "*.csv*", rows.csv_records)
HEADLESS_CSV = _generic("csv_headless", "CSV without a header", "*.csv*", _headless_rows)
