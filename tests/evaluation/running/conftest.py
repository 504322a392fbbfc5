"""Fixtures for tests of runs: a scripted model server, and no patience."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from evaluation.running import retrying, runner
from tests import scripted_backend
from tests.scripted_backend import ScriptedBackend


@pytest.fixture
def backend() -> Iterator[ScriptedBackend]:
    with scripted_backend.in_a_thread() as running:
        yield running


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch, settings: Any) -> None:
    monkeypatch.setattr(runner, "LOOK", 0.01)
    monkeypatch.setattr(retrying, "FIRST_DELAY", 0.001)
    settings.EVALUATION_CONCURRENCY = 4
