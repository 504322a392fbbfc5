"""What is wrong with a task file, said for the person who wrote it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Problem(NamedTuple):
    key: str  # "filter_list[0].filter[1].regex_pattern"; "" for the file as a whole
    reason: str

    def __str__(self) -> str:
        return f"{self.key}: {self.reason}" if self.key else self.reason


class InvalidTask(ValueError):
    """The definition cannot be used; every problem that was found is in `problems`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Unrenderable(ValueError):
    """A template does not give a usable text for one item; the text says which and why."""
