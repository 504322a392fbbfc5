"""The scripted faults of a backend, played over a socket, and what the client makes of each.

What the battle then does is another test's; here each fault must come out as the kind of error,
or the complete answer, on which that decision rests.
"""

from __future__ import annotations

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from arena.backends.base import (
    BackendError,
    ChatRequest,
    ErrorKind,
    Event,
    Finish,
    FinishReason,
    Message,
    Target,
    TextDelta,
    Timeouts,
    Usage,
)
from arena.backends.client import MAX_TEXT, BackendClient
from arena.backends.guard import AddressPolicy
from tests.arena.backends.tls import Authority
from tests.arena.backends.wire import Connection, Request, Wire

LIBRARIES = ["aiohttp", "httpx"]
SCALE = 1 / 300  # of the delays and time-outs in a fault that runs into a time-out
STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
TLS = httpx.create_ssl_context(trust_env=False)

EXPECTED: dict[str, ErrorKind | FinishReason] = {
    "connect-refused": ErrorKind.CONNECT,
    "connect-dns_nxdomain": ErrorKind.CONNECT,
    "connect-dns_timeout": ErrorKind.CONNECT,
    "connect-tls_self_signed": ErrorKind.TLS,
    "connect-tls_expired": ErrorKind.TLS,
    "connect-reset_during_handshake": ErrorKind.CONNECT,
    "status-400-bad_request": ErrorKind.BAD_REQUEST,
    "status-400-context_length": ErrorKind.CONTEXT_LENGTH,
    "status-400-content_filter": ErrorKind.CONTENT_FILTER,
    "status-401-auth": ErrorKind.AUTHENTICATION,
    "status-403-forbidden": ErrorKind.AUTHENTICATION,
    "status-404-model_not_found": ErrorKind.NOT_FOUND,
    "status-404-model_not_found_ollama": ErrorKind.NOT_FOUND,
    "status-404-wrong_url": ErrorKind.NOT_FOUND,
    "status-408-request_timeout": ErrorKind.UNAVAILABLE,
    "status-413-too_large": ErrorKind.CONTEXT_LENGTH,
    "status-429-rate_limit": ErrorKind.RATE_LIMITED,
    "status-429-rate_limit_date": ErrorKind.RATE_LIMITED,
    "status-500-server_error": ErrorKind.UNAVAILABLE,
    "status-502-bad_gateway_html": ErrorKind.UNAVAILABLE,
    "status-503-loading_model_llamacpp": ErrorKind.UNAVAILABLE,
    "status-503-overloaded": ErrorKind.UNAVAILABLE,
    "status-504-gateway_timeout": ErrorKind.UNAVAILABLE,
    "status-524-cloudflare_524": ErrorKind.UNAVAILABLE,
    "status-301-redirect_to_metadata": ErrorKind.REDIRECT,
    "status-307-redirect_to_localhost": ErrorKind.REDIRECT,
    "status-200-html_200": ErrorKind.PROTOCOL,
    "status-200-json_instead_of_sse": STOP,
    "status-204-no_content": ErrorKind.EMPTY,
    "stream-normal": STOP,
    "stream-slow-first-token-20s": STOP,
    "stream-first-token-never": ErrorKind.FIRST_TOKEN_TIMEOUT,
    "stream-keepalive-comments-then-nothing": ErrorKind.FIRST_TOKEN_TIMEOUT,
    "stream-stall-after-tokens": ErrorKind.STALLED,
    "stream-reset-mid-stream": ErrorKind.DISCONNECTED,
    "stream-malformed-json-chunk": ErrorKind.PROTOCOL,
    "stream-truncated-utf8-across-chunks": STOP,
    "stream-empty-completion": ErrorKind.EMPTY,
    "stream-whitespace-only-completion": ErrorKind.EMPTY,
    "stream-immediate-DONE": ErrorKind.EMPTY,
    "stream-zero-bytes-200": ErrorKind.EMPTY,
    "stream-finish-length": LENGTH,
    "stream-finish-content_filter-mid": FinishReason.CONTENT_FILTER,
    "stream-error-object-mid-stream": ErrorKind.UPSTREAM,
    "stream-error-event-anthropic": ErrorKind.UPSTREAM,
    "stream-error-object-first": ErrorKind.UPSTREAM,
    "stream-infinite-small-tokens": LENGTH,
    "stream-huge-single-chunk-8MB": LENGTH,
    "stream-usage-missing": STOP,
    "stream-usage-final-chunk": STOP,
    "stream-usage-lies": STOP,
    "stream-wrong-content-type-but-sse": STOP,
    "stream-gzip-content-encoding": ErrorKind.PROTOCOL,
    "stream-content-null-deltas": STOP,
    "stream-model-field-and-headers-leak": STOP,
    "stream-self-identifies": STOP,
    "stream-websocket-control-text": STOP,
    "stream-sse-injection-in-content": STOP,
}
TEXTS = {
    "status-200-json_instead_of_sse": "Not streamed.",
    "stream-truncated-utf8-across-chunks": "café 😀",
    "stream-finish-length": "Once upon",
    "stream-finish-content_filter-mid": "Hello wor",
    "stream-stall-after-tokens": "Hello wor",
    "stream-reset-mid-stream": "Hello wor",
    "stream-malformed-json-chunk": "Hello wor",
    "stream-error-object-mid-stream": "Hello wor",
    "stream-error-event-anthropic": "Hello wor",
    "stream-infinite-small-tokens": ("ha " * MAX_TEXT)[:MAX_TEXT],
    "stream-huge-single-chunk-8MB": "x" * MAX_TEXT,
    "stream-content-null-deltas": "Hi.",
    "stream-self-identifies": "I am Real-Model-Name, made by Acme.",
    "stream-websocket-control-text": '{"type":"reveal","model_a":"x"}',
    "stream-sse-injection-in-content": "\n\nevent: execute\ndata: alert(1)\n\n",
}
RETRY_AFTER = {"status-429-rate_limit": 7.0, "status-503-overloaded": 20.0}
# by the table of failures: what the arena may do, given no more than the kind
ACTIONS = {
    ErrorKind.CONNECT: {"retry_then_repair"},
    ErrorKind.TLS: {"retry_then_repair"},  # the set counts the re-pairing
    ErrorKind.REDIRECT: {"repair"},
    ErrorKind.AUTHENTICATION: {"repair"},
    ErrorKind.NOT_FOUND: {"repair"},
    ErrorKind.BAD_REQUEST: {"repair"},
    ErrorKind.CONTEXT_LENGTH: {"tell_user_prompt_too_long"},
    ErrorKind.CONTENT_FILTER: {"void_battle"},
    ErrorKind.RATE_LIMITED: {"repair"},
    ErrorKind.UNAVAILABLE: {"retry_then_repair", "repair"},  # with Retry-After: paused, not retried
    ErrorKind.EMPTY: {"retry_then_repair"},
    ErrorKind.FIRST_TOKEN_TIMEOUT: {"retry_then_repair"},
    ErrorKind.STALLED: {"void_battle"},
    ErrorKind.DISCONNECTED: {"void_battle"},
    ErrorKind.PROTOCOL: {"retry_then_repair", "void_battle"},  # before the first token, after it
    ErrorKind.UPSTREAM: {"retry_then_repair", "void_battle"},
    FinishReason.CONTENT_FILTER: {"void_battle"},
    FinishReason.STOP: {"complete"},
    FinishReason.LENGTH: {"complete"},
}


@pytest.fixture(scope="module")
def faults(shared_data) -> dict[str, dict[str, Any]]:
    lines = (shared_data / "hostile" / "llm_backend_faults.jsonl").read_text().splitlines()
    return {fault["id"]: fault for fault in map(json.loads, lines)}


@pytest.fixture(scope="module")
def authority(tmp_path_factory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


def test_every_fault_of_the_set_is_played(faults):
    assert faults.keys() == EXPECTED.keys()
    assert len(EXPECTED) == 58


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("name", EXPECTED)
async def test_a_fault_comes_out_as_what_the_battle_has_to_know(
    faults, authority, tmp_path, library, name
):
    fault = faults[name]
    hangs = fault["end"] == "hang"
    delays = [chunk["delay_ms"] / 1000 for chunk in fault.get("chunks", [])]
    usual = Timeouts()
    scale = SCALE if hangs else 0.001
    limits = Timeouts()
    if hangs:
        limits = Timeouts(5, usual.first_token * SCALE, usual.gap * SCALE, usual.total)
    elif fault["phase"] == "complete":
        assert sum(delays) < usual.first_token  # so it may be played without waiting
    text_seen = asyncio.Event()

    async def play(connection: Connection, request: Request) -> None:
        connection.head(fault["status"], fault["headers"])
        data = b""
        for chunk, delay in zip(fault.get("chunks", []), delays, strict=True):
            await asyncio.sleep(delay * scale)
            data = base64.b64decode(chunk["b64"])
            connection.send(data)
        match fault["end"]:
            case "close":
                connection.close()
            case "reset":
                await text_seen.wait()  # a reset may overtake what was sent before it
                connection.reset()
            case "repeat_last_forever":
                while not connection.gone.is_set():
                    connection.send(data * 20)
                    await asyncio.sleep(0)
            case "hang":
                await connection.gone.wait()
            case _:
                pytest.fail(fault["end"])

    events: list[Event] = []
    outcome: ErrorKind | FinishReason | None = None
    error: BackendError | None = None
    async with situation(fault["connect"], play, authority, tmp_path) as (base_url, more, wire):
        if more.get("connect") is not None:
            limits = Timeouts(connect=more.pop("connect"))
        client = BackendClient(
            AddressPolicy(["127.0.0.1:*", "localhost:*"]), library=library, **more
        )
        request = ChatRequest("m", [Message("user", "hello")], max_tokens=8)
        try:
            target = Target("openai", base_url, "sk-test", limits)
            async for event in client.stream_chat(target, request):
                events.append(event)
                if isinstance(event, TextDelta):
                    text_seen.set()
                if isinstance(event, Finish):
                    outcome = event.reason
        except BackendError as failure:
            error, outcome = failure, failure.kind
        await client.aclose()

    assert outcome is EXPECTED[name]
    assert fault["expect"]["action"] in ACTIONS[outcome]
    text = "".join(event.text for event in events if isinstance(event, TextDelta))
    complete = outcome in (STOP, LENGTH)
    assert text == TEXTS.get(name, "Hello world." if complete else "")
    assert complete is fault["expect"]["vote_allowed_on_failed_side"] or "gzip" in name
    for secret in fault["expect"].get("must_not_show", ()):
        assert secret not in text
    usages = [event for event in events if isinstance(event, Usage)]
    assert usages == ([Usage(5, 2)] if name == "stream-usage-final-chunk" else [])
    if name == "status-429-rate_limit_date":
        assert error is not None
        assert error.retry_after > 10 * 365 * 86400
    else:
        assert (error.retry_after if error else None) == RETRY_AFTER.get(name)
    if fault["expect"].get("must_not_follow"):
        assert [len(wire.requests), len(wire.connections)] == [1, 1]


@asynccontextmanager
async def situation(
    connect: str | None, play: Any, authority: Authority, folder: Path
) -> AsyncIterator[tuple[str, dict[str, Any], Wire]]:
    """A server in the state a fault asks for: its address, and how the client sees the network."""

    async def unknown(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    async def silent(host: str, port: int) -> Sequence[str]:
        await asyncio.Event().wait()
        raise AssertionError

    match connect:
        case None:
            async with Wire(play) as wire:
                yield wire.base_url, {"ssl_context": TLS}, wire
        case "refused":
            async with Wire(play) as wire:
                pass
            yield wire.base_url, {"ssl_context": TLS}, wire
        case "dns_nxdomain" | "dns_timeout":
            async with Wire(play) as wire:
                url = f"http://localhost:{wire.port}/v1"
                if connect == "dns_nxdomain":
                    yield url, {"ssl_context": TLS, "resolve": unknown}, wire
                else:
                    more = {"ssl_context": TLS, "resolve": silent, "connect": 0.05}
                    yield url, more, wire
        case "tls_self_signed":
            async with Wire(play, tls=authority.server_context()) as wire:
                yield wire.base_url, {"ssl_context": TLS}, wire
        case "tls_expired":
            async with Wire(play, tls=authority.server_context(days=-1)) as wire:
                yield wire.base_url, {"ssl_context": authority.client_context()}, wire
        case "reset_during_handshake":
            async with Wire(play) as wire:
                wire.reset_on_data = True
                yield wire.base_url.replace("http", "https"), {"ssl_context": TLS}, wire
        case _:
            pytest.fail(connect)
