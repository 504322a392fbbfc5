"""98 recorded exchanges with real servers, read as they were sent and however they are cut.

What each server said was read off the recording by eye and written down here; nothing in the
tables comes from the parsers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

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
    UpstreamId,
    Usage,
)
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy
from arena.backends.registry import ADAPTERS
from tests.arena.backends.wire import Connection, Request, Wire

STOP, LENGTH = FinishReason.STOP, FinishReason.LENGTH
SMALL = 1000  # bytes of a body up to which every single cut is tried
EDGE = 250  # bytes at either end of a longer body in which every single cut is tried


class Said(NamedTuple):
    """An answer: its text, then how it ended (a reason, or an error) and the last usage told."""

    kind: str
    text: str
    end: FinishReason | ErrorKind
    usage: tuple[int | None, int | None] = (None, None)


class Refused(NamedTuple):
    """A response whose status says no."""

    kind: str
    status: int
    error: ErrorKind
    retry_after: float | None = None


AIMOCK_HELLO = "Hello there, from aimock. Ünïcödé ✓ 你好 🙂."
FOX = (
    "Once upon a time, there lived a fox in the Land of the Flaming Ash. The story began with a"
    " young fox named Felix. Felix had no siblings and was born to a fox. He was a curious and"
    " adventurous animal who loved to explore and discover new things.\n\nFelix"
)
LONDON = (
    "The world of 2023 is replete with echoes of old and new. The iconic London Metro, a relic of"
    " the past, has been reimagined in an innovative and sophisticated way. In fact, the modern-day"
    " London Underground, or London’s Tube, has a new name, ‘Bike-to-Birra,” as it is known to the"
    " locals. However, the official name has"
)
ACADEMY = (
    "The National Academy of Sciences, a well-funded, and highly respected organization dedicated"
    " to advancing scientific knowledge and understanding. I am Dr. Elizabeth Stetson, a leading"
    " scientist in this field who has made tremendous contributions so far."
)
TWELVE = "7 + 5 = 12\n\nIn mathematics, when dealing with numbers, it's common to have multiple"

ANSWERS = {
    "aimock_anthropic_stream": Said("anthropic", AIMOCK_HELLO, STOP),
    "aimock_chaos_malformed": Said("openai", "", ErrorKind.PROTOCOL),
    "aimock_chaos_malformed_stream": Said("openai", "", ErrorKind.PROTOCOL),
    "aimock_gemini_stream": Said("gemini", AIMOCK_HELLO, STOP),
    "aimock_ollama_stream": Said("ollama", AIMOCK_HELLO, STOP),
    "aimock_openai_disconnect": Said("openai", "This ans", ErrorKind.DISCONNECTED),
    "aimock_openai_slow": Said("openai", "A slow and jittery answer.", STOP),
    "aimock_openai_stream_usage": Said("openai", AIMOCK_HELLO, STOP, (2, 11)),
    "aimock_openai_think_stream": Said("openai", "The answer is 12.", STOP),
    "litellm_anthropic_claude-mock": Said(
        "anthropic", "Bonjour from mock claude.", STOP, (2095, 503)
    ),
    "litellm_anthropic_smollm2": Said(
        "anthropic", "Zaymabroz! I'm glad you're here for a special", STOP, (33, 16)
    ),
    "litellm_anthropic_stream_claude-mock": Said(
        "anthropic", "Bonjour from mock claude.", STOP, (2095, 503)
    ),
    "litellm_anthropic_stream_smollm2": Said(
        "anthropic", "Aleján. Welcome, welcome to the land of Elixir.", STOP, (33, 16)
    ),
    "litellm_gemini_gemini-mock": Said("gemini", "Ciao from mock gemini.", STOP, (10, 20)),
    "litellm_gemini_smollm2": Said("gemini", "🌌 Hi there!", LENGTH, (33, 6)),
    "litellm_gemini_stream_smollm2": Said("gemini", "Oh hello. I'm glad", LENGTH),
    "litellm_mock_stream": Said(
        "openai", "Hello from a LiteLLM mock response, streamed in pieces.", STOP, (8, 13)
    ),
    "litellm_realmodel_stream": Said("openai", "Hello! I'm", LENGTH, (33, 4)),
    "llamacpppython_bad_model": Said("openai", "I'm glad", LENGTH, (33, 3)),
    "llamacpppython_ctx_overflow_stream": Said("openai", "", ErrorKind.EMPTY),
    "llamacpppython_interrupted_stream_A": Said("openai", "", ErrorKind.EMPTY),
    "llamacpppython_interrupted_stream_B": Said("openai", FOX, LENGTH),
    "llamacpppython_missing_messages": Said("openai", ACADEMY, STOP, (4, 46)),
    "llamacpppython_nonstream": Said("openai", "Hello there, welcome to my", LENGTH, (33, 6)),
    "llamacpppython_stream_usage": Said("openai", "Hello there, welcome to my", LENGTH),
    "llmockpy_anthropic_fault_malformed": Said(
        "anthropic", "Hello! ", ErrorKind.PROTOCOL, (1, None)
    ),
    "llmockpy_anthropic_fault_truncate": Said(
        "anthropic", "Hello! ", ErrorKind.DISCONNECTED, (1, None)
    ),
    "llmockpy_anthropic_stream": Said("anthropic", "Hello! claude-x received: hello", STOP, (1, 7)),
    "llmockpy_gemini_fault_truncate": Said("gemini", "Simulated success ", ErrorKind.DISCONNECTED),
    "llmockpy_gemini_stream": Said(
        "gemini", "Simulated success from gemini-2.0-flash.", STOP, (1, 10)
    ),
    "llmockpy_openai_fault_disconnect": Said("openai", "Simulated ", ErrorKind.DISCONNECTED),
    "llmockpy_openai_fault_malformed": Said("openai", "Simulated ", ErrorKind.PROTOCOL),
    "llmockpy_openai_fault_truncate": Said("openai", "Simulated ", ErrorKind.DISCONNECTED),
    "llmockpy_openai_stream": Said(
        "openai", "Simulated answer from gpt-4o for 'hello'.", STOP, (1, 10)
    ),
    "transformers_serve_bad_param": Said("openai", "Hello there!", LENGTH, (31, 3)),
    "transformers_serve_nonstream": Said("openai", "Hello there, welcome to my", LENGTH, (33, 6)),
    "transformers_serve_stream_usage": Said(
        "openai", "Hello there, welcome to my", LENGTH, (33, 6)
    ),
    "vllm_anthropic_stream": Said("anthropic", "Hello there, welcome to", LENGTH, (33, 5)),
    "vllm_nonstream": Said("openai", "Hello there, welcome to my", LENGTH, (33, 6)),
    "vllm_stream_usage": Said("openai", "Hello there, welcome to my", LENGTH, (33, 6)),
    "xllamacpp_anthropic_messages": Said("anthropic", "Hello! I'm here to", LENGTH, (33, 6)),
    "xllamacpp_anthropic_messages_stream": Said("anthropic", "Hello! I'm here to", LENGTH, (33, 6)),
    "xllamacpp_anthropic_stream_no_message_start": Said("anthropic", "😉🌍", LENGTH, (None, 6)),
    "xllamacpp_bad_model": Said("openai", "👀", LENGTH, (33, 3)),
    "xllamacpp_bad_role": Said("openai", "Welcome to my little", LENGTH, (33, 4)),
    "xllamacpp_chat_nonstream": Said("openai", TWELVE, LENGTH, (38, 24)),
    "xllamacpp_chat_stream_usage": Said("openai", "Hello! I'm here to help with", LENGTH, (33, 8)),
    "xllamacpp_client_disconnect": Said("openai", "In the 1800s, the city", ErrorKind.DISCONNECTED),
    "xllamacpp_logprobs": Said("openai", "The colour", LENGTH, (34, 2)),
    "xllamacpp_max_tokens0": Said("openai", "Hello", LENGTH, (31, 1)),
    "xllamacpp_midstream_kill": Said("openai", LONDON, ErrorKind.DISCONNECTED),
    "xllamacpp_n2": Said("openai", "Hangover, it is", LENGTH, (34, 6)),
    "xllamacpp_queued_first_byte_8s": Said("openai", "What's your", LENGTH),
    "xllamacpp_stop": Said("openai", "7 + 5 = ", STOP, (38, 8)),
    "xllamacpp_stream_no_usage": Said("openai", "Hello! I", LENGTH),
}

REFUSALS = {
    "aimock_anthropic_429": Refused("anthropic", 429, ErrorKind.RATE_LIMITED, 1),
    "aimock_gemini_429": Refused("gemini", 429, ErrorKind.RATE_LIMITED, 1),
    "aimock_openai_429": Refused("openai", 429, ErrorKind.RATE_LIMITED, 1),
    "aimock_openai_nomatch": Refused("openai", 503, ErrorKind.UNAVAILABLE),
    "litellm_401": Refused("openai", 400, ErrorKind.BAD_REQUEST),  # "No connected db."
    "litellm_429": Refused("openai", 429, ErrorKind.RATE_LIMITED),
    "litellm_bad_model": Refused("openai", 400, ErrorKind.BAD_REQUEST),
    "litellm_ctx_overflow_stream": Refused("openai", 400, ErrorKind.CONTEXT_LENGTH),
    "litellm_dead_upstream": Refused("openai", 500, ErrorKind.UNAVAILABLE),
    "litellm_dead_upstream_stream": Refused("openai", 500, ErrorKind.UNAVAILABLE),
    "litellm_gemini_stream_gemini-mock": Refused("gemini", 500, ErrorKind.UNAVAILABLE),
    "llamacpppython_ctx_overflow": Refused("openai", 400, ErrorKind.CONTEXT_LENGTH),
    "llmockpy_anthropic_529": Refused("anthropic", 529, ErrorKind.UNAVAILABLE, 1),
    "llmockpy_ctx_overflow": Refused("openai", 400, ErrorKind.CONTEXT_LENGTH),
    "llmockpy_openai_429": Refused("openai", 429, ErrorKind.RATE_LIMITED, 2),
    "transformers_serve_bad_model": Refused("openai", 400, ErrorKind.BAD_REQUEST),
    "transformers_serve_missing_messages": Refused("openai", 500, ErrorKind.UNAVAILABLE),
    "transformers_serve_models": Refused("openai", 500, ErrorKind.UNAVAILABLE),
    "vllm_anthropic_bad_model": Refused("anthropic", 404, ErrorKind.NOT_FOUND),
    "vllm_bad_model": Refused("openai", 404, ErrorKind.NOT_FOUND),
    "vllm_bad_temp": Refused("openai", 400, ErrorKind.BAD_REQUEST),
    "vllm_ctx_overflow_stream": Refused("openai", 400, ErrorKind.CONTEXT_LENGTH),
    "vllm_missing_messages": Refused("openai", 400, ErrorKind.BAD_REQUEST),
    "xllamacpp_401_badkey": Refused("openai", 401, ErrorKind.AUTHENTICATION),
    "xllamacpp_401_nokey": Refused("openai", 401, ErrorKind.AUTHENTICATION),
    "xllamacpp_404": Refused("openai", 404, ErrorKind.NOT_FOUND),
    "xllamacpp_bad_json": Refused("openai", 400, ErrorKind.BAD_REQUEST),
    "xllamacpp_bad_temp_type": Refused("openai", 400, ErrorKind.BAD_REQUEST),
    "xllamacpp_ctx_overflow": Refused("openai", 400, ErrorKind.CONTEXT_LENGTH),
    "xllamacpp_ctx_overflow_stream": Refused("openai", 400, ErrorKind.CONTEXT_LENGTH),
    "xllamacpp_missing_messages": Refused("openai", 400, ErrorKind.BAD_REQUEST),
}

AIMOCK_NAMES = [
    "gpt-4",
    "gpt-4o",
    "claude-3-5-sonnet-20241022",
    "gemini-2.0-flash",
    "text-embedding-3-small",
]
MODELS = {
    "aimock_models": ("openai", AIMOCK_NAMES),
    "aimock_ollama_tags": ("ollama", AIMOCK_NAMES),
    "litellm_models": (
        "openai",
        ["mock-gpt", "smollm2", "rate-limited", "claude-mock", "gemini-mock", "dead"],
    ),
    "llamacpppython_models": ("openai", ["smollm2-135m"]),
    "vllm_models": ("openai", ["smollm2-135m"]),
    "xllamacpp_models": ("openai", ["smollm2-135m"]),
}

# The server closed the connection without a byte: nothing to parse, see the client's test below.
SILENT = {"aimock_anthropic_truncate": "anthropic", "aimock_openai_truncate": "openai"}

# Another API: nothing in this package asks for it.
OTHER_API = {
    "litellm_responses": "Responses API",
    "vllm_responses": "Responses API",
    "xllamacpp_responses": "Responses API",
    "xllamacpp_anthropic_count": "counting tokens",
}


@dataclass(frozen=True)
class Recording:
    raw: bytes  # the response as it came off the socket
    status: int
    headers: httpx.Headers
    body: bytes  # without the chunked framing, as far as it came


def read(folder: Path, name: str) -> Recording:
    content = (folder / "transcripts" / f"{name}.http").read_bytes()
    _, marker, response = content.rpartition(b"=====RESPONSE")
    raw = response.partition(b"\n")[2] if marker else content
    head, _, body = raw.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines if ": " in line])
    if headers.get("transfer-encoding") == "chunked":
        body = b"".join(chunks_of(body))
    return Recording(raw, int(first.split(" ")[1]), headers, body)


def chunks_of(framed: bytes) -> Iterable[bytes]:
    """The chunks; a last one cut short ends the body, as it did for the client then."""
    while framed:
        size, _, framed = framed.partition(b"\r\n")
        length = int(size or b"0", 16)
        if not length:
            return
        yield framed[:length]
        framed = framed[length:].removeprefix(b"\r\n")


def replay(kind: str, recording: Recording, pieces: Iterable[bytes]) -> list[Event | ErrorKind]:
    """Everything the parser says, and last the kind of its error if it ends in one."""
    parser = ADAPTERS[kind].parser(recording.headers.get("content-type", ""))
    events: list[Event | ErrorKind] = []
    for piece in pieces:
        if parser.done:
            break
        events += parser.feed(piece)
    try:
        events += parser.close()
    except BackendError as error:
        events.append(error.kind)
    return events


def joined(
    events: Iterable[Event | ErrorKind],
) -> tuple[str, object, tuple[int | None, int | None]]:
    text, end, usage = "", None, (None, None)
    for event in events:
        match event:
            case TextDelta():
                text += event.text
            case Usage():
                usage = (event.input_tokens, event.output_tokens)
            case Finish():
                end = event.reason
            case ErrorKind():
                end = event
            case UpstreamId() | ReasoningDelta():
                pass
            case _:
                pytest.fail(f"not expected in any recording: {event}")
    return text, end, usage


def test_every_recording_is_accounted_for(shared_data):
    files = {path.stem for path in (shared_data / "transcripts").glob("*.http")}
    tables = [ANSWERS, REFUSALS, MODELS, SILENT, OTHER_API]
    assert sum(len(table) for table in tables) == 98
    assert set().union(*tables) == files


@pytest.mark.parametrize("name", ANSWERS)
def test_a_recorded_answer_is_read_as_it_was_said(shared_data, name):
    expected = ANSWERS[name]
    recording = read(shared_data, name)
    assert recording.status == 200
    events = replay(expected.kind, recording, [recording.body])
    assert joined(events) == (expected.text, expected.end, expected.usage)
    assert not any(isinstance(event, Finish) for event in events[:-1])


@pytest.mark.parametrize("name", ANSWERS)
def test_where_the_bytes_are_cut_makes_no_difference(shared_data, name):
    kind = ANSWERS[name].kind
    recording = read(shared_data, name)
    body = recording.body
    expected = replay(kind, recording, [body])
    assert replay(kind, recording, (body[i : i + 1] for i in range(len(body)))) == expected
    for size in (2, 3, 7, 64, 1021):
        pieces = (body[i : i + size] for i in range(0, len(body), size))
        assert replay(kind, recording, pieces) == expected
    # a long body repeats itself: its first and last events hold every kind of cut there is
    cuts = range(len(body)) if len(body) <= SMALL else [*range(EDGE), *range(-EDGE, 0)]
    differing = [at for at in cuts if replay(kind, recording, [body[:at], body[at:]]) != expected]
    assert differing == []


@pytest.mark.parametrize("name", REFUSALS)
def test_a_recorded_refusal_is_understood(shared_data, name):
    expected = REFUSALS[name]
    recording = read(shared_data, name)
    assert recording.status == expected.status
    error = ADAPTERS[expected.kind].error(recording.status, recording.headers, recording.body)
    assert (error.kind, error.status) == (expected.error, expected.status)
    assert error.retry_after == expected.retry_after
    assert error.detail


@pytest.mark.parametrize("name", MODELS)
def test_a_recorded_list_of_models_gives_their_names(shared_data, name):
    kind, names = MODELS[name]
    assert ADAPTERS[kind].model_names(read(shared_data, name).body) == names


@pytest.mark.parametrize("library", ["aiohttp", "httpx"])
async def test_the_client_reads_the_recorded_bytes_off_a_socket(shared_data, library):
    """The chunked framing, a body that ends inside it and a silent close belong to the client."""
    recordings = {name: read(shared_data, name).raw for name in (*ANSWERS, *REFUSALS)}
    recordings |= dict.fromkeys(SILENT, b"")

    async def play(connection: Connection, request: Request) -> None:
        connection.send(recordings[request.path.split("/")[1]])
        connection.close()

    tls = httpx.create_ssl_context()
    seen, expected = {}, {}
    async with Wire(play) as wire:
        policy = AddressPolicy([f"127.0.0.1:{wire.port}"])
        for name in recordings:
            if name in ANSWERS:
                expected[name] = ANSWERS[name][1:]
                kind = ANSWERS[name].kind
            elif name in REFUSALS:
                expected[name] = ("", REFUSALS[name].error, (None, None))
                kind = REFUSALS[name].kind
            else:
                expected[name] = ("", ErrorKind.CONNECT, (None, None))
                kind = SILENT[name]
            # a client each: the server closes connections that its headers promised to keep
            client = BackendClient(policy, library=library, ssl_context=tls)
            target = Target(kind, f"http://127.0.0.1:{wire.port}/{name}")
            seen[name] = joined(await events_of(client, target))
            await client.aclose()
    assert seen == expected


async def events_of(client: BackendClient, target: Target) -> list[Event | ErrorKind]:
    request = ChatRequest("models/m", [Message("user", "hello")], max_tokens=8)
    events: list[Event | ErrorKind] = []
    try:
        async for event in client.stream_chat(target, request):
            events.append(event)
    except BackendError as error:
        events.append(error.kind)
    return events
