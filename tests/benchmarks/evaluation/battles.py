"""How long a battle waits for its first words while a run asks the same endpoint.

A served site of its own processes: web, workers for benchmarks and votes, beat. The endpoint
answers eight requests at once; the run may take four of them and keeps them busy throughout.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import statistics
import time
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from django.core.signing import Signer

from tests.benchmarks.evaluation.server import Server
from tests.faults.site import Site, served, wait_for

SLOTS, SHARE = 8, 4
ANSWER = 0.3  # seconds of a benchmark's request
BATTLES = 40
BETWEEN = 0.3  # seconds from one battle to the next
RUNS = 20  # of the shipped benchmark: more than the battles take

SET_UP = """
from arena.models import Contestant, Endpoint
endpoint = Endpoint.objects.create(
    name="one", kind="openai", base_url={base_url!r}, evaluation_concurrency={share}
)
for name in ("One", "Two"):
    Contestant.objects.create(
        name=name, endpoint=endpoint, upstream_model=name, status="active", organisation="Org",
        licence="MIT",
    )
"""
START = """
from arena.models import Contestant
from evaluation.running import runs
from evaluation.importing import import_shipped
_, task = import_shipped("first_steps")
contestant = Contestant.objects.get(name="One")
for _ in range({runs}):
    runs.create_run(task=task, contestant=contestant)
"""


@dataclass
class Waits:
    """Seconds from the prompt to the first word, of each answer."""

    alone: list[float] = field(default_factory=list)
    beside_a_run: list[float] = field(default_factory=list)
    asked_meanwhile: int = 0  # requests of the run

    @property
    def added(self) -> float:
        """At the 95th percentile."""
        return _p95(self.beside_a_run) - _p95(self.alone)

    def __str__(self) -> str:
        return (
            f"first word of a battle, p50 and p95: alone {_ms(self.alone)} ms, beside a run "
            f"{_ms(self.beside_a_run)} ms; added at p95 {1000 * self.added:.0f} ms; the run sent "
            f"{self.asked_meanwhile} requests meanwhile"
        )


def _p95(values: list[float]) -> float:
    return statistics.quantiles(values, n=20, method="inclusive")[-1]


def _ms(values: list[float]) -> str:
    return f"{1000 * statistics.median(values):.0f} and {1000 * _p95(values):.0f}"


def measure(folder: Path) -> Waits:
    with served(folder) as site, Server(seconds=ANSWER, slots=SLOTS) as server:
        site.environment |= {
            "PRIVATE_ENDPOINTS": server.base_url.split("/")[2],
            "DEFAULT_PACING": "raw",  # paced, the first word waits for the clock and tells nothing
        }
        _shell(site, SET_UP.format(base_url=server.base_url, share=SHARE))
        _, address = site.web("web")
        waits = Waits()
        asyncio.run(_battles(site, address, []))  # imports, connections, caches
        asyncio.run(_battles(site, address, waits.alone))
        _shell(site, START.format(runs=RUNS))
        site.worker("worker", "evaluation")
        site.worker("votes", "votes")  # sends runs to work
        site.worker("beat", "beat")
        before = server.seen()["requests"]
        wait_for(lambda: server.seen()["at_once"] >= SHARE, "the run to take its share")
        asyncio.run(_battles(site, address, waits.beside_a_run))
        if not server.seen()["at_once"]:
            raise RuntimeError("the run was over before the battles")
        waits.asked_meanwhile = server.seen()["requests"] - before - 2 * BATTLES
        return waits


def _shell(site: Site, code: str) -> None:
    done = site.manage("shell", "-v", "0", "-c", code)
    if done.returncode:
        raise RuntimeError(done.stderr)


async def _battles(site: Site, address: str, waits: list[float]) -> None:
    signer = Signer(key=site.environment["SECRET_KEY"], salt="arena.voter", fallback_keys=[])
    cookie = f"arena_voter={signer.sign(secrets.token_hex(16))}"
    headers = {"Origin": address, "Cookie": cookie}
    async with aiohttp.ClientSession() as session:
        for _ in range(BATTLES):
            async with session.ws_connect(f"{address}/ws/battle/", headers=headers) as socket:
                await _battle(socket, waits)
            await asyncio.sleep(BETWEEN)


async def _battle(socket: aiohttp.ClientWebSocketResponse, waits: list[float]) -> None:
    began = time.perf_counter()
    await socket.send_json({"type": "turn.submit", "prompt": "Count", "battle": None})
    waiting = {"a", "b"}
    async for message in socket:
        event = json.loads(message.data)
        match event["type"]:
            case "slot.delta" if event["slot"] in waiting:
                waiting.discard(event["slot"])
                waits.append(time.perf_counter() - began)
            case "battle.ready":
                return
            case "battle.void" | "error":
                raise RuntimeError(f"a battle failed: {event}")
