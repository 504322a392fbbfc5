"""lm-evaluation-harness's answer filters, by their names, arguments and meaning there.

A filter turns the responses to one item (one per epoch) into the texts a metric compares. Source:
EleutherAI/lm-evaluation-harness, docs/task_guide.md and version 0.4.13's behaviour. `custom`,
`decontaminate`, `regex_pos` and `format_span` are refused: code of others, or one task's own.
"""

from __future__ import annotations

import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

from .patterns import compiled, find_all, remove

Step = Mapping[str, Any]  # {"function": name, **its arguments}
Texts = list[str]

FALLBACK = "[invalid]"  # what lm-eval puts where its pattern finds nothing


def apply(steps: Sequence[Step], texts: Sequence[str], choices: Sequence[str] = ()) -> Texts:
    """Run the steps in order over the responses to one item.

    `choices` are the item's answer texts, for `multi_choice_regex`. Raises ValueError for a
    filter or an argument that is not known, PatternTimedOut for a pattern that runs away.
    """
    result = list(texts)
    for step in steps:
        function, arguments = _known(step)
        if function is multi_choice_regex:
            arguments = {**arguments, "choices": choices}
        try:
            result = function(result, **arguments)
        except TypeError as error:
            raise ValueError(f"filter {step['function']}: {error}") from error
    return result


def reads_several(steps: Sequence[Step]) -> int:
    """How many responses to an item the steps need to make one text of; 0: each is read alone."""
    wanted = [step.get("k") for step in steps if step.get("function") == "take_first_k"]
    needed = [k for k in wanted if isinstance(k, int)]
    votes = any(step.get("function") == "majority_vote" for step in steps)
    return max([*needed, int(votes)])


def check(steps: Sequence[Step]) -> None:
    """Refuse (ValueError) what `apply` would refuse, before any response exists."""
    for step in steps:
        _known(step)
        for pattern in (step.get("regex_pattern"), *(step.get("regexes_to_ignore") or ())):
            if pattern is not None:
                compiled(pattern)
    apply(steps, [""] * max([1, *(int(s.get("k", 1)) for s in steps)]), choices=["a", "b"])


def _known(step: Step) -> tuple[Callable[..., Texts], dict[str, Any]]:
    arguments = dict(step)
    name = arguments.pop("function", None)
    if name not in FUNCTIONS:
        raise ValueError(f"no filter {name!r}; known are {', '.join(sorted(FUNCTIONS))}")
    return FUNCTIONS[name], arguments


def regex(
    texts: Texts,
    *,
    regex_pattern: str = r"#### (\-?[0-9\.\,]+)",
    group_select: int = 0,
    fallback: str = FALLBACK,
) -> Texts:
    """The `group_select`-th match (-1: the last); of several groups the first that is not empty."""
    return [
        found if (found := _select(regex_pattern, text, group_select)) is not None else fallback
        for text in texts
    ]


def _select(pattern: str, text: str, which: int) -> str | None:
    matches = find_all(pattern, text)
    try:
        match = matches[which]
    except IndexError:
        return None  # lm-eval would fail here; an answer that is not there is no answer
    if isinstance(match, tuple):
        # Groups that are all empty are no answer; an empty match of the pattern is an empty one.
        filled = [group for group in match if group]
        if not filled:
            return None
        match = filled[0]
    return match.strip()


def multi_choice_regex(
    texts: Texts,
    *,
    regex_pattern: str = r"#### (\-?[0-9\.\,]+)",
    group_select: int = 0,
    fallback: str = FALLBACK,
    ignore_case: bool = False,
    ignore_punctuation: bool = False,
    regexes_to_ignore: Sequence[str] | None = None,
    choices: Sequence[str] = (),
) -> Texts:
    """The pattern; else a choice's text anywhere; else a letter after a colon. Gives "(B)".

    Longer choices are looked for before shorter ones that begin alike.
    """

    def plain(text: str) -> str:
        for pattern in regexes_to_ignore or ():
            text = remove(pattern, text)
        if ignore_case:
            text = text.lower()
        return text.translate(_every_punctuation()) if ignore_punctuation else text

    letters = dict(zip(string.ascii_uppercase, choices, strict=False))
    by_text = {plain(choice.strip()): f"({letter})" for letter, choice in letters.items()}

    def one(text: str) -> str:
        if found := _select(regex_pattern, text, group_select):
            return found
        stripped = plain(text)
        hits = _occurrences(stripped, list(by_text))
        if hits and -len(hits) <= group_select < len(hits):
            return by_text[hits[group_select]]
        if letters:
            found = _select(rf":[\s]*([{''.join(letters)}])", text, group_select)
            if found:
                return f"({found})"
        return fallback

    return [one(text) for text in texts]


def _occurrences(text: str, phrases: list[str]) -> list[str]:
    """The phrases as they follow each other in the text, the longest at each place."""
    phrases = sorted((p for p in phrases if p), key=len, reverse=True)
    found, at = [], 0
    while phrases and at < len(text):
        places = [(text.find(p, at), -len(p), p) for p in phrases]
        places = [place for place in places if place[0] >= 0]
        if not places:
            break
        start, _, phrase = min(places)
        found.append(phrase)
        at = start + len(phrase)
    return found


@cache
def _every_punctuation() -> dict[int, None]:
    codes = range(sys.maxunicode)
    return {c: None for c in codes if unicodedata.category(chr(c)).startswith("P")}


def take_first(texts: Texts) -> Texts:
    return texts[:1]


def take_first_k(texts: Texts, *, k: int) -> Texts:
    if len(texts) < k:
        raise ValueError(f"take_first_k needs {k} responses and there are {len(texts)}")
    return texts[:k]


def majority_vote(texts: Texts) -> Texts:
    """The most frequent text; among equals the one that came first."""
    return [Counter(texts).most_common(1)[0][0]] if texts else []


def lowercase(texts: Texts) -> Texts:
    return [text.lower() for text in texts]


def uppercase(texts: Texts) -> Texts:
    return [text.upper() for text in texts]


def remove_whitespace(texts: Texts) -> Texts:
    """Leading and trailing white space only: the name is lm-eval's."""
    return [text.strip() for text in texts]


def code_block(texts: Texts, *, containing: str = "") -> Texts:
    """Not one of lm-eval's: what stands between fences, indentation and all.

    The first block with `containing` in it, else the first; a text without fences as it is. A block
    that is not closed goes to the end.
    """
    return [_code_block(text, containing) for text in texts]


def _code_block(text: str, containing: str) -> str:
    blocks = [str(block) for block in find_all(_FENCED, text)]
    if not blocks:
        return text
    return next((block for block in blocks if containing in block), blocks[0])


# An opening fence with at most a language behind it, and one that begins a line and closes it.
_FENCED = r"(?ms)```[ \t]*[\w+#.-]*[ \t]*\n(.*?)(?:^[ \t]*```|\Z)"


def map_values(
    texts: Texts, *, mapping_dict: Mapping[str, str] | None = None, default_value: Any = None
) -> Texts:
    mapping = mapping_dict or {}
    fallback = FALLBACK if default_value is None else str(default_value)
    return [mapping.get(text, fallback) for text in texts]


FUNCTIONS: dict[str, Callable[..., Texts]] = {
    "regex": regex,
    "multi_choice_regex": multi_choice_regex,
    "take_first": take_first,
    "take_first_k": take_first_k,
    "majority_vote": majority_vote,
    "lowercase": lowercase,
    "uppercase": uppercase,
    "remove_whitespace": remove_whitespace,
    "map": map_values,
    "code_block": code_block,
}
