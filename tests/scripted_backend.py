"""A chat-completions server on loopback whose behaviour is the model's name.

A stand-in for provoking what a real server does only on a bad day; real servers are in
tests/interop. `python -m tests.scripted_backend PORT` serves it as a process of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

WORDS = "The quick brown fox jumps over the lazy dog and runs far away from here . ".split(" ")


def _chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "cmpl-1", "choices": [choice]}).encode() + b"\n\n"


def _usage(tokens: int) -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    return b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"


class ScriptedBackend:
    """`async with ScriptedBackend() as backend:` then endpoints at `backend.base_url`."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.open_streams = 0
        self.gate = asyncio.Event()  # "gated" models wait for it in the middle of their answer
        self._failed_once: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ScriptedBackend:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"

    async def stop(self) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            while await self._exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = next(
            (int(line.split(":")[1]) for line in head.split("\r\n") if "content-length:" in line), 0
        )
        request = json.loads(await reader.readexactly(length)) if length else {}
        self.requests.append(request)
        name, _, argument = str(request.get("model", "")).partition(":")
        if name == "status":
            body = b'{"error":{"message":"secret upstream words"}}'
            writer.write(
                b"HTTP/1.1 %d No\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                % (int(argument), len(body), body)
            )
            await writer.drain()
            return True
        if name == "fails-once" and argument not in self._failed_once:
            self._failed_once.add(argument)
            writer.write(b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
            await writer.drain()
            return True
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        # The end of the request stream means that the client has gone.
        gone = asyncio.create_task(reader.read(1))
        self.open_streams += 1
        try:
            async for data in self._script(name, argument, request):
                if gone.done():
                    return False
                writer.write(b"%x\r\n%b\r\n" % (len(data), data))
                await writer.drain()
            if name == "dies":
                return False
            writer.write(b"0\r\n\r\n")
            await writer.drain()
            # No keep-alive: the byte read while streaming would be missing from the next request.
            return False
        finally:
            self.open_streams -= 1
            gone.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await gone

    async def _script(
        self, name: str, argument: str, request: dict[str, Any]
    ) -> AsyncIterator[bytes]:
        yield _chunk({"role": "assistant", "content": None})
        match name:
            case "says":
                yield _chunk({"content": argument})
                yield _chunk({}, "stop")
                yield _usage(3)
            case "echo":
                for word in request["messages"][-1]["content"].split():
                    yield _chunk({"content": word + " "})
                yield _chunk({}, "stop")
            case "count":  # count:200 or count:200@50 (words per second)
                words, _, rate = argument.partition("@")
                for i in range(int(words)):
                    yield _chunk({"content": WORDS[i % len(WORDS)] + " "})
                    if rate:
                        await asyncio.sleep(1 / float(rate))
                yield _chunk({}, "stop")
                yield _usage(int(words))
            case "gated":
                yield _chunk({"content": "Before. "})
                await self.gate.wait()
                yield _chunk({"content": "After."})
                yield _chunk({}, "stop")
            case "silent":
                await self.gate.wait()
                yield _chunk({"content": "At last."})
                yield _chunk({}, "stop")
            case "long":
                yield _chunk({"content": "Cut sho"})
                yield _chunk({}, "length")
            case "dies":
                yield _chunk({"content": "Half an ans"})
            case "filtered":
                yield _chunk({"content": "No"})
                yield _chunk({}, "content_filter")
            case "empty":
                yield _chunk({}, "stop")
            case "fails-once":
                yield _chunk({"content": "Second try."})
                yield _chunk({}, "stop")
            case _:
                raise AssertionError(f"no such script: {name}")
        yield b"data: [DONE]\n\n"


async def main(port: int) -> None:
    backend = ScriptedBackend()
    await backend.start(port)
    print(backend.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
