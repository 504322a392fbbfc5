"""Task definitions as result files carry them: every default written out, in a task file's words.

Out: `as_task_file`, which `parsing.build` reads back equal. In: what lm-evaluation-harness dumped
into its `configs`, which names its defaults with null and cannot name the Python that it ran.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from evaluation.definitions import parsing
from evaluation.definitions.definition import DatasetRef, TaskDefinition
from evaluation.definitions.problems import InvalidTask

_OF_A_COMPARISON = ("baseline", "policy")


def as_task_file(definition: TaskDefinition) -> dict[str, Any]:
    """The mapping of a task file that means this definition; JSON values only."""
    fields = {one.name: getattr(definition, one.name) for one in dataclasses.fields(definition)}
    judge = {
        key: value
        for key, value in definition.judge.items()
        if not (definition.output_type == "judge_single" and key in _OF_A_COMPARISON)
    }
    changed: dict[str, Any] = {
        "dataset": dataclasses.asdict(definition.dataset),
        "fewshot_config": dataclasses.asdict(definition.fewshot),
        "generation_kwargs": dataclasses.asdict(definition.generation),
        "filter_list": [
            {"name": one.name, "filter": [dict(step) for step in one.steps]}
            for one in definition.filters
        ],
        "metric_list": [
            {
                "metric": one.metric,
                "aggregation": one.aggregation,
                "higher_is_better": one.higher_is_better,
                **one.options,
            }
            for one in definition.metrics
        ],
        "publish": dataclasses.asdict(definition.publish) if definition.publish else None,
        "judge": judge or None,
        "needle": dict(definition.needle) or None,
        "metadata": dict(definition.metadata) or None,
    }
    for name in ("fewshot", "generation", "filters", "metrics"):
        del fields[name]
    written: dict[str, Any] = _written(fields | changed)
    return written


def _written(value: Any) -> Any:
    """Without what is None, which a task file leaves out; tuples as lists."""
    if isinstance(value, Mapping):
        return {key: _written(one) for key, one in value.items() if one is not None}
    if isinstance(value, list | tuple):
        return [_written(one) for one in value]
    return value


def from_dump(
    config: Mapping[str, Any], *, task: str, version: str, dataset: DatasetRef
) -> TaskDefinition | None:
    """The definition that a result file tells, or None: what runs Python, compares log-likelihoods
    or is not told cannot be scored here.

    `dataset` is where its items are here, unless the file names one in our words.
    """
    if not config:
        return None
    loaded = {key: _written(value) for key, value in config.items() if value is not None}
    if "dataset" not in loaded:
        # The rest of an lm-evaluation-harness run's metadata is the model's arguments.
        loaded["metadata"] = {"version": version} if version else {}
        dataset = dataclasses.replace(dataset, fewshot_split=_fewshot_split(loaded))
    chosen = None if "dataset" in loaded else dataset
    try:
        return parsing.build(
            {**loaded, "task": task, "task_version": version or "1"}, dataset=chosen
        )
    except InvalidTask:
        return None


def _fewshot_split(loaded: Mapping[str, Any]) -> str | None:
    fewshot = loaded.get("fewshot_config")
    own = fewshot if isinstance(fewshot, Mapping) else {}
    if own.get("samples") or not loaded.get("num_fewshot"):
        return None
    named = (own.get("split"), *(loaded.get(f"{one}_split") for one in ("fewshot", "training")))
    found = next((one for one in named if isinstance(one, str) and one), None)
    return found or str(loaded.get("test_split") or "test")
