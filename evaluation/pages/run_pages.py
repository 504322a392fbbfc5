"""A run's page, its samples one by one, and the staff's list of runs.

Ready-made objects for templates, in a number of queries that never grows. A public run is seen by
everybody, also once it is withdrawn, with the reason; staff see every run.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Exists, OuterRef, QuerySet, TextField, When
from django.db.models.functions import Cast

from arena.models import HIDDEN_STATUSES
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.definitions.prompts import scored_item
from evaluation.models import OVER, Dataset, Run, Sample, Score
from evaluation.needles import Grid
from evaluation.pages import shown
from evaluation.results import figures, published
from evaluation.results.published import Column
from evaluation.running import haystacks
from evaluation.running.progress import ended_of

LATEST = 50  # runs that the staff's list shows


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
        raise shown.NotShown(str(pk))
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
        scorers=shown.scorers([run.pk]).get(run.pk, ()),
        judge=shown.public_name(run.judge),
        opponent=shown.public_name(run.opponent.contestant) if run.opponent else "",
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
