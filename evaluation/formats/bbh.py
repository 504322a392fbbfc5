"""BIG-Bench Hard (Suzgun et al. 2022): 27 JSON files of {canary, examples: [{input, target}]}.

The canary goes with every item, so that it is in whatever is made of them: it is how the authors
ask that the benchmark be kept out of training data, and how a leak can be found.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import BadRow, Unreadable
from evaluation.formats.values import present, text


def _rows(path: Path) -> Iterator[rows.Row | BadRow]:
    document = rows.json_document(path)
    if not isinstance(document, dict):
        raise Unreadable("not an object with 'examples'")
    canary = document.get("canary", "")
    for row in rows.elements(present(document, "examples")):
        if isinstance(row, rows.Row):
            row.fields["canary"] = canary
        yield row


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    return Parsed(
        {
            "task": path.stem,
            "input": text(fields, "input"),
            "target": text(fields, "target"),
            "canary": text(fields, "canary", empty=True),
        }
    )


FORMAT = BenchmarkFormat(
    name="bbh",
    title="BIG-Bench Hard",
    licence="MIT",
    files={"test": "*.json"},
    rows=_rows,
    parse=_parse,
    many=True,
    counts={"test": 6511},
)
