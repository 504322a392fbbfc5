"""Fixtures for tests of code that models wrote, and of commands."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.core.management import call_command

from evaluation import sandbox
from evaluation.sandbox import Obstacle


@pytest.fixture(scope="session")
def bubblewrap() -> None:
    """Skips, saying why, where no sandbox can be had. One that leaks is no reason to skip."""
    availability = sandbox.self_test()
    assert availability.reason is not Obstacle.LEAKS, availability.detail
    if not availability.ok:
        pytest.skip(f"no sandbox: {availability}")


@pytest.fixture
def path_for_anyone(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder as the whole PATH, one that user nobody may look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        monkeypatch.setenv("PATH", name)
        yield folder


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command, and returns what it wrote."""

    def run(*arguments: object) -> str:
        call_command(*map(str, arguments))
        return capsys.readouterr().out

    return run
