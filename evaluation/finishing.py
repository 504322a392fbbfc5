"""The end of a run: its stored responses scored, once, without a model call."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Count, Q
from django.utils import timezone

from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.models import Item, Run, Sample, Score
from evaluation.runs import WRITE_BATCH, cost_so_far, storable
from evaluation.scorers import Response
from evaluation.scoring import (
    MetricResult,
    ScoredResponse,
    score_response,
    summarise,
)

log = logging.getLogger(__name__)


def finish(*, run_id: int) -> bool:
    """Scores the stored responses when every sample has come to its end.

    True for the one caller that did it. A caller that dies in the middle is followed by another
    when its claim has ended.
    """
    if not _claim_scoring(run_id):
        return False
    run = Run.objects.select_related("task", "dataset").get(pk=run_id)
    try:
        results = score(run=run)
    except ValueError as error:
        log.exception("run %s cannot be scored", run_id)
        return _close(run, state=Run.State.FAILED, reason=f"the responses do not fit: {error}")
    definition = from_json(run.task.spec)
    counts = run.samples.aggregate(
        done=Count("pk", filter=Q(state=Sample.State.DONE)),
        errors=Count("pk", filter=Q(state=Sample.State.ERROR)),
    )
    primary = results.get(definition.primary)
    too_many = counts["errors"] > definition.max_error_rate * run.total
    return _close(
        run,
        state=Run.State.INCOMPLETE if too_many else Run.State.COMPLETED,
        reason=f"{counts['errors']} of {run.total} samples are errors" if too_many else "",
        results={metric: result.as_json() for metric, result in results.items()},
        primary_score=primary.estimate.value if primary and primary.estimate else None,
        unparsed=primary.unparsed if primary else 0,
        truncated=primary.truncated if primary else 0,
        cost=cost_so_far(run),
        **counts,
    )


def _claim_scoring(run_id: int) -> bool:
    now = timezone.now()
    until = now + timedelta(seconds=10 * settings.EVALUATION_LEASE_SECONDS)
    with transaction.atomic():
        run = Run.objects.select_for_update(no_key=True).get(pk=run_id)
        abandoned = run.scoring_until is not None and run.scoring_until < now
        if run.state not in (Run.State.QUEUED, Run.State.RUNNING) and not abandoned:
            return False
        if run.samples.filter(state__in=[Sample.State.PENDING, Sample.State.LEASED]).exists():
            return False
        run.state, run.scoring_until = Run.State.SCORING, until
        run.started_at = run.started_at or now
        run.save(update_fields=["state", "scoring_until", "started_at"])
    return True


def _close(run: Run, **fields: Any) -> bool:
    closing = Run.objects.filter(pk=run.pk, state=Run.State.SCORING)
    return bool(closing.update(scoring_until=None, finished_at=timezone.now(), **fields))


def score(*, run: Run) -> dict[str, MetricResult]:
    """Scores every stored response and stores the scores, without a model call. May be repeated.

    Raises ValueError where task and items do not fit.
    """
    definition = from_json(run.task.spec)
    rows: list[Score] = []
    responses: list[ScoredResponse] = []
    for sample in answered(run):
        scored = score_sample(definition, sample)
        responses.append(scored)
        rows += [
            Score(
                sample=sample,
                scorer=one.scorer,
                metric=one.metric,
                value=one.score.value,
                answer=None if one.score.answer is None else storable(one.score.answer),
                flags=sorted(one.score.flags),
            )
            for one in scored.scores
        ]
    Score.objects.bulk_create(
        rows,
        batch_size=WRITE_BATCH,
        update_conflicts=True,
        unique_fields=["sample", "scorer", "metric"],
        update_fields=["value", "answer", "flags"],
    )
    return summarise(definition, responses)


def answered(run: Run) -> Any:
    """The samples with a response, in the order of their items."""
    samples = run.samples.filter(state=Sample.State.DONE).select_related("item")
    return samples.order_by("epoch", "item__position")


def score_sample(definition: Definition, sample: Sample) -> ScoredResponse:
    item: Item = sample.item
    key = definition.dataset.cluster_key
    return ScoredResponse(
        item=item.hash,
        scores=score_response(
            definition, item.fields, Response(sample.response, sample.finish_reason or None)
        ),
        cluster=str(item.fields[key]) if key and key in item.fields else None,
    )
