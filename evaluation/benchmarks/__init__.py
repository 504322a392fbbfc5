"""The benchmarks that come with the project: an item file and a task file of the same name.

All of them were written for the project and are in the public domain (CC0-1.0); benchmarks of
others are imported from their official files and are no part of it. For some of those the task that
asks them is in `official`; `filler` is the text in which needles are hidden.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent
_OFFICIAL = _FOLDER / "official"


class Shipped(NamedTuple):
    items: Path  # JSON lines
    task: Path  # YAML


def official_task(name: str) -> Path | None:
    """The task file that goes with a benchmark's official files, where there is one."""
    file = _OFFICIAL / f"{name}.yaml"
    return file if file in _OFFICIAL.glob("*.yaml") else None


def official_tasks(name: str) -> list[Path]:
    """The same, with further ones: other questions to the same items, `<name>_….yaml`."""
    return sorted([*_OFFICIAL.glob(f"{name}.yaml"), *_OFFICIAL.glob(f"{name}_*.yaml")])


def shipped() -> dict[str, Shipped]:
    """The files of each benchmark by its name."""
    tasks = sorted(_FOLDER.glob("*.yaml"))
    return {task.stem: Shipped(task.with_suffix(".jsonl"), task) for task in tasks}
