"""Fixtures every part of the suite may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests import emptying, services

PROJECT = Path(__file__).resolve().parent.parent
# Seconds are never asserted: a busy machine is no fault of the code.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")
emptying.by_deleting()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real votes, recorded exchanges and hostile inputs kept beside the checkout."""
    folder = Path(os.environ.get("ARENA_SHARED_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set ARENA_SHARED_DATA to run this test")
    return folder


# Who asks for a page: what pages ask of the database are the verbs' questions, tried without them.
BROWSERS = {"client", "async_client", "admin_client", "staff"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What may depend on which database there is carries `database`, and runs on each."""
    for item in items:
        if (
            item.get_closest_marker("django_db")
            and not item.get_closest_marker("any_database")
            and BROWSERS.isdisjoint(getattr(item, "fixturenames", ()))
        ):
            item.add_marker(pytest.mark.database)


@pytest.fixture(scope="session")
def redis_url() -> str:
    url = services.redis_url()
    if url is None:
        pytest.skip("no Redis on 127.0.0.1:6379; set TEST_REDIS_URL to run this test")
    return url


@pytest.fixture(scope="session")
def postgres_url() -> str:
    url = services.postgres_url()
    if url is None:
        pytest.skip("no PostgreSQL on 127.0.0.1:5432; set TEST_DATABASE_URL to run this test")
    return url
