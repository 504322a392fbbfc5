"""What the benchmarks' pages show: ready-made objects, in a number of queries that never grows.

Public is what `published` says; a run's page may also be seen once the run is withdrawn, with the
reason. Staff see every run.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Count, Exists, OuterRef, QuerySet, TextField, When
from django.db.models.functions import Cast

from arena.models import HIDDEN_STATUSES, Contestant
from evaluation import comparing, figures, haystacks, published
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.definitions.prompts import scored_item
from evaluation.figures import Axis
from evaluation.models import OVER, Dataset, Item, Run, Sample, Score
from evaluation.needles import Grid
from evaluation.progress import ended_of
from evaluation.published import Benchmarks, Column, Result
from evaluation.statistics import Comparison

NEWEST = 3  # results of a task on the index
LATEST = 50  # runs that the staff's list shows


class NotShown(LookupError):
    """There is no such page, or not for this reader."""


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
        raise NotShown(slug)
    entries = _entries(found, _models(found))
    runs = _runs_of(entry.result.run_id for column in columns for entry in entries[column.key])
    items = _item_counts(run.dataset_id for run in runs.values())
    best = [entries[column.key][0].result.run_id for column in columns]
    scorers = _scorers(best)
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
                judge=public_name(judges.get(run.judge_id or 0)),
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


def _scorers(runs: Iterable[int]) -> dict[int, list[str]]:
    """The scorers, with their versions, that have scored each run."""
    found: dict[int, list[str]] = {}
    rows = Score.objects.filter(sample__run__in=list(runs)).order_by("scorer").distinct()
    for run_id, scorer in rows.values_list("sample__run", "scorer"):
        found.setdefault(run_id, []).append(scorer)
    return found


def public_name(model: Contestant | None) -> str:
    """Nobody is named before the model is public."""
    if model is None:
        return ""
    return "a model whose name is not public" if model.status in HIDDEN_STATUSES else model.name


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
            raise NotShown(key)
        return Choices(found.columns, None, (), None)
    entries = {entry.model.slug: entry for entry in _entries(found, _models(found))[column.key]}
    models = sorted((entry.model for entry in entries.values()), key=lambda m: m.name.casefold())
    for slug in (a, b):
        if slug and slug not in entries:
            raise NotShown(slug)
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


# --- one run ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MetricLine:
    name: str
    primary: bool
    percent: bool
    estimate: Mapping[str, Any]
    details: Sequence[tuple[str, str]]  # what only this kind of task knows, in words


@dataclass(frozen=True, slots=True)
class RunPage:
    run: Run
    definition: Definition
    title: str
    percent: bool
    metrics: Sequence[MetricLine]
    scorers: Sequence[str]
    judge: str
    opponent: str
    command: str
    public: bool
    samples_public: bool
    column: Column | None  # where it stands on the board
    spec_text: str
    needle: Grid | None

    @property
    def downloads(self) -> bool:
        return bool(self.run.results) and self.run.withdrawn_at is None


def find_run(pk: int, *, staff: bool) -> Run:
    """Raises NotShown."""
    run = (
        Run.objects.select_related(
            "task", "dataset", "contestant__endpoint", "judge", "opponent__contestant"
        )
        .filter(pk=pk)
        .first()
    )
    if run is None or not (staff or is_public(run)):
        raise NotShown(str(pk))
    return run


def is_public(run: Run) -> bool:
    """Whole, completed, of a model with a public name; withdrawn ones stay, with their reason."""
    return (
        run.state == Run.State.COMPLETED
        and run.limit is None
        and run.contestant.status not in HIDDEN_STATUSES
    )


def samples_public(run: Run) -> bool:
    """A prompt may hold examples of another split: one private split keeps all of them back."""
    return (
        is_public(run)
        and run.withdrawn_at is None
        and run.dataset.public
        and not Dataset.objects.filter(name=run.dataset.name, public=False).exists()
    )


def run_page(run: Run) -> RunPage:
    definition = from_json(run.task.spec)
    column = None
    if is_public(run) and run.withdrawn_at is None:
        found = published.benchmarks()
        results = found.results.get(run.contestant_id, {})
        column = next(
            (c for c in found.columns if c.key in results and results[c.key].run_id == run.pk), None
        )
    metrics = [_metric_line(name, result, definition) for name, result in run.results.items()]
    metrics.sort(key=lambda line: not line.primary)
    percent = metrics[0].percent if metrics else True
    return RunPage(
        run=run,
        definition=definition,
        title=definition.publish.column if definition.publish else run.task.slug,
        percent=column.percent if column else percent,
        metrics=metrics,
        scorers=_scorers([run.pk]).get(run.pk, ()),
        judge=public_name(run.judge),
        opponent=public_name(run.opponent.contestant) if run.opponent else "",
        command=_command(run),
        public=is_public(run),
        samples_public=samples_public(run),
        column=column,
        spec_text=json.dumps(run.task.spec, indent=2, ensure_ascii=False),
        needle=haystacks.heat_map(run) if definition.output_type == "needle" else None,
    )


# Of a metric without a verdict, and of results from elsewhere, some are missing.
_NOT_TOLD = dict.fromkeys(
    ("value", "low", "high", "se", "n", "unparsed", "truncated", "method", "clusters")
)


def _metric_line(name: str, result: Mapping[str, Any], definition: Definition) -> MetricLine:
    return MetricLine(
        name=name,
        primary=name == definition.primary,
        percent=figures.is_share(result),
        estimate={**_NOT_TOLD, **result},
        details=list(figures.details(result.get("details", {}))),
    )


def _command(run: Run) -> str:
    """What repeats the run on the server; empty for one that came from elsewhere."""
    if run.source:
        return ""
    parts = [
        "manage.py evaluate",
        f"--model {run.contestant.slug}",
        f"--task {shlex.quote(run.task.slug)}",
        f"--task-version {shlex.quote(run.task.task_version)}",
    ]
    if run.limit:
        parts.append(f"--limit {run.limit}")
    if run.judge:
        hidden = run.judge.status in HIDDEN_STATUSES
        parts.append("--judge …" if hidden else f"--judge {run.judge.slug}")
    if run.opponent_id:
        parts.append(f"--opponent {run.opponent_id}")
    if run.judges_itself:
        parts.append("--allow-self-judge")
    return " ".join(parts)


# --- all runs, for staff --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunLine:
    run: Run
    ended: int
    errors: int
    percent: bool

    @property
    def over(self) -> bool:
        return self.run.state in OVER


def latest_runs() -> list[RunLine]:
    """Those under way first."""
    found = list(
        Run.objects.select_related("task", "contestant")
        .annotate(over=Case(When(state__in=OVER, then=1), default=0))
        .order_by("over", "-pk")[:LATEST]
    )
    ended = ended_of(found)
    lines = []
    for run in found:
        primary = run.results.get(run.task.spec["primary"], {})
        lines.append(RunLine(run, *ended.get(run.pk, (0, 0)), figures.is_share(primary)))
    return lines


# --- samples ------------------------------------------------------------------------------------


SHOWN = {
    "all": "All",
    "right": "Full score",
    "wrong": "Less",
    "unparsed": "Unparsed",
    "truncated": "Truncated",
    "errors": "Errors",
    "open": "Not yet asked",
}


@dataclass(frozen=True, slots=True)
class SampleView:
    sample: Sample
    expected: str
    scores: Sequence[Score]  # of the primary metric first


def samples(run: Run, *, show: str, search: str) -> QuerySet[Sample]:
    """Those of a filter, by item. `show` is a key of SHOWN."""
    primary = from_json(run.task.spec).primary
    found = run.samples.select_related("item").order_by("item__position", "epoch", "part")
    if search:
        found = found.filter(item__external_id__icontains=search)

    def scored(**conditions: Any) -> QuerySet[Sample]:
        marks = Score.objects.annotate(marks=Cast("flags", TextField()))
        return found.filter(
            Exists(marks.filter(sample=OuterRef("pk"), metric=primary, **conditions))
        )

    match show:
        case "right":
            return scored(value__gte=1)
        case "wrong":
            return scored(value__lt=1)
        case "unparsed" | "truncated":
            return scored(marks__contains=f'"{show}"')
        case "errors":
            return found.filter(state=Sample.State.ERROR)
        case "open":
            return found.filter(state__in=[Sample.State.PENDING, Sample.State.LEASED])
    return found


def sample_views(run: Run, listed: Sequence[Sample]) -> list[SampleView]:
    definition = from_json(run.task.spec)
    scores: dict[int, list[Score]] = {}
    for score in Score.objects.filter(sample__in=[sample.pk for sample in listed]):
        scores.setdefault(score.sample_id, []).append(score)
    for of_sample in scores.values():
        of_sample.sort(key=lambda score: (score.metric != definition.primary, score.metric))
    return [
        SampleView(sample, _expected(definition, sample), scores.get(sample.pk, ()))
        for sample in listed
    ]


def _expected(definition: Definition, sample: Sample) -> str:
    """What the task takes for right, where it says so."""
    try:
        target = scored_item(definition, sample.item.fields)["target"]
    except (ValueError, KeyError):
        return ""
    return str(target) if isinstance(target, str | int | float) else " / ".join(map(str, target))
