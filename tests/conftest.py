"""Fixtures every part of the suite may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real votes, recorded exchanges and hostile inputs kept beside the checkout."""
    folder = Path(os.environ.get("ARENA_SHARED_DATA", PROJECT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no shared data at {folder}; set ARENA_SHARED_DATA to run this test")
    return folder
