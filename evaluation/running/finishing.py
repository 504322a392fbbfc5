"""The end of a run: its stored responses scored, once, without a model call."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import Count, Q
from django.utils import timezone

from arena.backends.base import FinishReason
from evaluation import judging
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.models import Item, Run, Sample, Score
from evaluation.running import haystacks, verdicts
from evaluation.running.following import OF_JUDGE
from evaluation.running.runs import WRITE_BATCH, cost_so_far, storable
from evaluation.scorers import PatternTimedOut, Response
from evaluation.scoring import (
    MetricResult,
    MetricScore,
    ScoredResponse,
    score_responses,
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
    except (OperationalError, InterfaceError):
        raise  # the database is away: somebody tries again once the claim has ended
    except Exception as error:
        # Whatever it is, it would come again at every attempt, and the run would never end.
        log.exception("run %s cannot be scored", run_id)
        reason = f"scoring broke down: {error!r}"
        if isinstance(error, ValueError):
            reason = f"the responses do not fit: {error}"
        return _close(run, state=Run.State.FAILED, reason=reason)
    definition = from_json(run.task.spec)
    counts = run.samples.aggregate(
        done=Count("pk", filter=Q(state=Sample.State.DONE)),
        errors=Count("pk", filter=haystacks.counts_as_error(definition)),
        rows=Count("pk"),
    )
    primary = results.get(definition.primary)
    # What would have followed from an error has never been asked, and is missing as well.
    unasked = max(0, run.total - counts.pop("rows"))
    too_many = counts["errors"] + unasked > definition.max_error_rate * run.total
    because = f", {unasked} more were not asked because of them" if unasked else ""
    return _close(
        run,
        state=Run.State.INCOMPLETE if too_many else Run.State.COMPLETED,
        reason=f"{counts['errors']} of {run.total} samples are errors{because}" if too_many else "",
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
        if verdicts.is_code(run) and verdicts.unchecked(run).exists():
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
    # By item, as some filters read all responses to it; a further turn or a judgement is not one.
    for _, group in groupby(answered(run), lambda sample: (sample.item_id, sample.part)):
        samples = list(group)
        scored = score_samples(definition, samples)
        responses += scored
        rows += [
            Score(
                sample=sample,
                scorer=one.scorer,
                metric=one.metric,
                value=one.score.value,
                answer=None if one.score.answer is None else storable(one.score.answer),
                flags=sorted(one.score.flags),
            )
            for sample, response in zip(samples, scored, strict=True)
            for one in response.scores
        ]
    with transaction.atomic():
        # A score of several responses stands with the first; after a retry that is another one.
        same = Score.objects.filter(sample__run=run, scorer__in={row.scorer for row in rows})
        same.delete()
        Score.objects.bulk_create(
            rows,
            batch_size=WRITE_BATCH,
            update_conflicts=True,
            unique_fields=["sample", "scorer", "metric"],
            update_fields=["value", "answer", "flags"],
        )
    if judging.is_judged(definition):
        return judging.summarise(definition, responses, truncated=_truncated(run))
    return summarise(definition, responses)


def _truncated(run: Run) -> int:
    """Answers that were cut at the limit of tokens, where it is judgements that are scored."""
    cut = run.samples.filter(state=Sample.State.DONE, finish_reason=FinishReason.LENGTH)
    return int(cut.exclude(OF_JUDGE).count())


def answered(run: Run) -> Any:
    """The samples with a response, in the order of their items."""
    samples = run.samples.filter(state=Sample.State.DONE).select_related("item", "verdict")
    return samples.order_by("item__position", "part", "epoch")


def primary_score(definition: Definition, sample: Sample) -> float | None:
    """One response by itself: enough for a running figure, unless a filter reads all epochs.

    What cannot be scored is the end's to report.
    """
    try:
        scored = score_samples(definition, [sample])[0].scores
    except (ValueError, PatternTimedOut):
        return None
    return next((one.score.value for one in scored if one.metric == definition.primary), None)


def score_samples(definition: Definition, samples: Sequence[Sample]) -> list[ScoredResponse]:
    """The epochs of one item's part. Where there is a judge, only its judgements have scores."""
    item: Item = samples[0].item
    key = definition.dataset.cluster_key
    responses = [_response(definition, sample) for sample in samples]
    scores: Sequence[Sequence[MetricScore]]
    if not judging.is_judged(definition):
        scores = score_responses(definition, item.fields, responses)
    elif judged := judging.judgement(samples[0].part):
        scores = [
            judging.score_judgement(definition, item.fields, judged, sample.messages, response)
            for sample, response in zip(samples, responses, strict=True)
        ]
    else:
        scores = [()] * len(samples)
    return [
        ScoredResponse(
            item=item.hash,
            scores=known,
            cluster=str(item.fields[key]) if key and key in item.fields else None,
            epoch=sample.epoch,
            part=sample.part,
        )
        for sample, known in zip(samples, scores, strict=True)
    ]


def _response(definition: Definition, sample: Sample) -> Response:
    passed = None
    if definition.output_type == "code":
        verdict = getattr(sample, "verdict", None)  # there may be none yet
        passed = verdict.passed if verdict else None
    return Response(sample.response, sample.finish_reason or None, passed)
