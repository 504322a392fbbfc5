"""A benchmark run in this process, seen as it goes."""

from __future__ import annotations

import sys
import threading
import time
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.management import BaseCommand, CommandError
from django.db.models import Q
from tqdm import tqdm

from arena.models import Contestant
from evaluation import sandbox, statistics
from evaluation.benchmarks import shipped
from evaluation.definitions.definition import from_json
from evaluation.importing import ImportRefused, import_shipped
from evaluation.models import Immutable, Run, Sample, TaskDefinition
from evaluation.running import (
    costs,
    finishing,
    haystacks,
    leases,
    runner,
    runs,
    sandboxes,
    verdicts,
)

TURN = 1.0  # seconds until another look when a worker has the endpoint


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError("a whole number from 1")
    return int(text)


def _dollars(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not (amount.is_finite() and 0 < amount < 1_000_000):
        raise ArgumentTypeError("an amount in USD above 0")
    return amount


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
        parser.add_argument(
            "--cost-cap", type=_dollars, metavar="USD", help="pause before the run costs more"
        )
        parser.add_argument(
            "--cache", action="store_true", help="take stored answers to equal requests, and keep"
        )
        parser.add_argument(
            "--judge", metavar="MODEL", help="who reads the answers, in tasks that need a judge"
        )
        parser.add_argument(
            "--opponent",
            metavar="RUN|MODEL",
            help="whose answers a pairwise judge compares with: a completed run's number, or a "
            "contestant, whose newest one is taken (default: the dataset's own answers)",
        )
        parser.add_argument(
            "--allow-self-judge",
            action="store_true",
            help="let a model judge its own answers, which it prefers; the run will say so",
        )
        parser.add_argument("--no-input", action="store_true", help="never ask whether to start")

    def handle(
        self,
        *,
        model: str,
        task: str,
        task_version: str | None,
        limit: int | None,
        retry_errors: bool,
        cost_cap: Decimal | None,
        cache: bool,
        judge: str | None,
        opponent: str | None,
        allow_self_judge: bool,
        no_input: bool,
        **options: Any,
    ) -> None:
        contestant = self._contestant(model)
        definition = self._task(task, task_version)
        reader = None if judge is None else self._contestant(judge)
        if definition.spec["output_type"] == "code":
            sandboxes.report()  # this process may be the one that runs it
        try:
            other = None if opponent is None else self._opponent(opponent, definition)
            run = self._unfinished(
                Q(task=definition, contestant=contestant, limit=limit)
                & Q(judge=reader, opponent=other, spec_sha256=definition.spec_sha256),
                retry_errors,
                cost_cap,
            )
            if run is None:
                self._confirm(definition, contestant, reader, limit, cost_cap, ask=not no_input)
                run = runs.create_run(
                    task=definition,
                    contestant=contestant,
                    limit=limit,
                    cost_cap=cost_cap,
                    judge=reader,
                    opponent=other,
                    allow_self_judge=allow_self_judge,
                    use_cache=cache,
                )
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
        found = TaskDefinition.objects.filter(slug=slug).exclude(runs.IMPORTED)
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

    def _opponent(self, name: str, task: TaskDefinition) -> Run:
        """A run by its number, or a contestant's newest completed one on the task's items."""
        if name.isdecimal():
            run = Run.objects.filter(pk=int(name)).first()
            if run is None:
                raise CommandError(f"there is no run {name}")
            return run
        contestant = self._contestant(name)
        dataset = runs.find_dataset(from_json(task.spec))
        completed = Run.objects.filter(
            contestant=contestant, dataset=dataset, state=Run.State.COMPLETED
        )
        newest = completed.order_by("-id").first()
        if newest is None:
            raise CommandError(f"{contestant} has no completed run on {dataset} to compare with")
        return newest

    def _confirm(
        self,
        task: TaskDefinition,
        contestant: Contestant,
        judge: Contestant | None,
        limit: int | None,
        cost_cap: Decimal | None,
        *,
        ask: bool,
    ) -> None:
        """Says what a new run will cost; a person at a terminal may still stop it."""
        estimate = costs.estimate(task=task, contestant=contestant, judge=judge, limit=limit)
        self.stdout.write(f"{estimate}{f', at most {cost_cap} USD' if cost_cap else ''}.")
        if not (ask and estimate.high and sys.stdin.isatty()):
            return
        if input("Start the run? [y/N] ").strip().lower() not in ("y", "yes"):
            raise CommandError("Not started.")

    def _unfinished(self, same: Q, retry_errors: bool, cost_cap: Decimal | None) -> Run | None:
        """The unfinished run of the same question, resumed."""
        run = Run.objects.unfinished().filter(same).order_by("-id").first()
        if run is None:
            return None
        if retry_errors:
            runs.retry_errors(run=run)
        elif run.state in (Run.State.PAUSED, Run.State.DRAFT):
            runs.resume(run=run, cost_cap=cost_cap)
        self.stdout.write(f"Going on with run {run.pk}.")
        return run

    def _work(self, run: Run) -> None:
        definition = from_json(run.task.spec)
        running = _RunningScore()
        for sample in finishing.answered(run):
            running.add(finishing.primary_score(definition, sample))
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
                    running.add(finishing.primary_score(definition, sample))
                bar.set_postfix_str(str(running), refresh=False)
                bar.update()

            def show_verdict(sample: Sample, outcome: sandbox.Outcome) -> None:
                running.add(float(outcome.passed))
                bar.set_postfix_str(str(running))

            while True:
                shard = runner.run_shard(run_id=run.pk, on_sample=show)
                checked = verdicts.check(run_id=run.pk, on_verdict=show_verdict)
                finishing.finish(run_id=run.pk)
                run.refresh_from_db()
                bar.total = run.total  # a judge may have had to be asked again
                if run.state not in (Run.State.QUEUED, Run.State.RUNNING, Run.State.SCORING):
                    return
                if not shard.samples and not checked:
                    leases.sweep()
                    time.sleep(TURN)  # a worker is at the same endpoint


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
    # A judge's rating has a scale of its own; all else is a share.
    form = ".2f" if run.task.spec["output_type"] == "judge_single" else ".2%"
    for metric, result in run.results.items():
        counts = f"unparsed {result['unparsed']}, truncated {result['truncated']}"
        if result.get("value") is None:
            yield f"  {metric}: no score, {counts}"
            continue
        interval = "no interval"
        if result["low"] is not None:
            interval = f"95 % interval {result['low']:{form}} to {result['high']:{form}}"
        yield (
            f"  {metric}: {result['value']:{form}}, {interval} ({result['method']}), "
            f"n = {result['n']}, {counts}"
        )
        yield from _judged(result.get("details", {}), form)
    if run.judge:
        itself = ", which judges its own answers" if run.judges_itself else ""
        yield f"  judge: {run.judge}{itself}"
    if run.opponent:
        yield f"  opponent: {run.opponent.contestant}, run {run.opponent.pk}"
    if run.task.spec["output_type"] == "needle":
        yield from _heat_map(run)
    partial = f", the first {run.limit} items only: not ranked" if run.limit else ""
    cost = "" if run.cost is None else f", {run.cost:.4f} USD"
    yield f"  answered {run.done} of {run.total}, errors {run.errors}{cost}{partial}"


def _judged(details: dict[str, Any], form: str) -> Iterator[str]:
    """What a judge's verdicts came to beside the score, and how far they can be trusted."""
    if turns := details.get("turns"):
        yield "    " + ", ".join(f"turn {turn}: {mean:{form}}" for turn, mean in turns.items())
    if "position_bias_rate" not in details:
        return
    yield (
        f"    won {details['won']}, tied {details['tied']}, lost {details['lost']}, without a "
        f"verdict {details['without_verdict']} (by {details['policy']})"
    )
    if details["both_orders"]:
        yield (
            f"    position bias {details['position_bias_rate']:.1%} of {details['both_orders']} "
            f"judged in both orders: {details['favours_first']} for the first shown, "
            f"{details['favours_second']} for the second"
        )
        longer = details["longer_wins"]
        share = "" if longer is None else f"; where one won, it was the longer in {longer:.1%}"
        yield f"    {details['mean_length_difference']:+.0f} characters than the other{share}"


def _heat_map(run: Run) -> Iterator[str]:
    found = haystacks.heat_map(run)
    yield "  tokens (as reported): found at depth " + " ".join(f"{d:g} %" for d in found.depths)
    for row in found.rows:
        tokens = [cell.prompt_tokens for cell in row if cell.prompt_tokens is not None]
        reported = f" ({round(sum(tokens) / len(tokens)):,})" if tokens else ""
        cells = [
            "not supported" if not cell.supported else _share(cell.score, cell.n) for cell in row
        ]
        yield f"  {row[0].length:,}{reported}: {', '.join(cells)}"


def _share(score: float | None, n: int) -> str:
    return "–" if score is None else f"{score:.0%} of {n}"
