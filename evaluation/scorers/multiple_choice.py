r"""The letter a model chose, read from free text by patterns tried in a fixed order.

`answer` ("Answer: B", "the answer is (B)", the last), `boxed` (\boxed{B}, the last),
`parenthesised` ("(B)", the last), `lone` (a response, or its first or last line, that is "B",
"B.", "**B**" or "B) text") and `text` (exactly one choice's own words occur). What matches none is
wrong, and counted as unparsed. Item: `choices` (the texts), `labels` (default A, B, …; without
choices A–J), `target` (a label, an index from 0 as a number, or a choice's text). Where labels are
letters, 1 to 9 name them too, as in ARC.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from .score import Item, Response, Score, Scorer, unparsed

LETTERS = "ABCDEFGHIJ"
LINE_HEAD = 400  # characters of a line that can hold a lone letter


@dataclass(frozen=True, slots=True)
class Parameters:
    order: Sequence[str] = ("answer", "boxed", "parenthesised", "lone", "text")

    def __post_init__(self) -> None:
        if unknown := set(self.order) - set(PLACES):
            raise ValueError(f"multiple_choice looks in no place {', '.join(sorted(unknown))}")


@dataclass(frozen=True, slots=True)
class Options:
    labels: tuple[str, ...]
    texts: tuple[str, ...]

    def label(self, written: str) -> str | None:
        """The label that a letter or digit names."""
        if written in self.labels:
            return written
        if written.upper() in self.labels:
            return written.upper()
        if written.isascii() and written.isdigit() and 1 <= int(written) <= len(self.labels):
            return self.labels[int(written) - 1]
        return None


def multiple_choice(response: Response, item: Item, params: Parameters) -> Score:
    options = options_of(item)
    wanted = target_of(item, options)
    for place in params.order:
        found = PLACES[place](response.text, options)
        if found is not None:
            return Score(float(found == wanted), found, details={"found_by": place})
    return unparsed()


def options_of(item: Item) -> Options:
    """The choices under their labels. Raises ValueError where the two do not fit."""
    texts = tuple(str(text) for text in item.get("choices") or ())
    labels = tuple(str(label) for label in item.get("labels") or ())
    if not labels:
        if len(texts) > len(LETTERS):
            raise ValueError(f"{len(texts)} choices need labels of their own")
        labels = tuple(LETTERS[: len(texts) or len(LETTERS)])
    if texts and len(texts) != len(labels):
        raise ValueError(f"{len(texts)} choices under {len(labels)} labels")
    return Options(labels, texts)


def target_of(item: Item, options: Options) -> str:
    target = item.get("target")
    if isinstance(target, int) and not isinstance(target, bool):
        if 0 <= target < len(options.labels):
            return options.labels[target]
    elif isinstance(target, str):
        bare = target.strip().strip("().")
        if (label := options.label(bare)) is not None:
            return label
        if target in options.texts:
            return options.labels[options.texts.index(target)]
    raise ValueError(f"target {target!r} names none of the choices {', '.join(options.labels)}")


@lru_cache(maxsize=64)
def _alternatives(labels: tuple[str, ...]) -> str:
    """The labels and their digits; "A" and "I" not as words ("the answer is A dog")."""
    reason = r"(?! (?!because|since|as|and|with|for|by|due|based|which|in|per)[a-z])"
    names = [re.escape(label) + (reason if label in "AI" else "") for label in labels]
    if all(label.isalpha() for label in labels):
        names += [str(n) for n in range(1, min(9, len(labels)) + 1)]
    return "(" + "|".join(names) + r")(?![\w'’]|\.[0-9])"


@lru_cache(maxsize=64)
def _answer_pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    lead = r"(?i:\banswer(?:\*\*|__)?(?: is| would be| should be|[ ]?:|[ ]?=)(?:\*\*|__)?:?)"
    option = r"(?i:[ ]?(?:the )?(?:option|choice|letter) )?"
    return re.compile(lead + r"\s{0,3}" + option + r"[\s*_\"'`(\[$]{0,5}" + _alternatives(labels))


def _answer(text: str, options: Options) -> str | None:
    return _last(_answer_pattern(options.labels), text, options)


@lru_cache(maxsize=64)
def _boxed_pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    wrapped = r"\\boxed\s?\{(?:\\(?:text|mathrm|mathbf|textbf)\s?\{)?[\s(]{0,3}"
    return re.compile(wrapped + _alternatives(labels))


def _boxed(text: str, options: Options) -> str | None:
    return _last(_boxed_pattern(options.labels), text, options)


@lru_cache(maxsize=64)
def _parenthesised_pattern(labels: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile(r"\(" + _alternatives(labels) + r"\)")


def _parenthesised(text: str, options: Options) -> str | None:
    return _last(_parenthesised_pattern(options.labels), text, options)


def _last(pattern: re.Pattern[str], text: str, options: Options) -> str | None:
    found = None
    for match in pattern.finditer(text):
        found = match[1]
    return None if found is None else options.label(found)


_ALONE = re.compile(r"[*_\"'`(\[]{0,4}(\w{1,3})[*_\"'`.)\]:]{0,4}")
_LISTED = re.compile(r"[*_\"'`(\[]{0,4}(\w{1,3})[)\].:][*_]{0,2}\s")


def _lone(text: str, options: Options) -> str | None:
    lines = [line.strip()[:LINE_HEAD] for line in text.strip().splitlines() if line.strip()]
    for line in (lines[:1] + lines[-1:]) if lines else []:
        match = _ALONE.fullmatch(line) or _LISTED.match(line)
        if match and (match[1].isupper() or match[1].isdigit() or len(lines) == 1):
            found = options.label(match[1])
            if found is not None:
                return found
    return None


def _text(text: str, options: Options) -> str | None:
    """The one choice whose words occur, as written or else in any case."""
    return _said(text, options, str) or _said(text, options, str.lower)


def _said(text: str, options: Options, case: Callable[[str], str]) -> str | None:
    """A choice that occurs only inside a longer one that occurs is not meant."""
    folded = case(" ".join(text.split()))
    said = {
        label: words
        for label, choice in zip(options.labels, options.texts, strict=False)
        if (words := case(" ".join(choice.split()).rstrip("."))) and _as_words(words, folded)
    }
    meant = [
        label
        for label, words in said.items()
        if not any(words in other and words != other for other in said.values())
    ]
    return meant[0] if len(meant) == 1 else None


def _as_words(words: str, text: str) -> bool:
    """Whether the words occur, not as a part of longer ones."""
    at = text.find(words)
    while at >= 0:
        before, after = text[at - 1 : at], text[at + len(words) : at + len(words) + 1]
        if not (before.isalnum() and words[0].isalnum()) and not (
            after.isalnum() and words[-1].isalnum()
        ):
            return True
        at = text.find(words, at + 1)
    return False


PLACES: dict[str, Callable[[str, Options], str | None]] = {
    "answer": _answer,
    "boxed": _boxed,
    "parenthesised": _parenthesised,
    "lone": _lone,
    "text": _text,
}

MULTIPLE_CHOICE = Scorer("multiple_choice", "1.0.0", Parameters, multiple_choice)
