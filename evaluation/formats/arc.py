"""ARC (Clark et al. 2018): JSON lines of a question with its choices inside it.

Most items have four choices labelled A to D; some have three or five, some the labels 1 to 4.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import Unreadable
from evaluation.formats.values import objects, present, text


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    name, question = text(fields, "id"), present(fields, "question")
    if not isinstance(question, dict):
        raise Unreadable("'question' is not an object")
    choices = objects(question, "choices")
    if len(choices) < 2:
        raise Unreadable("fewer than two choices")
    labels = [text(choice, "label") for choice in choices]
    if len(set(labels)) < len(labels):
        raise Unreadable("two choices have one label")
    key = text(fields, "answerKey")
    if key not in labels:
        raise Unreadable(f"the answer {key[:20]!r} is none of the labels")
    return Parsed(
        {
            "id": name,
            "question": text(question, "stem"),
            "choices": {"text": [text(choice, "text") for choice in choices], "label": labels},
            "answerKey": key,
        },
        name,
    )


def _arc(name: str, title: str, counts: dict[str, int]) -> BenchmarkFormat:
    return BenchmarkFormat(
        name=name,
        title=title,
        licence="CC BY-SA 4.0",
        files={
            "test": f"{title}-Test.jsonl",
            "validation": f"{title}-Dev.jsonl",
            "train": f"{title}-Train.jsonl",
        },
        rows=rows.json_lines,
        parse=_parse,
        counts=counts,
    )


CHALLENGE = _arc("arc_challenge", "ARC-Challenge", {"test": 1172, "validation": 299, "train": 1119})
EASY = _arc("arc_easy", "ARC-Easy", {"test": 2376, "validation": 570, "train": 2251})
