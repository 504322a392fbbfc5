"""Files as the other programs write them, in a folder of the test's own that may be changed.

Written by lm-evaluation-harness 0.4.13 (a chat of a scripted endpoint; its dummy model) and by
inspect-ai 0.3.285 (its mock model), on questions made for this purpose; the log without its events.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

FILES = Path(__file__).parent / "files"


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(FILES, tmp_path / "files")


@pytest.fixture
def chat(folder):
    """Four questions, two of them right by the strict filter and three by the other."""
    return next(folder.glob("lm_eval_chat/results_*"))


@pytest.fixture
def chat_samples(chat):
    return next(chat.parent.glob("samples_*"))


@pytest.fixture
def likelihood(folder):
    return next(folder.glob("lm_eval_likelihood/results_*"))


@pytest.fixture
def log(folder):
    """Three questions, each asked twice, by two scorers."""
    return folder / "inspect" / "sums.json"


@pytest.fixture
def change():
    """Changes the JSON of a file, or of each line of it."""

    def rewrite(path, edit):
        lines = path.suffix == ".jsonl"
        text = path.read_text()
        values = [json.loads(line) for line in text.splitlines()] if lines else [json.loads(text)]
        for value in values:
            edit(value)
        path.write_text("".join(json.dumps(value) + "\n" for value in values))

    return rewrite
