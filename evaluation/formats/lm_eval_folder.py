"""A results file of lm-evaluation-harness with the samples beside it.

A run leaves `results_<date>.json` and, with --log_samples, `samples_<task>_<date>.jsonl` for each
task in the same folder. The date in both names is what holds them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.formats import lm_eval
from evaluation.formats.items import BadRow, Unreadable
from evaluation.formats.measured import (
    MeasuredSample,
    MeasuredTask,
    MeasuredValue,
    Verdict,
    task_name,
)

_DATE = re.compile(r"_(\d{4}-\d{2}-\d{2}T\d{2}-\d{2}-\d{2}(?:\.\d+)?)\.json(?:\.gz)?$")
NOTHING_FOUND = "[invalid]"  # what a regex filter gives where it finds nothing
OURS = "arena"  # the key of a run's settings under which this site's exports say more


def read(path: Path, document: Any) -> list[MeasuredTask]:
    """Every task of a results file, which `document` is the content of. Raises Unreadable."""
    results = lm_eval.results_of(document)
    if not results.model:
        raise Unreadable("names no model")
    return [_measured(path, results, task) for task in results.tasks]


def _measured(path: Path, results: lm_eval.Results, task: lm_eval.TaskResult) -> MeasuredTask:
    name = task_name(task.task)
    if not name:
        raise Unreadable(f"the task {task.task!r} has no usable name")
    samples = _samples_file(path, task.task)
    ours = results.config.get(OURS)
    ours = ours if isinstance(ours, Mapping) else {}
    errors = ours.get("errors")
    finished = results.date
    if finished is not None and results.seconds is not None:
        finished += timedelta(seconds=results.seconds)
    filters = len({value.filter for value in task.values})
    return MeasuredTask(
        task=name,
        model=results.model,
        source=source(results.lm_eval_version, ours),
        values=tuple(
            MeasuredValue(
                f"{value.filter}/{value.metric}",
                value.value,
                value.stderr,
                value.higher_is_better,
                _is_mean(task.config, value.metric),
            )
            for value in task.values
        ),
        version=task.version,
        items=task.items,
        errors=errors if isinstance(errors, int) and not isinstance(errors, bool) else 0,
        # A count is better than a limit, which may be more than there is.
        limited=task.partial or (task.items_of_dataset is None and results.limit is not None),
        config=task.config,
        dataset=_dataset_name(task),
        split=_split(task.config),
        private_items=ours.get("private_items") is True,
        settings={
            "num_fewshot": task.num_fewshot,
            "fewshot_seed": results.fewshot_seed,
            "fewshot_as_multiturn": results.fewshot_as_multiturn,
            "system_instruction": results.system_instruction,
        },
        own_prompts=bool(results.chat_template),
        truncated_known=bool(ours),
        fingerprint=_fingerprint(ours),
        primary=str(task.config.get("primary") or ""),
        started=results.date,
        finished=finished,
        samples=partial(_samples, samples) if samples else None,
        samples_file=samples.name if samples else "",
        lines=None if task.items is None else task.items * filters,
    )


def source(lm_eval_version: str, ours: Mapping[str, Any]) -> str:
    """The program, by its version; this site's exports name another where it was another."""
    named = ours.get("source")
    if isinstance(named, str) and named:
        return named[:100]
    return f"lm-eval {lm_eval_version}".strip()[:100]


def _fingerprint(ours: Mapping[str, Any]) -> str:
    given = str(ours.get("fingerprint", ""))
    return given if re.fullmatch("[0-9a-f]{64}", given) else ""


def _samples_file(path: Path, task: str) -> Path | None:
    task = task.replace("/", "__")[:150]
    found = _DATE.search(path.name)
    name = f"samples_{task}_{found[1]}.jsonl" if found else f"samples_{task}.jsonl"
    beside = (path.with_name(name), path.with_name(f"{name}.gz"))
    return next((one for one in beside if one.is_file()), None)


def _samples(path: Path) -> Iterator[MeasuredSample | BadRow]:
    for one in lm_eval.read_samples(path):
        if isinstance(one, BadRow):
            yield one
            continue
        read = [None if answer == NOTHING_FOUND else answer for answer in one.filtered]
        answer = read[0] if read else None
        yield MeasuredSample(
            line=one.line,
            id=str(one.doc_id),
            fields=one.doc,
            messages=one.messages,
            responses=one.responses,
            verdicts=tuple(
                Verdict(
                    f"{one.filter}/{metric}",
                    value,
                    # Other metrics of a log-likelihood task may choose another way.
                    answer if not one.likelihoods or metric == "acc" else None,
                    unparsed=None in read,
                )
                for metric, value in one.scores.items()
            ),
            prompt=one.prompt,
            filter=one.filter,
            finish_reasons=one.finish_reasons,
        )


def _is_mean(config: Mapping[str, Any], metric: str) -> bool:
    """Whether the definition says that the score is the mean of the items'.

    A judge's verdicts are put together in a way of their own.
    """
    if str(config.get("output_type", "")).startswith("judge"):
        return False
    listed = config.get("metric_list")
    return any(
        isinstance(one, Mapping)
        and one.get("metric") == metric
        and one.get("aggregation") == "mean"
        for one in (listed if isinstance(listed, list) else [])
    )


def _dataset_name(task: lm_eval.TaskResult) -> str:
    """The hub's name for it; a local file's is the task's; this site's files say it."""
    ours = task.config.get("dataset")
    if isinstance(ours, Mapping) and isinstance(ours.get("name"), str):
        return str(ours["name"])
    named = [task.config.get(key) for key in ("dataset_path", "dataset_name")]
    if named[0] in (None, "json", "csv"):
        named[0] = task.task
    return " ".join(one for one in named if isinstance(one, str) and one)


def _split(config: Mapping[str, Any]) -> str:
    ours = config.get("dataset")
    if isinstance(ours, Mapping) and isinstance(ours.get("split"), str):
        return str(ours["split"])
    splits = (config.get("test_split"), config.get("validation_split"))
    return next((one for one in splits if isinstance(one, str) and one), "test")
