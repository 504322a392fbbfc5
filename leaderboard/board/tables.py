"""A view of the board as a file: CSV, JSON or Parquet with exactly its rows and columns.

Pure: a Board in, bytes out. Every file has the same fields in the same order, named as in the API.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from leaderboard.formats.csv_cells import TableWriter

if TYPE_CHECKING:
    import pyarrow as pa

    from leaderboard.board import Board

WHOLE, REAL, TEXT, YES_OR_NO = "int64", "float64", "string", "bool"
TYPES = {
    "rank": WHOLE, "rank_low": WHOLE, "rank_high": WHOLE, "rank_change": WHOLE,
    "model": TEXT, "slug": TEXT, "rating": REAL, "lower": REAL, "upper": REAL,
    "plus": REAL, "minus": REAL, "votes": WHOLE, "organisation": TEXT, "licence": TEXT,
    "win_rate": REAL, "both_bad_rate": REAL, "boot_lower": REAL, "boot_upper": REAL,
    "status": TEXT, "quantisation": TEXT, "parameters": TEXT, "context_length": WHOLE,
    "price_input": REAL, "price_output": REAL, "memory_gb": REAL, "knowledge_cutoff": TEXT,
    "open_weights": YES_OR_NO, "price_answer": REAL,
    "error_rate": REAL, "requests": WHOLE, "first_token": REAL, "tokens_per_second": REAL,
    "benchmark_average": REAL, "benchmark_low": REAL, "benchmark_high": REAL,
    "benchmark_n": WHOLE,
}  # fmt: skip


def type_of(name: str) -> str:
    """Of a field; those of single benchmarks are only known from their names."""
    return TYPES.get(name) or (WHOLE if name.endswith(".n") else REAL)


def names(board: Board) -> tuple[str, ...]:
    """The fields of the columns shown, in their order on the page."""
    return tuple(field for column in board.columns for field in column.fields)


def to_csv(board: Board) -> bytes:
    """UTF-8, RFC 4180; no number is an empty cell; no cell runs in a spreadsheet."""
    stream = io.BytesIO()
    writer = TableWriter(stream, names(board))
    for values in _values(board):
        writer.row(*(_cell(value) for value in values))
    return stream.getvalue()


def _cell(value: Any) -> Any:
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else value


def to_json(board: Board) -> bytes:
    """An object with the query, the snapshot and the rows; no number is null."""
    snapshot = asdict(board.snapshot) if board.snapshot else None
    content = {
        "query": board.query.encoded(),
        "snapshot": snapshot,
        "rows": [dict(zip(names(board), values, strict=True)) for values in _values(board)],
    }
    return json.dumps(content, ensure_ascii=False, default=_as_json).encode()


def _as_json(value: Any) -> str:
    return str(value.isoformat())  # the only type of a snapshot that JSON has not


def to_parquet(board: Board) -> bytes:
    """Typed columns; the schema's metadata names the snapshot and the query."""
    import pyarrow as pa  # 40 MB that only this needs
    import pyarrow.parquet as pq

    metadata = {"query": board.query.encoded()}
    if board.snapshot:
        metadata |= {
            "snapshot": str(board.snapshot.id),
            "published_at": board.snapshot.published_at.isoformat(),
            "data_hash": board.snapshot.data_hash,
        }
    schema: pa.Schema = pa.schema(
        [pa.field(name, pa.type_for_alias(type_of(name))) for name in names(board)],
        metadata=metadata,
    )
    rows = [dict(zip(names(board), values, strict=True)) for values in _values(board)]
    stream = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), stream, compression="zstd")
    return stream.getvalue()


def _values(board: Board) -> Iterator[tuple[Any, ...]]:
    fields = names(board)
    for row in board.rows:
        yield tuple(row.value(field) for field in fields)


WRITERS = {
    "csv": (to_csv, "text/csv; charset=utf-8"),
    "json": (to_json, "application/json"),
    "parquet": (to_parquet, "application/vnd.apache.parquet"),
}
