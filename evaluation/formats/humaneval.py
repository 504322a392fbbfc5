"""HumanEval (Chen et al. 2021): gzipped JSON lines. `test` is code, to be run in the sandbox."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import Unreadable
from evaluation.formats.values import text

_FIELDS = ("task_id", "prompt", "canonical_solution", "test", "entry_point")


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    parsed = {name: text(fields, name) for name in _FIELDS}
    if not parsed["entry_point"].isidentifier():
        raise Unreadable("'entry_point' is not the name of a function")
    return Parsed(parsed, parsed["task_id"])


FORMAT = BenchmarkFormat(
    name="humaneval",
    title="HumanEval",
    licence="MIT",
    files={"test": "HumanEval.jsonl*"},
    rows=rows.json_lines,
    parse=_parse,
    counts={"test": 164},
)
