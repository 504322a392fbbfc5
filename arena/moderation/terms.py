"""Lists of terms: what a line means, and which of them are in a text. Knows no Django.

Arena ships no list. A line is a term, found as whole words in any case; `/…/` is a regular
expression; `#` begins a remark.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import regex

SECONDS = 0.25  # that one pattern may search one text: a careless one would search for ever
MAX_LINES = 10_000
MAX_LINE = 500


class BadTerm(ValueError):
    """A line that cannot be understood; the text says which, and why."""


class TooSlow(Exception):
    """A pattern was not done in time with a text."""


@dataclass(frozen=True, slots=True)
class TermList:
    words: regex.Pattern[str] | None  # any of the plain terms
    patterns: Sequence[tuple[str, regex.Pattern[str]]] = field(default=())  # by line

    def find(self, text: str) -> str | None:
        """The first line that is in the text. Raises TooSlow."""
        text = normalised(text)
        if self.words and (match := _search(self.words, text.casefold())):
            return match.group()
        return next((line for line, pattern in self.patterns if _search(pattern, text)), None)


def _search(pattern: regex.Pattern[str], text: str) -> regex.Match[str] | None:
    try:
        # Without the interpreter's lock: others go on meanwhile.
        return pattern.search(text, timeout=SECONDS, concurrent=True)
    except TimeoutError:
        raise TooSlow from None


def normalised(text: str) -> str:
    """The same to a reader, the same here: letters of other shapes, invisible ones, any space."""
    text = unicodedata.normalize("NFKC", text)
    visible = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    return " ".join(visible.split())


@lru_cache(maxsize=64)
def read(terms: str) -> TermList:
    """Raises BadTerm."""
    lines = terms.splitlines()
    if len(lines) > MAX_LINES:
        raise BadTerm(f"at most {MAX_LINES:,} lines are possible")
    words: list[str] = []
    patterns: list[tuple[str, regex.Pattern[str]]] = []
    for number, line in enumerate(lines, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if len(line) > MAX_LINE:
            raise BadTerm(f"line {number} has more than {MAX_LINE} characters")
        if len(line) > 2 and line.startswith("/") and line.endswith("/"):
            try:
                pattern = regex.compile(line[1:-1], regex.IGNORECASE | regex.VERSION1)
            except regex.error as error:
                raise BadTerm(f"line {number} is no regular expression: {error}") from error
            if pattern.search(""):
                raise BadTerm(f"line {number} is found in every text")
            patterns.append((line, pattern))
        elif word := normalised(line):
            words.append(word.casefold())
    any_word = regex.compile(r"(?<!\w)\L<words>(?!\w)", words=words) if words else None
    return TermList(any_word, tuple(patterns))
