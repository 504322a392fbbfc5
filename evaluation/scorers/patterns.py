"""Regular expressions that strangers wrote, run on texts that models wrote.

The `regex` package knows a time limit and the standard library does not: a task file with
`(a+)+$` would otherwise hold a worker for ever. Its default mode reads patterns as `re` does.
"""

from __future__ import annotations

import warnings
from functools import lru_cache

import regex

LONGEST_PATTERN = 1_000
TIME_LIMIT = 1.0  # seconds of one call; a sane pattern needs less than a millisecond


class PatternTimedOut(Exception):
    """A pattern took too long on a text."""


@lru_cache(maxsize=256)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Raises ValueError for a pattern that is too long, or none."""
    if len(pattern) > LONGEST_PATTERN:
        raise ValueError(f"a pattern has at most {LONGEST_PATTERN} characters")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # "[[" means what it means to `re`
            return regex.compile(pattern)
    except (regex.error, OverflowError, RecursionError) as error:
        raise ValueError(f"not a pattern: {pattern!r} ({error})") from error


def find_all(pattern: str, text: str) -> list[str] | list[tuple[str, ...]]:
    """As `re.findall`. Raises PatternTimedOut."""
    try:
        return compiled(pattern).findall(text, timeout=TIME_LIMIT)
    except TimeoutError:
        raise PatternTimedOut(pattern) from None


def remove(pattern: str, text: str) -> str:
    """`text` without what the pattern matches. Raises PatternTimedOut."""
    try:
        return compiled(pattern).sub("", text, timeout=TIME_LIMIT)
    except TimeoutError:
        raise PatternTimedOut(pattern) from None
