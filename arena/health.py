"""Does an endpoint answer? A probe is a real request, so it finds what a real battle would."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass

from django.conf import settings

from arena.backends.base import (
    BackendError,
    ChatRequest,
    Finish,
    Message,
    ReasoningDelta,
    Target,
    TextDelta,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy

PROBE_PROMPT = "Count from one to ten in words, then stop."
PROBE_TOKENS = 64


@dataclass(slots=True)
class Probe:
    """What one real request showed. Times in seconds."""

    text: str = ""
    error: str = ""  # upstream words: for the administrator's eyes only
    error_kind: str = ""
    first_token: float | None = None
    duration: float = 0.0
    output_tokens: int | None = None
    tokens_estimated: bool = False
    chunks: int = 0
    reasoning: bool = False
    finish_reason: str = ""

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


async def probe(client: BackendClient, target: Target, model: str) -> Probe:
    """Send one short question. Never raises BackendError: the error is the result."""
    result = Probe()
    request = ChatRequest(
        model=model, messages=[Message("user", PROBE_PROMPT)], max_tokens=PROBE_TOKENS
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
        result.error_kind, result.error = error.kind, error.detail
    result.duration = time.monotonic() - began
    # A server may repeat the key in a successful answer too, and this text goes to a page.
    result.text = _without_key(result.text, target.api_key)
    result.error = _without_key(result.error, target.api_key)
    if not result.output_tokens and result.text:
        result.output_tokens = -(-len(result.text) // 4)
        result.tokens_estimated = True
    return result


def _without_key(text: str, key: str) -> str:
    return text.replace(key, "[key]") if len(key) >= 4 else text


def probe_now(target: Target, model: str) -> Probe:
    """`probe` for synchronous callers, with a client of its own."""

    async def run() -> Probe:
        client = BackendClient(AddressPolicy(settings.PRIVATE_ENDPOINTS))
        try:
            return await probe(client, target, model)
        finally:
            await client.aclose()

    return asyncio.run(run())


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
