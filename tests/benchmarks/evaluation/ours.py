"""A run over the made-up questions by this site, in a process of its own; prints what it took.

    python -m tests.benchmarks.evaluation.ours FOLDER BASE_URL CONNECTIONS

On the database of `DATABASE_URL`, which is migrated. What it took is counted from the first lease
to the last score; of PostgreSQL, what the connections of this process made it do.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

from tests.benchmarks.evaluation import questions

TICKS = os.sysconf("SC_CLK_TCK")


def main(folder: Path, base_url: str, connections: int) -> dict[str, Any]:
    import django

    django.setup()
    from django.db import connection

    from arena.models import Contestant, Endpoint
    from evaluation import importing
    from evaluation.definitions import parsing
    from evaluation.running import finishing, runner, runs

    for split in ("test", "train"):
        importing.import_dataset(
            name="apples", source=folder / f"{split}.jsonl", format="jsonl", split=split
        )
    task = importing.register_task(parsing.parse(questions.TASK))
    endpoint = Endpoint.objects.create(
        name="bench", kind="openai", base_url=base_url, evaluation_concurrency=connections
    )
    contestant = Contestant.objects.create(name="Bench", endpoint=endpoint, upstream_model="bench")
    run = runs.create_run(task=task, contestant=contestant)
    used: dict[int, list[float]] = defaultdict(list)

    def after_commit(_: Any) -> None:
        if connection.vendor == "postgresql":
            pid = connection.connection.info.backend_pid
            used[pid] = [*used[pid][:1], _cpu_of(pid)]

    wall, cpu = time.perf_counter(), time.process_time()
    while runner.run_shard(run_id=run.pk, on_sample=after_commit).samples:
        pass
    finishing.finish(run_id=run.pk)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    run.refresh_from_db()
    return {
        "state": run.state,
        "samples": run.done,
        "score": run.primary_score,
        "wall": wall,
        "cpu": cpu,
        "database": connection.vendor,
        "database_cpu": sum(seen[-1] - seen[0] for seen in used.values()),
    }


def _cpu_of(pid: int) -> float:
    """User and system seconds; 0 where the server is on another machine."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / TICKS


if __name__ == "__main__":
    print(json.dumps(main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))))
