"""A served arena of real processes on this machine: as docker-compose.yml starts them, by hand.

Everything has its own port, its own database and its own folder, and goes when the block ends.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest

from tests import services
from tests.conftest import PROJECT
from tests.deployment import served_environment
from tests.running_site import free_port, postgres_database

T = TypeVar("T")


def wait_for(look: Callable[[], T], what: str, seconds: float = 60) -> T:
    """The first true value of `look`. `seconds` only ends a wait that would never end."""
    deadline = time.monotonic() + seconds
    while not (value := look()):
        if time.monotonic() > deadline:
            pytest.fail(f"waited in vain for {what}")
        time.sleep(0.02)
    return value


def children_of(pid: int) -> list[int]:
    try:
        return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


class Process:
    """One command with a log of its own, in a process group of its own."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path):
        self.name, self._command, self._log = name, command, log
        # The name PostgreSQL knows its connections by.
        self._environment = {**environment, "PGAPPNAME": name}
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                cwd=PROJECT,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        return self._process.poll() is None

    def child(self) -> int | None:
        """The process at work under a supervisor."""
        return next(iter(children_of(self.pid)), None)

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """kill -9, without any children: those of a supervisor are killed first."""
        for pid in [*children_of(self.pid), self.pid]:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()

    def stop(self) -> int:
        """SIGTERM, as a container is stopped; then the exit status."""
        if self.alive():
            self.signal(signal.SIGTERM)
        try:
            return self._process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise


class Redis(Process):
    def __init__(self, folder: Path):
        self.port = free_port()
        self.folder = folder
        folder.mkdir()
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                   "--dir", str(folder), "--appendonly", "yes", "--save", ""]  # fmt: skip
        super().__init__("redis", command, dict(os.environ), folder / "log")
        self.wait()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _answers(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            try:
                probe.connect(("127.0.0.1", self.port))
                probe.sendall(b"PING\r\n")
                return probe.recv(16).startswith(b"+PONG")
            except OSError:
                return False

    def wait(self) -> None:
        wait_for(self._answers, "Redis to answer")


class Site:
    def __init__(self, folder: Path, database_url: str, redis: Redis):
        self.folder, self.redis = folder, redis
        self.database_url = database_url
        self.processes: list[Process] = []
        self.environment = {
            "PATH": os.environ["PATH"],
            **served_environment(
                HTTPS="false",
                ALLOWED_HOSTS="127.0.0.1",
                ARENA_DATA_DIR=str(folder / "data"),
                DATABASE_URL=database_url,
                REDIS_URL=redis.url,
                PRIVATE_ENDPOINTS="127.0.0.1:*",
                WORKER_STALL_SECONDS="10",
                SNAPSHOT_INTERVAL="2",
                DAILY_REQUESTS_NETWORK="0",  # all of a test's browsers share this machine's
                DAILY_USD_NETWORK="0",
            ),
        }

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT, env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def _start(self, name: str, *command: str) -> Process:
        process = Process(name, list(command), self.environment, self.folder / f"{name}.log")
        self.processes.append(process)
        return process

    def web(self, name: str) -> tuple[Process, str]:
        """A web process and its address, answering."""
        port = free_port()
        process = self._start(
            name, sys.executable, "-m", "uvicorn", "config.asgi:application", "--port", str(port),
            "--ws-per-message-deflate", "false", "--ws-max-size", "65536", "--no-access-log",
        )  # fmt: skip
        address = f"http://127.0.0.1:{port}"
        self.wait_for_web(address)
        return process, address

    @staticmethod
    def wait_for_web(address: str) -> None:
        def answers() -> bool:
            try:
                with urllib.request.urlopen(f"{address}/healthz", timeout=2) as reply:
                    return reply.status == 200
            except OSError:
                return False

        wait_for(answers, f"{address} to answer")

    def worker(self, name: str, role: str) -> Process:
        return self._start(name, sys.executable, "manage.py", "run_worker", role)

    def celery(self, name: str, *arguments: str) -> Process:
        return self._start(name, sys.executable, "-m", "celery", "-A", "config", *arguments)

    def battles(self, number: int) -> list[dict[str, Any]]:
        """Battles ready for a vote, each of another voter; see `prepare_battles`."""
        made = subprocess.run(
            [sys.executable, "-m", "tests.faults.prepare_battles", str(number)],
            cwd=PROJECT, env=self.environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        return json.loads(made.stdout)

    def models(self, models: Sequence[Mapping[str, Any]]) -> list[int]:
        """Contestants, each at an endpoint of its own; see `prepare_models`."""
        made = subprocess.run(
            [sys.executable, "-m", "tests.faults.prepare_models"], input=json.dumps(models),
            cwd=PROJECT, env=self.environment, stdout=subprocess.PIPE, text=True, check=True,
        )  # fmt: skip
        return json.loads(made.stdout)

    def scripted_backend(self, name: str, port: int = 0) -> tuple[Process, str]:
        """A model server that behaves as its models' names say, and its base URL."""
        port = port or free_port()
        process = self._start(name, sys.executable, "-m", "tests.scripted_backend", str(port))
        return process, f"http://127.0.0.1:{port}/v1"

    def query(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        with psycopg.connect(self.database_url, autocommit=True) as connection:
            return connection.execute(sql, parameters).fetchall()

    def number(self, sql: str, *parameters: Any) -> int:
        return self.query(sql, *parameters)[0][0]

    def close(self) -> None:
        for process in self.processes:
            process.kill()


@contextmanager
def served(folder: Path) -> Iterator[Site]:
    """An empty migrated database and a Redis; web processes and workers are the test's to start."""
    postgres = services.postgres_url()
    if postgres is None or shutil.which("redis-server") is None:
        pytest.skip("needs PostgreSQL on 127.0.0.1:5432 (or TEST_DATABASE_URL) and redis-server")
    name = f"arena_faults_{os.getpid()}_{folder.name.replace('-', '_')[-20:]}"
    with postgres_database(postgres, name) as database:
        redis = Redis(folder / "redis")
        site = Site(folder, database, redis)
        try:
            migrated = site.manage("migrate", "--verbosity", "0")
            assert migrated.returncode == 0, migrated.stderr
            yield site
        finally:
            site.close()
            redis.kill()
