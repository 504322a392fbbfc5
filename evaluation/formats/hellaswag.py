"""HellaSwag (Zellers et al. 2019): JSON lines of a context and four endings.

After the description beside the official files: `ctx` is the whole context, `ctx_a` and `ctx_b`
its parts where it ends in half a sentence; `label` counts from 0 and is absent from the test file,
whose answers are not public, so the validation file is the one that is evaluated.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from evaluation.formats import rows
from evaluation.formats.benchmark_format import BenchmarkFormat, Parsed
from evaluation.formats.items import Unreadable
from evaluation.formats.values import text, texts, whole_number

_TEXTS = ("ctx_a", "ctx_b", "source_id", "split", "split_type")


def _parse(fields: dict[str, Any], path: Path) -> Parsed:
    endings = texts(fields, "endings", least=2)
    if fields.get("label") in (None, ""):
        raise Unreadable("no label: the answers of the test file are not public")
    # Copies on the hub have the label as a text.
    label = fields["label"]
    label = int(label) if isinstance(label, str) and label.isdecimal() else label
    label = whole_number({"label": label}, "label")
    if not 0 <= label < len(endings):
        raise Unreadable(f"the label {label} is none of {len(endings)} endings")
    parsed = {
        "ind": whole_number(fields, "ind"),
        "activity_label": text(fields, "activity_label"),
        "ctx": text(fields, "ctx"),
        "endings": endings,
        "label": label,
    }
    parsed |= {name: text(fields, name, empty=True) for name in _TEXTS if name in fields}
    return Parsed(parsed)


FORMAT = BenchmarkFormat(
    name="hellaswag",
    title="HellaSwag",
    licence="MIT",
    files={"validation": "hellaswag_val.jsonl", "train": "hellaswag_train.jsonl"},
    rows=rows.json_lines,
    parse=_parse,
    counts={"validation": 10042, "train": 39905},
)
