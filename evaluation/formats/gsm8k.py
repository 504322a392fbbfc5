"""GSM8K (Cobbe et al. 2021): JSON lines; the number is after the last '#### ' of the answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import Unreadable
from evaluation.formats.values import text


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    question, answer = text(fields, "question"), text(fields, "answer")
    if not answer.rpartition("#### ")[2].strip() or "#### " not in answer:
        raise Unreadable("'answer' has no number after '#### '")
    # The calculator's notes in << >> stay: lm-evaluation-harness shows them in its examples.
    return Parsed({"question": question, "answer": answer})


FORMAT = BenchmarkFormat(
    name="gsm8k",
    title="GSM8K",
    licence="MIT",
    files={"test": "test.jsonl", "train": "train.jsonl"},
    rows=rows.json_lines,
    parse=_parse,
    counts={"test": 1319, "train": 7473},
)
