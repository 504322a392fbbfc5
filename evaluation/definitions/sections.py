"""A mapping out of a task file, its values taken one by one; what is wrong is noted, not raised.

So that a person who uploads a file with five mistakes reads of five, each with its key.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from evaluation.definitions.problems import Problem

Check = Callable[[str], str | None]  # what is wrong with a text, if anything


class Section:
    """Values of the wrong kind come out as their default, and as a problem."""

    def __init__(self, values: Mapping[str, Any], problems: list[Problem], path: str = "") -> None:
        self._values = dict(values)
        self._known: set[str] = set()
        self._problems = problems
        self._path = path

    def problem(self, key: str, reason: str) -> None:
        self._problems.append(Problem(f"{self._path}{key}", reason))

    def has(self, key: str) -> bool:
        return key in self._values

    def peek(self, key: str) -> Any:
        return self._values.get(key)

    def take(self, key: str) -> Any:
        self._known.add(key)
        return self._values.pop(key, None)

    def rest(self) -> dict[str, Any]:
        """Everything that has not been taken."""
        rest, self._values = self._values, {}
        return rest

    def finish(self) -> None:
        """Notes every key that nobody asked for."""
        for key in self._values:
            close = difflib.get_close_matches(str(key), self._known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            self.problem(str(key), f"not a key of a task file{hint}")

    def text(
        self,
        key: str,
        default: str | None = None,
        *,
        pattern: re.Pattern[str] | None = None,
        check: Check | None = None,
    ) -> str:
        """Without a default the key is required."""
        given = self.take(key)
        if given is None:
            if default is None:
                self.problem(key, "missing")
            return default or ""
        if not isinstance(given, str):
            self.problem(key, "not a text")
            return default or ""
        if pattern is not None and not pattern.fullmatch(given):
            self.problem(key, f"{given[:100]!r} is not a name: letters, digits, _ . : / -")
        elif check is not None and (wrong := check(given)):
            self.problem(key, wrong)
        return given

    def text_or_none(self, key: str, *, check: Check | None = None) -> str | None:
        if self.peek(key) is None:
            self.take(key)
            return None
        return self.text(key, "", check=check)

    def texts(self, key: str) -> tuple[str, ...]:
        given = self.take(key)
        if not isinstance(given, list) or not all(isinstance(one, str | int) for one in given):
            self.problem(key, "not a list of texts")
            return ()
        return tuple(str(one) for one in given)

    def boolean(self, key: str, default: bool) -> bool:
        given = self.take(key)
        if given is None:
            return default
        if not isinstance(given, bool):
            self.problem(key, "neither true nor false")
            return default
        return given

    def integer(self, key: str, default: int, *, least: int, most: int) -> int:
        given = self.take(key)
        if given is None:
            return default
        if not isinstance(given, int) or isinstance(given, bool) or not least <= given <= most:
            self.problem(key, f"not a whole number from {least} to {most}")
            return default
        return given

    def integer_or_none(self, key: str, *, least: int, most: int) -> int | None:
        if self.peek(key) is None:
            self.take(key)
            return None
        return self.integer(key, least, least=least, most=most)

    def number(self, key: str, default: float, *, least: float, most: float) -> float:
        given = self.take(key)
        if given is None:
            return default
        if (
            not isinstance(given, int | float)
            or isinstance(given, bool)
            or math.isnan(given)
            or not least <= given <= most
        ):
            self.problem(key, f"not a number from {least:g} to {most:g}")
            return default
        return float(given)

    def number_or_none(self, key: str, *, least: float, most: float) -> float | None:
        if self.peek(key) is None:
            self.take(key)
            return None
        return self.number(key, least, least=least, most=most)

    def mapping(self, key: str) -> dict[str, Any]:
        """A mapping that is kept as it is: of JSON values."""
        given = self.take(key)
        if given is None:
            return {}
        if not isinstance(given, Mapping) or not is_json(given):
            self.problem(key, "not a mapping of texts, numbers and lists")
            return {}
        return dict(given)

    def nested(self, key: str, values: Any) -> Section:
        """A section in this one; `values` that are none count as empty."""
        if not isinstance(values, Mapping):
            self.problem(key, "not a mapping")
            values = {}
        return Section(values, self._problems, f"{self._path}{key}.")

    def section(self, key: str) -> Section:
        given = self.take(key)
        return self.nested(key, {} if given is None else given)

    def sections(self, key: str) -> list[Section]:
        given = self.take(key)
        if given is None:
            return []
        if not isinstance(given, list):
            self.problem(key, "not a list")
            return []
        return [self.nested(f"{key}[{number}]", one) for number, one in enumerate(given)]


def is_json(value: Any) -> bool:
    """Whether JSON can hold the value: YAML also has dates, sets, bytes and infinities."""
    if isinstance(value, Mapping):
        return all(isinstance(key, str) and is_json(one) for key, one in value.items())
    if isinstance(value, list):
        return all(map(is_json, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, str | int)
