"""MT-bench (Zheng et al. 2023): JSON lines of 80 questions, each of two turns.

About half of them come with a reference answer for each turn, for the judge.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import Unreadable
from evaluation.formats.values import text, texts, whole_number


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    number, turns = whole_number(fields, "question_id"), texts(fields, "turns")
    parsed: dict[str, Any] = {
        "question_id": number,
        "category": text(fields, "category"),
        "turns": turns,
    }
    if fields.get("reference"):
        parsed["reference"] = texts(fields, "reference")
        if len(parsed["reference"]) != len(turns):
            raise Unreadable("not one reference for each turn")
    return Parsed(parsed, str(number))


FORMAT = BenchmarkFormat(
    name="mt_bench",
    title="MT-bench",
    licence="Apache-2.0",
    files={"test": "question.jsonl"},
    rows=rows.json_lines,
    parse=_parse,
    counts={"test": 80},
)
