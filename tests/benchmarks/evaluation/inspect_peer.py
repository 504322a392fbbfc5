"""inspect-ai in its own environment. Prints JSON in its last line.

    python -m tests.benchmarks.evaluation.inspect_peer PROMPTS BASE_URL CONNECTIONS LOG_DIR

PROMPTS holds one object a line: `messages` as they are sent, and the `target`.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def measure(prompts: str, base_url: str, connections: str, log_dir: str) -> dict[str, Any]:
    from inspect_ai import Task
    from inspect_ai import eval as evaluate
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import (
        ChatMessageAssistant,
        ChatMessageSystem,
        ChatMessageUser,
        GenerateConfig,
        get_model,
    )
    from inspect_ai.scorer import pattern
    from inspect_ai.solver import generate

    roles = {"user": ChatMessageUser, "assistant": ChatMessageAssistant}
    rows = [json.loads(line) for line in Path(prompts).read_text().splitlines()]
    samples = [
        Sample(
            input=[
                roles.get(one["role"], ChatMessageSystem)(content=one["content"])
                for one in row["messages"]
            ],
            target=row["target"],
        )
        for row in rows
    ]
    model = get_model(
        "openai-api/bench/bench",
        base_url=base_url,
        api_key="none",
        config=GenerateConfig(
            max_connections=int(connections), max_tokens=256, temperature=0, top_p=1
        ),
    )
    task = Task(
        dataset=MemoryDataset(samples),
        solver=generate(),
        scorer=pattern(r"#### (\-?[0-9\.\,]+)"),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    (log,) = evaluate(
        task, model=model, log_dir=log_dir, display="none", max_samples=int(connections)
    )
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    if log.status != "success" or log.results is None:
        raise RuntimeError(f"{log.status}: {log.error}")
    return {
        "wall": wall,
        "cpu": cpu,
        "samples": len(rows),
        "score": log.results.scores[0].metrics["accuracy"].value,
    }


if __name__ == "__main__":
    print("\n" + json.dumps(measure(*sys.argv[1:])))
