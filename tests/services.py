"""Where PostgreSQL and Redis are on this machine, if they are."""

from __future__ import annotations

import os
import shutil
import socket
from functools import cache


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(0.5)
        return probe.connect_ex(("127.0.0.1", port)) == 0


@cache
def postgres_url() -> str | None:
    """A PostgreSQL on which the suite may create a database of its own."""
    if url := os.environ.get("TEST_DATABASE_URL"):
        return url
    if not _listens(5432):
        return None
    import psycopg

    for user in filter(None, (os.environ.get("PGUSER"), "postgres", os.environ.get("USER"))):
        url = f"postgres://{user}@127.0.0.1:5432/postgres"
        try:
            with psycopg.connect(url, connect_timeout=3):
                return url
        except psycopg.OperationalError:
            continue
    return None


@cache
def redis_url() -> str | None:
    if url := os.environ.get("TEST_REDIS_URL"):
        return url
    return "redis://127.0.0.1:6379/15" if _listens(6379) else None


@cache
def chromium() -> str | None:
    """The system's browser. Nothing is downloaded."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)
