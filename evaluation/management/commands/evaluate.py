"""A benchmark run in this process, seen as it goes."""

from __future__ import annotations

import threading
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from typing import Any

from django.core.management import BaseCommand, CommandError
from tqdm import tqdm

from arena.models import Contestant
from evaluation import finishing, runner, runs, statistics
from evaluation.benchmarks import shipped
from evaluation.definitions.definition import from_json
from evaluation.importing import ImportRefused, import_shipped
from evaluation.models import Immutable, Run, Sample, TaskDefinition
from evaluation.scorers import PatternTimedOut

TURN = 1.0  # seconds until another look when a worker has the endpoint


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("a whole number from 1")
    return int(text)


class Command(BaseCommand):
    help = (
        "Ask a contestant a task's questions and score the answers. Ctrl-C pauses; the same "
        "command goes on where it was."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--model", required=True, help="a contestant's name or slug")
        parser.add_argument("--task", required=True, help="a registered or shipped task")
        parser.add_argument("--task-version", help="default: the newest")
        parser.add_argument("--limit", type=_at_least_one, help="only the first so many items")
        parser.add_argument("--retry-errors", action="store_true", help="of the paused run")

    def handle(
        self,
        *,
        model: str,
        task: str,
        task_version: str | None,
        limit: int | None,
        retry_errors: bool,
        **options: Any,
    ) -> None:
        contestant = self._contestant(model)
        definition = self._task(task, task_version)
        try:
            run = self._run(definition, contestant, limit, retry_errors)
        except runs.Refused as refusal:
            raise CommandError(str(refusal)) from None
        try:
            self._work(run)
        except KeyboardInterrupt:
            run.refresh_from_db()
            if run.state in (Run.State.QUEUED, Run.State.RUNNING):
                runs.pause(run=run, reason="Ctrl-C")
            ended = run.samples.filter(state__in=[Sample.State.DONE, Sample.State.ERROR]).count()
            self.stdout.write(
                f"Paused run {run.pk} at {ended} of {run.total}; the same command resumes it."
            )
            return
        run.refresh_from_db()
        for line in report(run):
            self.stdout.write(line)
        if run.state != Run.State.COMPLETED:
            raise CommandError(f"The run is {run.state}: {run.reason or 'by somebody else'}")

    def _contestant(self, model: str) -> Contestant:
        found = Contestant.objects.filter(name=model) or Contestant.objects.filter(slug=model)
        contestant = found.first()
        if contestant is None:
            names = ", ".join(
                Contestant.objects.exclude(endpoint=None).values_list("slug", flat=True)
            )
            raise CommandError(f"no contestant {model!r}; there are: {names or 'none'}")
        return contestant

    def _task(self, slug: str, version: str | None) -> TaskDefinition:
        """A shipped task registers itself at its first use."""
        found = TaskDefinition.objects.filter(slug=slug)
        if not found.exists() and slug in shipped():
            try:
                import_shipped(slug)
            except (ImportRefused, Immutable) as refusal:
                raise CommandError(str(refusal)) from None
        if version is not None:
            found = found.filter(task_version=version)
        task = found.order_by("-id").first()
        if task is None:
            raise CommandError(f"no task {slug!r}: register it with import_benchmark --task")
        return task

    def _run(
        self, task: TaskDefinition, contestant: Contestant, limit: int | None, retry_errors: bool
    ) -> Run:
        """The unfinished run of the same question, resumed, or a new one."""
        unfinished = Run.objects.unfinished().filter(
            task=task, contestant=contestant, limit=limit, spec_sha256=task.spec_sha256
        )
        run = unfinished.order_by("-id").first()
        if run is None:
            return runs.create_run(task=task, contestant=contestant, limit=limit)
        if retry_errors:
            runs.retry_errors(run=run)
        elif run.state in (Run.State.PAUSED, Run.State.DRAFT):
            runs.resume(run=run)
        self.stdout.write(f"Going on with run {run.pk}.")
        return run

    def _work(self, run: Run) -> None:
        definition = from_json(run.task.spec)
        running = _RunningScore()
        for sample in finishing.answered(run):
            running.add(_primary(definition, sample))
        ended = run.samples.filter(state__in=[Sample.State.DONE, Sample.State.ERROR]).count()
        with tqdm(
            total=run.total,
            initial=ended,
            desc=run.task.slug,
            unit=" samples",
            file=self.stderr,
            disable=None,
        ) as bar:

            def show(sample: Sample) -> None:
                if sample.state == Sample.State.DONE:
                    running.add(_primary(definition, sample))
                bar.set_postfix_str(str(running), refresh=False)
                bar.update()

            while True:
                shard = runner.run_shard(run_id=run.pk, on_sample=show)
                finishing.finish(run_id=run.pk)
                run.refresh_from_db()
                if run.state not in (Run.State.QUEUED, Run.State.RUNNING, Run.State.SCORING):
                    return
                if not shard.samples:
                    runner.sweep()
                    time.sleep(TURN)  # a worker is at the same endpoint


def _primary(definition: Any, sample: Sample) -> float | None:
    """For the running figure only: a response that cannot be scored is `finish`'s to report."""
    try:
        scored = finishing.score_sample(definition, sample).scores
    except (ValueError, PatternTimedOut):
        return None
    return next((one.score.value for one in scored if one.metric == definition.primary), None)


class _RunningScore:
    """The mean so far; added to by the thread that commits, shown by the bar's."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._lock = threading.Lock()

    def add(self, value: float | None) -> None:
        if value is not None:
            with self._lock:
                self._values.append(value)

    def __str__(self) -> str:
        with self._lock:
            values = list(self._values)
        if not values:
            return ""
        if set(values) <= {0.0, 1.0}:
            low, high = statistics.wilson(int(sum(values)), len(values))
            return f"{sum(values) / len(values):.1%} ± {(high - low) / 2:.1%}"
        return f"mean {sum(values) / len(values):.3f}"


def report(run: Run) -> Iterator[str]:
    """What a run came to, for a terminal."""
    yield f"{run}: {run.get_state_display()}"
    if run.state not in (Run.State.COMPLETED, Run.State.INCOMPLETE):
        return
    for metric, result in run.results.items():
        if result.get("value") is None:
            yield f"  {metric}: no score"
            continue
        yield (
            f"  {metric}: {result['value']:.2%}, 95 % interval {result['low']:.2%} to "
            f"{result['high']:.2%} ({result['method']}), n = {result['n']}, "
            f"unparsed {result['unparsed']}, truncated {result['truncated']}"
        )
    partial = f", the first {run.limit} items only: not ranked" if run.limit else ""
    cost = "" if run.cost is None else f", {run.cost:.4f} USD"
    yield f"  answered {run.done} of {run.total}, errors {run.errors}{cost}{partial}"
