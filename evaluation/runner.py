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
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import connections, transaction
from django.db.models import Exists, OuterRef
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
from arena.models import Endpoint
from evaluation import retrying
from evaluation.definitions.definition import from_json
from evaluation.models import Run, Sample
from evaluation.runs import Refused, cost_so_far, pause, storable

log = logging.getLogger(__name__)

SHARD = 25  # samples leased at a time
SHARD_SECONDS = 60.0  # then another run has its turn at the endpoint
LOOK = 0.5  # seconds between two looks at whether the run is still wanted


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
            "response": storable("".join(self.text)),
            "reasoning": storable("".join(self.reasoning)),
            "finish_reason": self.finish or "",
            "prompt_tokens": self.usage.input_tokens,
            "completion_tokens": self.usage.output_tokens,
        }


def _error_fields(error: BackendError) -> dict[str, Any]:
    context = error.kind is ErrorKind.CONTEXT_LENGTH
    return {
        "state": Sample.State.ERROR,
        "error_kind": "context" if context else str(error.kind),
        "error_detail": storable(error.detail),
    }


def _patient(target: Target) -> Target:
    """Without streaming the first byte comes with the last: only the whole time is limited."""
    limits = target.timeouts
    whole = dataclasses.replace(limits, first_token=limits.total)
    return dataclasses.replace(target, timeouts=whole)
