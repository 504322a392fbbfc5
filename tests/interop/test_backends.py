"""Our client against model servers that we did not write."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
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
    ReasoningDelta,
    Target,
    TextDelta,
    Timeouts,
    UpstreamId,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from tests.interop import servers
from tests.interop.servers import ALIAS, LlamaCpp, Llmock

pytestmark = [pytest.mark.interop, pytest.mark.timeout(1200)]

TLS = httpx.create_ssl_context(trust_env=False)
WAIT = Timeouts(connect=5, first_token=60, gap=20, total=180)


@pytest.fixture(params=["aiohttp", "httpx"])
async def client(request) -> AsyncIterator[BackendClient]:
    policy = AddressPolicy(["127.0.0.1:*"])
    client = BackendClient(policy, library=request.param, ssl_context=TLS)
    yield client
    await client.aclose()


@dataclass
class Heard:
    """All that came of one request."""

    events: list[Event] = field(default_factory=list)
    error: BackendError | None = None

    def _joined(self, kind: type[Any]) -> str:
        return "".join(event.text for event in self.events if isinstance(event, kind))

    @property
    def text(self) -> str:
        return self._joined(TextDelta)

    @property
    def reasoning(self) -> str:
        return self._joined(ReasoningDelta)

    @property
    def usage(self) -> Usage:
        return next((e for e in reversed(self.events) if isinstance(e, Usage)), Usage())

    @property
    def end(self) -> FinishReason | ErrorKind | None:
        if self.error is not None:
            return self.error.kind
        last = self.events[-1]
        return last.reason if isinstance(last, Finish) else None


async def ask(
    client: BackendClient,
    target: Target,
    prompt: str,
    *,
    model: str = "m",
    max_tokens: int = 64,
    **more: Any,
) -> Heard:
    heard = Heard()
    request = ChatRequest(model, [Message("user", prompt)], max_tokens, **more)
    try:
        async for event in client.stream_chat(target, request):
            heard.events.append(event)
    except BackendError as error:
        heard.error = error
    return heard


# llama.cpp: real weights


@pytest.fixture(scope="module")
def llamacpp(tmp_path_factory) -> Iterator[LlamaCpp]:
    with LlamaCpp(tmp_path_factory.mktemp("llamacpp") / "models.log") as server:
        yield server


def llama(server: LlamaCpp, kind: str = "openai", *, key: str | None = None) -> Target:
    return Target(kind, server.base_url, server.api_key if key is None else key, WAIT)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_real_weights_answer_in_both_dialects(client, llamacpp, kind, stream):
    heard = await ask(
        client,
        llama(llamacpp, kind),
        "Say hello.",
        model=ALIAS,
        max_tokens=8,
        temperature=0.0,
        stream=stream,
    )
    assert heard.error is None
    assert heard.text.startswith("Hello")
    assert heard.end is FinishReason.LENGTH
    # cached or not: the whole prompt counts
    assert heard.usage == Usage(33, 8)
    assert any(isinstance(event, UpstreamId) for event in heard.events)
    deltas = sum(isinstance(event, TextDelta) for event in heard.events)
    assert deltas > 3 if stream else deltas == 1


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_usage_is_the_same_when_the_prompt_comes_from_the_cache(client, llamacpp, kind):
    counts = []
    for _ in range(2):
        heard = await ask(client, llama(llamacpp, kind), "Count to ten.", model=ALIAS, max_tokens=4)
        counts.append(heard.usage.input_tokens)
    assert counts[0] is not None
    assert counts[0] == counts[1] > 20


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_hot_answers_that_may_begin_inside_a_character_are_all_read(client, llamacpp, kind):
    """This server leaves out `message_start` when the first token is part of a character."""
    for seed in range(20):
        heard = await ask(
            client,
            llama(llamacpp, kind),
            "Answer with emojis only.",
            model=ALIAS,
            max_tokens=6,
            temperature=2.0,
            seed=seed,
        )
        assert heard.end in (FinishReason.STOP, FinishReason.LENGTH, ErrorKind.EMPTY)
        heard.text.encode()  # no half of a pair is left


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
async def test_a_prompt_over_the_context_is_told_apart(client, llamacpp, kind, stream):
    prompt = "word " * 6000
    heard = await ask(client, llama(llamacpp, kind), prompt, model=ALIAS, stream=stream)
    assert heard.end is ErrorKind.CONTEXT_LENGTH


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_wrong_key_is_refused_and_not_shown(client, llamacpp, kind):
    key = "sk-wrong-0123456789"
    heard = await ask(client, llama(llamacpp, kind, key=key), "Hi", model=ALIAS)
    assert heard.end is ErrorKind.AUTHENTICATION
    assert key not in str(heard.error)


async def test_the_models_are_listed_and_a_wrong_path_is_not_found(client, llamacpp):
    assert await client.list_models(llama(llamacpp)) == [ALIAS]
    target = Target("openai", f"{llamacpp.base_url}/nowhere", llamacpp.api_key, WAIT)
    assert (await ask(client, target, "Hi", model=ALIAS)).end is ErrorKind.NOT_FOUND


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("ollama", ErrorKind.NOT_FOUND),
        ("gemini", ErrorKind.AUTHENTICATION),  # it does not look for a key in Google's header
    ],
)
async def test_a_dialect_the_server_does_not_speak_is_refused(client, llamacpp, kind, end):
    root = llamacpp.base_url.removesuffix("/v1")
    target = Target(kind, root, llamacpp.api_key, WAIT)
    assert (await ask(client, target, "Hi", model=ALIAS)).end is end


async def test_a_stop_word_and_a_seed_reach_the_model(client, llamacpp):
    heard = await ask(
        client,
        llama(llamacpp),
        "What is 7 plus 5?",
        model=ALIAS,
        temperature=0.0,
        stop=["="],
    )
    assert heard.end is FinishReason.STOP
    assert "=" not in heard.text
    same = [
        (
            await ask(client, llama(llamacpp), "Tell a story.", model=ALIAS, max_tokens=16, seed=42)
        ).text
        for _ in range(2)
    ]
    assert same[0] == same[1]


async def test_leaving_frees_the_server_for_the_next_answers(client, llamacpp):
    """Both slots are taken by endless answers; a third is served as soon as one is left."""
    request = ChatRequest(
        ALIAS, [Message("user", "Write a very long story.")], max_tokens=1800, temperature=1.5
    )
    streams = [client.stream_chat(llama(llamacpp), request) for _ in range(2)]
    for stream in streams:
        while not isinstance(await anext(stream), TextDelta):
            pass
    third = asyncio.create_task(
        ask(client, llama(llamacpp), "Say hello.", model=ALIAS, max_tokens=2, temperature=0.0)
    )
    for stream in streams:
        await stream.aclose()
    async with asyncio.timeout(20):
        assert (await third).error is None


async def test_a_server_killed_in_the_middle_of_an_answer_leaves_it_incomplete(client, tmp_path):
    heard = Heard()
    request = ChatRequest(
        ALIAS, [Message("user", "Write a very long story.")], max_tokens=1800, temperature=1.5
    )
    with LlamaCpp(tmp_path / "models.log") as server:
        try:
            async for event in client.stream_chat(llama(server), request):
                heard.events.append(event)
                if len(heard.events) == 12:
                    server.kill()
        except BackendError as error:
            heard.error = error
        assert heard.text
        assert heard.end is ErrorKind.DISCONNECTED
        server.wait_restarted()
        again = await ask(client, llama(server), "Say hello.", max_tokens=4, temperature=0.0)
        assert again.error is None


# llmock: three dialects, and a judge of the client


@pytest.fixture(scope="module")
def llmock(tmp_path_factory) -> Iterator[Llmock]:
    # slow enough for the server to see that a client has stopped reading
    options = ["--stream-chunk-delay-ms", "15"]
    with servers.llmock(tmp_path_factory.mktemp("llmock") / "log", *options) as server:
        yield server


LLMOCK_PATHS = {"openai": "/v1", "anthropic": "/anthropic", "gemini": "/gemini/v1beta"}
LLMOCK_MODELS = {"openai": "gpt-4o", "anthropic": "claude-x", "gemini": "gemini-2.0-flash"}


def mock(server: Llmock, kind: str, **limits: float) -> Target:
    return Target(kind, server.url + LLMOCK_PATHS[kind], servers.KEY, Timeouts(**limits))


@pytest.mark.parametrize("kind", sorted(LLMOCK_PATHS))
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
async def test_llmock_is_understood(client, llmock, kind, stream):
    llmock.script()
    heard = await ask(client, mock(llmock, kind), "hello", model=LLMOCK_MODELS[kind], stream=stream)
    assert heard.end is FinishReason.STOP
    assert heard.text
    assert heard.usage.input_tokens
    assert heard.usage.output_tokens


@pytest.mark.parametrize("kind", sorted(LLMOCK_PATHS))
async def test_a_scripted_reply_comes_through_unchanged(client, llmock, kind):
    text = "Ünïcödé ✓ 你好 🙂\n\n```python\nprint('\\u0041')\n```\n | a | b |"
    llmock.script({"type": "reply", "text": text})
    heard = await ask(client, mock(llmock, kind), "hello", model=LLMOCK_MODELS[kind])
    assert heard.text == text


@pytest.mark.parametrize("kind", sorted(LLMOCK_PATHS))
@pytest.mark.parametrize(
    ("status", "kinds"),
    [
        (400, {ErrorKind.BAD_REQUEST}),
        (401, {ErrorKind.AUTHENTICATION}),
        (403, {ErrorKind.AUTHENTICATION}),
        (404, {ErrorKind.NOT_FOUND}),
        (429, {ErrorKind.RATE_LIMITED}),
        (500, {ErrorKind.UNAVAILABLE}),
        (503, {ErrorKind.UNAVAILABLE}),
        (529, {ErrorKind.UNAVAILABLE}),
    ],
)
async def test_a_refusal_is_named_with_the_pause_it_asks_for(client, llmock, kind, status, kinds):
    llmock.script({"type": "fail", "status": status, "retry_after": 2})
    heard = await ask(client, mock(llmock, kind), "hello", model=LLMOCK_MODELS[kind])
    assert heard.error is not None
    assert heard.error.kind in kinds
    assert (heard.error.status, heard.error.retry_after) == (status, 2.0)


@pytest.mark.parametrize("kind", sorted(LLMOCK_PATHS))
@pytest.mark.parametrize(
    ("fault", "end"),
    [
        ({"kind": "truncate", "after_chunks": 5}, ErrorKind.DISCONNECTED),
        ({"kind": "disconnect", "after_chunks": 5}, ErrorKind.DISCONNECTED),
        ({"kind": "malformed", "after_chunks": 5}, ErrorKind.PROTOCOL),
        ({"kind": "stall", "after_chunks": 5, "stall_seconds": 30}, ErrorKind.STALLED),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
async def test_a_broken_stream_is_never_a_complete_answer(client, llmock, kind, fault, end):
    words = "one two three four five six seven eight nine ten"
    llmock.script({"type": "reply", "text": words}, {"type": "stream_fault", **fault})
    target = mock(llmock, kind, gap=0.5)
    heard = await ask(client, target, "hello", model=LLMOCK_MODELS[kind])
    assert heard.end is end
    assert heard.text
    assert words.startswith(heard.text)
    assert heard.text != words


@pytest.mark.parametrize("kind", sorted(LLMOCK_PATHS))
async def test_a_first_token_that_takes_too_long_is_named(client, llmock, kind):
    llmock.script({"type": "slow_first_token", "seconds": 20})
    target = mock(llmock, kind, first_token=0.5)
    heard = await ask(client, target, "hello", model=LLMOCK_MODELS[kind])
    assert heard.end is ErrorKind.FIRST_TOKEN_TIMEOUT


@pytest.mark.parametrize("kind", sorted(LLMOCK_PATHS))
async def test_the_mock_judges_a_patient_caller_well(client, llmock, kind):
    words = "one two three four five six seven eight nine ten"
    llmock.script(
        {"type": "reply", "text": words, "times": None},
        {"type": "fail", "status": 429, "retry_after": 0.4},
        {"type": "stream_fault", "kind": "truncate", "after_chunks": 5},
        {"type": "stream_fault", "kind": "disconnect", "after_chunks": 5},
        {"type": "stream_fault", "kind": "malformed", "after_chunks": 5},
        {"type": "stream_fault", "kind": "stall", "after_chunks": 5, "stall_seconds": 5},
        {"type": "fail", "status": 503},
    )
    target = mock(llmock, kind, gap=0.4)
    ends = []
    for attempt in range(10):
        heard = await ask(client, target, "hello", model=LLMOCK_MODELS[kind])
        ends.append(heard.end)
        if heard.error is None:
            break
        await asyncio.sleep(heard.error.retry_after or 0.1 * 1.5**attempt)
    assert ends == [
        ErrorKind.RATE_LIMITED,
        ErrorKind.UNAVAILABLE,
        ErrorKind.DISCONNECTED,
        ErrorKind.DISCONNECTED,
        ErrorKind.PROTOCOL,
        ErrorKind.STALLED,
        FinishReason.STOP,
    ]
    assert heard.text == words
    verdict = llmock.verdict()
    assert verdict["findings"] == []


async def test_a_context_window_of_a_mock_is_told_apart(client, tmp_path):
    with servers.llmock(tmp_path / "log", "--context-window", "200") as server:
        for kind, model in LLMOCK_MODELS.items():
            heard = await ask(client, mock(server, kind), "word " * 1000, model=model)
            assert heard.end is ErrorKind.CONTEXT_LENGTH, kind


# aimock: four dialects from one file


AIMOCK_FIXTURES = [
    {
        "match": {"userMessage": "hello"},
        "response": {"content": "Hello there, from aimock. Ünïcödé ✓ 你好 🙂."},
    },
    {
        "match": {"userMessage": "think"},
        "response": {"content": "The answer is 12.", "reasoning": "7 and 5 make 12"},
    },
    {
        "match": {"userMessage": "slowly"},
        "response": {"content": "A slow and jittery answer."},
        "streamingProfile": {"ttft": 100, "tps": 40, "jitter": 0.5},
    },
    {
        "match": {"userMessage": "cut short"},
        "response": {"content": "This answer never ends as it should."},
        "latency": 20,
        "truncateAfterChunks": 4,
    },
    {
        "match": {"userMessage": "disconnect"},
        "response": {"content": "This answer never ends as it should."},
        "streamingProfile": {"ttft": 20, "tps": 20},
        "disconnectAfterMs": 220,
    },
    {
        "match": {"userMessage": "too long"},
        "response": {"content": "Cut.", "finishReason": "length"},
    },
    {
        "match": {"userMessage": "ratelimit"},
        "response": {
            "error": {"message": "Rate limited", "type": "rate_limit_error"},
            "status": 429,
            "retryAfter": 3,
        },
    },
    {
        "match": {"userMessage": "overloaded"},
        "response": {
            "error": {"message": "Overloaded", "type": "overloaded_error"},
            "status": 529,
        },
    },
    {
        "match": {"userMessage": "garbage"},
        "response": {"content": "Never seen."},
        "chaos": {"malformedRate": 1},
    },
]
AIMOCK_PATHS = {"openai": "/v1", "anthropic": "", "gemini": "/v1beta", "ollama": ""}
AIMOCK_MODELS = {
    "openai": "gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.0-flash",
    "ollama": "llama3",
}


@pytest.fixture(scope="module")
def aimock(tmp_path_factory) -> Iterator[str]:
    command = servers.aimock()
    if command is None:
        pytest.skip("no Node on this machine")
    folder: Path = tmp_path_factory.mktemp("aimock")
    file = folder / "fixtures.json"
    file.write_text(json.dumps({"fixtures": AIMOCK_FIXTURES}))
    with servers.aimock_server(command, file, folder / "log") as url:
        yield url


@pytest.fixture(params=sorted(AIMOCK_PATHS))
def dialect(request) -> str:
    return request.param


async def ask_aimock(
    client: BackendClient, url: str, dialect: str, prompt: str, **more: Any
) -> Heard:
    target = Target(dialect, url + AIMOCK_PATHS[dialect], "k", Timeouts())
    return await ask(client, target, prompt, **{"model": AIMOCK_MODELS[dialect], **more})


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
async def test_an_emoji_split_over_two_chunks_is_whole_again(client, aimock, dialect, stream):
    heard = await ask_aimock(client, aimock, dialect, "hello", stream=stream)
    assert heard.text == "Hello there, from aimock. Ünïcödé ✓ 你好 🙂."
    assert heard.end is FinishReason.STOP


async def test_a_socket_left_open_after_the_answer_is_not_waited_for(client, aimock, dialect):
    async with asyncio.timeout(4):  # aimock keeps it open for six seconds
        await ask_aimock(client, aimock, dialect, "hello")


async def test_a_jittery_answer_is_read(client, aimock, dialect):
    heard = await ask_aimock(client, aimock, dialect, "slowly")
    assert (heard.text, heard.end) == ("A slow and jittery answer.", FinishReason.STOP)


@pytest.mark.parametrize("prompt", ["cut short", "disconnect"])
async def test_an_answer_cut_off_is_not_complete(client, aimock, dialect, prompt):
    heard = await ask_aimock(client, aimock, dialect, prompt)
    assert heard.end is ErrorKind.DISCONNECTED
    assert heard.text
    assert "This answer never ends as it should.".startswith(heard.text)


@pytest.mark.parametrize("kind", ["anthropic", "gemini", "openai"])  # "stop" in its Ollama
async def test_an_answer_at_its_limit_says_so(client, aimock, kind):
    heard = await ask_aimock(client, aimock, kind, "too long")
    assert (heard.text, heard.end) == ("Cut.", FinishReason.LENGTH)


async def test_a_rate_limit_names_its_pause(client, aimock, dialect):
    heard = await ask_aimock(client, aimock, dialect, "ratelimit")
    assert heard.error is not None
    assert (heard.error.kind, heard.error.retry_after) == (ErrorKind.RATE_LIMITED, 3.0)


async def test_an_overloaded_provider_is_unavailable(client, aimock, dialect):
    heard = await ask_aimock(client, aimock, dialect, "overloaded")
    assert heard.error is not None
    assert (heard.error.kind, heard.error.status) == (ErrorKind.UNAVAILABLE, 529)


async def test_garbage_with_a_good_status_is_no_answer(client, aimock, dialect):
    heard = await ask_aimock(client, aimock, dialect, "garbage")
    # a line of Ollama's without its end may have been cut: it says nothing
    assert heard.end is (ErrorKind.EMPTY if dialect == "ollama" else ErrorKind.PROTOCOL)


async def test_an_unknown_prompt_is_unavailable(client, aimock, dialect):
    assert (await ask_aimock(client, aimock, dialect, "zzz")).end is ErrorKind.UNAVAILABLE


@pytest.mark.parametrize(
    ("dialect", "model"),
    [
        ("openai", "deepseek-reasoner"),
        ("anthropic", "claude-sonnet-4-5"),
        ("gemini", "gemini-2.5-pro"),
    ],
)
async def test_thoughts_are_kept_apart_from_the_answer(client, aimock, dialect, model):
    heard = await ask_aimock(client, aimock, dialect, "think", model=model)
    assert heard.text == "The answer is 12."
    assert heard.reasoning == "7 and 5 make 12"


@pytest.mark.parametrize("kind", ["openai", "ollama"])
async def test_the_models_of_aimock_are_listed(client, aimock, kind):
    target = Target(kind, aimock + AIMOCK_PATHS[kind], "k", Timeouts())
    assert "gpt-4o" in await client.list_models(target)


# LiteLLM over llama.cpp: optional, it is large


@pytest.fixture(scope="module")
def litellm(llamacpp, tmp_path_factory) -> Iterator[str]:
    if os.environ.get("ARENA_INTEROP_LITELLM") != "1":
        pytest.skip("set ARENA_INTEROP_LITELLM=1 to install and run LiteLLM")
    with servers.litellm(llamacpp, tmp_path_factory.mktemp("litellm")) as url:
        yield url


@pytest.mark.parametrize(
    ("kind", "path"), [("openai", "/v1"), ("anthropic", ""), ("gemini", "/v1beta")]
)
@pytest.mark.parametrize("stream", [True, False], ids=["stream", "document"])
async def test_every_facade_of_litellm_gives_an_answer_of_the_real_model(
    client, litellm, kind, path, stream
):
    target = Target(kind, litellm + path, servers.KEY, WAIT)
    heard = await ask(client, target, "Say hello.", model="smollm2", max_tokens=8, stream=stream)
    assert heard.error is None
    assert heard.text
    assert heard.end in (FinishReason.LENGTH, FinishReason.STOP)


async def test_litellm_names_a_prompt_over_the_context(client, litellm):
    target = Target("openai", f"{litellm}/v1", servers.KEY, WAIT)
    heard = await ask(client, target, "word " * 6000, model="smollm2")
    assert heard.end is ErrorKind.CONTEXT_LENGTH


def test_the_mock_for_node_is_not_skipped_where_node_is():
    assert (servers.aimock() is None) == (shutil.which("node") is None)
