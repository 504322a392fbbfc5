"""The least that asking can take: the prompts sent by a bare aiohttp client, nothing stored.

    python -m tests.benchmarks.evaluation.bare PROMPTS BASE_URL CONNECTIONS

Prints JSON in its last line.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import aiohttp


async def measure(rows: list[dict[str, Any]], base_url: str, connections: int) -> dict[str, Any]:
    waiting = iter(rows)
    answers: list[str] = []

    async def work(session: aiohttp.ClientSession) -> None:
        for row in waiting:
            body = {"model": "bench", "messages": row["messages"], "max_tokens": 256}
            async with session.post(f"{base_url}/chat/completions", json=body) as response:
                answer = await response.json()
            answers.append(answer["choices"][0]["message"]["content"])

    wall, cpu = time.perf_counter(), time.process_time()
    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(work(session) for _ in range(connections)))
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "samples": len(answers),
    }


if __name__ == "__main__":
    prompts = [json.loads(line) for line in Path(sys.argv[1]).read_text().splitlines()]
    print(json.dumps(asyncio.run(measure(prompts, sys.argv[2], int(sys.argv[3])))))
