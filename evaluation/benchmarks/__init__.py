"""The benchmarks that come with the project: an item file and a task file of the same name.

All of them were written for the project and are in the public domain (CC0-1.0); benchmarks of
others are imported from their official files and are no part of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

_FOLDER = Path(__file__).parent


class Shipped(NamedTuple):
    items: Path  # JSON lines
    task: Path  # YAML


def shipped() -> dict[str, Shipped]:
    """The files of each benchmark by its name."""
    tasks = sorted(_FOLDER.glob("*.yaml"))
    return {task.stem: Shipped(task.with_suffix(".jsonl"), task) for task in tasks}
