"""The door to an endpoint: each request of a run waits here until it may start.

One owner at a time is at an endpoint, so what is under way is counted in memory. What must outlive
an owner is a row: until when the limits by the minute are used up, until when the server wants to
be left alone, and how many requests at once it took.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from arena.backends.base import BackendError, ErrorKind
from arena.models import Answer, Endpoint, Turn
from evaluation.models import EndpointPace
from evaluation.running import limits, retrying
from evaluation.running.limits import AtOnce, Budget

LONGEST_WAIT = 1.0  # seconds until the limits are looked at again: answers may have given back
REMEMBERED = 300.0  # seconds that a refusal lowers the requests at once of later owners
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


class CapReached(Exception):
    """What is left of the cost cap does not pay for this request."""


@dataclass(slots=True)
class Passage:
    """A request on its way: the most it may take, and at its end what it took."""

    tokens: int
    cost: float  # millionths of a dollar
    began: float = 0.0
    used_tokens: int = 0
    used_cost: float = 0.0


class Gate:
    """Of one endpoint, for one shard, in one event loop."""

    def __init__(
        self,
        endpoint: Endpoint,
        budget: Budget,
        in_database: Callable[..., Awaitable[Any]],
    ) -> None:
        self._endpoint = endpoint
        self._budget = budget
        self._in_database = in_database
        self.ceiling = endpoint.evaluation_concurrency or settings.EVALUATION_CONCURRENCY
        self._at_once = AtOnce(self.ceiling)
        self._known_size = self._at_once.size
        self._closed_until = NEVER
        self._under_way = 0
        self._battle_on = False
        self._queue = asyncio.Lock()  # who waits longest is next
        self._changed = asyncio.Event()

    async def open(self) -> None:
        """Takes over what earlier owners learnt of the endpoint, and looks who is there."""
        self._battle_on = await self._in_database(battle_streams_at, self._endpoint)
        pace = await self._in_database(_known_of, self._endpoint.pk)
        if pace is not None:
            self._closed_until = pace.closed_until or NEVER
            if _age(pace.refused_at) < REMEMBERED:
                self._at_once = AtOnce(self.ceiling, pace.at_once)
        self._known_size = self._at_once.size

    async def close(self) -> None:
        """Leaves to later owners what this one learnt."""
        if self._at_once.size != self._known_size:
            await self._in_database(_learn, self._endpoint.pk, self._at_once.size)

    def battle_is_on(self, on: bool) -> None:
        if on != self._battle_on:
            self._battle_on = on
            self._changed.set()

    @property
    def share(self) -> int:
        """Requests at once now. Battles go first: people wait for them.

        All local models share this machine's cores, so there a run waits for the end.
        """
        if not self._battle_on:
            return self._at_once.limit
        return 0 if self._endpoint.local else 1

    @asynccontextmanager
    async def request(self, *, tokens: int, cost: float) -> AsyncIterator[Passage]:
        """Waits, and counts the request as under way until the block ends. Raises CapReached."""
        loop = asyncio.get_running_loop()
        passage = Passage(tokens, cost)
        async with self._queue:
            await self._turn(passage)
            self._under_way += 1
            self._budget.reserve(cost)
        passage.began = loop.time()
        try:
            yield passage
            self._at_once.answered()
        except BackendError as error:
            await self._heed(error, passage)
            raise
        finally:
            self._under_way -= 1
            self._budget.settle(cost, passage.used_cost)
            self._changed.set()
        if self._endpoint.tokens_per_minute:
            more = passage.used_tokens - tokens
            await self._in_database(
                _correct_tokens, self._endpoint.pk, more, self._endpoint.tokens_per_minute
            )

    async def _turn(self, passage: Passage) -> None:
        while True:
            self._changed.clear()
            fits = self._budget.fits(passage.cost)
            if not fits and not self._under_way:
                raise CapReached
            if not fits or self._under_way >= self.share:
                await self._changed.wait()
            elif (wait := -_age(self._closed_until)) > 0:
                await asyncio.sleep(wait)
            elif (wait := await self._pace(passage.tokens)) > 0:
                await asyncio.sleep(min(wait, LONGEST_WAIT))
            else:
                return

    async def _pace(self, tokens: int) -> float:
        """Seconds until the limits by the minute allow the request; at 0 it is counted."""
        endpoint = self._endpoint
        if not endpoint.requests_per_minute and not endpoint.tokens_per_minute:
            return 0
        wait: float = await self._in_database(_reserve, endpoint, tokens)
        return wait

    async def _heed(self, error: BackendError, passage: Passage) -> None:
        """A server that has had enough says so for all its requests, not for one alone."""
        refused = error.kind is ErrorKind.RATE_LIMITED
        if refused:
            now = asyncio.get_running_loop().time()
            self._at_once.refused(began=passage.began, now=now)
        if error.retry_after and error.kind in retrying.RETRYABLE:
            seconds = min(error.retry_after, retrying.LONGEST_RETRY_AFTER)
            until = timezone.now() + timedelta(seconds=seconds)
            self._closed_until = max(self._closed_until, until)
        elif not refused:
            return
        await self._in_database(
            _learn, self._endpoint.pk, self._at_once.size, refused, self._closed_until
        )


def battle_streams_at(endpoint: Endpoint) -> bool:
    """Whether somebody waits for an answer of this endpoint, or of a neighbour on this machine."""
    alive = timezone.now() - timedelta(seconds=settings.ORPHAN_SECONDS)
    here = Q(contestant__endpoint=endpoint)
    if endpoint.local:
        here |= Q(contestant__endpoint__local=True)
    waiting = Answer.objects.filter(
        here, turn__state=Turn.State.RUNNING, turn__heartbeat_at__gt=alive
    ).exclude(state__in=[Answer.State.COMPLETE, Answer.State.FAILED])
    return waiting.exists()


# --- the row ------------------------------------------------------------------------------------


def _age(moment: datetime | None) -> float:
    """Seconds since then; negative for what is to come."""
    return (timezone.now() - (moment or NEVER)).total_seconds()


def _known_of(endpoint_id: int) -> EndpointPace | None:
    return EndpointPace.objects.filter(pk=endpoint_id).first()


def _locked(endpoint_id: int) -> EndpointPace:
    EndpointPace.objects.get_or_create(pk=endpoint_id)
    return EndpointPace.objects.select_for_update().get(pk=endpoint_id)


@transaction.atomic
def _reserve(endpoint: Endpoint, tokens: int) -> float:
    """Counts a request that may start now, else says how many seconds are left until one may."""
    pace = _locked(endpoint.pk)
    now = timezone.now().timestamp()
    requests, used = _seconds(pace.requests_clock), _seconds(pace.tokens_clock)
    start, each, all_of_them = now, 0.0, 0.0
    if endpoint.requests_per_minute:
        each = limits.seconds_taken(1, endpoint.requests_per_minute)
        start = max(start, limits.earliest_start(requests, each, now, equal=True))
    if endpoint.tokens_per_minute:
        all_of_them = limits.seconds_taken(tokens, endpoint.tokens_per_minute)
        start = max(start, limits.earliest_start(used, all_of_them, now))
    if start > now:
        return start - now
    pace.requests_clock = _moment(limits.clock_after(requests, each, now))
    pace.tokens_clock = _moment(limits.clock_after(used, all_of_them, now))
    pace.save(update_fields=["requests_clock", "tokens_clock"])
    return 0


@transaction.atomic
def _correct_tokens(endpoint_id: int, more: int, per_minute: int) -> None:
    """An answer came to more tokens than were counted for it, or (usually) to fewer."""
    pace = _locked(endpoint_id)
    seconds = limits.seconds_taken(more, per_minute)
    pace.tokens_clock = _moment(_seconds(pace.tokens_clock) + seconds)
    pace.save(update_fields=["tokens_clock"])


@transaction.atomic
def _learn(
    endpoint_id: int, at_once: float, refused: bool = False, closed_until: datetime = NEVER
) -> None:
    pace = _locked(endpoint_id)
    pace.at_once = at_once
    if refused:
        pace.refused_at = timezone.now()
    if closed_until > (pace.closed_until or NEVER):
        pace.closed_until = closed_until
    pace.save(update_fields=["at_once", "refused_at", "closed_until"])


def _seconds(moment: datetime | None) -> float:
    return (moment or NEVER).timestamp()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
