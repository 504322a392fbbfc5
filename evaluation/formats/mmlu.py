"""MMLU (Hendrycks et al. 2021): a CSV file without a header for each of 57 subjects and split.

A record is the question, four choices and the letter of the right one. The fields are named as in
the usual hub copy, where `answer` counts from 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import BadRow, Unreadable
from evaluation.formats.values import text

LETTERS = ("A", "B", "C", "D")


def _rows(path: Path) -> Iterable[rows.Row | BadRow]:
    return rows.csv_records(path, columns=("question", *LETTERS, "answer"))


def _subject(path: Path) -> str:
    return path.stem.removesuffix("_test").removesuffix("_dev").removesuffix("_val")


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    letter = text(fields, "answer").strip()
    if letter not in LETTERS:
        raise Unreadable(f"the answer {letter[:20]!r} is none of A, B, C, D")
    return Parsed(
        {
            "question": text(fields, "question"),
            "subject": _subject(path),
            "choices": [text(fields, name, empty=True) for name in LETTERS],
            "answer": LETTERS.index(letter),
        }
    )


FORMAT = BenchmarkFormat(
    name="mmlu",
    title="MMLU",
    licence="MIT",
    files={"test": "*_test.csv", "dev": "*_dev.csv", "val": "*_val.csv"},
    rows=_rows,
    parse=_parse,
    many=True,
    subject=_subject,
    counts={"test": 14042, "dev": 285, "val": 1531},
)
