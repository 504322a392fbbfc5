"""The client against servers that say what they should not, or nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from arena.backends import client as client_module
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
    Usage,
)
from arena.backends.client import MAX_REASONING, MAX_TEXT, BackendClient
from arena.backends.guard import AddressPolicy
from tests.arena.backends.tls import Authority
from tests.arena.backends.wire import (
    ANSWER,
    DONE,
    SSE,
    USAGE,
    Connection,
    Play,
    Request,
    Wire,
    answers,
    delta,
    in_turn,
    says,
)

TLS = httpx.create_ssl_context(trust_env=False)
KEY = "sk-canary-0123456789abcdef"
HELLO = ChatRequest("m", [Message("user", "hello")], max_tokens=8)
JSON = {"Content-Type": "application/json"}
PATIENCE = 10.0  # seconds until a test that waits for an event has failed


@pytest.fixture(params=["aiohttp", "httpx"])
async def client(request) -> AsyncIterator[BackendClient]:
    policy = AddressPolicy(["127.0.0.1:*"])
    client = BackendClient(policy, library=request.param, ssl_context=TLS)
    yield client
    await client.aclose()


def target(wire: Wire, *, key: str = KEY, **limits: float) -> Target:
    return Target("openai", wire.base_url, key, Timeouts(**limits))


async def collect(client: BackendClient, to: Target, request: ChatRequest = HELLO) -> list[Event]:
    return [event async for event in client.stream_chat(to, request)]


async def answer(client: BackendClient, play: Play, **limits: float) -> list[Event]:
    async with Wire(play) as wire:
        return await collect(client, target(wire, **limits))


async def failure(client: BackendClient, play: Play, **limits: float) -> BackendError:
    async with Wire(play) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire, **limits))
        return caught.value


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


async def gone(wire: Wire) -> None:
    """Returns when the client has closed every connection."""
    async with asyncio.timeout(PATIENCE):
        for connection in wire.connections:
            await connection.gone.wait()


# the request


async def test_the_request_carries_the_key_and_asks_for_no_compression_and_no_cookies(client):
    async with Wire(
        in_turn([answers(200, {**JSON, "Set-Cookie": "spy=1"}, DOCUMENT), says(ANSWER)])
    ) as wire:
        await collect(client, target(wire))
        await collect(client, target(wire))
    request = wire.requests[1]
    assert (request.method, request.path) == ("POST", "/v1/chat/completions")
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["accept-encoding"] == "identity"
    assert request.headers["content-type"] == "application/json"
    assert "cookie" not in request.headers
    assert request.headers["user-agent"] == "arena"
    assert request.json() == {
        "model": "m",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": 8,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def test_proxies_and_passwords_of_the_environment_are_ignored(client, monkeypatch, tmp_path):
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login spy password spy\n")
    monkeypatch.setenv("NETRC", str(netrc))
    async with Wire(says(ANSWER)) as proxy, Wire(says(ANSWER)) as wire:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        for name in ("NO_PROXY", "no_proxy"):
            monkeypatch.delenv(name, raising=False)
        fresh = BackendClient(AddressPolicy(["127.0.0.1:*"]), ssl_context=TLS)
        for each in (client, fresh):
            await collect(each, target(wire, key=""))
        await fresh.aclose()
    assert proxy.connections == []
    assert [request.headers.get("authorization") for request in wire.requests] == [None, None]


@pytest.mark.parametrize("key", ["sk-bad\nX-Injected: 1", "sk-clé-漢字-0123456789"])
async def test_a_key_that_no_header_can_carry_is_a_bad_request_that_does_not_show_it(client, key):
    async with Wire(says(ANSWER)) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire, key=key))
    assert caught.value.kind is ErrorKind.BAD_REQUEST
    assert key[:8] not in f"{caught.value!s}{caught.value!r}{caught.value.detail}"
    assert wire.requests == []


# the answer


async def test_an_answer_comes_as_it_is_said_with_its_usage_and_its_finish_last(client):
    events = await answer(client, says(ANSWER))
    assert text_of(events) == "Hello world."
    assert events[-1] == Finish(FinishReason.STOP, "stop")
    assert Usage(7, 2) in events


async def test_a_delta_is_passed_on_before_the_next_one_is_sent(client):
    seen = asyncio.Event()

    async def play(connection: Connection, request: Request) -> None:
        connection.start()
        connection.chunk(delta("Hello "))
        await seen.wait()
        connection.chunk(delta("world.") + delta(finish="stop") + DONE)
        connection.chunk(b"")

    texts = []
    async with Wire(play) as wire, asyncio.timeout(PATIENCE):
        async for event in client.stream_chat(target(wire), HELLO):
            if isinstance(event, TextDelta):
                texts.append(event.text)
                seen.set()
    assert texts == ["Hello ", "world."]


DOCUMENT = json.dumps(
    {"choices": [{"message": {"content": "Hello world."}, "finish_reason": "stop"}]}
).encode()


@pytest.mark.parametrize(
    "play",
    [
        answers(200, JSON, DOCUMENT),
        answers(200, SSE, DOCUMENT),
        answers(200, {"Content-Type": "text/plain"}, ANSWER),
        answers(200, {}, ANSWER),
        answers(201, SSE, ANSWER),
        says(ANSWER, headers={**SSE, "Content-Encoding": "identity"}),
        says(b": keep-alive\n\n", delta("Hello "), b": keep-alive\n\n", delta("world."), DONE),
        says(delta("Hello "), delta("world.", "stop")),
        says(delta("Hello "), delta("world.", "stop"), end=False),
        says(*(ANSWER[i : i + 1] for i in range(len(ANSWER)))),
        says(b"\xef\xbb\xbf\r\n" + ANSWER.replace(b"\n", b"\r\n")),
    ],
    ids=[
        "json",
        "json-called-sse",
        "sse-called-text",
        "sse-called-nothing",
        "201",
        "identity",
        "keep-alives",
        "no-done",
        "no-done-and-no-last-chunk",
        "byte-by-byte",
        "bom-and-crlf",
    ],
)
async def test_what_is_an_answer_all_the_same_is_accepted(client, play, monkeypatch):
    monkeypatch.setattr(client_module, "LINGER", 0.05)
    events = await answer(client, play)
    assert text_of(events) == "Hello world."
    assert isinstance(events[-1], Finish)


async def test_informational_responses_before_the_answer_are_skipped(client):
    async def play(connection: Connection, request: Request) -> None:
        connection.send(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n")
        connection.start()
        connection.chunk(ANSWER)
        connection.chunk(b"")

    assert text_of(await answer(client, play)) == "Hello world."


async def test_a_body_that_ends_with_the_connection_is_an_answer(client):
    async def play(connection: Connection, request: Request) -> None:
        connection.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + ANSWER)
        connection.close()

    assert text_of(await answer(client, play)) == "Hello world."


async def test_usage_that_comes_after_the_end_is_waited_for_but_not_for_ever(client, monkeypatch):
    monkeypatch.setattr(client_module, "LINGER", 0.2)

    async def play(connection: Connection, request: Request) -> None:
        connection.start()
        connection.chunk(delta("Hi.", "stop"))
        await asyncio.sleep(0)
        connection.chunk(USAGE)
        while True:  # keep-alives do not prolong the wait
            await asyncio.sleep(0.01)
            connection.chunk(b": keep-alive\n\n")

    async with asyncio.timeout(PATIENCE):
        events = await answer(client, play, gap=60)
    assert events[-2:] == [Usage(7, 2), Finish(FinishReason.STOP, "stop")]


async def test_an_answer_ends_with_done_even_if_the_socket_stays_open(client):
    async def play(connection: Connection, request: Request) -> None:
        connection.start()
        connection.chunk(ANSWER)
        await connection.gone.wait()

    async with Wire(play) as wire:
        async with asyncio.timeout(PATIENCE):
            events = await collect(client, target(wire))
        await gone(wire)
    assert text_of(events) == "Hello world."


# connections


@pytest.mark.parametrize(
    "play",
    [says(ANSWER), answers(200, JSON, DOCUMENT), answers(500, JSON, b'{"error": "x"}')],
    ids=["stream", "document", "error"],
)
async def test_a_connection_is_kept_for_the_next_request(client, play):
    async with Wire(play) as wire:
        for _ in range(3):
            try:
                await collect(client, target(wire))
            except BackendError as error:
                assert error.kind is ErrorKind.UNAVAILABLE  # noqa: PT017
    assert [len(wire.requests), len(wire.connections)] == [3, 1]


async def test_a_kept_connection_that_the_server_closes_is_replaced_unnoticed(client):
    """As llama.cpp does after each stream, here only when the next request is on its way."""

    async def play(connection: Connection, request: Request) -> None:
        if request is first_of.setdefault(connection, request):
            await says(ANSWER)(connection, request)
        else:
            connection.close()

    first_of: dict[Connection, Request] = {}
    async with Wire(play) as wire:
        for _ in range(3):
            assert text_of(await collect(client, target(wire))) == "Hello world."
    assert [len(wire.requests), len(wire.connections)] == [5, 3]


async def test_a_new_connection_that_the_server_closes_is_a_failure_at_once(client):
    async with Wire(nothing) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire))
    assert caught.value.kind is ErrorKind.CONNECT
    assert len(wire.requests) == 1


async def endless(connection: Connection, request: Request) -> None:
    connection.start()
    while not connection.gone.is_set():
        connection.chunk(delta("ha "))
        await asyncio.sleep(0.001)


async def test_closing_the_generator_closes_the_connection(client):
    async with Wire(endless) as wire:
        stream = client.stream_chat(target(wire), HELLO)
        while not isinstance(await anext(stream), TextDelta):
            pass
        await stream.aclose()
        await gone(wire)


async def test_cancelling_the_task_closes_the_connection(client):
    started = asyncio.Event()

    async def read(wire: Wire) -> None:
        async for event in client.stream_chat(target(wire), HELLO):
            if isinstance(event, TextDelta):
                started.set()

    async with Wire(endless) as wire:
        task = asyncio.create_task(read(wire))
        async with asyncio.timeout(PATIENCE):
            await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone(wire)


async def test_cancelling_the_task_before_the_first_byte_closes_the_connection(client):
    asked = asyncio.Event()

    async def play(connection: Connection, request: Request) -> None:
        asked.set()
        await connection.gone.wait()

    async with Wire(play) as wire:
        task = asyncio.create_task(collect(client, target(wire)))
        async with asyncio.timeout(PATIENCE):
            await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone(wire)


async def test_closing_the_client_closes_the_connections_of_running_answers(client):
    async with Wire(endless) as wire:
        stream = client.stream_chat(target(wire), HELLO)
        await anext(stream)
        await client.aclose()
        await gone(wire)
        await stream.aclose()


async def test_many_answers_run_at_once(client):
    everyone = asyncio.Barrier(101)  # connection pools have 100 by default

    async def play(connection: Connection, request: Request) -> None:
        await everyone.wait()
        await says(ANSWER)(connection, request)

    async with Wire(play) as wire, asyncio.timeout(PATIENCE * 2):
        all_events = await asyncio.gather(*(collect(client, target(wire)) for _ in range(101)))
    assert {text_of(events) for events in all_events} == {"Hello world."}


# caps


async def test_an_endless_answer_is_cut_at_the_cap_and_its_connection_closed(client):
    piece = "é" * 500

    async def play(connection: Connection, request: Request) -> None:
        connection.start()
        while not connection.gone.is_set():
            connection.chunk(delta(piece))
            await asyncio.sleep(0)

    async with Wire(play) as wire:
        events = await collect(client, target(wire))
        await gone(wire)
    assert text_of(events) == "é" * (MAX_TEXT // 2)
    assert events[-1] == Finish(FinishReason.LENGTH, "cut by the arena")


async def test_an_answer_as_long_as_the_cap_is_whole_and_one_character_more_is_cut(client):
    def words(size: int) -> Play:
        return says(delta("x" * size), delta(finish="stop"), DONE)

    whole = await answer(client, words(MAX_TEXT))
    assert [len(text_of(whole)), whole[-1]] == [MAX_TEXT, Finish(FinishReason.STOP, "stop")]
    cut = await answer(client, words(MAX_TEXT + 1))
    assert [len(text_of(cut)), cut[-1].reason] == [MAX_TEXT, FinishReason.LENGTH]


async def test_a_character_is_not_cut_in_two_at_the_cap(client):
    events = await answer(client, says(delta("x" + "😀" * MAX_TEXT), delta(finish="stop")))
    assert text_of(events) == "x" + "😀" * ((MAX_TEXT - 1) // 4)


async def test_endless_thoughts_are_not_passed_on_and_the_answer_is(client):
    thought = delta(reasoning_content="h" * 1000)
    events = await answer(client, says(thought * 100, ANSWER))
    thoughts = [event.text for event in events if isinstance(event, ReasoningDelta)]
    assert sum(map(len, thoughts)) == MAX_REASONING
    assert text_of(events) == "Hello world."


@pytest.mark.parametrize(
    "endless_body",
    [
        b"data: " + b"x" * 65536,
        b": " + b"x" * 65536,
        b'{"choices": [' + b" " * 65536,
        b" " * 65536,
        b"data: x\n" * 8192,
        b"x" * 65536,
    ],
    ids=["line", "comment", "document", "white-space", "event", "no-field"],
)
async def test_a_line_without_end_is_a_protocol_error(client, endless_body):
    async def play(connection: Connection, request: Request) -> None:
        connection.start()
        connection.chunk(endless_body)
        while not connection.gone.is_set():
            connection.chunk(endless_body[-65536:])
            await asyncio.sleep(0)

    async with Wire(play) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire))
        await gone(wire)
    assert caught.value.kind is ErrorKind.PROTOCOL
    assert len(caught.value.detail) < 1000


async def test_a_huge_chunk_is_a_protocol_error_and_what_came_before_was_said(client):
    events: list[Event] = []
    async with Wire(says(delta("Hello "), delta("x" * (8 << 20)), DONE)) as wire:
        with pytest.raises(BackendError) as caught:  # noqa: PT012
            async for event in client.stream_chat(target(wire), HELLO):
                events.append(event)
    assert caught.value.kind is ErrorKind.PROTOCOL
    assert text_of(events) == "Hello "


# no answer


async def nothing(connection: Connection, request: Request) -> None:
    connection.close()


def raw(data: bytes, *, close: bool = True) -> Play:
    async def play(connection: Connection, request: Request) -> None:
        connection.send(data)
        if close:
            connection.close()
        else:
            await connection.gone.wait()

    return play


OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"


@pytest.mark.parametrize(
    ("play", "kind"),
    [
        (answers(200, {"Content-Type": "text/html"}, b"<!doctype html><p>Log in"), "protocol"),
        (answers(200, SSE, b"  \n<html>"), "protocol"),
        (answers(200, JSON, b"[1, 2]"), "protocol"),
        (answers(200, JSON, b"{" + b'"a":{' * 5000), "protocol"),
        (answers(200, JSON, b'{"error": {"message": "no"}}'), "upstream"),
        (answers(200, JSON, b"{}"), "empty"),
        (answers(200, SSE), "empty"),
        (answers(204, {}), "empty"),
        (answers(205, {}), "empty"),
        (says(DONE), "empty"),
        (says(delta(" \n\t\u200b"), delta(finish="stop"), DONE), "empty"),
        (says(b": keep-alive\n\n"), "empty"),
        (says(b"event: error\ndata: boom\n\n"), "upstream"),
        (
            says(gzip.compress(ANSWER), headers={**SSE, "Content-Encoding": "gzip"}),
            "protocol",
        ),
        (says(gzip.compress(ANSWER)), "empty"),  # no line of it is an event
        (nothing, "connect"),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Ty"), "connect"),
        (raw(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n\r\n"), "protocol"),
        (raw(OK + b"X-Long: " + b"x" * 200_000 + b"\r\n\r\n", close=False), "protocol"),
        (raw(OK + b"Content-Length: 5000\r\n\r\n"), "empty"),
        (answers(304, {}), "redirect"),
        (answers(302, {"Location": "http://[nonsense"}), "redirect"),
        (answers(302, {}), "redirect"),
        (answers(404, {"Content-Type": "text/html"}, b"<h1>404</h1>"), "not_found"),
        (answers(500, JSON, b"\xff\xfe{"), "unavailable"),
    ],
)
async def test_what_is_no_answer_is_named(client, play, kind):
    error = await failure(client, play)
    assert error.kind is ErrorKind(kind)


@pytest.mark.parametrize(
    ("rest", "kind"),
    [
        (b"", ErrorKind.DISCONNECTED),
        (b"10\r\ndata: ", ErrorKind.DISCONNECTED),
        (b"0\r\n\r\n", ErrorKind.DISCONNECTED),
        # aiohttp closes the connection and does not say so: the same, known a gap later
        (b"not-a-size\r\n", {ErrorKind.DISCONNECTED, ErrorKind.STALLED}),
        (b"a\r\ndata: 1\n\n\r\n", ErrorKind.PROTOCOL),
        (b"c\r\ndata: [1]\n\n\n\r\n", ErrorKind.PROTOCOL),
        (b"d\r\ndata: NaN\n\n\n\n\r\n", ErrorKind.PROTOCOL),
    ],
)
async def test_an_answer_that_breaks_off_keeps_what_was_said_and_is_not_complete(
    client, rest, kind
):
    said = asyncio.Event()

    async def play(connection: Connection, request: Request) -> None:
        connection.start()
        connection.chunk(delta("Hello ") + delta("wor"))
        await said.wait()  # aiohttp drops what it has read and not yet handed over
        connection.send(rest)
        connection.close()

    events: list[Event] = []
    async with Wire(play) as wire:
        with pytest.raises(BackendError) as caught:  # noqa: PT012
            async for event in client.stream_chat(target(wire, gap=0.3), HELLO):
                events.append(event)
                if isinstance(event, TextDelta):
                    said.set()
    assert text_of(events) == "Hello wor"
    assert caught.value.kind in (kind if isinstance(kind, set) else {kind})


# time-outs


async def silent(connection: Connection, request: Request) -> None:
    await connection.gone.wait()


async def headers_only(connection: Connection, request: Request) -> None:
    connection.start()
    await connection.gone.wait()


async def role_only(connection: Connection, request: Request) -> None:
    connection.start()
    while not connection.gone.is_set():
        connection.chunk(delta("", role="assistant") + b": keep-alive\n\n" + delta(" "))
        await asyncio.sleep(0.005)


@pytest.mark.parametrize("play", [silent, headers_only, role_only])
async def test_no_first_token_in_time_is_named_and_the_connection_closed(client, play):
    async with Wire(play) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire, first_token=0.05))
        await gone(wire)
    assert caught.value.kind is ErrorKind.FIRST_TOKEN_TIMEOUT


@pytest.mark.parametrize("first", [{"content": "Hello "}, {"reasoning_content": "Hmm"}])
async def test_a_stall_after_the_first_token_or_thought_is_named(client, first):
    async def play(connection: Connection, request: Request) -> None:
        connection.start()
        connection.chunk(delta(**first))
        await connection.gone.wait()

    async with Wire(play) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire, gap=0.05))
        await gone(wire)
    assert caught.value.kind is ErrorKind.STALLED


async def test_an_answer_that_takes_too_long_in_all_is_named(client):
    async with Wire(endless) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire, total=0.1))
        await gone(wire)
    assert caught.value.kind is ErrorKind.TOTAL_TIMEOUT


async def test_a_tls_handshake_that_is_never_answered_is_a_connect_time_out(client):
    async with Wire(silent) as wire:
        url = wire.base_url.replace("http", "https")
        with pytest.raises(BackendError) as caught:
            await collect(client, Target("openai", url, KEY, Timeouts(connect=0.05)))
        await gone(wire)
    assert caught.value.kind is ErrorKind.CONNECT


async def test_an_error_whose_body_never_ends_is_known_by_its_status(client, monkeypatch):
    monkeypatch.setattr(client_module, "ERROR_BODY_SECONDS", 0.05)

    async def play(connection: Connection, request: Request) -> None:
        connection.start(JSON, 503)
        connection.chunk(b'{"error": {"message": "Loading')
        await connection.gone.wait()

    assert (await failure(client, play)).kind is ErrorKind.UNAVAILABLE


async def test_an_endless_error_body_is_read_to_a_cap(client):
    async def play(connection: Connection, request: Request) -> None:
        connection.start(JSON, 500)
        while not connection.gone.is_set():
            connection.chunk(b"x" * 16384)
            await asyncio.sleep(0)

    async with Wire(play) as wire:
        with pytest.raises(BackendError) as caught:
            await collect(client, target(wire))
        await gone(wire)
    assert caught.value.kind is ErrorKind.UNAVAILABLE
    assert len(caught.value.detail) <= 500


# TLS


@pytest.mark.parametrize("library", ["aiohttp", "httpx"])
@pytest.mark.parametrize(
    ("host", "days", "kind"),
    [("127.0.0.1", 1, None), ("127.0.0.1", -1, "tls"), ("other.example", 1, "tls")],
    ids=["good", "expired", "wrong-host"],
)
async def test_a_certificate_is_checked_and_never_waived(tmp_path, library, host, days, kind):
    authority = Authority(tmp_path)
    client = BackendClient(
        AddressPolicy(["127.0.0.1:*"]), library=library, ssl_context=authority.client_context()
    )
    seen = None
    async with Wire(says(ANSWER), tls=authority.server_context(host, days=days)) as wire:
        try:
            await collect(client, target(wire))
        except BackendError as error:
            seen = error.kind
        await client.aclose()
    assert seen == kind
    assert len(wire.requests) == (0 if kind else 1)


# the key


def echo(status: int, text: str) -> Play:
    return answers(status, JSON, json.dumps({"error": {"message": text}}).encode())


@pytest.mark.parametrize(
    "play",
    [
        echo(401, f"Incorrect API key provided: {KEY}. See the docs."),
        echo(401, "x" * (500 - 12) + KEY),  # what is kept for the log ends inside the key
        echo(400, f"header 'Bearer {KEY}' is malformed, '{KEY}' too"),
        answers(302, {"Location": f"https://elsewhere.example/?key={KEY}"}),
        says(b'data: {"error": "bad key ' + KEY.encode() + b'"}\n\n'),
        says(b"data: {" + KEY.encode() + b"\n\n"),
        answers(200, JSON, b"<p>" + KEY.encode()),
    ],
)
async def test_a_key_that_a_server_repeats_is_not_in_the_error(client, play):
    error = await failure(client, play)
    shown = f"{error} {error!r} {error.detail} {error.args}"
    assert KEY[:8] not in shown
    assert KEY[-8:] not in shown


# lists of models


async def models_of(client: BackendClient, play: Play, **limits: float) -> Any:
    async with Wire(play) as wire:
        try:
            return await client.list_models(target(wire, **limits))
        except BackendError as error:
            return error.kind


LIST = json.dumps({"data": [{"id": "a"}, {"id": "b"}, {"id": ""}, {"x": 1}, 7]}).encode()


@pytest.mark.parametrize(
    ("play", "result"),
    [
        (answers(200, JSON, LIST), ["a", "b"]),
        (says(LIST[:9], LIST[9:]), ["a", "b"]),
        (answers(200, JSON, b'{"data": []}'), []),
        (answers(404, {}), ErrorKind.NOT_FOUND),
        (answers(401, JSON, b"{}"), ErrorKind.AUTHENTICATION),
        (answers(500, {}, b"Internal Server Error"), ErrorKind.UNAVAILABLE),
        (answers(302, {"Location": "http://127.0.0.1/"}), ErrorKind.REDIRECT),
        (answers(204, {}), ErrorKind.EMPTY),
        (answers(200, {}, b"<html>"), ErrorKind.PROTOCOL),
        (answers(200, JSON, b'{"data": {"a": 1}}'), ErrorKind.PROTOCOL),
        (answers(200, JSON, b"[]"), ErrorKind.PROTOCOL),
        (answers(200, {"Content-Encoding": "gzip"}, gzip.compress(LIST)), ErrorKind.PROTOCOL),
        (says(LIST[:9], end=False), ErrorKind.DISCONNECTED),
        (raw(OK + b"Content-Length: 99\r\n\r\n{"), ErrorKind.DISCONNECTED),
    ],
)
async def test_a_list_of_models_gives_names_or_a_named_error(client, play, result):
    assert await models_of(client, play, first_token=0.2) == result
