"""A server on loopback that says exactly the bytes it is told to, and sees what a client does.

It knows just enough HTTP/1.1 to read a request; what it answers is a coroutine's business, valid
or not.
"""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

SSE = {"Content-Type": "text/event-stream"}


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: Mapping[str, str]  # names in lower case
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Connection(asyncio.Protocol):
    """One TCP connection; `gone` is set as soon as the client has closed it."""

    def __init__(self, server: Wire) -> None:
        self._server = server
        self._received = b""
        self._playing: asyncio.Task[None] | None = None
        self.gone = asyncio.Event()

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._server.connections.append(self)

    def data_received(self, data: bytes) -> None:
        if self._server.reset_on_data:
            self.reset()
            return
        self._received += data
        head, blank, rest = self._received.partition(b"\r\n\r\n")
        if not blank:
            return
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines)
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self._received = rest[length:]
        method, path, _ = first.split(" ")
        request = Request(method, path, headers, rest[:length])
        self._server.requests.append(request)
        self._playing = asyncio.ensure_future(self._server.play(self, request))

    def connection_lost(self, exc: Exception | None) -> None:
        self.gone.set()
        if self._playing is not None:
            self._playing.cancel()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def head(self, status: int, headers: Mapping[str, str]) -> None:
        lines = [f"HTTP/1.1 {status} Said", *(f"{k}: {v}" for k, v in headers.items()), "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))

    def respond(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        """A whole response; the connection stays open."""
        self.head(status, {**headers, "Content-Length": str(len(body))})
        self.send(body)

    def start(self, headers: Mapping[str, str] = SSE, status: int = 200) -> None:
        """A response whose body comes in chunks."""
        self.head(status, {**headers, "Transfer-Encoding": "chunked"})

    def chunk(self, data: bytes) -> None:
        """One chunk; the empty one ends the body."""
        self.send(b"%x\r\n%b\r\n" % (len(data), data))

    def close(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        """What has been written so far goes out, then RST instead of FIN."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


Play = Callable[[Connection, Request], Awaitable[None]]


class Wire:
    """`async with Wire(play) as wire:` then endpoints at `wire.base_url`."""

    def __init__(self, play: Play, *, tls: ssl.SSLContext | None = None) -> None:
        self.play = play
        self.requests: list[Request] = []
        self.connections: list[Connection] = []
        self.reset_on_data = False
        self._tls = tls

    async def __aenter__(self) -> Wire:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self), "127.0.0.1", 0, ssl=self._tls
        )
        self.port = self._server.sockets[0].getsockname()[1]
        scheme = "https" if self._tls else "http"
        self.base_url = f"{scheme}://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._server.close()
        for connection in self.connections:
            connection.transport.abort()
        await asyncio.gather(*(connection.gone.wait() for connection in self.connections))
        await self._server.wait_closed()


def delta(text: str | None = None, finish: str | None = None, **more: Any) -> bytes:
    """An event of a chat completions stream."""
    said = {} if text is None else {"content": text}
    choice = {"index": 0, "delta": {**said, **more}, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "cmpl-1", "choices": [choice]}).encode() + b"\n\n"


USAGE = b'data: {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2}}\n\n'
DONE = b"data: [DONE]\n\n"
ANSWER = delta("Hello ") + delta("world.") + delta(finish="stop") + USAGE + DONE


def says(*pieces: bytes, headers: Mapping[str, str] = SSE, end: bool = True) -> Play:
    """A chunked response of these pieces, ended properly unless told otherwise."""

    async def play(connection: Connection, request: Request) -> None:
        connection.start(headers)
        for piece in pieces:
            connection.chunk(piece)
        if end:
            connection.chunk(b"")

    return play


def answers(status: int, headers: Mapping[str, str], body: bytes = b"") -> Play:
    """A whole response with its length."""

    async def play(connection: Connection, request: Request) -> None:
        connection.respond(status, headers, body)

    return play


def in_turn(plays: Iterable[Play]) -> Play:
    """A different behaviour for each request."""
    rest = iter(plays)

    async def play(connection: Connection, request: Request) -> None:
        await next(rest)(connection, request)

    return play
