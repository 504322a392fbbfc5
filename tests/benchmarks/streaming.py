"""How many battles stream at once from one core, and what one costs.

    python -m tests.benchmarks.streaming [--pacing raw|paced|together] [LEVEL ...]

A site as `make run` starts it (one uvicorn, SQLite, embedded worker) has one core to itself; an
instant backend, which writes 50 tokens a second, and the readers share the other. Each reader
holds one WebSocket and reads battles of two answers of 200 tokens one after the other, and the
readers start evenly spread over the length of a battle, so that in all but the first round every
level is a steady state.

Measured at each level: CPU time of the web process per battle (/proc/PID/stat), and the time from
sending the prompt to the first text of each answer, minus what calling the backend directly takes
in the same minute. Seconds depend on the machine, so CPU is also given as a multiple of what a
bare client spends on reading the same two answers directly. Held back, the first text comes when
the arena's clock says so: a level holds as long as it comes LIMIT after that at the latest.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import secrets
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import aiohttp
import uvloop
from django.core.signing import Signer

from tests.running_site import RunningSite

TOKENS, RATE = 200, 50  # a second
MODEL = f"count:{TOKENS}@{RATE}"
LENGTH = TOKENS / RATE  # seconds a battle takes at least
ROUNDS = 3  # battles a reader reads; the first is the approach
LEVELS = (20, 40, 80, 120, 160, 200)
LIMIT = 0.2  # seconds of added waiting at the 99th percentile that a reader does not notice
HOLD = 2.0  # seconds: PACED_HOLD_SECONDS
DIRECT_BATTLES = 10  # read directly, beside each level


@dataclass
class Level:
    """What was seen with so many battles at once. Times in seconds."""

    battles: int
    hold: float = 0.0  # by the arena's own clock, before the first text
    cpu: float = 0.0  # of the web process, per battle
    first: list[float] = field(default_factory=list)  # from the prompt to the first text
    direct: list[float] = field(default_factory=list)  # the same, asking the backend itself
    frames: int = 0
    lost: int = 0  # battles that did not show both answers whole

    def added(self, percent: int) -> float:
        """A percentile of the waiting, less the median of waiting for the backend itself."""
        return percentile(self.first, percent) - statistics.median(self.direct)

    @property
    def holds(self) -> bool:
        return not self.lost and self.added(99) <= self.hold + LIMIT


@dataclass
class Report:
    levels: list[Level]
    direct_cpu: float  # seconds a bare client spends on one battle's two answers

    @property
    def capacity(self) -> int:
        """The most battles at once before readers notice; 0 when the first level did not hold."""
        return max((level.battles for level in self.levels if level.holds), default=0)

    def __str__(self) -> str:
        lines = [
            f"{'battles':>7} {'CPU ms/battle':>14} {'× direct':>9} {'direct p50 ms':>14}"
            f" {'added p50 ms':>13} {'added p99 ms':>13} {'frames/battle':>14} {'lost':>5}"
        ]
        lines += [
            f"{level.battles:>7} {1000 * level.cpu:>14.1f} {level.cpu / self.direct_cpu:>9.1f}"
            f" {1000 * statistics.median(level.direct):>14.1f} {1000 * level.added(50):>13.1f}"
            f" {1000 * level.added(99):>13.1f} {level.frames / level.battles / ROUNDS:>14.0f}"
            f" {level.lost:>5}"
            for level in self.levels
        ]
        return "\n".join(
            [
                *lines,
                f"a bare client spends {1000 * self.direct_cpu:.1f} ms of CPU on two such answers",
                f"one core holds {self.capacity} battles"
                + (" or more" if self.capacity == self.levels[-1].battles else ""),
            ]
        )


def percentile(values: Sequence[float], percent: int) -> float:
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


# --- the processes -----------------------------------------------------------------------------


class PinnedSite(RunningSite):
    """The web process has a core to itself; this process and the backend keep off it."""

    web_core, *other_cores = sorted(os.sched_getaffinity(0))

    def spawn(self, name: str, arguments: Sequence[str], **options: int) -> subprocess.Popen[str]:
        web = name.startswith("web")
        if web:  # as manage.py run starts it
            arguments = [*arguments, "--ws-per-message-deflate", "false", "--no-access-log"]
        # A child has the cores its parent had when it was born.
        with pinned({self.web_core} if web or not self.other_cores else set(self.other_cores)):
            return super().spawn(name, arguments, **options)

    @property
    def backend_url(self) -> str:
        return self.manage(
            "shell", "-v", "0", "-c",
            "from arena.models import Endpoint; print(Endpoint.objects.first().base_url)",
        ).strip()  # fmt: skip

    def cpu_seconds(self) -> float:
        """User and system time of the web process, its threads included."""
        pid = self.processes["web0"].pid
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            after_name = stat.read().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    def voter_cookie(self) -> str:
        secret = (self.folder / "secret_key").read_text().strip()
        signer = Signer(key=secret, salt="arena.voter", fallback_keys=[])
        return f"arena_voter={signer.sign(secrets.token_hex(16))}"


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


# --- the readers -------------------------------------------------------------------------------


async def read_directly(session: aiohttp.ClientSession, url: str, waits: list[float]) -> None:
    """One answer from the backend itself, with nothing in between."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": "Count"}], "stream": True}
    began = time.perf_counter()
    waited = False
    async with session.post(f"{url}/chat/completions", json=body) as response:
        async for data in response.content.iter_any():
            if not waited and b'"content": "' in data:
                waits.append(time.perf_counter() - began)
                waited = True


async def read_battles(
    session: aiohttp.ClientSession, site: PinnedSite, level: Level, delay: float
) -> None:
    await asyncio.sleep(delay)
    url = site.urls[0]
    headers = {"Origin": url, "Cookie": site.voter_cookie()}
    async with session.ws_connect(f"{url}/ws/battle/", headers=headers) as socket:
        for number in range(ROUNDS):
            await read_battle(socket, level, count=number > 0)


async def read_battle(
    socket: aiohttp.ClientWebSocketResponse, level: Level, *, count: bool
) -> None:
    """`count` whether the waiting says something about this level."""
    began = time.perf_counter()
    await socket.send_json({"type": "turn.submit", "prompt": "Count", "battle": None})
    whole = 0
    async for message in socket:
        event = json.loads(message.data)
        level.frames += 1
        match event["type"]:
            case "slot.started" if count:  # with its first text
                level.first.append(time.perf_counter() - began)
            case "slot.completed":
                whole += event["words"] == TOKENS
            case "battle.ready" | "battle.void" | "error":
                break
    level.lost += whole != 2


async def measure_level(site: PinnedSite, backend: str, battles: int, hold: float = 0.0) -> Level:
    level = Level(battles, hold)
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:

        async def beside() -> None:
            """Direct calls spread over the same time."""
            for _ in range(ROUNDS - 1):
                await asyncio.sleep(LENGTH)
                calls = (
                    read_directly(session, backend, level.direct) for _ in range(2 * DIRECT_BATTLES)
                )
                await asyncio.gather(*calls)

        before = site.cpu_seconds()
        await asyncio.gather(
            beside(),
            *(read_battles(session, site, level, LENGTH * i / battles) for i in range(battles)),
        )
        level.cpu = (site.cpu_seconds() - before) / (battles * ROUNDS)
    return level


async def measure_direct_cpu(backend: str) -> float:
    """CPU seconds of this process for the two answers of one battle."""
    before = _own_cpu()
    waits: list[float] = []
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        calls = (read_directly(session, backend, waits) for _ in range(2 * 40))
        await asyncio.gather(*calls)
    return (_own_cpu() - before) / 40


def _own_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(levels: Sequence[int] = LEVELS, pacing: str = "raw") -> Report:
    """Levels in turn, up to the first that does not hold."""
    hold = {"raw": 0.0, "paced": HOLD, "together": 2 * LENGTH}[pacing]

    async def run() -> Report:
        backend = site.backend_url
        await measure_level(site, backend, 2)  # imports, connections, caches
        report = Report([], await measure_direct_cpu(backend))
        for battles in levels:
            report.levels.append(await measure_level(site, backend, battles, hold))
            print(f"… {battles} battles: {report.levels[-1].added(99) * 1000:.0f} ms", flush=True)
            if not report.levels[-1].holds:
                break
        return report

    site = PinnedSite({"One": MODEL, "Two": MODEL}, DEFAULT_PACING=pacing)
    with site, pinned(set(site.other_cores or [site.web_core])):
        return uvloop.run(run())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--pacing", choices=["raw", "paced", "together"], default="raw")
    parser.add_argument("levels", nargs="*", type=int, default=LEVELS)
    chosen = parser.parse_args()
    print(measure(chosen.levels, chosen.pacing))
