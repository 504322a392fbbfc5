"""TruthfulQA (Lin et al. 2022): a CSV file; right and wrong answers are lists parted by '; '."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import Unreadable
from evaluation.formats.values import text


def _answers(fields: dict[str, Any], column: str) -> list[str]:
    parts = [part.strip() for part in text(fields, column).split(";")]
    answers = [part for part in parts if part]
    if not answers:
        raise Unreadable(f"{column!r} lists nothing")
    return answers


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    return Parsed(
        {
            "type": text(fields, "Type"),
            "category": text(fields, "Category"),
            "question": text(fields, "Question"),
            "best_answer": text(fields, "Best Answer").strip(),
            "correct_answers": _answers(fields, "Correct Answers"),
            "incorrect_answers": _answers(fields, "Incorrect Answers"),
            "source": text(fields, "Source", empty=True),
        }
    )


FORMAT = BenchmarkFormat(
    name="truthfulqa",
    title="TruthfulQA",
    licence="Apache-2.0",
    files={"validation": "TruthfulQA.csv"},
    rows=rows.csv_records,
    parse=_parse,
    counts={"validation": 817},
)
