"""Does an endpoint answer? A probe is a real request, so it finds what a real battle would.

An administrator sends one to see; the ones that are due send themselves, and bring an endpoint
whose breaker is open back into battles.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.conf import settings

from arena import breakers, images
from arena.backends.base import (
    BackendError,
    ChatRequest,
    ErrorKind,
    Finish,
    Image,
    Message,
    ReasoningDelta,
    Target,
    TextDelta,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from arena.breakers import DueProbe
from arena.failures import ANSWERED
from arena.keys import KeyUnreadable
from arena.models import UpstreamRequest

PROBE_PROMPT = "Count from one to ten in words, then stop."
PROBE_TOKENS = 64
# No colour that a model which sees nothing would name by chance.
SIGHT_COLOUR = "orange"
SIGHT_PROMPT = "Which colour is this image? Answer with the name of the colour alone."
DUE_PROBE_SECONDS = 15.0  # one that takes longer is not yet fit for battles
# A single token may be white space, and some servers refuse to be asked for so little.
ASKED_TOO_LITTLE = (ErrorKind.EMPTY, ErrorKind.BAD_REQUEST)


@dataclass(slots=True)
class Probe:
    """What one real request showed. Times in seconds."""

    text: str = ""
    failure: BackendError | None = None
    error: str = ""  # upstream words: for the administrator's eyes only
    error_kind: str = ""
    first_token: float | None = None
    duration: float = 0.0
    output_tokens: int | None = None
    tokens_estimated: bool = False
    chunks: int = 0
    reasoning: bool = False
    finish_reason: str = ""
    saw: bool | None = None  # whether it named the colour of the image, where one was sent

    @property
    def ok(self) -> bool:
        return not self.error_kind

    @property
    def streams(self) -> bool:
        return self.chunks > 1

    @property
    def tokens_per_second(self) -> float | None:
        """Of the writing alone, without the wait for the first token."""
        if self.first_token is None or not self.output_tokens or self.output_tokens < 2:
            return None
        writing = self.duration - self.first_token
        return (self.output_tokens - 1) / writing if writing > 0.001 else None


async def probe(
    client: BackendClient,
    target: Target,
    model: str,
    *,
    max_tokens: int = PROBE_TOKENS,
    with_image: bool = False,
) -> Probe:
    """Send one short question. Never raises BackendError: the error is the result."""
    result = Probe()
    request = ChatRequest(
        model=model,
        messages=[_about_an_image() if with_image else Message("user", PROBE_PROMPT)],
        max_tokens=max_tokens,
    )
    began = time.monotonic()
    try:
        async for event in client.stream_chat(target, request):
            match event:
                case TextDelta(text) | ReasoningDelta(text):
                    if result.first_token is None:
                        result.first_token = time.monotonic() - began
                    result.chunks += 1
                    if isinstance(event, TextDelta):
                        result.text += text
                    else:
                        result.reasoning = True
                case Usage(_, output_tokens) if output_tokens:
                    result.output_tokens = output_tokens
                case Finish(reason, _):
                    result.finish_reason = reason
    except BackendError as error:
        result.failure = error
        result.error_kind, result.error = error.kind, error.detail
    result.duration = time.monotonic() - began
    # A server may repeat the key in a successful answer too, and this text goes to a page.
    result.text = _without_key(result.text, target.api_key)
    result.error = _without_key(result.error, target.api_key)
    if not result.output_tokens and result.text:
        result.output_tokens = -(-len(result.text) // 4)
        result.tokens_estimated = True
    if with_image:
        result.saw = SIGHT_COLOUR in result.text.casefold()
    return result


def _about_an_image() -> Message:
    square = images.plain(SIGHT_COLOUR)
    return Message("user", SIGHT_PROMPT, (Image(square.content_type, square.data),))


def _without_key(text: str, key: str) -> str:
    return text.replace(key, "[key]") if len(key) >= 4 else text


def probe_now(target: Target, model: str, *, with_image: bool = False) -> Probe:
    """`probe` for synchronous callers, with a client of its own."""

    async def run() -> Probe:
        client = BackendClient(AddressPolicy(settings.PRIVATE_ENDPOINTS))
        try:
            return await probe(client, target, model, with_image=with_image)
        finally:
            await client.aclose()

    return asyncio.run(run())


def send_due_probes() -> int:
    """Ask every endpoint whose probe is due for one token, all at once. Returns how many."""
    due = breakers.claim_due_probes()
    if due:
        for each, result in zip(due, asyncio.run(_ask_all(due)), strict=True):
            contestant = each.contestant
            assert contestant.endpoint is not None, "only models in battles are probed"
            request = UpstreamRequest(
                endpoint=contestant.endpoint,
                contestant=contestant,
                purpose=UpstreamRequest.Purpose.PROBE,
                outcome=result.error_kind or ANSWERED,
                first_token_ms=_milliseconds(result.first_token),
                duration_ms=round(1000 * result.duration),
                output_tokens=result.output_tokens,
                detail=result.error[: breakers.MAX_DETAIL].replace("\x00", "\ufffd"),
            )
            breakers.record_probe(each.breaker, request, result.failure)
    return len(due)


def _milliseconds(seconds: float | None) -> int | None:
    return None if seconds is None else round(1000 * seconds)


async def _ask_all(due: Sequence[DueProbe]) -> list[Probe]:
    client = BackendClient(AddressPolicy(settings.PRIVATE_ENDPOINTS))
    try:
        return await asyncio.gather(*(_ask_for_a_token(client, each) for each in due))
    finally:
        await client.aclose()


async def _ask_for_a_token(client: BackendClient, due: DueProbe) -> Probe:
    model, endpoint = due.contestant.upstream_model, due.contestant.endpoint
    assert endpoint is not None
    try:
        target = endpoint.target()
    except KeyUnreadable as error:
        failure = BackendError(ErrorKind.AUTHENTICATION, str(error))
        return Probe(failure=failure, error_kind=failure.kind, error=failure.detail)
    limits = target.timeouts
    quick = replace(
        limits,
        first_token=min(limits.first_token, DUE_PROBE_SECONDS),
        total=min(limits.total, DUE_PROBE_SECONDS),
    )
    target = replace(target, timeouts=quick)
    result = await probe(client, target, model, max_tokens=1)
    if result.error_kind in ASKED_TOO_LITTLE:
        result = await probe(client, target, model)
    return result


def model_names(target: Target) -> list[str]:
    """The models an endpoint says it has. Raises BackendError."""

    async def run() -> list[str]:
        client = BackendClient(AddressPolicy(settings.PRIVATE_ENDPOINTS))
        try:
            names = await client.list_models(target)
            return [_without_key(name, target.api_key) for name in names]
        finally:
            await client.aclose()

    return asyncio.run(run())
