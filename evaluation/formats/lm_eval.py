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
    date: datetime | None = None  # aware; of the beginning
    seconds: float | None = None  # that it took
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
    """One item's responses, one for each epoch, and what a filter and the metrics made of them.

    Of a log-likelihood task the response is the choice that the model holds likeliest.
    """

    doc_id: int
    doc: Mapping[str, Any]
    target: str
    prompt: str  # a chat's messages as JSON, see `chat`
    responses: tuple[str, ...]
    filtered: tuple[str, ...]
    filter: str = "none"
    scores: Mapping[str, float] = field(default_factory=dict)
    generation_kwargs: Mapping[str, Any] = field(default_factory=dict)
    chat: bool = False
    likelihoods: tuple[float, ...] = ()  # of the choices, in a log-likelihood task
    finish_reasons: tuple[str, ...] = ()  # of the responses; only this site's files have them
    line: int = field(default=0, compare=False)  # in its file

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What was sent; a completion endpoint's text is a message of the user."""
        if self.chat:
            said: list[dict[str, Any]] = json.loads(self.prompt)
            return said
        return [{"role": "user", "content": self.prompt}]


def is_results(document: Any) -> bool:
    return isinstance(document, dict) and isinstance(document.get("results"), dict)


def results_of(document: Any) -> Results:
    """Raises Unreadable. Groups are left out: their tasks are there."""
    if not is_results(document):
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
        seconds=_seconds(document.get("total_evaluation_time_seconds")),
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
            yield _sample(row.fields, row.line)
        except Unreadable as error:
            yield BadRow(row.line, str(error), path.name)


def _sample(fields: dict[str, Any], line: int) -> Sample:
    number, doc = _whole(fields.get("doc_id")), fields.get("doc")
    if number is None or not isinstance(doc, dict):
        raise Unreadable("no 'doc_id' or no 'doc'")
    requests = _requests(fields.get("arguments"))
    prompt, chat = _prompt(requests[0][0])
    responses = fields.get("resps")
    arguments = requests[0][1] if len(requests[0]) > 1 else {}
    likelihoods: tuple[float, ...] = ()
    if isinstance(arguments, str):
        texts, likelihoods = _likeliest(requests, responses)
        filtered: Any = texts
    else:
        texts = _texts(responses)
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
        scores={
            name: float(fields[name])
            for name in names
            if isinstance(name, str) and _is_number(fields.get(name))
        },
        generation_kwargs=arguments if isinstance(arguments, dict) else {},
        chat=chat,
        likelihoods=likelihoods,
        finish_reasons=_finish_reasons(fields.get("finish_reasons"), len(texts)),
        line=line,
    )


def _finish_reasons(given: Any, count: int) -> tuple[str, ...]:
    """One for each response, or none."""
    reasons = given if isinstance(given, list) else []
    return tuple(_text(one)[:20] for one in reasons) if len(reasons) == count else ()


def _requests(arguments: Any) -> list[list[Any]]:
    """For each request the prompt and what follows it, from a mapping by `gen_args_0` … or from a
    list of lists."""
    if isinstance(arguments, dict):
        found = [list(one.values()) for one in arguments.values() if isinstance(one, dict)]
    else:
        given = arguments if isinstance(arguments, list) else []
        found = [one for one in given if isinstance(one, list)]
    if not found or not all(found):
        raise Unreadable("'arguments' hold no request")
    return found


def _prompt(given: Any) -> tuple[str, bool]:
    """The text, and whether it is a chat's messages.

    A chat is written as a list of one text that is the messages' JSON; some endpoints keep the
    messages as they are.
    """
    if isinstance(given, str):
        return given, False
    if isinstance(given, list) and len(given) == 1 and isinstance(given[0], str):
        try:
            return given[0], _are_messages(rows.json_value(given[0]))
        except Unreadable:
            return given[0], False
    return json.dumps(given, ensure_ascii=False), _are_messages(given)


def _are_messages(value: Any) -> bool:
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in value)
    )


def _texts(responses: Any) -> list[str]:
    if not isinstance(responses, list) or len(responses) != 1:
        raise Unreadable("'resps' are not the responses to one request")
    texts = responses[0] if isinstance(responses[0], list) else [responses[0]]
    if not texts or not all(isinstance(one, str) for one in texts):
        raise Unreadable("'resps' are not texts")
    return texts


def _likeliest(requests: list[list[Any]], responses: Any) -> tuple[list[str], tuple[float, ...]]:
    """The continuation with the highest log-likelihood, and all of these.

    One that was asked for alone is an answer only if the model would have written it.
    """
    if not isinstance(responses, list) or len(responses) != len(requests):
        raise Unreadable("'resps' are not the responses to the requests")
    values: list[float] = []
    for one in responses:
        try:  # [["-0.5", "False"]]: log-likelihood and greediness, as texts
            values.append(float(one[0][0]))
        except (TypeError, ValueError, LookupError):
            raise Unreadable("'resps' are not log-likelihoods") from None
    best = max(range(len(values)), key=values.__getitem__)
    if len(values) == 1 and str(responses[0][0][-1]) != "True":
        return [""], tuple(values)
    return [str(requests[best][1]) if len(requests[best]) > 1 else ""], tuple(values)


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
        "total_evaluation_time_seconds": None if results.seconds is None else str(results.seconds),
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
                "gen_args_0": {
                    "arg_0": [sample.prompt] if sample.chat else sample.prompt,
                    "arg_1": dict(sample.generation_kwargs),
                }
            },
            "resps": [list(sample.responses)],
            "filtered_resps": list(sample.filtered),
            "filter": sample.filter,
            "metrics": list(sample.scores),
            **hashes(sample),
            **({"finish_reasons": list(sample.finish_reasons)} if sample.finish_reasons else {}),
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


def _seconds(value: Any) -> float | None:
    """A number or a text."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        return None
    return seconds if 0 <= seconds < 1e9 else None
