"""What every scorer takes and gives: a response, an item, parameters, and a score.

A scorer is a pure function with a name and a semantic version. Stored scores name both, so a score
can be computed again years later; whatever may change a single verdict raises the version.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Generic, TypeVar

from .patterns import PatternTimedOut

Item = Mapping[str, Any]
"""A row of a dataset as JSON. Scorers read `target` (a string, or a list of references) and what
else their own module names; a missing key is a ValueError, for it is a fault of the task."""


class Flag(StrEnum):
    """What the board shows beside a score. A flag never changes the value by itself."""

    UNPARSED = "unparsed"  # no answer was found in the text
    TRUNCATED = "truncated"  # the endpoint stopped at the token limit
    REFUSED = "refused"  # the endpoint's filter, or the opening words, say no
    EMPTY = "empty"  # nothing but white space


@dataclass(frozen=True, slots=True)
class Response:
    """What a model answered. `passed` is the sandbox's verdict, for code tasks only."""

    text: str
    finish_reason: str | None = None
    passed: bool | None = None


@dataclass(frozen=True, slots=True)
class Score:
    """One response, scored.

    `value` None means that there is no score (a judge without a verdict): it is left out of means
    and counted beside them. `answer` is what was read out of the text, None if nothing was.
    `details` is JSON.
    """

    value: float | None
    answer: str | None = None
    flags: frozenset[Flag] = frozenset()
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def unparsed(self) -> bool:
        return Flag.UNPARSED in self.flags


P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Scorer(Generic[P]):
    """A scoring function under its name; call it with parameters as a task's YAML gives them."""

    id: str
    version: str
    parameters: Callable[..., P]  # a dataclass, so that a wrong parameter is refused by name
    function: Callable[[Response, Item, P], Score]

    @property
    def key(self) -> str:
        return f"{self.id}@{self.version}"

    def check(self, params: Mapping[str, Any]) -> P:
        """The parameters, typed. Raises ValueError for an unknown or impossible one."""
        known = {f.name for f in dataclasses.fields(self.parameters)}  # type: ignore[arg-type]
        unknown = sorted(set(params) - known)
        if unknown:
            raise ValueError(f"{self.id} knows no parameter {', '.join(unknown)}")
        try:
            return self.parameters(**params)
        except TypeError as error:
            raise ValueError(f"{self.id}: {error}") from error

    def __call__(
        self, response: Response, item: Item, params: Mapping[str, Any] | None = None
    ) -> Score:
        """Score one response. No text a model can write makes it raise or run on.

        Raises ValueError when the item or the parameters do not fit the scorer.
        """
        checked = self.check(params or {})
        try:
            score = self.function(response, item, checked)
        except PatternTimedOut as late:
            score = Score(0.0, None, frozenset({Flag.UNPARSED}), {"pattern_timed_out": str(late)})
        return dataclasses.replace(score, flags=score.flags | flags_of(response))


_REFUSAL = re.compile(
    r"(?:(?:(?:i['’]?m|i am|we['’]re) )?(?:(?:very|so|really) )?sorry[,.!]? |unfortunately,? |"
    r"i apologi[sz]e[,.!]? )?(?:but )?(?:as an ai(?: language model| assistant| model)?,? )?"
    r"(?:i (?:cannot|can['’]?t|can not|won['’]t|will not|must|have to)|"
    r"i(?:['’]m| am) (?:unable|not able|not comfortable|not going)) (?:to )?(?:\w+ ){0,2}?"
    r"(?:help|assist|comply|provide|fulfil|answer|do that|generate|create|write|support|engage|"
    r"discuss|decline|refuse)",
    re.IGNORECASE,
)
REFUSAL_OPENING = 200  # characters: a refusal is said at once, later it is part of an answer


def flags_of(response: Response) -> frozenset[Flag]:
    """Truncated, refused and empty, as far as a text and a finish reason tell.

    A refusal is an opening sentence of a few common shapes, in English only: an estimate to be
    shown beside a score.
    """
    flags = set()
    if not response.text.strip():
        flags.add(Flag.EMPTY)
    if response.finish_reason in {"length", "max_tokens", "MAX_TOKENS"}:
        flags.add(Flag.TRUNCATED)
    if response.finish_reason in {"content_filter", "refusal", "SAFETY"} or _REFUSAL.match(
        response.text.lstrip()[:REFUSAL_OPENING]
    ):
        flags.add(Flag.REFUSED)
    return frozenset(flags)


def references(item: Item, key: str = "target") -> tuple[str, ...]:
    """The accepted answers of an item, at least one. Raises ValueError when there is none."""
    target = item.get(key)
    found = (target,) if isinstance(target, str | int | float) else tuple(target or ())
    if not found:
        raise ValueError(f"the item has no {key}")
    return tuple(str(reference) for reference in found)


def unparsed(**details: Any) -> Score:
    """No answer in the text: wrong, and counted as unparsed."""
    return Score(0.0, None, frozenset({Flag.UNPARSED}), details)
