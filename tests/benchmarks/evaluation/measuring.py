"""Starts a run of one kind or another on the same questions, and reads what it took."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.definitions import parsing
from evaluation.definitions.prompts import build_prompts
from tests import services
from tests.benchmarks.evaluation import questions
from tests.conftest import PROJECT
from tests.running_site import postgres_database

SECONDS, CONNECTIONS = 0.2, 16  # of an answer, and requests at once
IDEAL = -(-questions.COUNT // CONNECTIONS) * SECONDS  # seconds, if nothing else took time


@dataclass(frozen=True)
class Took:
    """Seconds of the whole run."""

    name: str
    wall: float
    cpu: float
    samples: int
    score: float | None = None
    database_cpu: float = 0.0

    @property
    def cpu_per_sample(self) -> float:
        """Milliseconds, the database's included."""
        return 1000 * (self.cpu + self.database_cpu) / self.samples

    def __str__(self) -> str:
        return (
            f"{self.name:<14} {self.wall:7.1f} s {self.wall / IDEAL:7.2f} × ideal "
            f"{self.cpu_per_sample:7.2f} ms CPU a sample   score {self.score}"
        )


@contextmanager
def questions_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="arena-bench-") as name:
        questions.write(Path(name))
        yield Path(name)


def measured(name: str, command: Sequence[str], **environment: str) -> Took:
    told = told_by(command, **environment)
    if told.get("state", "completed") != "completed":
        raise RuntimeError(f"{name}: the run is {told['state']}")
    fields = ("wall", "cpu", "samples", "score", "database_cpu")
    return Took(name, **{field: told[field] for field in fields if field in told})


def told_by(command: Sequence[str], **environment: str) -> dict[str, Any]:
    """The JSON in the last line that a process writes."""
    done = subprocess.run(
        command, cwd=PROJECT, env={**os.environ, **environment}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def measure_ours(folder: Path, base_url: str, connections: int = CONNECTIONS) -> Took:
    """On PostgreSQL where it runs, else on SQLite."""
    with _database(folder) as url:
        environment = {
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "ARENA_PROFILE": "demo",
            "ARENA_DATA_DIR": str(folder),
            "DATABASE_URL": url,
        }
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "--verbosity", "0"],
            cwd=PROJECT, env={**os.environ, **environment}, check=True,
        )  # fmt: skip
        command = [sys.executable, "-m", "tests.benchmarks.evaluation.ours"]
        return measured(
            "this site", [*command, str(folder), base_url, str(connections)], **environment
        )


def measure_bare(folder: Path, base_url: str, connections: int = CONNECTIONS) -> Took:
    command = [sys.executable, "-m", "tests.benchmarks.evaluation.bare"]
    return measured(
        "a bare client", [*command, str(write_prompts(folder)), base_url, str(connections)]
    )


def write_prompts(folder: Path) -> Path:
    """What this site sends, one object a line: `messages`, and the `target`."""
    definition = parsing.parse(questions.TASK)
    items, pool = (read_items(folder / f"{split}.jsonl") for split in ("test", "train"))
    prompts = build_prompts(definition, items, pool)
    path = folder / "prompts.jsonl"
    with path.open("w") as lines:
        for item, prompt in zip(items, prompts, strict=True):
            target = str(item["answer"]).rpartition("#### ")[2]
            lines.write(json.dumps({"messages": prompt.messages, "target": target}) + "\n")
    return path


def read_items(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@contextmanager
def _database(folder: Path) -> Iterator[str]:
    postgres = services.postgres_url()
    if postgres is None:
        yield f"sqlite:///{folder}/bench.sqlite3"
        return
    with postgres_database(postgres, f"arena_bench_evaluation_{os.getpid()}") as url:
        yield url
