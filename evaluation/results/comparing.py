"""Two models on the same items: what their stored scores say of the difference.

A pair of completed runs is compared once and remembered by the process: a page that sets many
models against the first would else read every score at each request.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from threading import Lock

from evaluation import statistics
from evaluation.definitions.definition import from_json
from evaluation.models import Item, Run, Score
from evaluation.statistics import Comparison

REMEMBERED = 2_000  # pairs


@dataclass(frozen=True, slots=True)
class Nothing:
    """No comparison: the two share no item whose score is stored."""


_found: OrderedDict[Hashable, Comparison | Nothing] = OrderedDict()
_lock = Lock()


def compare(first: Run, second: Run) -> Comparison | None:
    """First minus second in the primary metric; None without an item that both have."""
    return against(first, [second]).get(second.pk)


def against(first: Run, others: Iterable[Run]) -> dict[int, Comparison]:
    """`first` minus each of the others, by their id; without those that share no item."""
    found = pairs((first, other) for other in others)
    return {other: comparison for (_, other), comparison in found.items()}


def pairs(asked: Iterable[tuple[Run, Run]]) -> dict[tuple[int, int], Comparison]:
    """The first minus the second of each pair, by their ids; without those that share no item.

    The runs come with their tasks. One query, none where all is known, and another for each kind of
    cluster that tasks name.
    """
    asked = list(asked)
    keys = {(first.pk, other.pk): _key(first, other) for first, other in asked}
    with _lock:
        known = {ids: _found[key] for ids, key in keys.items() if key in _found}
    missing = [pair for pair in asked if (pair[0].pk, pair[1].pk) not in known]
    if missing:
        scores = item_scores({run.pk: run for pair in missing for run in pair}.values())
        clusters = _clusters(first for first, _ in missing)
        for first, other in missing:
            known[first.pk, other.pk] = _compared(
                scores[first.pk], scores[other.pk], clusters.get(first.dataset_id)
            )
        with _lock:
            _found.update((keys[ids], one) for ids, one in known.items())
            while len(_found) > REMEMBERED:
                _found.popitem(last=False)
    return {ids: one for ids, one in known.items() if isinstance(one, Comparison)}


def _key(first: Run, other: Run) -> Hashable:
    """A run scored or asked again has another end."""
    return first.pk, first.finished_at, other.pk, other.finished_at


def _compared(
    a: Mapping[str, float], b: Mapping[str, float], clusters: Mapping[str, Hashable] | None
) -> Comparison | Nothing:
    common = a.keys() & b.keys()
    if not common:
        return Nothing()
    if clusters is not None and not common <= clusters.keys():
        clusters = None
    return statistics.compare(a, b, clusters=clusters)


def item_scores(runs: Iterable[Run]) -> dict[int, dict[str, float]]:
    """The primary score of each item, by run and by the item's hash; epochs reduced to one."""
    runs = list(runs)
    definitions = {run.pk: from_json(run.task.spec) for run in runs}
    found: dict[int, dict[str, list[float]]] = {run.pk: {} for run in runs}
    rows = (
        Score.objects.filter(
            sample__run__in=[run.pk for run in runs],
            metric__in={definition.primary for definition in definitions.values()},
        )
        .order_by("pk")
        .values_list("sample__run", "sample__item__hash", "sample", "metric", "value")
    )
    # A response scored by a newer scorer has several: the last one counts.
    latest: dict[tuple[int, str, int], float | None] = {}
    for run_id, item, sample, metric, value in rows.iterator():
        if metric == definitions[run_id].primary:
            latest[run_id, item, sample] = value
    for (run_id, item, _), value in latest.items():
        if value is not None:
            found[run_id].setdefault(item, []).append(value)
    return {
        run_id: dict(
            zip(
                items,
                statistics.reduce_epochs(list(items.values()), definitions[run_id].epoch_reducer),
                strict=True,
            )
        )
        for run_id, items in found.items()
    }


def _clusters(runs: Iterable[Run]) -> dict[int, dict[str, str]]:
    """The cluster of each item by its hash, by dataset; of tasks that name clusters."""
    datasets: dict[str, set[int]] = {}
    for run in runs:
        if key := from_json(run.task.spec).dataset.cluster_key:
            datasets.setdefault(key, set()).add(run.dataset_id)
    found: dict[int, dict[str, str]] = {}
    for key, ids in datasets.items():
        items = Item.objects.filter(dataset__in=ids)
        for dataset, item, cluster in items.values_list("dataset", "hash", f"fields__{key}"):
            if cluster is not None:
                found.setdefault(dataset, {})[item] = str(cluster)
    return found
