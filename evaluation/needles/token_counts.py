"""How many characters a token has for a model, as its endpoint counts them."""

from __future__ import annotations

import asyncio

from django.conf import settings

from arena.backends.base import BackendError, ChatRequest, Message, Target, Usage
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from arena.models import Contestant

SHORT, LONG = 400, 3_200  # characters; the difference leaves out what the chat template adds


class NotCounted(Exception):
    """The endpoint did not say; the text is for whoever asked."""


def characters_per_token(contestant: Contestant, text: str) -> float:
    """By two requests for one token each, of which only the usage is read. Raises NotCounted."""
    if contestant.endpoint is None:
        raise NotCounted(f"{contestant} has no endpoint to ask")
    if len(text) < LONG:
        raise NotCounted(f"a text of at least {LONG:,} characters is needed")
    target, model = contestant.endpoint.target(), contestant.upstream_model
    try:
        short, long = asyncio.run(_count(target, model, [text[:SHORT], text[:LONG]]))
    except BackendError as error:
        raise NotCounted(f"{contestant} did not answer: {error.kind}") from None
    if short is None or long is None or long <= short:
        raise NotCounted(f"the endpoint of {contestant} does not report the tokens of a prompt")
    return (LONG - SHORT) / (long - short)


async def _count(target: Target, model: str, texts: list[str]) -> list[int | None]:
    client = BackendClient(AddressPolicy(settings.PRIVATE_ENDPOINTS))
    try:
        return [await _prompt_tokens(client, target, model, text) for text in texts]
    finally:
        await client.aclose()


async def _prompt_tokens(
    client: BackendClient, target: Target, model: str, text: str
) -> int | None:
    request = ChatRequest(
        model=model,
        messages=[Message(role="user", content=text)],
        max_tokens=1,
        temperature=0.0,
        stream=False,
    )
    counted = None
    async for event in client.stream_chat(target, request):
        if isinstance(event, Usage):
            counted = event.input_tokens
    return counted
