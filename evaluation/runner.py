"""A run from its creation to its scores: durable, resumable, each item exactly once.

State is rows. A worker leases some, asks the model, and commits each answer by itself, under the
condition that the row is still its own; what a killed worker held is taken up again when the lease
has ended. Messages between processes carry a run's id and may be lost or doubled.

One owner at a time talks to an endpoint, whichever worker has it: so `EVALUATION_CONCURRENCY` holds
across processes without a limiter of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import hashlib
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import connections, transaction
from django.db.models import Count, Exists, F, OuterRef, Q, Sum
from django.utils import timezone

from arena.backends.base import (
    BackendError,
    ChatRequest,
    ErrorKind,
    Finish,
    FinishReason,
    Message,
    ReasoningDelta,
    Target,
    TextDelta,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from arena.models import Contestant, Endpoint
from evaluation import retrying
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.definitions.problems import Unrenderable
from evaluation.definitions.prompts import build_prompts
from evaluation.formats.items import canonical_json
from evaluation.models import Dataset, Item, Run, Sample, Score, TaskDefinition
from evaluation.scorers import Response
from evaluation.scoring import (
    MetricResult,
    ScoredResponse,
    score_response,
    scorer_keys,
    summarise,
)

log = logging.getLogger(__name__)

SHARD = 25  # samples leased at a time
SHARD_SECONDS = 60.0  # then another run has its turn at the endpoint
LOOK = 0.5  # seconds between two looks at whether the run is still wanted
RUNNABLE = ("generate_until", "multiple_choice", "needle")
WRITE_BATCH = 500


class Refused(Exception):
    """The verb cannot be done now; the text is for whoever asked."""


# --- creation -----------------------------------------------------------------------------------


def create_run(
    *,
    task: TaskDefinition,
    contestant: Contestant,
    limit: int | None = None,
    cost_cap: Decimal | None = None,
) -> Run:
    """A queued run with every prompt it will send.

    Prompts are built over the whole dataset and cut to `limit` afterwards: the draw of examples
    runs through all items, so a partial run sends what a whole one would. Raises Refused.
    """
    definition = from_json(task.spec)
    _check_runnable(definition, contestant, limit)
    dataset = find_dataset(definition)
    items = list(dataset.items.order_by("position"))
    try:
        prompts = list(
            build_prompts(definition, [item.fields for item in items], _fewshot_pool(definition))
        )
    except Unrenderable as error:
        raise Refused(f"{task}: {error}") from None
    chosen = list(zip(items, prompts, strict=True))[:limit]
    fingerprint = {
        "dataset": dataset.version,
        "task": task.spec_sha256,
        "prompts": [prompt.hash for _, prompt in chosen],
        "scorers": scorer_keys(definition),
    }
    with transaction.atomic():
        locked = TaskDefinition.objects.select_for_update().get(pk=task.pk)
        if locked.spec_sha256 != task.spec_sha256:
            raise Refused(f"{task} has just been changed")
        run = Run.objects.create(
            task=task,
            dataset=dataset,
            contestant=contestant,
            state=Run.State.QUEUED,
            limit=limit,
            spec_sha256=task.spec_sha256,
            fingerprint=hashlib.sha256(canonical_json(fingerprint).encode()).hexdigest(),
            seed=definition.generation.seed,
            total=len(chosen) * definition.epochs,
            price_input=contestant.price_input,
            price_output=contestant.price_output,
            cost_cap=cost_cap,
        )
        Sample.objects.bulk_create(
            [
                Sample(run=run, item=item, epoch=epoch, messages=list(prompt.messages))
                for epoch in range(1, definition.epochs + 1)
                for item, prompt in chosen
            ],
            batch_size=WRITE_BATCH,
        )
    return run


def _check_runnable(definition: Definition, contestant: Contestant, limit: int | None) -> None:
    if definition.output_type not in RUNNABLE:
        raise Refused(f"{definition.task}: tasks of the kind {definition.output_type} are not run")
    unsent = [
        name
        for name in ("top_k", "presence_penalty", "frequency_penalty")
        if getattr(definition.generation, name) is not None
    ]
    if unsent:
        raise Refused(f"{definition.task}: {', '.join(unsent)} cannot be sent to every endpoint")
    if contestant.endpoint is None or not contestant.upstream_model:
        raise Refused(f"{contestant} has no endpoint to ask")
    if limit is not None and limit < 1:
        raise Refused("a limit is at least 1")


def find_dataset(definition: Definition) -> Dataset:
    """The dataset a task means: that version, or the newest. Raises Refused."""
    wanted = definition.dataset
    found = Dataset.objects.filter(name=wanted.name, split=wanted.split)
    if wanted.version:
        found = found.filter(version=wanted.version)
    dataset = found.order_by("-id").first()
    if dataset is None:
        raise Refused(
            f"{definition.task} needs the dataset {wanted.name}/{wanted.split}"
            f"{' ' + wanted.version if wanted.version else ''}: import it first"
        )
    return dataset


def _fewshot_pool(definition: Definition) -> list[dict[str, Any]]:
    split = definition.dataset.fewshot_split
    if not split or not definition.num_fewshot or definition.fewshot.samples is not None:
        return []
    pool = Dataset.objects.filter(name=definition.dataset.name, split=split).order_by("-id").first()
    if pool is None:
        raise Refused(f"the examples of {definition.task} come from the split {split}: import it")
    return list(pool.items.order_by("position").values_list("fields", flat=True))


# --- what people ask for ------------------------------------------------------------------------


def _change(run: Run, allowed: tuple[str, ...], verb: str, **fields: Any) -> None:
    """Raises Refused when the run's present state does not allow the verb."""
    if not Run.objects.filter(pk=run.pk, state__in=allowed).update(**fields):
        run.refresh_from_db()
        raise Refused(f"{run} is {run.state} and cannot be {verb}")
    run.refresh_from_db()


def pause(*, run: Run, reason: str = "") -> None:
    """Workers notice within LOOK and give back what they hold."""
    _change(
        run,
        (Run.State.DRAFT, Run.State.QUEUED, Run.State.RUNNING),
        "paused",
        state=Run.State.PAUSED,
        reason=reason,
    )


def resume(*, run: Run) -> None:
    _change(run, (Run.State.DRAFT, Run.State.PAUSED), "resumed", state=Run.State.QUEUED, reason="")


def cancel(*, run: Run) -> None:
    """For good: what was answered stays, what was not is skipped."""
    with transaction.atomic():
        _change(
            run,
            (Run.State.DRAFT, Run.State.QUEUED, Run.State.RUNNING, Run.State.PAUSED),
            "cancelled",
            state=Run.State.CANCELLED,
            finished_at=timezone.now(),
        )
        run.samples.filter(state__in=[Sample.State.PENDING, Sample.State.LEASED]).update(
            state=Sample.State.SKIPPED, lease_owner="", lease_until=None
        )


def retry_errors(*, run: Run) -> int:
    """Asks once more what ended in an error, and nothing else. The number of samples."""
    with transaction.atomic():
        _change(
            run,
            (Run.State.QUEUED, Run.State.RUNNING, Run.State.PAUSED, Run.State.COMPLETED,
             Run.State.INCOMPLETE, Run.State.FAILED),
            "retried",
            state=Run.State.QUEUED,
            reason="",
            finished_at=None,
            primary_score=None,
            results={},
            done=None,
            errors=None,
            unparsed=None,
            truncated=None,
            cost=None,
        )  # fmt: skip
        return run.samples.filter(state=Sample.State.ERROR).update(
            state=Sample.State.PENDING, attempts=0, error_kind="", error_detail=""
        )


# --- leases -------------------------------------------------------------------------------------


def lease(*, run_id: int, owner: str, size: int = SHARD) -> list[Sample]:
    """Samples to ask now: none while another owner is at the endpoint, or the run is not wanted.

    The endpoint's row is the lock, so that two workers that look at the same moment do not both
    begin.
    """
    now = timezone.now()
    with transaction.atomic():
        run = Run.objects.select_related("contestant").get(pk=run_id)
        endpoint = run.contestant.endpoint_id
        if endpoint is None:
            return []
        Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint)
        run = Run.objects.select_for_update(no_key=True).get(pk=run_id)
        if run.state not in (Run.State.QUEUED, Run.State.RUNNING):
            return []
        busy = Sample.objects.filter(
            state=Sample.State.LEASED,
            lease_until__gt=now,
            run__contestant__endpoint=endpoint,
        ).exclude(lease_owner=owner)
        if busy.exists():
            return []
        spent = cost_so_far(run)
        if run.cost_cap is not None and spent is not None and spent >= run.cost_cap:
            pause(run=run, reason=f"the cost cap of {run.cost_cap} USD is reached")
            return []
        ids = list(
            Sample.objects.select_for_update(skip_locked=True)
            .filter(run=run, state=Sample.State.PENDING)
            .order_by("id")
            .values_list("pk", flat=True)[:size]
        )
        Sample.objects.filter(pk__in=ids).update(
            state=Sample.State.LEASED, lease_owner=owner, lease_until=_lease_end()
        )
        run.state = Run.State.RUNNING
        run.started_at = run.started_at or now
        run.save(update_fields=["state", "started_at"])
        return list(Sample.objects.filter(pk__in=ids).order_by("id"))


def _lease_end() -> Any:
    return timezone.now() + timedelta(seconds=settings.EVALUATION_LEASE_SECONDS)


def release(*, run_id: int, owner: str) -> int:
    """Gives back what an owner has leased and not asked to the end."""
    return _held(run_id, owner).update(state=Sample.State.PENDING, lease_owner="", lease_until=None)


def _held(run_id: int, owner: str) -> Any:
    return Sample.objects.filter(run=run_id, state=Sample.State.LEASED, lease_owner=owner)


def sweep() -> list[int]:
    """Takes back ended leases; the ids of runs that a worker should be at and none is."""
    now = timezone.now()
    Sample.objects.filter(state=Sample.State.LEASED, lease_until__lt=now).update(
        state=Sample.State.PENDING, lease_owner="", lease_until=None
    )
    at_work = Sample.objects.filter(run=OuterRef("pk"), state=Sample.State.LEASED)
    waiting = Run.objects.to_be_run().exclude(scoring_until__gt=now)
    return list(waiting.exclude(Exists(at_work)).order_by("id").values_list("pk", flat=True))


# --- asking -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Shard:
    """What came of one lease; `samples` 0: there was nothing to do, or it was not our turn."""

    samples: int = 0
    done: int = 0
    errors: int = 0
    failed_in_a_row: int = 0
    last_failure: str = ""


OnSample = Callable[[Sample], None]


def run_shard(
    *,
    run_id: int,
    owner: str | None = None,
    size: int = SHARD,
    seconds: float = SHARD_SECONDS,
    on_sample: OnSample | None = None,
) -> Shard:
    """Leases samples and asks them, and leases more for so many seconds.

    Returns early when the run is paused or cancelled.

    `on_sample` is called in another thread after each commit. Whatever ends this, samples that were
    not asked to the end are given back; kill -9 leaves that to `sweep`.
    """
    owner = owner or secrets.token_hex(8)
    samples = lease(run_id=run_id, owner=owner, size=size)
    if not samples:
        return Shard()
    run = Run.objects.select_related("contestant__endpoint", "task").get(pk=run_id)
    try:
        return asyncio.run(_Asking(run, owner, samples, size, seconds, on_sample).ask_all())
    finally:
        release(run_id=run_id, owner=owner)


@dataclass
class _Asking:
    """One shard in one event loop."""

    run: Run
    owner: str
    samples: list[Sample]
    size: int
    seconds: float
    on_sample: OnSample | None
    shard: Shard = field(default_factory=Shard)

    async def ask_all(self) -> Shard:
        endpoint = self.run.contestant.endpoint
        assert endpoint is not None
        self.target = _patient(endpoint.target())
        self.definition = from_json(self.run.task.spec)
        self.chance = random.Random()  # noqa: S311 - jitter
        self.shard.samples = len(self.samples)
        self.waiting = deque(self.samples)
        self.no_more_at = asyncio.get_running_loop().time() + self.seconds
        self.refilling = asyncio.Lock()
        self.broken = False
        # One thread, so one connection, closed before the loop ends.
        self.database = ThreadPoolExecutor(1, thread_name_prefix="evaluation")
        self.client = BackendClient(AddressPolicy(settings.PRIVATE_ENDPOINTS))
        asking = asyncio.gather(*(self._work() for _ in range(settings.EVALUATION_CONCURRENCY)))
        watching = asyncio.create_task(self._watch())
        try:
            await asyncio.wait((asking, watching), return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()
            else:
                watching.result()
        finally:
            for one in (asking, watching):
                one.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await one
            await self.client.aclose()
            await self._in_database(connections.close_all)
            self.database.shutdown(wait=False)
        return self.shard

    async def _in_database(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.database, function, *arguments)

    async def _watch(self) -> None:
        """Ends when the run is no longer wanted; keeps the lease meanwhile."""
        loop = asyncio.get_running_loop()
        beat = settings.EVALUATION_LEASE_SECONDS / 3
        next_beat = loop.time() + beat
        while await self._in_database(self._is_wanted):
            if loop.time() >= next_beat:
                await self._in_database(self._keep_lease)
                next_beat = loop.time() + beat
            await asyncio.sleep(LOOK)

    def _is_wanted(self) -> bool:
        return Run.objects.filter(pk=self.run.pk, state=Run.State.RUNNING).exists()

    def _keep_lease(self) -> None:
        _held(self.run.pk, self.owner).update(lease_until=_lease_end())

    async def _work(self) -> None:
        while await self._refill():
            await self._ask(self.waiting.popleft())

    async def _refill(self) -> bool:
        """Whether a sample waits; leases more if none does, so that no connection idles."""
        async with self.refilling:
            if not self.waiting and not self.broken:
                if asyncio.get_running_loop().time() >= self.no_more_at:
                    return False
                leased = await self._in_database(self._lease_more)
                self.shard.samples += len(leased)
                self.waiting.extend(leased)
            return bool(self.waiting)

    def _lease_more(self) -> list[Sample]:
        return lease(run_id=self.run.pk, owner=self.owner, size=self.size)

    async def _ask(self, sample: Sample) -> None:
        """One sample to its end: an answer, or an error after all the attempts it is worth."""
        loop = asyncio.get_running_loop()
        while True:
            sample.attempts += 1
            began = loop.time()
            try:
                answer = await self._answer(sample)
            except BackendError as error:
                if retrying.is_an_answer(error):
                    declined = error.kind is ErrorKind.CONTENT_FILTER
                    answer = _Answer(finish=FinishReason.CONTENT_FILTER if declined else None)
                else:
                    if error.kind in retrying.RETRYABLE and sample.attempts < retrying.MAX_ATTEMPTS:
                        # Counted at once: attempts are limited over all workers.
                        await self._in_database(self._store, sample, {"attempts": sample.attempts})
                        await asyncio.sleep(
                            retrying.delay(sample.attempts, error.retry_after, self.chance)
                        )
                        continue
                    await self._finish(sample, _error_fields(error))
                    await self._count_failure(error)
                    return
            self.shard.failed_in_a_row = 0
            await self._finish(sample, answer.fields() | {"latency": loop.time() - began})
            return

    async def _answer(self, sample: Sample) -> _Answer:
        generation = self.definition.generation
        seed = None if self.run.seed is None else self.run.seed + sample.epoch - 1
        request = ChatRequest(
            model=self.run.contestant.upstream_model,
            messages=[Message(**message) for message in sample.messages],
            max_tokens=generation.max_gen_toks,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=seed,
            stop=generation.until,
            stream=False,
        )
        answer = _Answer()
        async for event in self.client.stream_chat(self.target, request):
            match event:
                case TextDelta(text):
                    answer.text.append(text)
                case ReasoningDelta(text):
                    answer.reasoning.append(text)
                case Usage():
                    answer.usage = event
                case Finish(reason):
                    answer.finish = reason
        return answer

    async def _finish(self, sample: Sample, fields: dict[str, Any]) -> None:
        fields |= {"attempts": sample.attempts, "lease_owner": "", "lease_until": None}
        # Shielded: an answer that is here is paid for, and kept although the run is paused.
        stored = await asyncio.shield(
            asyncio.ensure_future(self._in_database(self._store, sample, fields))
        )
        if stored:
            self.shard.done += fields["state"] == Sample.State.DONE
            self.shard.errors += fields["state"] == Sample.State.ERROR

    def _store(self, sample: Sample, fields: dict[str, Any]) -> bool:
        """One commit. False when the lease was lost: another worker has the sample now."""
        stored = bool(_held(self.run.pk, self.owner).filter(pk=sample.pk).update(**fields))
        if stored and "state" in fields and self.on_sample:
            for name, value in fields.items():
                setattr(sample, name, value)
            self.on_sample(sample)
        return stored

    async def _count_failure(self, error: BackendError) -> None:
        """The breaker: an endpoint that fails again and again is not asked the whole dataset."""
        if error.kind in retrying.OF_THE_ITEM:
            return
        self.shard.failed_in_a_row += 1
        if self.shard.failed_in_a_row == settings.EVALUATION_BREAKER:
            self.waiting.clear()
            self.broken = True
            reason = f"{self.shard.failed_in_a_row} samples failed in a row, last {error.kind}"
            await self._in_database(self._break, reason)

    def _break(self, reason: str) -> None:
        # Somebody else may have paused or cancelled it meanwhile: that is as good.
        with contextlib.suppress(Refused):
            pause(run=self.run, reason=reason)


@dataclass(slots=True)
class _Answer:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish: FinishReason | None = None
    usage: Usage = field(default_factory=Usage)

    def fields(self) -> dict[str, Any]:
        return {
            "state": Sample.State.DONE,
            "response": _storable("".join(self.text)),
            "reasoning": _storable("".join(self.reasoning)),
            "finish_reason": self.finish or "",
            "prompt_tokens": self.usage.input_tokens,
            "completion_tokens": self.usage.output_tokens,
        }


def _storable(text: str) -> str:
    """PostgreSQL keeps no NUL, and no driver half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _error_fields(error: BackendError) -> dict[str, Any]:
    context = error.kind is ErrorKind.CONTEXT_LENGTH
    return {
        "state": Sample.State.ERROR,
        "error_kind": "context" if context else str(error.kind),
        "error_detail": _storable(error.detail),
    }


def _patient(target: Target) -> Target:
    """Without streaming the first byte comes with the last: only the whole time is limited."""
    limits = target.timeouts
    whole = dataclasses.replace(limits, first_token=limits.total)
    return dataclasses.replace(target, timeouts=whole)


# --- the end ------------------------------------------------------------------------------------


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
                answer=None if one.score.answer is None else _storable(one.score.answer),
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


def cost_so_far(run: Run) -> Decimal | None:
    """USD by the prices of the start and the usage reported; None where no price is known."""
    if run.price_input is None or run.price_output is None:
        return None
    used = run.samples.aggregate(
        prompt=Sum(F("prompt_tokens"), default=0), completion=Sum(F("completion_tokens"), default=0)
    )
    cost = used["prompt"] * run.price_input + used["completion"] * run.price_output
    return (cost / 1_000_000).quantize(Decimal("0.000001"))
