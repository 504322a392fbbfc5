"""How far a run is: counted from its rows, so that any process can say it of any worker's run.

The running score is that of the responses stored so far. Each process remembers what it has
scored, so that a look costs what is new since the last one.
"""

from __future__ import annotations

import time
from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from threading import Lock
from typing import Any

from django.db.models import Count, Min, Q, Sum
from django.utils import timezone

from evaluation import statistics
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.models import OVER, Run, Sample
from evaluation.running import finishing, haystacks
from evaluation.running.runs import cost_so_far

REMEMBERED = 32  # runs whose scores a process keeps
RATE_SECONDS = 60.0  # the speed shown is that of the last minute
RATE_AT_LEAST = 3.0  # seconds, below which a speed says nothing

# A skipped sample is one that the endpoint's context cannot hold, or of a cancelled run.
ENDED = (Sample.State.DONE, Sample.State.ERROR, Sample.State.SKIPPED)
OPEN = (Sample.State.PENDING, Sample.State.LEASED)


@dataclass
class _Watched:
    """What one process has seen of one run."""

    scores: dict[int, float | None] = field(default_factory=dict)  # by sample
    first_open: int = 0  # below this id, every sample had ended at the last look
    looks: deque[tuple[float, int]] = field(default_factory=deque)  # (when, ended)
    lock: Lock = field(default_factory=Lock)


_watched: OrderedDict[tuple[int, datetime], _Watched] = OrderedDict()
_watched_lock = Lock()


def _watch(run: Run) -> _Watched:
    key = run.pk, run.created_at
    with _watched_lock:
        found = _watched.setdefault(key, _Watched())
        _watched.move_to_end(key)
        while len(_watched) > REMEMBERED:
            _watched.popitem(last=False)
        return found


def ended_of(runs: Iterable[Run]) -> dict[int, tuple[int, int]]:
    """(ended, of them errors) of each run, in one query. The runs come with their tasks."""
    runs = list(runs)
    needles = [run.pk for run in runs if run.task.spec["output_type"] == "needle"]
    # As `haystacks.counts_as_error`: beyond a context is no error there.
    errors = Q(state=Sample.State.ERROR) & ~Q(run__in=needles, error_kind="context")
    counted = (
        Sample.objects.filter(run__in=[run.pk for run in runs], state__in=ENDED)
        .order_by()
        .values_list("run")
        .annotate(ended=Count("pk"), errors=Count("pk", filter=errors))
    )
    return {run_id: (ended, errors) for run_id, ended, errors in counted}


def progress(run: Run) -> dict[str, Any]:
    """What a page shows of a run under way, as JSON. `run` comes with its task."""
    definition = from_json(run.task.spec)
    code = definition.output_type == "code"
    counts = run.samples.aggregate(
        done=Count("pk", filter=Q(state=Sample.State.DONE)),
        ended=Count("pk", filter=Q(state__in=ENDED)),
        errors=Count("pk", filter=haystacks.counts_as_error(definition)),
        first_open=Min("pk", filter=Q(state__in=OPEN)),
        prompt=Sum("prompt_tokens", default=0),
        completion=Sum("completion_tokens", default=0),
        checked=Count("pk", filter=Q(verdict__passed__isnull=False) if code else Q(pk=None)),
    )
    answered = ended = counts["ended"]
    if code:  # an answer has come to its end when the sandbox has
        ended += counts["checked"] - counts["done"]
    watched = _watch(run)
    with watched.lock:
        score = _running_score(run, definition, watched, counts["first_open"])
        speed = _speed(run, watched, ended)
    left = run.total - ended
    cost = cost_so_far(run)
    return {
        "state": run.state,
        "state_text": run.get_state_display(),
        "over": run.state in OVER,
        "reason": run.reason,
        "total": run.total,
        "done": counts["done"],
        "errors": counts["errors"],
        "answered": answered,
        "ended": ended,
        "checking": [counts["checked"], counts["done"]] if ended < answered == run.total else None,
        "percent": round(100 * ended / run.total, 1) if run.total else 0.0,
        "score": score,
        "prompt_tokens": counts["prompt"],
        "completion_tokens": counts["completion"],
        "cost": None if cost is None else float(cost),
        "per_second": speed,
        "eta": round(left / speed) if speed and left and run.state == Run.State.RUNNING else None,
    }


def _running_score(
    run: Run, definition: Definition, watched: _Watched, first_open: int | None
) -> dict[str, float | int | None] | None:
    new = finishing.answered(run)
    # Whatever ended before the first open sample was looked at already. An error asked once more
    # opens a sample below it, and is scored when it comes back.
    since = min(watched.first_open, first_open or watched.first_open)
    if definition.output_type == "code":
        since = 0  # the sandbox comes to an answer when it likes
        new = new.filter(verdict__passed__isnull=False)
    known = [pk for pk in watched.scores if pk >= since]
    for sample in new.filter(pk__gte=since).exclude(pk__in=known):
        watched.scores[sample.pk] = finishing.primary_score(definition, sample)
    watched.first_open = since if first_open is None else first_open
    values = [value for value in watched.scores.values() if value is not None]
    if not values:
        return None
    estimate = statistics.accuracy(values) if set(values) <= {0.0, 1.0} else statistics.mean(values)
    share = min(values) >= 0 and max(values) <= 1
    return {
        "value": estimate.value,
        "low": _number(estimate.low),
        "high": _number(estimate.high),
        "n": estimate.n,
        "percent": share,
    }


def _number(value: float) -> float | None:
    """NaN is no JSON."""
    return None if value != value else value


def _speed(run: Run, watched: _Watched, ended: int) -> float | None:
    """Samples a second over the last minute, or since the start for who looks the first time."""
    now = time.monotonic()
    looks = watched.looks
    if run.state != Run.State.RUNNING:
        looks.clear()
        return None
    if looks and looks[-1][1] > ended:  # errors were opened again
        looks.clear()
    looks.append((now, ended))
    while looks[0][0] < now - RATE_SECONDS:
        looks.popleft()
    seconds, came = now - looks[0][0], ended - looks[0][1]
    if (seconds < RATE_AT_LEAST or not came) and run.started_at:
        seconds, came = (timezone.now() - run.started_at).total_seconds(), ended
    return round(came / seconds, 3) if came and seconds > 0 else None
