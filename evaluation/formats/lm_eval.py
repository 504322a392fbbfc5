"""lm-evaluation-harness's result files, in and out: `results_*.json` and `samples_*.jsonl`.

A results file has, for each task, its scores under "<metric>,<filter>", its definition, its number
of examples and of items; a samples file has one line for each item and filter. As version 0.4.13
writes them (its result_schema.py, loggers/evaluation_tracker.py); older ones are read too, which
have the arguments of a request as a list and no count of items.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeGuard

from evaluation.formats import rows
from evaluation.formats.items import BadRow, Unreadable

_MARK = "_stderr"


@dataclass(frozen=True, slots=True)
class Value:
    """One score; a standard error that the file gives as "N/A" is None."""

    metric: str
    filter: str
    value: float
    stderr: float | None = None
    higher_is_better: bool = True


@dataclass(frozen=True, slots=True)
class TaskResult:
    task: str
    values: tuple[Value, ...]
    version: str = ""
    num_fewshot: int | None = None
    items: int | None = None  # that were asked
    items_of_dataset: int | None = None
    config: Mapping[str, Any] = field(default_factory=dict)  # the task's definition as run

    @property
    def partial(self) -> bool:
        """Whether fewer items were asked than there are; unknown counts as no."""
        if self.items is None or self.items_of_dataset is None:
            return False
        return self.items < self.items_of_dataset


@dataclass(frozen=True, slots=True)
class Results:
    """One run of lm-evaluation-harness, or of ours in its words."""

    model: str
    tasks: tuple[TaskResult, ...]
    date: datetime | None = None  # aware
    lm_eval_version: str = ""
    git_hash: str = ""
    limit: float | None = None
    fewshot_seed: int | None = None
    system_instruction: str | None = None
    chat_template: str | None = None
    fewshot_as_multiturn: bool | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sample:
    """One item's responses, one for each epoch, and what a filter and the metrics made of them."""

    doc_id: int
    doc: Mapping[str, Any]
    target: str
    prompt: str  # a chat's messages as JSON
    responses: tuple[str, ...]
    filtered: tuple[str, ...]
    filter: str = "none"
    scores: Mapping[str, float] = field(default_factory=dict)
    generation_kwargs: Mapping[str, Any] = field(default_factory=dict)


def read_results(path: Path) -> Results:
    """Raises Unreadable. Groups are left out: their tasks are there."""
    document = rows.json_document(path)
    if not isinstance(document, dict) or not isinstance(document.get("results"), dict):
        raise Unreadable("not a results file of lm-evaluation-harness: no 'results'")
    groups = _mapping(document, "groups")
    configuration = _mapping(document, "config")
    limit = configuration.get("limit")
    return Results(
        model=_model(document, configuration),
        tasks=tuple(
            _task(name, measured, document)
            for name, measured in document["results"].items()
            if name not in groups and isinstance(measured, dict)
        ),
        date=_date(document.get("date")),
        lm_eval_version=_text(document.get("lm_eval_version")),
        git_hash=_text(document.get("git_hash")),
        limit=float(limit) if _is_number(limit) else None,
        fewshot_seed=_whole(configuration.get("fewshot_seed")),
        system_instruction=document.get("system_instruction") or None,
        chat_template=document.get("chat_template") or None,
        fewshot_as_multiturn=document.get("fewshot_as_multiturn"),
        config=configuration,
    )


def _task(name: str, measured: dict[str, Any], document: dict[str, Any]) -> TaskResult:
    higher = _mapping(_mapping(document, "higher_is_better"), name)
    values = []
    for key, value in measured.items():
        metric, comma, filter_name = key.rpartition(",")
        if not comma or metric.endswith(_MARK) or not _is_number(value):
            continue  # alias, sample_len, standard errors, "N/A"
        error = measured.get(f"{metric}{_MARK},{filter_name}")
        values.append(
            Value(
                metric,
                filter_name,
                float(value),
                float(error) if _is_number(error) else None,
                higher.get(metric) is not False,
            )
        )
    counts = _mapping(_mapping(document, "n-samples"), name)
    version = _mapping(document, "versions").get(name)
    return TaskResult(
        task=name,
        values=tuple(values),
        version="" if version is None else str(version),
        num_fewshot=_whole(_mapping(document, "n-shot").get(name)),
        items=_whole(counts.get("effective", measured.get("sample_len"))),
        items_of_dataset=_whole(counts.get("original")),
        config=_mapping(_mapping(document, "configs"), name),
    )


def _model(document: dict[str, Any], configuration: Mapping[str, Any]) -> str:
    """The model's name; before version 0.4.3 it was only among its arguments."""
    if name := _text(document.get("model_name")):
        return name
    arguments = configuration.get("model_args")
    if isinstance(arguments, str):
        arguments = dict(part.partition("=")[::2] for part in arguments.split(","))
    if isinstance(arguments, dict):
        for key in ("pretrained", "model", "path"):
            if name := _text(arguments.get(key)):
                return name
    return _text(configuration.get("model"))


def read_samples(path: Path) -> Iterator[Sample | BadRow]:
    """The samples of a file, one for each item and filter. Raises Unreadable."""
    for row in rows.json_lines(path):
        if isinstance(row, BadRow):
            yield row
            continue
        try:
            yield _sample(row.fields)
        except Unreadable as error:
            yield BadRow(row.line, str(error), path.name)


def _sample(fields: dict[str, Any]) -> Sample:
    number, doc = _whole(fields.get("doc_id")), fields.get("doc")
    if number is None or not isinstance(doc, dict):
        raise Unreadable("no 'doc_id' or no 'doc'")
    prompt, arguments = _request(fields.get("arguments"))
    responses = fields.get("resps")
    if not isinstance(responses, list) or len(responses) != 1:
        # Several requests for an item are the choices of a log-likelihood task.
        raise Unreadable("'resps' are not the responses to one request")
    texts = responses[0] if isinstance(responses[0], list) else [responses[0]]
    if not all(isinstance(one, str) for one in texts):
        raise Unreadable("'resps' are not texts")
    filtered = fields.get("filtered_resps", [])
    filtered = filtered if isinstance(filtered, list) else [filtered]
    if len(filtered) == 1 and isinstance(filtered[0], list):
        filtered = filtered[0]
    metrics = fields.get("metrics")
    names = metrics if isinstance(metrics, list) else []
    return Sample(
        doc_id=number,
        doc=doc,
        target=str(fields.get("target", "")),
        prompt=prompt,
        responses=tuple(texts),
        filtered=tuple(map(str, filtered)),
        filter=_text(fields.get("filter")) or "none",
        scores={name: float(fields[name]) for name in names if _is_number(fields.get(name))},
        generation_kwargs=arguments,
    )


def _request(arguments: Any) -> tuple[str, dict[str, Any]]:
    """The prompt and the parameters, from a mapping by `gen_args_0` or from a list of lists."""
    if isinstance(arguments, dict):
        first = arguments.get("gen_args_0")
        values = list(first.values()) if isinstance(first, dict) else []
    else:
        values = arguments[0] if isinstance(arguments, list) and arguments else []
        values = values if isinstance(values, list) else []
    if not values:
        raise Unreadable("'arguments' hold no request")
    prompt = values[0]
    if not isinstance(prompt, str):  # some endpoints keep the messages as they are
        prompt = json.dumps(prompt, ensure_ascii=False)
    given = values[1] if len(values) > 1 and isinstance(values[1], dict) else {}
    return prompt, given


def results_document(results: Results) -> dict[str, Any]:
    """What to write as `results_<date>.json`, with json.dumps."""
    tasks = {task.task: task for task in results.tasks}
    document: dict[str, Any] = {
        "results": {name: _measured(task) for name, task in tasks.items()},
        "group_subtasks": {name: [] for name in tasks},
        "configs": {name: dict(task.config) for name, task in tasks.items()},
        "versions": {name: task.version for name, task in tasks.items()},
        "n-shot": {name: task.num_fewshot or 0 for name, task in tasks.items()},
        "higher_is_better": {
            name: {value.metric: value.higher_is_better for value in task.values}
            for name, task in tasks.items()
        },
        "n-samples": {
            name: {"original": task.items_of_dataset, "effective": task.items}
            for name, task in tasks.items()
        },
        "config": {
            **results.config,
            "limit": results.limit,
            "fewshot_seed": results.fewshot_seed,
        },
        "git_hash": results.git_hash or None,
        "date": results.date.timestamp() if results.date else None,
        "lm_eval_version": results.lm_eval_version or None,
        "system_instruction": results.system_instruction,
        "fewshot_as_multiturn": results.fewshot_as_multiturn,
        "chat_template": results.chat_template,
        "model_name": results.model,
        "model_name_sanitized": results.model.translate(_PATH_SIGNS),
    }
    return document


_PATH_SIGNS = str.maketrans(dict.fromkeys('"<>:/|\\?*[]', "__"))


def _measured(task: TaskResult) -> dict[str, Any]:
    measured: dict[str, Any] = {"name": task.task, "alias": task.task}
    if task.items is not None:
        measured["sample_len"] = task.items
    for value in task.values:
        measured[f"{value.metric},{value.filter}"] = value.value
        error = "N/A" if value.stderr is None else value.stderr
        measured[f"{value.metric}{_MARK},{value.filter}"] = error
    return measured


def sample_lines(samples: Iterable[Sample]) -> Iterator[str]:
    """The lines of `samples_<task>_<date>.jsonl`, each with its line end."""
    for sample in samples:
        line = {
            "doc_id": sample.doc_id,
            "doc": dict(sample.doc),
            "target": sample.target,
            "arguments": {
                "gen_args_0": {"arg_0": sample.prompt, "arg_1": dict(sample.generation_kwargs)}
            },
            "resps": [list(sample.responses)],
            "filtered_resps": list(sample.filtered),
            "filter": sample.filter,
            "metrics": list(sample.scores),
            **hashes(sample),
            **sample.scores,
        }
        yield json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n"


def hashes(sample: Sample) -> dict[str, str]:
    """The three hashes by which two runs of lm-evaluation-harness are known to be comparable."""
    doc = json.dumps(dict(sample.doc), indent=2, ensure_ascii=False)
    return {
        "doc_hash": _sha256(doc),
        "prompt_hash": _sha256(sample.prompt),
        "target_hash": _sha256(sample.target),
    }


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _mapping(document: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _date(value: Any) -> datetime | None:
    """Seconds since 1970, as a number or a text."""
    try:
        return datetime.fromtimestamp(float(value), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
