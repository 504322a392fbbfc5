"""Datasets and tasks into the database; the same file twice changes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.db import transaction

from evaluation.benchmarks import official_tasks, shipped
from evaluation.definitions import loading, parsing
from evaluation.definitions.definition import DatasetRef, as_json, spec_hash
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.problems import InvalidTask
from evaluation.formats.catalogue import benchmark_format
from evaluation.formats.items import (
    BadRow,
    Duplicate,
    Item,
    Unreadable,
    dataset_version,
    distinct,
)
from evaluation.models import Dataset, Immutable, TaskDefinition
from evaluation.models import Item as ItemRow


class ImportRefused(Exception):
    """The text is for whoever brought the file."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    dataset: Dataset
    created: bool
    items: int
    duplicates: tuple[Duplicate, ...]
    bad: tuple[BadRow, ...]


def import_dataset(
    *,
    name: str,
    source: Path,
    format: str | None = None,
    split: str | None = None,
    licence: str | None = None,
    public: bool = True,
    skip_bad: bool = False,
) -> ImportReport:
    """One split of a benchmark; repeated items are left out and reported.

    All of the file or nothing, unless bad rows may be skipped. Raises ImportRefused.
    """
    try:
        known = benchmark_format(format or name)
        readings = list(distinct(known.read(source, split=split)))
    except (Unreadable, OSError) as error:
        raise ImportRefused(str(error)) from None
    items = [one for one in readings if isinstance(one, Item)]
    bad = tuple(one for one in readings if isinstance(one, BadRow))
    if bad and not skip_bad:
        lines = "; ".join(f"{one.file} line {one.line}: {one.reason}" for one in bad[:5])
        raise ImportRefused(f"{len(bad)} rows cannot be read: {lines}")
    if not items:
        raise ImportRefused(f"{source.name} holds no item")
    dataset, created = store_dataset(
        items,
        name=name,
        split=split or known.default_split,
        format=known.name,
        licence=known.licence if licence is None else licence,
        public=public,
    )
    duplicates = tuple(one for one in readings if isinstance(one, Duplicate))
    return ImportReport(dataset, created, len(items), duplicates, bad)


def store_dataset(
    items: Sequence[Item], *, name: str, split: str, format: str, licence: str, public: bool
) -> tuple[Dataset, bool]:
    """The dataset of these items, and whether it is new."""
    with transaction.atomic():
        dataset, created = Dataset.objects.get_or_create(
            name=name,
            split=split,
            version=dataset_version(items),
            defaults={"format": format, "licence": licence, "public": public},
        )
        if created:
            ItemRow.objects.bulk_create(
                [
                    ItemRow(
                        dataset=dataset,
                        position=position,
                        external_id=item.id,
                        hash=item.hash,
                        fields=item.fields,
                    )
                    for position, item in enumerate(items)
                ],
                batch_size=1000,
            )
    return dataset, created


def register_task(definition: Definition) -> TaskDefinition:
    """The task's row. A version that has been run is refused a change (Immutable)."""
    spec, sha = as_json(definition), spec_hash(definition)
    with transaction.atomic():
        TaskDefinition.objects.get_or_create(
            slug=definition.task,
            task_version=definition.task_version,
            defaults={"spec": spec, "spec_sha256": sha},
        )
        # Locked: no run of the old definition may begin between the look and the change.
        task = TaskDefinition.objects.select_for_update().get(
            slug=definition.task, task_version=definition.task_version
        )
        if task.spec_sha256 != sha:
            if task.runs.exists():
                raise Immutable(f"{task} has been run: register the change as another version")
            task.spec, task.spec_sha256 = spec, sha
            task.save(update_fields=["spec", "spec_sha256"])
    return task


def read_task(path: Path, *, dataset: DatasetRef | None = None) -> Definition:
    """A task file; `dataset` stands in where it names one on a hub. Raises ImportRefused."""

    def include(name: str) -> str:
        return (path.parent / name).read_text(encoding="utf-8")

    try:
        loaded = loading.load(path.read_text(encoding="utf-8"), include=include)
        return parsing.build(loaded, dataset=None if "dataset" in loaded else dataset)
    except (InvalidTask, OSError, UnicodeDecodeError) as error:
        raise ImportRefused(f"{path.name}: {error}") from None


def import_shipped(name: str) -> tuple[ImportReport, TaskDefinition]:
    """A benchmark that comes with the project, items and task."""
    files = shipped()[name]
    definition = read_task(files.task)
    report = import_dataset(
        name=name,
        source=files.items,
        format=definition.dataset.format,
        split=definition.dataset.split,
        licence=str(definition.metadata.get("licence", "")),
    )
    return report, register_task(definition)


def register_official_tasks(dataset: Dataset) -> list[TaskDefinition]:
    """The tasks that go with a benchmark's official files, asked of this dataset.

    Raises ImportRefused and Immutable.
    """
    definitions = [read_task(file) for file in official_tasks(dataset.name)]
    return [
        register_task(one)
        for one in definitions
        if (one.dataset.name, one.dataset.split) == (dataset.name, dataset.split)
    ]
