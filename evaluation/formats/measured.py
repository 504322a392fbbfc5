"""What another program's files say of one task that it ran, whatever the program.

The readers of result files give this, and the import takes nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from evaluation.formats.items import BadRow, item_hash

_OUTSIDE_NAMES = re.compile(r"[^\w.-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class MeasuredValue:
    """One score; `metric` is "<filter>/<metric>"."""

    metric: str
    value: float
    stderr: float | None = None
    higher_is_better: bool = True
    is_mean: bool = False  # of the items' scores, so that those must give it


@dataclass(frozen=True, slots=True)
class Verdict:
    """One response by one metric. `answer` is what was read out of it, None if nothing was."""

    metric: str
    value: float | None
    answer: str | None = None
    unparsed: bool = False


@dataclass(frozen=True)
class MeasuredSample:
    """An item's responses from `epoch` on, with the verdicts on the first of them."""

    line: int
    id: str  # the item's, at its source
    fields: Mapping[str, Any]  # of the item
    messages: Sequence[Mapping[str, Any]]
    responses: tuple[str, ...]
    verdicts: tuple[Verdict, ...]
    prompt: str = ""  # for the fingerprint
    filter: str = ""  # whose verdicts these are, where another line has another's
    epoch: int = 1
    finish_reasons: tuple[str, ...] = ()  # of the responses, where they are known
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    latency: float | None = None
    error: str = ""  # then there is no response

    @cached_property
    def hash(self) -> str:
        return item_hash(self.fields)


@dataclass(frozen=True, slots=True)
class MeasuredTask:
    """One task by one model. Without `samples` only its scores are known."""

    task: str
    model: str
    source: str  # the program and its version
    values: tuple[MeasuredValue, ...]
    version: str = ""
    items: int | None = None  # that were asked
    errors: int = 0  # of them, that are not among the samples
    limited: bool = False  # fewer were asked than there are
    config: Mapping[str, Any] = field(default_factory=dict)  # the task's definition, if it is told
    dataset: str = ""
    split: str = "test"
    private_items: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the run; for the fingerprint
    fingerprint: str = ""  # where this site made the file
    own_prompts: bool = False  # rendered for this model, by its template of a chat
    primary: str = ""
    truncated_known: bool = False
    started: datetime | None = None  # aware
    finished: datetime | None = None
    samples: Callable[[], Iterator[MeasuredSample | BadRow]] | None = None
    samples_file: str = ""
    lines: int | None = None  # of samples, where that is known


def task_name(given: str) -> str:
    """A name that fits into an address; what a registry puts before it is left out."""
    return _OUTSIDE_NAMES.sub("-", given.rpartition("/")[2]).strip("-.")[:100]
