"""One benchmark item, whatever file it came from, and what makes two of them the same.

An item's fields carry the names that lm-evaluation-harness's public task files use for the same
benchmark, so that those task files work on the official files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


class Unreadable(ValueError):
    """A row, or a whole file, is not what its format says; the text is for whoever brought it."""


@dataclass(frozen=True)
class Item:
    """One question with whatever its benchmark keeps beside it.

    `fields` holds JSON values only. `id` is the benchmark's own name for the item where it has one,
    else its place in the file from 0, which is what lm-evaluation-harness calls `doc_id`.
    """

    id: str
    fields: Mapping[str, Any]
    line: int  # where it begins in `file`, from 1; in a JSON array the place of the element
    file: str = ""

    @cached_property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON of the fields, in hexadecimal digits."""
        return item_hash(self.fields)


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that should be an item and is not readable as one."""

    line: int  # 0 where the file as a whole is meant
    reason: str
    file: str = ""


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A row with the fields of an earlier one."""

    line: int
    of: str  # the id of the first
    file: str = ""


Reading = Item | BadRow


def canonical_json(value: Any) -> str:
    """Keys sorted, no spaces, no escapes beyond the necessary: one text per value.

    Raises ValueError for NaN and the infinities, which JSON does not have.
    """
    return json.dumps(
        value, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":")
    )


def item_hash(fields: Mapping[str, Any]) -> str:
    return hashlib.sha256(canonical_json(fields).encode()).hexdigest()


def distinct(readings: Iterable[Reading]) -> Iterator[Reading | Duplicate]:
    """The same readings with repeated items marked; two items of one id are a bad row.

    MMLU and BIG-Bench Hard as published repeat a few questions, and published scores count them
    each time: whether a Duplicate is left out is the importer's decision.
    """
    by_hash: dict[str, str] = {}
    ids: set[str] = set()
    for reading in readings:
        if isinstance(reading, BadRow):
            yield reading
        elif reading.hash in by_hash:
            yield Duplicate(reading.line, by_hash[reading.hash], reading.file)
        elif reading.id in ids:
            yield BadRow(reading.line, f"the id {reading.id} occurs twice", reading.file)
        else:
            by_hash[reading.hash] = reading.id
            ids.add(reading.id)
            yield reading


def dataset_version(items: Iterable[Item]) -> str:
    """`sha256:` and the hash over the items' hashes, in their order."""
    return version_of(item.hash for item in items)


def version_of(hashes: Iterable[str]) -> str:
    """The version of the dataset that has items of these hashes, in this order.

    The order counts because the draw of few-shot examples and a limit both depend on it. Ids and
    line numbers do not: the same questions from another file are the same dataset.
    """
    digest = hashlib.sha256()
    for one in hashes:
        digest.update(bytes.fromhex(one))
    return f"sha256:{digest.hexdigest()}"
