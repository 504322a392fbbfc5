"""Asking a run's questions: durable, resumable, each item exactly once.

State is rows. A worker leases some (`leases`), asks the model as fast as its endpoint allows
(`gate`), and commits each answer before it asks for another, under the condition that the row is
still its own. Messages between processes carry a run's id and may be lost or doubled.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
import random
import secrets
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from django.conf import settings
from django.db import connections, transaction

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
from arena.keys import KeyUnreadable
from evaluation import judging
from evaluation.definitions.definition import from_json
from evaluation.models import Run, Sample
from evaluation.running import following, haystacks, leases, response_cache, retrying
from evaluation.running.gate import CapReached, Gate, battle_streams_at
from evaluation.running.limits import Budget, estimated_tokens
from evaluation.running.runs import cost_so_far, stop, storable

log = logging.getLogger(__name__)

SHARD_SECONDS = 60.0  # then another run has its turn at the endpoint
LOOK = 0.5  # seconds between two looks at whether the run is still wanted


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
    size: int = leases.SHARD,
    seconds: float = SHARD_SECONDS,
    on_sample: OnSample | None = None,
) -> Shard:
    """Leases samples and asks them, and leases more for so many seconds.

    Returns early when the run is paused or cancelled.

    `on_sample` is called in another thread after each commit. Whatever ends this, samples that were
    not asked to the end are given back; kill -9 leaves that to `sweep`.
    """
    owner = owner or secrets.token_hex(8)
    samples = leases.lease(run_id=run_id, owner=owner, size=size)
    if not samples:
        return Shard()
    run = Run.objects.select_related(
        "contestant__endpoint", "judge__endpoint", "opponent", "task"
    ).get(pk=run_id)
    try:
        return asyncio.run(_Asking(run, owner, samples, size, seconds, on_sample).ask_all())
    except KeyUnreadable as error:
        stop(run=run, reason=str(error))
        return Shard()
    finally:
        leases.release(run_id=run_id, owner=owner)


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
        self.definition = from_json(self.run.task.spec)
        self.of_judge = judging.judgement(self.samples[0].part) is not None
        self.asked = following.asked(self.run, self.samples[0].part)
        self.generation = self.definition.generation
        if self.of_judge:
            self.generation = judging.generation(self.definition)
        endpoint = self.asked.endpoint
        assert endpoint is not None
        self.target = _patient(endpoint.target())
        self.chance = random.Random()  # noqa: S311 - jitter
        self.shard.samples = len(self.samples)
        self.waiting = deque(self.samples)
        self.unstored: deque[_Ended] = deque()
        self.no_more_at = asyncio.get_running_loop().time() + self.seconds
        self.refilling = asyncio.Lock()
        self.broken = False
        self.skipped: set[int] = set()
        # One thread, so one connection, closed before the loop ends.
        self.database = ThreadPoolExecutor(1, thread_name_prefix="evaluation")
        self.client = BackendClient(AddressPolicy(settings.PRIVATE_ENDPOINTS))
        self.endpoint = endpoint
        cap = self.run.cost_cap
        self.budget = Budget(None if cap is None else float(cap) * 1e6)
        self.gate = Gate(endpoint, self.budget, self._in_database)
        asking = asyncio.create_task(self._ask_them())
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
            await self.gate.close()
            await self._in_database(connections.close_all)
            self.database.shutdown(wait=False)
        return self.shard

    async def _in_database(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.database, function, *arguments)

    async def _ask_them(self) -> None:
        spent = await self._in_database(cost_so_far, self.run)
        self.budget.spent = float(spent or 0) * 1e6
        await self.gate.open()
        await asyncio.gather(*(self._work() for _ in range(self.gate.ceiling)))

    async def _watch(self) -> None:
        """Ends when the run is no longer wanted; keeps the lease, and lets battles go first."""
        loop = asyncio.get_running_loop()
        beat = settings.EVALUATION_LEASE_SECONDS / 3
        next_beat = loop.time() + beat
        while await self._in_database(self._is_wanted):
            self.gate.battle_is_on(await self._in_database(battle_streams_at, self.endpoint))
            if loop.time() >= next_beat:
                await self._in_database(self._keep_lease)
                next_beat = loop.time() + beat
            await asyncio.sleep(LOOK)

    def _is_wanted(self) -> bool:
        # Queued: it was paused and resumed between two looks, or its errors are to be retried.
        wanted = [Run.State.QUEUED, Run.State.RUNNING]
        return Run.objects.filter(pk=self.run.pk, state__in=wanted).exists()

    @transaction.atomic
    def _keep_lease(self) -> None:
        following.lock(self.run.pk)
        leases.held(self.run.pk, self.owner).update(lease_until=leases.lease_end())

    async def _work(self) -> None:
        while await self._refill():
            sample = self.waiting.popleft()
            if sample.pk not in self.skipped:
                await self._ask(sample)

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
        return leases.lease(
            run_id=self.run.pk, owner=self.owner, size=self.size, of_judge=self.of_judge
        )

    async def _ask(self, sample: Sample) -> None:
        """One sample to its end: an answer, or an error after all the attempts it is worth."""
        request = self._request(sample)
        key = ""
        if self.run.use_cache:
            key = response_cache.cache_key(
                endpoint=self.endpoint, request=request, epoch=sample.epoch
            )
            if known := await self._in_database(response_cache.find, key):
                await self._finish(sample, known)
                return
        while True:
            try:
                answer = await self._answer(sample, request)
            except CapReached:
                await self._stop(f"the cost cap of {self.run.cost_cap} USD is reached")
                return
            except BackendError as error:
                if error.kind in retrying.RETRYABLE and sample.attempts < retrying.MAX_ATTEMPTS:
                    # Counted at once: attempts are limited over all workers.
                    await self._in_database(self._store, sample, {"attempts": sample.attempts})
                    await asyncio.sleep(
                        retrying.delay(sample.attempts, error.retry_after, self.chance)
                    )
                    continue
                await self._finish(sample, _error_fields(error))
                if (
                    error.kind is ErrorKind.CONTEXT_LENGTH
                    and self.definition.output_type == "needle"
                ):
                    self.skipped |= await self._in_database(haystacks.skip_longer, sample)
                await self._count_failure(error)
                return
            self.shard.failed_in_a_row = 0
            await self._finish(sample, answer.fields(), "" if answer.declined else key)
            return

    def _request(self, sample: Sample) -> ChatRequest:
        generation = self.generation
        seed = None if self.run.seed is None else self.run.seed + sample.epoch - 1
        return ChatRequest(
            model=self.asked.upstream_model,
            messages=[Message(**one) for one in haystacks.messages(self.definition, sample)],
            max_tokens=generation.max_gen_toks,
            temperature=generation.temperature,
            top_p=generation.top_p,
            seed=seed,
            stop=generation.until,
            stream=False,
        )

    async def _answer(self, sample: Sample, request: ChatRequest) -> _Answer:
        """Raises BackendError and CapReached."""
        prompt = estimated_tokens(sum(len(message.content) for message in request.messages))
        most = request.max_tokens
        async with self.gate.request(
            tokens=prompt + most, cost=self._cost(prompt, most)
        ) as passage:
            sample.attempts += 1
            answer = _Answer()
            try:
                await self._receive(request, answer)
            except BackendError as error:
                if not retrying.is_an_answer(error):
                    raise
                # Reasoning and usage stay: they are paid for.
                answer.declined = True
                if error.kind is ErrorKind.CONTENT_FILTER:
                    answer.text.clear()
                    answer.finish = FinishReason.CONTENT_FILTER
            answer.latency = asyncio.get_running_loop().time() - passage.began
            used = answer.tokens(prompt)
            passage.used_tokens = sum(used)
            passage.used_cost = self._cost(*used)
        return answer

    def _cost(self, prompt: int, completion: int) -> float:
        """In millionths of a dollar."""
        run = self.run
        prices = (
            (run.judge_price_input, run.judge_price_output)
            if self.of_judge
            else (run.price_input, run.price_output)
        )
        return prompt * float(prices[0] or 0) + completion * float(prices[1] or 0)

    async def _receive(self, request: ChatRequest, answer: _Answer) -> None:
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

    async def _finish(self, sample: Sample, fields: dict[str, Any], key: str = "") -> None:
        """Stores a sample's end. With a key, the answer is kept for the response cache as well."""
        fields |= {"attempts": sample.attempts, "lease_owner": "", "lease_until": None}
        ended = _Ended(sample, fields, key)
        self.unstored.append(ended)
        # Shielded: an answer that is here is paid for, and kept although the run is paused.
        await asyncio.shield(asyncio.ensure_future(self._in_database(self._store_ended)))
        if ended.stored:
            self.shard.done += fields["state"] == Sample.State.DONE
            self.shard.errors += fields["state"] == Sample.State.ERROR

    def _store_ended(self) -> None:
        """One commit for all that ended during the last one: a slow disk is no slower for them."""
        batch = []
        while self.unstored:
            batch.append(self.unstored.popleft())
        with transaction.atomic():
            if len(batch) > 1 or judging.is_judged(self.definition):
                following.lock(self.run.pk)
            for one in batch:
                one.stored = self._store(one.sample, one.fields)
                if one.stored and one.key:
                    response_cache.keep(one.key, one.fields)
        for one in batch:
            if one.stored and self.on_sample:
                self.on_sample(one.sample)

    def _store(self, sample: Sample, fields: dict[str, Any]) -> bool:
        """False when the lease was lost: another worker has the sample now."""
        stored = bool(leases.held(self.run.pk, self.owner).filter(pk=sample.pk).update(**fields))
        if stored and "state" in fields:
            for name, value in fields.items():
                setattr(sample, name, value)
            if sample.state == Sample.State.DONE and judging.is_judged(self.definition):
                following.after(run=self.run, definition=self.definition, sample=sample)
        return stored

    async def _count_failure(self, error: BackendError) -> None:
        """The breaker: an endpoint that fails again and again is not asked the whole dataset."""
        if error.kind in retrying.OF_THE_ITEM:
            return
        self.shard.failed_in_a_row += 1
        if self.shard.failed_in_a_row == settings.EVALUATION_BREAKER:
            whose = "the judge: " if self.of_judge else ""
            count = self.shard.failed_in_a_row
            reason = f"{whose}{count} samples failed in a row, last {error.kind}"
            await self._stop(reason)

    async def _stop(self, reason: str) -> None:
        """Nothing more is asked; what is under way is given up at the next look."""
        self.waiting.clear()
        self.broken = True
        await self._in_database(functools.partial(stop, run=self.run, reason=reason))


@dataclass(slots=True)
class _Ended:
    """A sample that has come to its end and waits to be stored."""

    sample: Sample
    fields: dict[str, Any]
    key: str  # of the response cache; without one nothing is kept there
    stored: bool = False


@dataclass(slots=True)
class _Answer:
    text: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)
    finish: FinishReason | None = None
    usage: Usage = field(default_factory=Usage)
    latency: float = 0.0
    declined: bool = False  # a failure that counts as an answer

    def tokens(self, prompt: int) -> tuple[int, int]:
        """Of the prompt and of the answer, estimated where the endpoint does not say."""
        written = sum(map(len, (*self.text, *self.reasoning)))
        counted = self.usage.output_tokens
        return (
            self.usage.input_tokens or prompt,
            estimated_tokens(written) if counted is None else counted,
        )

    def fields(self) -> dict[str, Any]:
        return {
            "state": Sample.State.DONE,
            "response": storable("".join(self.text)),
            "reasoning": storable("".join(self.reasoning)),
            "finish_reason": self.finish or "",
            "prompt_tokens": self.usage.input_tokens,
            "completion_tokens": self.usage.output_tokens,
            "latency": self.latency,
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
