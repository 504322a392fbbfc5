"""IFEval (Zhou et al. 2023): JSON lines of a prompt, its instructions and their parameters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import Unreadable
from evaluation.formats.values import objects, text, texts, whole_number


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    key, instructions = whole_number(fields, "key"), texts(fields, "instruction_id_list")
    parameters = objects(fields, "kwargs")
    if len(parameters) != len(instructions):
        raise Unreadable(f"{len(instructions)} instructions with {len(parameters)} kwargs")
    # Copies on the hub give every instruction every parameter, most of them null.
    given = [{k: v for k, v in one.items() if v is not None} for one in parameters]
    return Parsed(
        {
            "key": key,
            "prompt": text(fields, "prompt"),
            "instruction_id_list": instructions,
            "kwargs": given,
        },
        str(key),
    )


FORMAT = BenchmarkFormat(
    name="ifeval",
    title="IFEval",
    licence="Apache-2.0",
    files={"train": "input_data.jsonl"},  # the name of its only split on the hub
    rows=rows.json_lines,
    parse=_parse,
    counts={"train": 541},
)
