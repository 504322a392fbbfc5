"""Talks to model backends: one request, a stream of typed events, every failure named."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncGenerator, AsyncIterator

import httpx

from arena.backends.base import (
    BackendError,
    ChatRequest,
    ErrorKind,
    Event,
    Finish,
    FinishReason,
    HttpRequest,
    Parser,
    ReasoningDelta,
    Target,
    TextDelta,
)
from arena.backends.guard import AddressPolicy
from arena.backends.registry import ADAPTERS
from arena.backends.transport import (
    NETWORK_ERRORS,
    Library,
    Resolve,
    anywhere,
    connection_error,
    open_client,
    system_resolve,
    unsendable,
    watch_connecting,
)

MAX_TEXT = 64 * 1024  # bytes of an answer as UTF-8
MAX_REASONING = 64 * 1024  # bytes; what a model thinks beyond them is not passed on
MAX_ERROR_BODY = 64 * 1024  # bytes of an error that are read
MAX_BODY = 16 * 1024 * 1024  # bytes of a list of models, the largest that does not stream
ERROR_BODY_SECONDS = 5.0
LINGER = 2.0  # seconds to wait for usage after the model has finished
DRAIN = 0.05  # seconds to wait for the end of a body, so that its connection can be kept


class BackendClient:
    """The one client of a process; belongs to the event loop it is first used in.

    `policy` decides which addresses may be connected to (by default public ones only), `resolve`
    replaces the system's resolver and `ssl_context` the usual certificate authorities.
    """

    def __init__(
        self,
        policy: AddressPolicy | None = None,
        *,
        library: Library = "aiohttp",
        resolve: Resolve = system_resolve,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy or AddressPolicy()
        context = ssl_context or httpx.create_ssl_context(trust_env=False)
        self._guarded = open_client(
            library, check=self._policy.check, resolve=resolve, ssl_context=context
        )
        self._trusted = open_client(library, check=anywhere, resolve=resolve, ssl_context=context)

    async def aclose(self) -> None:
        """Closes every connection, those of running answers included."""
        await self._guarded.aclose()
        await self._trusted.aclose()

    async def stream_chat(
        self, target: Target, request: ChatRequest
    ) -> AsyncGenerator[Event, None]:
        """The answer as it comes; `Finish` is the last event of every complete answer.

        Every failure is a BackendError. Cancelling the task or closing the generator closes the
        upstream connection at once; iterated to its end, the connection is kept for the next
        request. Text over `MAX_TEXT` is cut there and finishes with LENGTH.
        """
        adapter = ADAPTERS[target.kind]
        limits = target.timeouts
        loop = asyncio.get_running_loop()
        started = loop.time()
        total_at = started + limits.total
        deadline = min(started + limits.first_token, total_at)
        cap = _Cap()
        try:
            response = await self._send(adapter.chat(target, request), target, deadline)
            try:
                _accept_encoding(response)
                if not _has_answer(response):
                    body = await _error_body(response)
                    raise adapter.error(response.status_code, response.headers, body)
                parser = adapter.parser(response.headers.get("content-type", ""))
                chunks = response.aiter_raw()
                trouble: Exception | None = None
                lingering = False
                while not parser.done:
                    if lingering:
                        pass  # keep-alives do not prolong the wait
                    elif parser.ended:
                        lingering = True
                        deadline = loop.time() + LINGER
                    elif cap.spoken:
                        deadline = min(loop.time() + limits.gap, total_at)
                    scope = asyncio.timeout_at(deadline)
                    try:
                        async with scope:
                            data = await anext(chunks)
                    except StopAsyncIteration:
                        break
                    except NETWORK_ERRORS as error:
                        if scope.expired() and not parser.ended:
                            raise _overdue(cap.spoken, deadline >= total_at) from error
                        trouble = error
                        break
                    for event in cap.limit(parser.feed(data)):
                        yield event
                    if cap.full:
                        return
                for event in cap.limit(_close(parser, trouble)):
                    yield event
                if parser.done and not cap.full:
                    await _drain(chunks)
            finally:
                await response.aclose()
        except BackendError as error:
            _hide_key(error, target.api_key)
            raise

    async def list_models(self, target: Target) -> list[str]:
        """The names an endpoint says it serves. Servers may well answer this with an error.

        Raises BackendError.
        """
        adapter = ADAPTERS[target.kind]
        return adapter.model_names(await self.fetch(adapter.models(target), target))

    async def fetch(self, call: HttpRequest, target: Target) -> bytes:
        """The body of one answer that does not stream. Raises BackendError."""
        adapter = ADAPTERS[target.kind]
        deadline = asyncio.get_running_loop().time() + target.timeouts.first_token
        try:
            response = await self._send(call, target, deadline)
            try:
                _accept_encoding(response)
                if not _has_answer(response):
                    body = await _error_body(response)
                    raise adapter.error(response.status_code, response.headers, body)
                try:
                    async with asyncio.timeout_at(deadline):
                        return await _read(response, MAX_BODY)
                except NETWORK_ERRORS as error:
                    raise BackendError(ErrorKind.DISCONNECTED, repr(error)) from error
            finally:
                await response.aclose()
        except BackendError as error:
            _hide_key(error, target.api_key)
            raise

    async def _send(self, call: HttpRequest, target: Target, deadline: float) -> httpx.Response:
        """The response as soon as its headers are there. Raises BackendError.

        A server may close a connection just when its next request is on the way (llama.cpp closes
        each one after a stream, with a header that promises to keep it). That says nothing about
        the server's health, so the request is sent again; a new connection is not given a second
        chance.
        """
        while True:
            with watch_connecting() as connecting:
                try:
                    return await self._send_once(call, target, deadline)
                except BackendError as error:
                    if error.kind is not ErrorKind.CONNECT or connecting.opened:
                        raise

    async def _send_once(
        self, call: HttpRequest, target: Target, deadline: float
    ) -> httpx.Response:
        client = self._trusted if self._policy.trusts(call.url) else self._guarded
        connect = target.timeouts.connect
        headers = dict(call.headers)
        content = None
        if call.json is not None:
            headers["Content-Type"] = "application/json"
            content = json.dumps(call.json).encode()
        scope = asyncio.timeout_at(deadline)
        try:
            request = client.build_request(
                call.method,
                call.url,
                headers=headers,
                content=content,
                # aiohttp takes "pool" for all that comes before the request: name, socket, TLS
                timeout=httpx.Timeout(None, connect=connect, pool=connect),
            )
            async with scope:
                return await client.send(request, stream=True)
        except NETWORK_ERRORS as error:
            if scope.expired():
                raise _overdue(spoken=False, total=False) from error
            raise connection_error(error) from error
        except ValueError as error:
            raise unsendable(error) from None


class _Cap:
    """Counts what passes and cuts the text at `MAX_TEXT`, the reasoning at `MAX_REASONING`."""

    def __init__(self) -> None:
        self.spoken = False  # the model has said or thought something
        self.full = False  # the text was cut: nothing may follow
        self._text = MAX_TEXT
        self._reasoning = MAX_REASONING

    def limit(self, events: list[Event]) -> list[Event]:
        passed: list[Event] = []
        for event in events:
            if isinstance(event, TextDelta):
                self.spoken = True
                text, self._text = _cut(event.text, self._text)
                if self._text < 0:
                    self.full = True
                    if text:
                        passed.append(TextDelta(text))
                    passed.append(Finish(FinishReason.LENGTH, "cut by the arena"))
                    return passed
            elif isinstance(event, ReasoningDelta):
                self.spoken = True
                if self._reasoning < 0:
                    continue
                text, self._reasoning = _cut(event.text, self._reasoning)
                if self._reasoning < 0:
                    event = ReasoningDelta(text)
            passed.append(event)
        return passed


def _cut(text: str, room: int) -> tuple[str, int]:
    """The text that fits into `room` bytes, and the room left: negative if some did not fit."""
    size = len(text) if text.isascii() else len(text.encode())
    if size > room:
        text = text.encode()[:room].decode("utf-8", "ignore")
    return text, room - size


def _close(parser: Parser, trouble: Exception | None) -> list[Event]:
    """The parser's last events; a failure names what went wrong on the wire, if anything did."""
    try:
        return parser.close()
    except BackendError as error:
        if trouble is not None:
            raise BackendError(error.kind, f"{error.detail}: {trouble!r}") from trouble
        raise


def _overdue(spoken: bool, total: bool) -> BackendError:
    if not spoken:
        return BackendError(ErrorKind.FIRST_TOKEN_TIMEOUT, "no first token in time")
    if total:
        return BackendError(ErrorKind.TOTAL_TIMEOUT, "the whole answer took too long")
    return BackendError(ErrorKind.STALLED, "the stream stood still")


def _has_answer(response: httpx.Response) -> bool:
    return 200 <= response.status_code < 300 and response.status_code not in (204, 205)


def _accept_encoding(response: httpx.Response) -> None:
    """We ask for no compression: it delays tokens, and a small body can unpack to a huge one."""
    encoding = response.headers.get("content-encoding", "identity")
    if encoding.lower() != "identity" and _has_answer(response):
        raise BackendError(ErrorKind.PROTOCOL, f"content-encoding {encoding[:50]!r} unasked for")


async def _error_body(response: httpx.Response) -> bytes:
    """As much of an error's body as comes quickly: the status alone says enough."""
    try:
        async with asyncio.timeout(ERROR_BODY_SECONDS):
            return await _read(response, MAX_ERROR_BODY)
    except NETWORK_ERRORS:
        return b""


async def _read(response: httpx.Response, limit: int) -> bytes:
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) >= limit:
            break
    return bytes(body[:limit])


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Reads the few bytes after the end of an answer, so that the connection can be used again."""
    try:
        async with asyncio.timeout(DRAIN):
            async for _ in chunks:
                pass
    except NETWORK_ERRORS:
        pass  # then it is closed instead


def _hide_key(error: BackendError, key: str) -> None:
    """Some servers repeat the key they refuse, and `detail` is written to a log.

    From its eighth character on: `detail` is cut to a length, perhaps in the middle of the key.
    """
    if len(key) < 4:
        return
    hidden = re.compile(re.escape(key[:8]) + r"[^\s'\"]*")
    error.detail = hidden.sub("[key]", error.detail)
    error.args = (hidden.sub("[key]", str(error.args[0])),)
