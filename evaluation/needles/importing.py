"""A grid of needles into the database: the dataset, and the task that asks it."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.db import transaction

from evaluation import needles
from evaluation.benchmarks import filler
from evaluation.definitions import parsing
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.formats.items import Item
from evaluation.importing import ImportRefused, ImportReport, register_task, store_dataset
from evaluation.models import Dataset, TaskDefinition

NAME = "needle"
FILLER_CHARACTERS = 400_000  # of our own text, then it is repeated


def read_filler(file: Path | None, *, seed: int) -> str:
    """The text to hide needles in: a file's, or our own. Raises OSError, UnicodeDecodeError."""
    if file is None:
        return filler.text(FILLER_CHARACTERS, seed=seed)
    return file.read_text(encoding="utf-8")


def import_needles(
    *,
    lengths: Sequence[int],
    depths: Sequence[float],
    seeds: int,
    seed: int | None = None,
    filler_file: Path | None = None,
    characters_per_token: float = needles.CHARACTERS_PER_TOKEN,
    public: bool = True,
) -> tuple[ImportReport, TaskDefinition]:
    """A grid of needles and the task that asks it. Raises ImportRefused.

    Without a `seed` the numbers are new ones, which nobody has seen. Each grid is a version of the
    task of its own, so that runs of different grids are never taken for the same.
    """
    seed = secrets.randbelow(2**32) if seed is None else seed
    try:
        hay = read_filler(filler_file, seed=seed)
        made = needles.make_items(
            lengths=lengths,
            depths=depths,
            seeds=seeds,
            seed=seed,
            filler=hay,
            characters_per_token=characters_per_token,
        )
    except (needles.BadGrid, OSError, UnicodeDecodeError) as error:
        raise ImportRefused(str(error)) from None
    items = [
        Item(f"{one['length']}-{one['depth']:g}-{one['seed']}", one, line)
        for line, one in enumerate(made, 1)
    ]
    grid: dict[str, Any] = {
        "lengths": sorted({one["length"] for one in made}),
        "depths": sorted({one["depth"] for one in made}),
        "seeds": seeds,
        "seed": seed,
        "characters_per_token": characters_per_token,
        "filler_sha256": hashlib.sha256(hay.encode()).hexdigest(),
    }
    with transaction.atomic():
        dataset, created = store_dataset(
            items,
            name=NAME,
            split="test",
            format=NAME,
            licence="CC0-1.0" if filler_file is None else "",
            public=public,
        )
        task = register_task(_needle_task(dataset, grid))
    return ImportReport(dataset, created, len(items), (), ()), task


def _needle_task(dataset: Dataset, grid: dict[str, Any]) -> Definition:
    return parsing.build(
        {
            "task": NAME,
            "task_version": dataset.version.removeprefix("sha256:")[:12],
            "dataset": {"name": dataset.name, "split": dataset.split, "version": dataset.version},
            "output_type": "needle",
            "doc_to_text": "Read this text. A question follows it.\n\n{{haystack}}\n\n"
            "{{question}} Answer with the number and nothing else.",
            "doc_to_target": "answers",
            "generation_kwargs": {"temperature": 0, "max_gen_toks": 64, "seed": 42},
            "needle": grid,
        }
    )
