"""A chat-completions server of known speed, in a process of its own: `Server(...)` starts one.

An answer that is asked for whole comes after so many seconds; a stream begins at once and writes
its words at a steady rate. With `slots`, more requests than that wait for one another, as they do
at a model server. Its answers to the made-up questions are right four times in five.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import urllib.request
from typing import Any

WORDS, RATE = 10, 50  # of a stream, and of its words a second


def answer_to(question: str) -> str:
    """Of `questions.question`: the sum of its last two numbers, and a wrong one for each fifth."""
    numbers = re.findall(r"\d+", question)[-2:]
    if len(numbers) < 2:
        return "Who knows."
    first, second = map(int, numbers)
    total = first + second + (first % 5 == 0)
    return f"{first} and {second} make {total}.\n#### {total}"


class _Server:
    def __init__(self, seconds: float, slots: int) -> None:
        self.seconds = seconds
        self.slots = asyncio.Semaphore(slots) if slots else contextlib.nullcontext()
        self.seen = {"requests": 0, "at_once": 0, "most": 0}

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin1")
                length = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
                body = await reader.readexactly(int(length[1])) if length else b""
                if head.startswith("GET "):
                    self._whole(writer, self.seen)
                else:
                    await self._chat(writer, json.loads(body))
                await writer.drain()
        writer.close()

    async def _chat(self, writer: asyncio.StreamWriter, request: dict[str, Any]) -> None:
        self.seen["requests"] += 1
        self.seen["at_once"] += 1
        self.seen["most"] = max(self.seen["most"], self.seen["at_once"])
        try:
            async with self.slots:
                if request.get("stream"):
                    await self._stream(writer)
                else:
                    await asyncio.sleep(self.seconds)
                    self._whole(writer, _completion(request))
        finally:
            self.seen["at_once"] -= 1

    @staticmethod
    def _whole(writer: asyncio.StreamWriter, answer: dict[str, Any]) -> None:
        body = json.dumps(answer).encode()
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    @staticmethod
    async def _stream(writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        for place in range(WORDS + 1):
            ended = place == WORDS
            choice = {
                "index": 0,
                "delta": {} if ended else {"content": "word "},
                "finish_reason": "stop" if ended else None,
            }
            data = b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"
            if ended:
                data += b"data: [DONE]\n\n"
            writer.write(b"%x\r\n%b\r\n" % (len(data), data) + (b"0\r\n\r\n" if ended else b""))
            await writer.drain()
            if not ended:
                await asyncio.sleep(1 / RATE)


def _completion(request: dict[str, Any]) -> dict[str, Any]:
    asked = request["messages"][-1]["content"]
    if isinstance(asked, list):  # of parts, as some clients write it
        asked = "".join(part["text"] for part in asked)
    message = {"role": "assistant", "content": answer_to(asked)}
    return {
        "id": "cmpl-1",
        "object": "chat.completion",
        "created": 0,
        "model": request["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 700, "completion_tokens": 20, "total_tokens": 720},
    }


class Server:
    """`with Server(seconds=0.2) as server:` then endpoints at `server.base_url`."""

    def __init__(self, *, seconds: float, slots: int = 0) -> None:
        self._arguments = [str(seconds), str(slots)]

    def __enter__(self) -> Server:
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, *self._arguments], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self.base_url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/v1"
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.wait()
        assert self._process.stdout
        self._process.stdout.close()

    def seen(self) -> dict[str, int]:
        """How many requests there were, and how many at once at the most."""
        with urllib.request.urlopen(self.base_url) as reply:
            return json.load(reply)


async def _main(seconds: float, slots: int) -> None:
    server = await asyncio.start_server(
        _Server(seconds, slots).serve, "127.0.0.1", 0, backlog=1024, limit=2**20
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_main(float(sys.argv[1]), int(sys.argv[2])))
