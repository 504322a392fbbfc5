"""A chat-completions server on loopback whose behaviour is the model's name.

A stand-in for provoking what a real server does only on a bad day; real servers are in
tests/interop. `python -m tests.scripted_backend PORT` serves it as a process of its own.

| model | what it does |
| --- | --- |
| `says:TEXT`, `echo` | answers TEXT, or the words of the prompt |
| `sees:TEXT` | the kinds of the images it got, message by message, and TEXT |
| `says-then-repeats:TEXT` | answers TEXT, then the prompt, letter by letter |
| `prefers:WORD` | a judge: the better of two answers is the one with WORD in it |
| `solves` | answers the text in `solutions` whose key is in the prompt |
| `counts-words` | one word, and the words of the prompt as its tokens |
| `holds:8000` | the words of the prompt, or 413 if it has more characters |
| `count:200`, `count:200@50` | 200 words, at once or 50 a second |
| `gated`, `silent` | waits for `gate` in the middle, or before the first word |
| `long`, `filtered`, `empty`, `dies` | ends at a limit, by a filter, wordless, in mid-answer |
| `fails-once:ID` | 503, then answers |
| `fails-after:1` | 503 after so many answers |
| `thinks` | a thought, and nothing said |
| `thinks-then-dies` | a thought, and then the end of the connection |
| `wordless-at-first` | nothing visible in one token, an answer in more |
| `after:0.2` | the words of the prompt, so many seconds later |
| `refuses:5@1` | 429 with Retry-After 1 to each fifth request, else the words of the prompt |
| `status:500` | that status |
| `repeats-headers:401` | that status, with the request's headers in the error |
| `quotes-headers` | answers with the request's headers |

What follows a # in a model's name is a label: the same behaviour, but ids, headers and errors hold
the label, and usage is LABELLED_USAGE.

Asked for a moderation, it flags each `flag-CATEGORY` in a text, with the score 0.9.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

WORDS = [
    "The", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "and", "runs", "far",
    "away", "from", "here", ".",
]  # fmt: skip
LABELLED_USAGE = (82_417, 73_913)  # tokens of the prompt and of the answer
UNFINISHED = ("dies", "thinks-then-dies")  # the connection ends before the answer does


def _chunk(delta: dict[str, Any], finish: str | None = None, label: str = "") -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    said = {"id": "cmpl-1", "choices": [choice]}
    if label:
        said |= {"id": f"cmpl-{label}", "model": label, "system_fingerprint": label}
    return b"data: " + json.dumps(said).encode() + b"\n\n"


def _labelled(model: str) -> tuple[str, str]:
    """A model's name without its label, and the label; # is also a heading in an answer."""
    name, _, label = model.rpartition("#")
    return (name, label) if name and label.split() == [label] else (model, "")


def _seen(request: dict[str, Any]) -> str:
    """For example "[png jpeg] [] []" of three messages, two images in the first."""
    seen = []
    for message in request["messages"]:
        parts = message["content"] if isinstance(message["content"], list) else []
        urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
        kinds = [url.partition(";")[0].removeprefix("data:image/") for url in urls]
        seen.append(f"[{' '.join(kinds)}]")
    return " ".join(seen)


def _usage(tokens: int, prompt: int = 7) -> bytes:
    usage = {"prompt_tokens": prompt, "completion_tokens": tokens, "total_tokens": prompt + tokens}
    return b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\n"


def _moderation(texts: list[str]) -> dict[str, Any]:
    results = []
    for text in texts:
        flagged = re.findall(r"flag-([a-z/]+)", text)
        results.append(
            {
                "flagged": bool(flagged),
                "categories": {"calm": False, **dict.fromkeys(flagged, True)},
                "category_scores": {"calm": 0.1, **dict.fromkeys(flagged, 0.9)},
            }
        )
    return {"id": "modr-1", "model": "moderates", "results": results}


def _framed(data: bytes) -> bytes:
    """One chunk of a chunked body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


# Made once: this process shares its core with the clients of a benchmark.
_COUNTED = [_framed(_chunk({"content": word + " "})) for word in WORDS]


@dataclass(slots=True)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    ahead: bytes = field(default=b"")  # of the next request, read while the last was answered

    async def request(self) -> tuple[str, dict[str, Any]]:
        """The head as text and the JSON body. Raises IncompleteReadError at the end."""
        head = (self.ahead + await self.reader.readuntil(b"\r\n\r\n")).decode("latin1")
        self.ahead = b""
        length = next(
            (
                int(line.split(":")[1])
                for line in head.lower().split("\r\n")
                if line.startswith("content-length:")
            ),
            0,
        )
        return head, json.loads(await self.reader.readexactly(length)) if length else {}

    async def answer(self, status: int, body: bytes, headers: bytes = b"") -> None:
        self.writer.write(
            b"HTTP/1.1 %d Scripted\r\nContent-Type: application/json\r\n%b"
            b"Content-Length: %d\r\n\r\n%b" % (status, headers, len(body), body)
        )
        await self.writer.drain()


class ScriptedBackend:
    """`async with ScriptedBackend() as backend:` then endpoints at `backend.base_url`."""

    def __init__(self, models: tuple[str, ...] = ("says:Hello", "echo")) -> None:
        self.models = models  # what it lists; it answers to any name
        self.requests: list[dict[str, Any]] = []
        self.moderated: list[str] = []  # texts it was to check
        self.open_streams = 0
        self.most_streams = 0  # at once, so far
        self.idle = asyncio.Event()  # no stream is open
        self.idle.set()
        self.gate = asyncio.Event()  # "gated" models wait for it in the middle of their answer
        self.solutions: dict[str, str] = {}  # what "solves" answers
        self._failed_once: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> ScriptedBackend:
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.stop()

    async def start(self, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port, backlog=1024)
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
        connection = _Connection(reader, writer)
        try:
            while await self._exchange(connection):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def _exchange(self, connection: _Connection) -> bool:
        """One request and its answer; False when the connection is to be closed."""
        head, request = await connection.request()
        if head.startswith("GET "):
            listed = [{"id": name, "object": "model"} for name in self.models]
            await connection.answer(200, json.dumps({"object": "list", "data": listed}).encode())
            return True
        if head.startswith("POST /v1/moderations "):
            self.moderated += request["input"]
            await connection.answer(200, json.dumps(_moderation(request["input"])).encode())
            return True
        self.requests.append(request)
        model, label = _labelled(str(request.get("model", "")))
        name, _, argument = model.partition(":")
        if name in ("status", "repeats-headers"):
            words = "secret upstream words" if name == "status" else f"refused: {head}"
            words += label
            body = json.dumps({"error": {"message": words}}).encode()
            await connection.answer(int(argument), body)
            return True
        if name == "fails-once" and argument not in self._failed_once:
            self._failed_once.add(argument)
            await connection.answer(503, b"")
            return True
        if name == "refuses":
            every, _, seconds = argument.partition("@")
            if len(self.requests) % int(every) == 0:
                await connection.answer(429, b"", b"Retry-After: %b\r\n" % seconds.encode())
                return True
        if name == "holds" and len(request["messages"][-1]["content"]) > int(argument):
            await connection.answer(413, b"")
            return True
        if name == "fails-after":
            asked = sum(r["model"] == request["model"] for r in self.requests)
            if asked > int(argument):
                await connection.answer(503, b"")
                return True
        if name == "quotes-headers":
            name, argument = "says", head
        return await self._stream(connection, name, argument, label, request)

    async def _stream(
        self,
        connection: _Connection,
        name: str,
        argument: str,
        label: str,
        request: dict[str, Any],
    ) -> bool:
        """Plays a script until it ends or the client has gone."""
        connection.writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
            b"Transfer-Encoding: chunked\r\n"
            + (b"X-Request-Id: %b\r\n" % label.encode() if label else b"")
            + b"\r\n"
        )
        # Nothing to read is the end of the connection: the client has gone.
        beyond = asyncio.create_task(connection.reader.read(1))
        script = asyncio.create_task(self._play(connection, name, argument, label, request))
        self.open_streams += 1
        self.most_streams = max(self.most_streams, self.open_streams)
        self.idle.clear()
        try:
            await asyncio.wait((beyond, script), return_when=asyncio.FIRST_COMPLETED)
            if beyond.done():
                connection.ahead = beyond.result()
                if not connection.ahead:
                    return False
            await script
            return name not in UNFINISHED
        finally:
            self.open_streams -= 1
            if not self.open_streams:
                self.idle.set()
            for task in (beyond, script):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                    await task

    async def _play(
        self,
        connection: _Connection,
        name: str,
        argument: str,
        label: str,
        request: dict[str, Any],
    ) -> None:
        writer = connection.writer
        writer.write(_framed(_chunk({"role": "assistant", "content": None}, label=label)))
        if name == "count":
            words, _, rate = argument.partition("@")
            await _count(writer, int(words), float(rate) if rate else None)
        else:
            async for data in self._script(name, argument, request):
                writer.write(_framed(data))
                await writer.drain()
        if name not in UNFINISHED:
            if label:
                prompt, answer = LABELLED_USAGE
                writer.write(_framed(_usage(answer, prompt)))
            writer.write(_framed(b"data: [DONE]\n\n") + b"0\r\n\r\n")
        await writer.drain()

    async def _script(
        self, name: str, argument: str, request: dict[str, Any]
    ) -> AsyncIterator[bytes]:
        match name:
            case "says":
                yield _chunk({"content": argument})
                yield _chunk({}, "stop")
                yield _usage(3)
            case "sees":
                yield _chunk({"content": f"{_seen(request)} {argument}"})
                yield _chunk({}, "stop")
                yield _usage(3)
            case "solves":
                prompt = request["messages"][-1]["content"]
                yield _chunk(
                    {"content": next(self.solutions[k] for k in self.solutions if k in prompt)}
                )
                yield _chunk({}, "stop")
                yield _usage(30)
            case "counts-words":
                yield _chunk({"content": "Yes"})
                yield _chunk({}, "stop")
                yield _usage(1, prompt=len(request["messages"][-1]["content"].split()))
            case "echo" | "after" | "refuses" | "holds":
                if name == "after":
                    await asyncio.sleep(float(argument))
                for word in request["messages"][-1]["content"].split():
                    yield _chunk({"content": word + " "})
                yield _chunk({}, "stop")
            case "says-then-repeats":
                yield _chunk({"content": f"{argument}\n\n{request['messages'][-1]['content']}"})
                yield _chunk({}, "stop")
            case "prefers":
                yield _chunk({"content": _preferred(argument, request["messages"][-1]["content"])})
                yield _chunk({}, "stop")
                yield _usage(5)
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
            case "thinks":
                yield _chunk({"reasoning_content": "Hmm."})
                yield _chunk({}, "stop")
                yield _usage(9)
            case "thinks-then-dies":
                yield _chunk({"reasoning_content": "Hmm."})
            case "filtered":
                yield _chunk({"content": "No"})
                yield _chunk({}, "content_filter")
            case "empty":
                yield _chunk({}, "stop")
            case "wordless-at-first":
                yield _chunk({"content": " " if request["max_tokens"] == 1 else " Hello"})
                yield _chunk({}, "length")
            case "fails-after":
                yield _chunk({"content": "First try."})
                yield _chunk({}, "stop")
            case "fails-once":
                yield _chunk({"content": "Second try."})
                yield _chunk({}, "stop")
            case _:
                raise AssertionError(f"no such script: {name}")


def _preferred(word: str, prompt: str) -> str:
    """The verdict over the last two answers in a judge's prompt."""
    shown = re.findall(r"ANSWER[ 0-9]* OF [AB]\n(.*?)\n\S+ END OF", prompt, re.DOTALL)
    a, b = (word in text for text in shown[-2:])
    return f"My verdict: [[{'A>B' if a > b else 'B>A' if b > a else 'A=B'}]]"


async def _count(writer: asyncio.StreamWriter, words: int, rate: float | None) -> None:
    """`words` words, the first at once; by timer callbacks, as a task switch per word is dear."""
    if rate is None:
        writer.write(b"".join(_COUNTED[i % len(_COUNTED)] for i in range(words)))
    else:
        loop = asyncio.get_running_loop()
        began = loop.time()
        finished = loop.create_future()
        written = 0

        def write_next() -> None:
            nonlocal written
            if finished.cancelled():
                return
            writer.write(_COUNTED[written % len(_COUNTED)])
            written += 1
            if written == words:
                finished.set_result(None)
            else:
                loop.call_at(began + written / rate, write_next)

        write_next()
        await finished
    writer.write(_framed(_chunk({}, "stop")) + _framed(_usage(words)))


@contextlib.contextmanager
def in_a_thread() -> Iterator[ScriptedBackend]:
    """For synchronous callers, who block the loop that would serve them."""
    backend = ScriptedBackend()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="scripted backend")
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(backend.start(), loop).result(10)
        yield backend
        asyncio.run_coroutine_threadsafe(backend.stop(), loop).result(10)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def main(port: int) -> None:
    backend = ScriptedBackend(("says:Hello", "echo", "count:200@50", "status:500", "gated"))
    await backend.start(port)
    print(backend.port, flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    import uvloop

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 0))
