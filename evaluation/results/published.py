"""Which scores are public, and in which columns they stand side by side. Reads, nothing else.

A run is public when it is completed and whole: no limit, no withdrawal, a contestant with a public
name. Scores share a column when their runs have the same fingerprint and source: then they are of
the same items, prompts and scorers. What only looks alike stands in a column of its own. The
number of queries is constant.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import Count, Max, Q, Sum

from arena.models import HIDDEN_STATUSES, Contestant
from evaluation import statistics
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.models import Run, RunQuerySet, TaskDefinition

SHORT = 8  # characters of a fingerprint that tell two columns apart


@dataclass(frozen=True, slots=True)
class Column:
    """What one public figure of each model is a figure of."""

    key: str  # for addresses: the task's name, and for other than the main column what it is
    task: str
    title: str
    baseline: float  # what guessing scores
    fingerprint: str
    metric: str  # "<filter>/<metric>"
    source: str  # the program that ran it elsewhere; "" here
    percent: bool  # a share of 1; else a scale of its own, as a judge's from 1 to 10
    lowest: float = 0.0
    highest: float = 1.0
    higher_is_better: bool = True
    main: bool = True  # this site's newest edition of the task
    counts: bool = False  # is a part of the average

    def share(self, value: float) -> float:
        """Of the whole scale."""
        return (value - self.lowest) / (self.highest - self.lowest)

    def normalised(self, value: float) -> float:
        """From 0, what guessing scores, to 1; below the baseline is 0."""
        return max(0.0, (self.share(value) - self.baseline) / (1 - self.baseline))


@dataclass(frozen=True, slots=True)
class Result:
    """One model's figure in one column.

    Bounds are None where there is too little to say, counts where another program has not told.
    """

    run_id: int
    contestant_id: int
    value: float
    low: float | None
    high: float | None
    n: int
    errors: int
    unparsed: int | None
    truncated: int | None
    finished_at: datetime
    source: str
    normalised: float


@dataclass(frozen=True, slots=True)
class Benchmarks:
    """Everything public, by contestant's id.

    `average` is the mean of the normalised scores over the columns that count, and only of models
    that have all of them; `average_interval` is there where every part has an interval. `reruns`
    names the main columns in which a model has a score of an older edition only.
    """

    columns: tuple[Column, ...]
    results: Mapping[int, Mapping[str, Result]]
    average: Mapping[int, float]
    average_interval: Mapping[int, tuple[float, float]]
    reruns: Mapping[int, frozenset[str]]

    @property
    def parts(self) -> tuple[Column, ...]:
        """The columns of the average."""
        return tuple(column for column in self.columns if column.counts)

    def of_task(self, task: str) -> tuple[Column, ...]:
        """The main column first."""
        return tuple(column for column in self.columns if column.task == task)


def public_runs() -> RunQuerySet:
    return _whole_runs().exclude(contestant__status__in=HIDDEN_STATUSES)


def _whole_runs() -> RunQuerySet:
    return Run.objects.filter(
        state=Run.State.COMPLETED,
        limit__isnull=True,
        withdrawn_at__isnull=True,
        primary_score__isnull=False,
    )


State = tuple[object, ...]


def state() -> State:
    """Changes whenever `benchmarks()` may say something else; two queries, without a join."""
    runs = _whole_runs().aggregate(
        runs=Count("pk"), ids=Sum("pk"), last=Max("finished_at"), judges=Sum("judge_id")
    )
    # Who is hidden, and the judges, whose names stand in titles.
    named = Q(status__in=HIDDEN_STATUSES) | Q(pk__in=Run.objects.values("judge_id"))
    contestants = Contestant.objects.filter(named).order_by("pk")
    return (*runs.values(), *contestants.values_list("pk", "name", "status"))


def benchmarks() -> Benchmarks:
    """Every public score, in four queries at most.

    Thousands of results take a tenth of a second to put in order, and change with the end of a
    run only: a process keeps the last answer for as long as its state stands.
    """
    return _benchmarks(state())


@lru_cache(maxsize=1)
def _benchmarks(state: State) -> Benchmarks:
    """As the database has it now; `state` says how long it stands."""
    groups: dict[_Group, list[_Run]] = {}
    for run in _runs():
        groups.setdefault(_Group(run.slug, run.source, run.fingerprint), []).append(run)
    tasks = _definitions({_newest(runs).task_id for runs in groups.values()})
    columns = _columns(groups, tasks)
    results: dict[int, dict[str, Result]] = {}
    for group, column in columns.items():
        for run in groups[group]:  # oldest first: the last one stays
            results.setdefault(run.contestant_id, {})[column.key] = _result(run, column)
    ordered = tuple(sorted(columns.values(), key=_place))
    average, interval = _averages(ordered, results)
    return Benchmarks(ordered, results, average, interval, _reruns(ordered, results))


class _Group(NamedTuple):
    slug: str
    source: str
    fingerprint: str


class _Run(NamedTuple):
    """In the order of `_FIELDS`."""

    id: int
    task_id: int
    dataset_id: int
    contestant_id: int
    slug: str
    version: str
    source: str
    fingerprint: str
    primary_score: float
    results: dict[str, Any]
    errors: int | None
    unparsed: int | None
    truncated: int | None
    finished_at: datetime
    judge: str | None
    judge_status: str | None


_FIELDS = (
    "id", "task_id", "dataset_id", "contestant_id", "task__slug", "task__task_version", "source",
    "fingerprint", "primary_score", "results", "errors", "unparsed", "truncated", "finished_at",
    "judge__name", "judge__status",
)  # fmt: skip


def _runs() -> Iterable[_Run]:
    found = public_runs().order_by("finished_at", "id").values_list(*_FIELDS)
    return (_Run(*values) for values in found)


def _definitions(ids: set[int]) -> dict[int, Definition]:
    found = TaskDefinition.objects.filter(pk__in=ids).values_list("pk", "spec")
    return {pk: from_json(spec) for pk, spec in found}


def _newest(runs: Iterable[_Run]) -> _Run:
    """By edition, not by date: an old task run again today is still the old one."""
    return max(runs, key=lambda run: (run.task_id, run.dataset_id, run.id))


def _columns(
    groups: Mapping[_Group, list[_Run]], tasks: Mapping[int, Definition]
) -> dict[_Group, Column]:
    newest = {group: _newest(runs) for group, runs in groups.items()}
    # Of each task and source, the newest edition comes first and takes the short key.
    order = sorted(
        groups,
        key=lambda g: (g.slug, g.source, -newest[g].task_id, -newest[g].dataset_id, -newest[g].id),
    )
    columns: dict[_Group, Column] = {}
    keys: set[str] = set()
    titles: dict[str, str] = {}  # and the task that has it
    for group in order:
        first = next(g for g in order if g.slug == group.slug and g.source == group.source)
        definition = tasks[newest[group].task_id]
        main = group is first and not group.source
        key = _slug(" ".join(filter(None, (group.slug, group.source))))
        if group is not first:
            key = f"{key}-{group.fingerprint[:SHORT]}"
        if key in keys:  # of another task whose name differs in its punctuation only
            key = f"{key}-{hashlib.sha256(repr(tuple(group)).encode()).hexdigest()[:SHORT]}"
        title = definition.publish.column if definition.publish else group.slug
        if group is not first or group.source:
            title = f"{title} ({_difference(group, newest[group], newest[first])})"
        if titles.get(title, group.slug) != group.slug:
            title = f"{title} ({group.slug})"
        if title in titles:
            title = f"{title} ({group.fingerprint[:SHORT]})"
        keys.add(key)
        titles[title] = group.slug
        columns[group] = _column(definition, group, key, title, main, groups[group])
    return columns


def _difference(group: _Group, run: _Run, first: _Run) -> str:
    """What a reader is told apart a further column of a task by."""
    found = [group.source] if group.source else []
    if run.id != first.id:
        judge = run.judge if run.judge_status not in HIDDEN_STATUSES else None
        if run.version != first.version:
            found.append(f"version {run.version}")
        elif judge and run.judge != first.judge:
            found.append(f"judge {judge}")
        else:
            found.append(group.fingerprint[:SHORT])
    return ", ".join(found)


def _column(
    definition: Definition, group: _Group, key: str, title: str, main: bool, runs: Iterable[_Run]
) -> Column:
    name = definition.primary.rpartition("/")[2]
    metric = next((one for one in definition.metrics if one.metric == name), None)
    options = metric.options if metric else {}
    better = metric.higher_is_better if metric else True
    lowest, highest = 0.0, 1.0
    if name == "judge_single":
        lowest, highest = float(options.get("lowest", 1)), float(options.get("highest", 10))
    # A metric that another program named may have any scale.
    fits = all(lowest <= run.primary_score <= highest for run in runs)
    return Column(
        key=key,
        task=group.slug,
        title=title,
        baseline=definition.publish.baseline if definition.publish else 0.0,
        fingerprint=group.fingerprint,
        metric=definition.primary,
        source=group.source,
        percent=fits and (lowest, highest) == (0.0, 1.0),
        lowest=lowest,
        highest=highest,
        higher_is_better=better,
        main=main,
        counts=main and fits and better and definition.publish is not None,
    )


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-") or "task"


def _place(column: Column) -> tuple[object, ...]:
    return column.task.casefold(), column.task, not column.main, column.source, column.title


def _result(run: _Run, column: Column) -> Result:
    estimate = run.results.get(column.metric, {})
    return Result(
        run_id=run.id,
        contestant_id=run.contestant_id,
        value=run.primary_score,
        low=estimate.get("low"),
        high=estimate.get("high"),
        n=estimate.get("n", 0),
        errors=run.errors or 0,
        unparsed=run.unparsed,
        truncated=run.truncated,
        finished_at=run.finished_at,
        source=run.source,
        normalised=column.normalised(run.primary_score),
    )


def _averages(
    columns: Iterable[Column], results: Mapping[int, Mapping[str, Result]]
) -> tuple[dict[int, float], dict[int, tuple[float, float]]]:
    counting = [column for column in columns if column.counts]
    averages, intervals = {}, {}
    for contestant, found in results.items():
        parts = {column.key: _part(column, found.get(column.key)) for column in counting}
        if (average := statistics.composite(parts)) is not None:
            averages[contestant] = average
        if (interval := statistics.composite_interval(parts)) is not None:
            intervals[contestant] = interval
    return averages, intervals


def _part(column: Column, result: Result | None) -> statistics.Part:
    if result is None:
        return statistics.Part(None, column.baseline)
    low, high = (None if b is None else column.share(b) for b in (result.low, result.high))
    return statistics.Part(column.share(result.value), column.baseline, low, high)


def _reruns(
    columns: Iterable[Column], results: Mapping[int, Mapping[str, Result]]
) -> dict[int, frozenset[str]]:
    columns = tuple(columns)
    main = {column.task: column.key for column in columns if column.main}
    older = {c.key: main[c.task] for c in columns if not c.main and not c.source}
    reruns = {}
    for contestant, found in results.items():
        wanted = frozenset(older[key] for key in found if key in older) - found.keys()
        if wanted:
            reruns[contestant] = wanted
    return reruns
