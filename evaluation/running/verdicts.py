"""Answers to code tasks, run in the sandbox one by one; each verdict is stored before the next.

A worker claims an answer, runs it, and stores the verdict under the condition that the claim is
still its own. What a killed worker had stored is not run again; what it had claimed is, once the
claim has ended. Without a sandbox nothing is run: the run pauses and says why.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable
from datetime import timedelta

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from evaluation import sandbox
from evaluation.definitions.definition import from_json
from evaluation.models import Run, Sample, Verdict
from evaluation.running import programs, sandboxes
from evaluation.running.runs import stop, storable

log = logging.getLogger(__name__)

CLAIM = timedelta(seconds=60)  # at worst a program takes 30 s to start, 3 to run and 5 to end
TURN = 60.0  # seconds, then another run has its turn
STARTS = 3  # of a sandbox that does not come up, before the run is paused

OnVerdict = Callable[[Sample, sandbox.Outcome], None]


def is_code(run: Run) -> bool:
    return bool(run.task.spec["output_type"] == "code")


def unchecked(run: Run) -> QuerySet[Sample]:
    """Answers without a verdict, claimed or not."""
    answers = run.samples.filter(state=Sample.State.DONE, part="answer")
    return answers.filter(verdict__passed__isnull=True).order_by("id")


def check(*, run_id: int, seconds: float = TURN, on_verdict: OnVerdict | None = None) -> int:
    """Checks the answers there are, for so many seconds; how many it did.

    0: there was nothing to do, another worker is at it, or no sandbox can be had.
    """
    run = Run.objects.select_related("task").get(pk=run_id)
    if not is_code(run):
        return 0
    if not sandboxes.report().ok:
        _pause_without_sandbox(run)
        return 0
    definition = from_json(run.task.spec)
    owner = secrets.token_hex(8)
    ends = time.monotonic() + seconds
    checked = failed_starts = 0
    while time.monotonic() < ends and (sample := _claim(run, owner)):
        try:
            outcome = programs.check(definition, sample.item.fields, sample.response)
        except sandbox.Unavailable as error:
            _unclaim(sample, owner)
            failed_starts += 1
            log.warning("the sandbox did not start: %s", error)
            if failed_starts == STARTS:
                stop(run=run, reason=f"the sandbox does not start: {error}")
                break
            continue
        except ValueError as error:  # not an item of HumanEval: so are all
            _unclaim(sample, owner)
            stop(run=run, reason=f"the answers cannot be run: {error}")
            break
        except BaseException:
            _unclaim(sample, owner)
            raise
        failed_starts = 0
        if _store(sample, owner, outcome):
            checked += 1
            if on_verdict:
                on_verdict(sample, outcome)
    return checked


def waits(*, run_id: int) -> bool:
    """Whether a run has answers for the sandbox, and there is one."""
    run = Run.objects.select_related("task").get(pk=run_id)
    return is_code(run) and unchecked(run).exists() and not sandboxes.obstacle()


def sweep() -> list[int]:
    """The ids of runs whose answers a sandbox worker should be at and none is.

    Where no sandbox can be had they are paused, and say why.
    """
    now = timezone.now()
    answers = Sample.objects.filter(run=OuterRef("pk"), state=Sample.State.DONE, part="answer")
    claimed = Verdict.objects.filter(sample__run=OuterRef("pk"), until__gt=now)
    waiting = list(
        Run.objects.to_be_run()
        .filter(
            Exists(answers.filter(verdict__passed__isnull=True)), task__spec__output_type="code"
        )
        .exclude(Exists(claimed))
        .order_by("id")
    )
    if waiting and sandboxes.obstacle():
        for run in waiting:
            _pause_without_sandbox(run)
        return []
    return [run.pk for run in waiting]


def _claim(run: Run, owner: str) -> Sample | None:
    """The next answer to run. The run's row is the lock between two that look at once."""
    now = timezone.now()
    with transaction.atomic():
        locked = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
        if locked.state not in (Run.State.QUEUED, Run.State.RUNNING):
            return None
        free = Q(verdict__isnull=True) | Q(verdict__until__lt=now)
        sample = unchecked(run).filter(free).select_related("item").first()
        if sample is not None:
            Verdict.objects.update_or_create(
                sample=sample, defaults={"owner": owner, "until": now + CLAIM}
            )
    return sample


def _held(sample: Sample, owner: str) -> QuerySet[Verdict]:
    return Verdict.objects.filter(sample=sample, owner=owner, passed__isnull=True)


def _unclaim(sample: Sample, owner: str) -> None:
    _held(sample, owner).delete()


def _store(sample: Sample, owner: str, outcome: sandbox.Outcome) -> bool:
    """False when the claim had ended and another worker has the answer now."""
    return bool(
        _held(sample, owner).update(
            passed=outcome.passed,
            reason=outcome.reason[:120],
            output=storable(outcome.stdout_tail),
            seconds=outcome.seconds,
            checked_at=timezone.now(),
            owner="",
            until=None,
        )
    )


def _pause_without_sandbox(run: Run) -> None:
    """Unless another worker can do it."""
    if why := sandboxes.obstacle():
        stop(run=run, reason=f"code cannot be run: {why}")
