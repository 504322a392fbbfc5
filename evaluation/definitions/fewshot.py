"""Which examples stand before which question: lm-evaluation-harness's draw, example for example.

Its samplers (version 0.4.13, lm_eval/api/samplers.py) keep one generator for a task and go on
drawing from it as they go from question to question, in the order of the dataset. So an item's
examples depend on how many items stand before it: they are drawn for a whole dataset at once, also
where only a few of its items are then asked.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from evaluation.definitions.definition import FewshotConfig, TaskDefinition
from evaluation.definitions.problems import Unrenderable
from evaluation.formats.items import canonical_json

Fields = Mapping[str, Any]


def draw_examples(
    definition: TaskDefinition, items: Iterable[Fields], pool: Sequence[Fields] = ()
) -> Iterator[tuple[Fields, ...]]:
    """The examples for each item, in the order of the items, which has to be the dataset's.

    `pool` is the dataset's few-shot split, in its order; a task with samples of its own needs none.
    Where the pool is the split that is evaluated, no item is an example for itself. Raises
    Unrenderable where there are too few.
    """
    count, config = definition.num_fewshot, definition.fewshot
    if not count:
        yield from (() for _ in items)
        return
    candidates = pool if config.samples is None else config.samples
    itself = config.samples is None and definition.dataset.fewshot_split == definition.dataset.split
    groups = _groups(candidates, config.within)
    samplers: dict[str, _Sampler] = {}
    for item in items:
        group = _group(item, config.within)
        sampler = samplers.get(group)
        if sampler is None:
            # A generator for each group, as for each of the tasks that MMLU is elsewhere.
            sampler = samplers[group] = _Sampler(config, groups.get(group, []))
        yield sampler.draw(count, item if itself else None)


def _groups(candidates: Iterable[Fields], within: str | None) -> dict[str, list[Fields]]:
    groups: dict[str, list[Fields]] = {}
    for candidate in candidates:
        groups.setdefault(_group(candidate, within), []).append(candidate)
    return groups


def _group(fields: Fields, within: str | None) -> str:
    if within is None:
        return ""
    if within not in fields:
        raise Unrenderable(f"fewshot_config.within: an item has no field {within!r}")
    return canonical_json(fields[within])


class _Sampler:
    def __init__(self, config: FewshotConfig, pool: list[Fields]) -> None:
        self._random = random.Random(config.seed)  # noqa: S311 - to be repeated, not to be secret
        self._first = config.sampler == "first_n"
        self._pool = pool

    def draw(self, count: int, item: Fields | None) -> tuple[Fields, ...]:
        """`count` examples; not `item`, nor a copy of it."""
        needed = count + (item is not None and not self._first)
        if needed > len(self._pool):
            raise Unrenderable(f"{needed} examples are needed and the pool has {len(self._pool)}")
        if self._first:
            drawn = self._pool if item is None else _without(item, self._pool)
        elif item is None:
            drawn = self._random.sample(self._pool, count)
        else:
            # One more than needed, in case the item itself is drawn.
            drawn = _without(item, self._random.sample(self._pool, count + 1))
            if len(drawn) < count:  # copies of the item were drawn
                others = _without(item, self._pool)
                drawn = self._random.sample(others, min(count, len(others)))
        if len(drawn) < count:
            raise Unrenderable(f"{count} examples are needed and the pool has {len(drawn)}")
        return tuple(drawn[:count])


def _without(item: Fields, pool: Iterable[Fields]) -> list[Fields]:
    return [candidate for candidate in pool if candidate != item]
