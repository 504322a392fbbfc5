"""AlpacaEval (Li et al. 2023): a JSON array of a model's outputs; the instructions are the set."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import BadRow
from evaluation.formats.values import text


def _rows(path: Path) -> Iterator[rows.Row | BadRow]:
    yield from rows.elements(rows.json_document(path))


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    parsed = {"instruction": text(fields, "instruction")}
    # The output of the model the file comes from is the baseline to compare with.
    parsed |= {
        name: text(fields, name, empty=True)
        for name in ("output", "generator", "dataset")
        if fields.get(name) is not None
    }
    return Parsed(parsed)


FORMAT = BenchmarkFormat(
    name="alpaca_eval",
    title="AlpacaEval 2",
    licence="CC BY-NC 4.0",
    files={"eval": "*outputs.json"},
    rows=_rows,
    parse=_parse,
    counts={"eval": 805},
)
