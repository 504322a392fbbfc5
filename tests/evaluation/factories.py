"""Rows for tests of the evaluation: each function makes one valid thing, and what it needs."""

from __future__ import annotations

import itertools
from typing import Any

from django.utils import timezone

from evaluation.definitions import parsing
from evaluation.formats.items import item_hash
from evaluation.importing import register_task
from evaluation.models import (
    CachedResponse,
    Dataset,
    EndpointPace,
    Item,
    Run,
    Sample,
    SandboxReport,
    Score,
    TaskDefinition,
    Verdict,
)
from evaluation.running import finishing, runs
from tests import factories

_numbers = itertools.count(1)


def dataset(words: list[str] | None = None, **fields: Any) -> Dataset:
    """One item a word, whose right answer is the word."""
    number = next(_numbers)
    made = Dataset.objects.create(
        **{
            "name": f"words-{number}",
            "split": "test",
            "version": f"sha256:{number:064x}",
            "format": "json",
            **fields,
        }
    )
    for position, word in enumerate(words or ["yes"]):
        asked = {"word": word, "number": position}
        Item.objects.create(
            dataset=made,
            position=position,
            external_id=str(position),
            hash=item_hash(asked),
            fields=asked,
        )
    return made


def task(of: Dataset | None = None, **changes: Any) -> TaskDefinition:
    of = of or dataset()
    loaded = {
        "task": f"say-{next(_numbers)}",
        "dataset": {"name": of.name, "split": of.split},
        "doc_to_text": "{{word}}",
        "doc_to_target": "{{word}}",
        "metric_list": [{"metric": "exact_match", "strip": True}],
        **changes,
    }
    return register_task(parsing.build(loaded))


def run(**fields: Any) -> Run:
    if "task" not in fields:
        fields["task"] = task()
    if "dataset" not in fields:
        fields["dataset"] = dataset()
    if "contestant" not in fields:
        fields["contestant"] = factories.contestant()
    return Run.objects.create(
        **{"spec_sha256": fields["task"].spec_sha256, "fingerprint": "0" * 64, **fields}
    )


def finished_run(**fields: Any) -> Run:
    now = timezone.now()
    return run(**{"state": "completed", "started_at": now, "finished_at": now, **fields})


def sample(**fields: Any) -> Sample:
    if "run" not in fields:
        fields["run"] = run()
    if "item" not in fields:
        fields["item"] = fields["run"].dataset.items.first()
    return Sample.objects.create(**{"messages": [], **fields})


def score(**fields: Any) -> Score:
    if "sample" not in fields:
        fields["sample"] = sample(state="done")
    return Score.objects.create(
        **{"scorer": "exact_match@1.0.0", "metric": "none/exact_match", "value": 1.0, **fields}
    )


def cached_response(**fields: Any) -> CachedResponse:
    return CachedResponse.objects.create(**{"key": f"{next(_numbers):064x}", **fields})


def verdict(**fields: Any) -> Verdict:
    if "sample" not in fields:
        fields["sample"] = sample(state="done")
    return Verdict.objects.create(
        **{"passed": True, "reason": "passed", "checked_at": timezone.now(), **fields}
    )


def sandbox_report(**fields: Any) -> SandboxReport:
    return SandboxReport.objects.create(
        **{"worker": f"arena@host-{next(_numbers)}", "ok": True, **fields}
    )


def endpoint_pace(**fields: Any) -> EndpointPace:
    return EndpointPace.objects.create(**{"endpoint": factories.endpoint(), **fields})


def answered_run(answers: list[str | None], *, task: TaskDefinition, **fields: Any) -> Run:
    """A run to its end without a model: an answer for each item, None for an error."""
    contestant = fields.pop("contestant", None) or factories.contestant()
    made = runs.create_run(task=task, contestant=contestant, **fields)
    answer(made, answers)
    finishing.finish(run_id=made.pk)
    made.refresh_from_db()
    return made


def answer(run: Run, answers: list[str | None]) -> None:
    """Stores the answers to the first items."""
    samples = list(run.samples.order_by("id")[: len(answers)])
    for one, text in zip(samples, answers, strict=True):
        if text is None:
            one.state, one.error_kind, one.error_detail = "error", "unavailable", "503 upstream"
        else:
            one.state, one.response, one.finish_reason = "done", text, "stop"
            one.prompt_tokens, one.completion_tokens = 10, 2
        one.save()
