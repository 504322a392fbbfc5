"""Arena-Hard-Auto (Li et al. 2024): JSON lines of a prompt with its category and cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.values import text


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    parsed = {name: text(fields, name) for name in ("uid", "category", "prompt")}
    parsed |= {name: text(fields, name) for name in ("cluster", "subcategory") if fields.get(name)}
    return Parsed(parsed, parsed["uid"])


def _version(name: str, title: str, count: int) -> BenchmarkFormat:
    return BenchmarkFormat(
        name=name,
        title=title,
        licence="Apache-2.0",
        files={"test": "question.jsonl"},
        rows=rows.json_lines,
        parse=_parse,
        counts={"test": count},
    )


V01 = _version("arena_hard", "Arena-Hard v0.1", 500)
V2 = _version("arena_hard_v2", "Arena-Hard v2.0", 750)
