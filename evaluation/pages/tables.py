"""Public results side by side: the index, a task's table, two models on the same items.

Ready-made objects for templates, in a number of queries that never grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from django.db.models import Count

from arena.models import Contestant
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.models import Dataset, Item, Run
from evaluation.pages import shown
from evaluation.results import comparing, published
from evaluation.results.figures import Axis
from evaluation.results.published import Benchmarks, Column, Result
from evaluation.statistics import Comparison

NEWEST = 3  # results of a task on the index


# --- the index ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Entry:
    """A result under the name of its model."""

    model: Contestant
    result: Result


@dataclass(frozen=True, slots=True)
class TaskCard:
    column: Column
    definition: Definition
    dataset: Dataset
    items: int
    newest: Sequence[Entry]
    best: Entry
    models: int
    others: int  # further columns of the same task


@dataclass(frozen=True, slots=True)
class Index:
    cards: Sequence[TaskCard]
    parts: Sequence[Column]  # of the average
    averages: Sequence[tuple[Contestant, float]]


def index() -> Index:
    found = published.benchmarks()
    models = _models(found)
    entries = _entries(found, models)
    first: dict[str, Column] = {}  # the main column of each task, or what there is
    for column in found.columns:
        if column.main or column.task not in first:
            first[column.task] = column
    runs = _runs_of(entries[column.key][0].result.run_id for column in first.values())
    items = _item_counts(run.dataset_id for run in runs.values())
    cards = []
    for column in first.values():
        listed = entries[column.key]
        run = runs[listed[0].result.run_id]
        cards.append(
            TaskCard(
                column=column,
                definition=from_json(run.task.spec),
                dataset=run.dataset,
                items=items.get(run.dataset_id, 0),
                newest=sorted(listed, key=lambda e: e.result.finished_at, reverse=True)[:NEWEST],
                best=listed[0],
                models=len(listed),
                others=len(found.of_task(column.task)) - 1,
            )
        )
    averages = sorted(found.average.items(), key=lambda pair: -pair[1])
    return Index(cards, found.parts, [(models[pk], value) for pk, value in averages])


def _models(found: Benchmarks) -> Mapping[int, Contestant]:
    return Contestant.objects.in_bulk(list(found.results))


def _entries(found: Benchmarks, models: Mapping[int, Contestant]) -> dict[str, list[Entry]]:
    """The results of each column, the best first."""
    entries: dict[str, list[Entry]] = {column.key: [] for column in found.columns}
    for contestant, results in found.results.items():
        for key, result in results.items():
            entries[key].append(Entry(models[contestant], result))
    for column in found.columns:
        sign = -1 if column.higher_is_better else 1
        entries[column.key].sort(key=lambda e: (sign * e.result.value, e.model.name.casefold()))
    return entries


def _runs_of(ids: Iterable[int]) -> Mapping[int, Run]:
    return Run.objects.select_related("task", "dataset").in_bulk(list(ids))


def _item_counts(datasets: Iterable[int]) -> dict[int, int]:
    counted = Item.objects.filter(dataset__in=set(datasets)).order_by().values_list("dataset")
    return dict(counted.annotate(Count("pk")))


# --- one task -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    place: int
    model: Contestant
    result: Result
    behind: Comparison | None  # the best minus this one, on the same items
    rerun: bool  # only this older edition is known of the model

    @property
    def as_good(self) -> bool:
        """Nothing shows that the best is better."""
        return self.behind is not None and not self.behind.clear


@dataclass(frozen=True, slots=True)
class Table:
    """A column, its models side by side."""

    column: Column
    definition: Definition
    dataset: Dataset
    items: int
    task_version: str
    scorers: Sequence[str]
    judge: str
    axis: Axis | None
    lines: Sequence[Line]

    @property
    def unclear(self) -> int:
        return sum(line.as_good for line in self.lines)


def task(slug: str) -> Sequence[Table]:
    """The main column first. Raises NotShown."""
    found = published.benchmarks()
    columns = sorted(found.of_task(slug), key=lambda column: not column.main)
    if not columns:
        raise shown.NotShown(slug)
    entries = _entries(found, _models(found))
    runs = _runs_of(entry.result.run_id for column in columns for entry in entries[column.key])
    items = _item_counts(run.dataset_id for run in runs.values())
    best = [entries[column.key][0].result.run_id for column in columns]
    scorers = shown.scorers(best)
    judges = Contestant.objects.in_bulk(
        [judge for pk in best if (judge := runs[pk].judge_id) is not None]
    )
    tables = []
    for column in columns:
        listed = entries[column.key]
        run = runs[listed[0].result.run_id]
        tables.append(
            Table(
                column=column,
                definition=from_json(run.task.spec),
                dataset=run.dataset,
                items=items.get(run.dataset_id, 0),
                task_version=run.task.task_version,
                scorers=scorers.get(run.pk, ()),
                judge=shown.public_name(judges.get(run.judge_id or 0)),
                axis=Axis.over(
                    value
                    for entry in listed
                    for value in (entry.result.low, entry.result.value, entry.result.high)
                ),
                lines=_lines(found, column, listed, runs),
            )
        )
    return tables


def _lines(
    found: Benchmarks, column: Column, listed: Sequence[Entry], runs: Mapping[int, Run]
) -> list[Line]:
    top = listed[0].result
    # Where the intervals lie apart there is nothing to ask; and that is most pairs.
    near = [entry.result.run_id for entry in listed[1:] if _may_overlap(top, entry.result)]
    behind = comparing.against(runs[top.run_id], [runs[pk] for pk in near])
    main = next((one.key for one in found.of_task(column.task) if one.main), "")
    lines: list[Line] = []
    for number, entry in enumerate(listed):
        same = bool(lines) and lines[-1].result.value == entry.result.value
        lines.append(
            Line(
                place=lines[-1].place if same else number + 1,
                model=entry.model,
                result=entry.result,
                behind=behind.get(entry.result.run_id),
                rerun=main in found.reruns.get(entry.model.pk, ()) and not column.source,
            )
        )
    return lines


def _may_overlap(one: Result, other: Result) -> bool:
    if one.low is None or one.high is None or other.low is None or other.high is None:
        return True
    return one.low <= other.high and other.low <= one.high


# --- two models on one task ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pair:
    column: Column
    a: Entry
    b: Entry
    comparison: Comparison | None  # None: the scores of the items are not stored here

    @property
    def same(self) -> int:
        """Items on which both have the same score."""
        c = self.comparison
        return c.n - c.a_better - c.b_better if c else 0

    @property
    def entries(self) -> tuple[Entry, Entry]:
        return self.a, self.b

    @property
    def better(self) -> Contestant:
        """By the difference, whether it is clear or not."""
        c = self.comparison
        higher = self.a if c and c.difference > 0 else self.b
        lower = self.b if higher is self.a else self.a
        return (higher if self.column.higher_is_better else lower).model

    @property
    def wins_a(self) -> int:
        """Items that the first did better on."""
        c = self.comparison
        return (c.a_better if self.column.higher_is_better else c.b_better) if c else 0

    @property
    def wins_b(self) -> int:
        c = self.comparison
        return (c.b_better if self.column.higher_is_better else c.a_better) if c else 0

    @property
    def sign_test(self) -> str:
        p = self.comparison.p if self.comparison else 1
        return "< 0.0001" if p < 0.0001 else f"= {p:.4f}"

    @property
    def share_a(self) -> float:
        return round(100 * self.wins_a / self.comparison.n, 2) if self.comparison else 0

    @property
    def share_b(self) -> float:
        return round(100 * self.wins_b / self.comparison.n, 2) if self.comparison else 0

    @property
    def share_to_b(self) -> float:
        return 100 - self.share_b


@dataclass(frozen=True, slots=True)
class Choices:
    """What may be compared, and the comparison that was asked for."""

    columns: Sequence[Column]
    column: Column | None
    models: Sequence[Contestant]  # with a result in the column
    pair: Pair | None


def choices(*, key: str, a: str, b: str) -> Choices:
    """`key` names a column or a task, `a` and `b` are models' slugs. Raises NotShown."""
    found = published.benchmarks()
    column = next((one for one in found.columns if one.key == key), None)
    column = column or next(iter(found.of_task(key)), None)
    if column is None:
        if key:
            raise shown.NotShown(key)
        return Choices(found.columns, None, (), None)
    entries = {entry.model.slug: entry for entry in _entries(found, _models(found))[column.key]}
    models = sorted((entry.model for entry in entries.values()), key=lambda m: m.name.casefold())
    for slug in (a, b):
        if slug and slug not in entries:
            raise shown.NotShown(slug)
    pair = None
    if a and b and a != b:
        one, other = entries[a], entries[b]
        runs = _runs_of((one.result.run_id, other.result.run_id))
        pair = Pair(
            column,
            one,
            other,
            comparing.compare(runs[one.result.run_id], runs[other.result.run_id]),
        )
    return Choices(found.columns, column, models, pair)
