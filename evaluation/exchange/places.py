"""Where a task that was run elsewhere belongs: its dataset here, and its definition."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from evaluation.definitions import dumped
from evaluation.definitions.definition import (
    DatasetRef,
    Filter,
    Generation,
    Metric,
    as_json,
    from_json,
    spec_hash,
)
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.formats.items import version_of
from evaluation.formats.measured import MeasuredTask, MeasuredValue
from evaluation.importing import ImportRefused
from evaluation.models import Dataset, Run, TaskDefinition
from evaluation.running.runs import IMPORTED

UNTOLD = "untold"  # in the metadata of a task of which little more than the name is known
CHUNK = 500  # hashes in one query


def dataset_of(one: MeasuredTask, hashes: Sequence[str], *, public: bool) -> tuple[Dataset, bool]:
    """The dataset that holds all the items, so that runs are compared on them, or a new one.

    What an earlier import of this task has used goes first: then both stand in one column.
    """
    if hashes:
        used = set(
            Run.objects.filter(task__slug=one.task)
            .exclude(source="")
            .values_list("dataset_id", flat=True)
        )
        holding = Dataset.objects.filter(items__hash=hashes[0]).order_by("-id")
        sizes = {found: found.items.count() for found in holding}
        for found in sorted(sizes, key=lambda d: (d.pk not in used, sizes[d])):
            if _holds(found, hashes):
                return found, False
    return Dataset.objects.get_or_create(
        name=one.dataset[:100] or one.task,
        split=one.split[:50],
        version=version_of(hashes),
        defaults={
            "format": one.source[:30],
            "public": public and not one.private_items,
        },
    )


def _holds(dataset: Dataset, hashes: Sequence[str]) -> bool:
    return all(
        dataset.items.filter(hash__in=chunk).count() == len(chunk)
        for chunk in (hashes[at : at + CHUNK] for at in range(0, len(hashes), CHUNK))
    )


def definition_of(
    one: MeasuredTask, dataset: Dataset, *, file: str
) -> tuple[Definition, dict[str, str]]:
    """The task as far as the file tells it, and its metrics' names here by those there."""
    ref = DatasetRef(dataset.name, dataset.split)
    told = dumped.from_dump(one.config, task=one.task, version=one.version, dataset=ref)
    names: dict[str, str] = {}
    if told is not None:
        listed = one.config.get("metric_list") or ()
        named = [str(given.get("metric")) for given in listed if isinstance(given, dict)]
        names = dict(zip(named, (one.metric for one in told.metrics), strict=False))
    renamed = {value.metric: _renamed(value.metric, names) for value in one.values}
    own = _own_definition(one.task)
    there = list(renamed.values())
    wanted = [own.primary if own else "", renamed.get(one.primary, one.primary)]
    primary = next((name for name in wanted if name in there), there[0])
    if any(len(name) > 120 for name in there):
        raise ImportRefused(f"{file}: a metric's name is longer than 120 characters")
    publish = own.publish if own and own.primary == primary else None
    if told is not None:
        publish = told.publish or publish
        return dataclasses.replace(told, primary=primary, publish=publish), renamed
    return (
        Definition(
            task=one.task,
            task_version=one.version or "1",
            dataset=ref,
            doc_to_text="",
            doc_to_target="",
            generation=Generation(until=()),
            filters=tuple(Filter(name, ()) for name in _distinct(there, 0)),
            metrics=tuple(
                Metric(name, higher_is_better=_better(one.values, name))
                for name in _distinct(there, 1)
            ),
            primary=primary,
            publish=publish,
            metadata={UNTOLD: True, **({"version": one.version} if one.version else {})},
        ),
        renamed,
    )


def _own_definition(slug: str) -> Definition | None:
    """The newest task of that name that this site can run itself."""
    found = TaskDefinition.objects.filter(slug=slug).exclude(IMPORTED).order_by("-id").first()
    return from_json(found.spec) if found else None


def registered(definition: Definition, one: MeasuredTask) -> TaskDefinition:
    """The task as it was run there: marked, so that nobody runs what may be half a definition."""
    marked = {**definition.metadata, "imported_from": one.source}
    for row in TaskDefinition.objects.filter(slug=definition.task).order_by("id"):
        version = row.task_version
        if spec_hash(dataclasses.replace(definition, task_version=version)) == row.spec_sha256:
            return row
    label = f"{one.version or '1'} ({one.source})"[:50]
    if TaskDefinition.objects.filter(slug=definition.task, task_version=label).exists():
        label = f"{label[:41]} {spec_hash(definition)[:8]}"
    stored = dataclasses.replace(definition, task_version=label, metadata=marked)
    return TaskDefinition.objects.create(
        slug=stored.task,
        task_version=label,
        spec=as_json(stored),
        spec_sha256=spec_hash(stored),
    )


def _renamed(metric: str, names: dict[str, str]) -> str:
    one, _, name = metric.rpartition("/")
    return f"{one}/{names.get(name, name)}"


def _distinct(metrics: Sequence[str], part: int) -> list[str]:
    """The filters (0) or the metrics (1) among "<filter>/<metric>", each once."""
    return list(dict.fromkeys(metric.rpartition("/")[::2][part] for metric in metrics))


def _better(values: Sequence[MeasuredValue], name: str) -> bool:
    return all(
        value.higher_is_better for value in values if value.metric.rpartition("/")[2] == name
    )
