"""A real site in processes of its own, for tests that need more than one process or a browser."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from urllib.request import urlopen

PROJECT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RunningSite:
    """Web processes, and with Redis Celery workers and beat, on one database.

    `models` maps contestants' names to what they are called at the scripted backend.
    """

    def __init__(
        self,
        models: Mapping[str, str],
        *,
        database_url: str = "",
        redis_url: str = "",
        web: int = 1,
        workers: int = 0,
        **environment: str,
    ) -> None:
        self.models = models
        self.folder = Path(tempfile.mkdtemp(prefix="arena-site-"))
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "ARENA_PROFILE": "demo",
            "ARENA_DATA_DIR": str(self.folder),
            "SNAPSHOT_INTERVAL": "1",
            **({"DATABASE_URL": database_url} if database_url else {}),
            **({"REDIS_URL": redis_url} if redis_url else {}),
            **environment,
        }
        self.ports = [free_port() for _ in range(web)]
        self.workers = workers
        self.processes: dict[str, subprocess.Popen[str]] = {}

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    def __enter__(self) -> RunningSite:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        backend = self.spawn("backend", ["-m", "tests.scripted_backend"], stdout=subprocess.PIPE)
        assert backend.stdout
        base_url = f"http://127.0.0.1:{int(backend.stdout.readline())}/v1"
        self.manage("migrate", "--verbosity=0")
        self.manage(
            "shell",
            "-c",
            "from arena import registration as r\n"
            f"for name, model in {dict(self.models)!r}.items():\n"
            f"    r.register_local_model(base_url={base_url!r}, api_key='', upstream_model=model,\n"
            "        card={'name': name, 'organisation': name + ' Lab', 'licence': 'MIT'})\n",
        )
        for number, port in enumerate(self.ports):
            self.spawn(
                f"web{number}",
                ["-m", "uvicorn", "config.asgi:application", "--port", str(port),
                 "--log-level", "warning", "--lifespan", "on"],
            )  # fmt: skip
        for number in range(self.workers):
            self.spawn(
                f"worker{number}",
                ["-m", "celery", "-A", "config", "worker", "-Q", "votes,ratings", "-c", "1",
                 "-n", f"worker{number}@%h", "--loglevel", "warning"],
            )  # fmt: skip
        if self.workers:
            self.spawn("beat", ["-m", "celery", "-A", "config", "beat", "--loglevel", "warning"])
        for url in self.urls:
            self.wait_for(lambda url=url: urlopen(url + "/healthz").status == 200)

    def manage(self, *arguments: str) -> str:
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=PROJECT, env=self.environment, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip

    def spawn(self, name: str, arguments: Sequence[str], **options: int) -> subprocess.Popen[str]:
        log = (self.folder / f"{name}.log").open("w")
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=PROJECT, env=self.environment, text=True, stderr=log,
            **{"stdout": log, **options},
        )  # fmt: skip
        self.processes[name] = process
        return process

    def wait_for(self, condition: object, seconds: float = 30) -> None:
        """Until the condition holds; what it raises meanwhile counts as no."""
        assert callable(condition)
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(Exception):
                if condition():
                    return
            if time.monotonic() > end:
                raise TimeoutError(f"not within {seconds} s; logs:\n{self.logs()}")
            time.sleep(0.05)

    def logs(self) -> str:
        return "\n".join(
            f"--- {path.name}\n{path.read_text()[-2000:]}"
            for path in sorted(self.folder.glob("*.log"))
        )

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for process in self.processes.values():
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def postgres_database(admin_url: str, name: str) -> Iterator[str]:
    """A fresh PostgreSQL database of this name, dropped at the end."""
    import psycopg

    with psycopg.connect(admin_url, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        connection.execute(f'CREATE DATABASE "{name}"')
        try:
            yield admin_url.rpartition("/")[0] + "/" + name
        finally:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
