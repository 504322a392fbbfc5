"""The body of a response: whatever JSON may be, and caps on all that could grow without end."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import pytest

from arena.backends import body as body_module
from arena.backends.base import BackendError, ErrorKind, Event, Finish, FinishReason, TextDelta
from arena.backends.body import MAX_DOCUMENT, BodyParser, decode_json
from arena.backends.openai import read
from arena.backends.registry import ADAPTERS
from tests.arena.backends.wire import ANSWER, DONE, delta


def run(parser: Any, *pieces: bytes) -> list[Event | ErrorKind]:
    events: list[Event | ErrorKind] = []
    for piece in pieces:
        events += parser.feed(piece)
    try:
        events += parser.close()
    except BackendError as error:
        events.append(error.kind)
    return events


def text_of(events: list[Event | ErrorKind]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def hostile_json(folder: Any) -> Iterator[tuple[dict[str, Any], bytes]]:
    for line in (folder / "hostile" / "json_parsing.jsonl").read_text().splitlines():
        item = json.loads(line)
        if "b64" in item:
            yield item, base64.b64decode(item["b64"])
        else:
            unit = base64.b64decode(item["repeat_b64"])
            yield item, unit * item["count"] + base64.b64decode(item.get("tail_b64", ""))


def test_json_is_read_as_the_standard_says(shared_data):
    wrong = []
    for item, data in hostile_json(shared_data):
        try:
            decode_json(data)
            accepted = True
        except BackendError as error:
            assert error.kind is ErrorKind.PROTOCOL  # noqa: PT017
            accepted = False
        if item["expect"] != "either" and accepted is not (item["expect"] == "accept"):
            wrong.append((item["expect"], data[:60]))
    assert wrong == []


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_no_json_in_a_body_raises_anything_but_a_named_error(shared_data, kind):
    """As a whole document, as an event of a stream, and as a line."""
    for _, data in hostile_json(shared_data):
        for whole in (data, b"data: " + data.replace(b"\n", b"\ndata: ") + b"\n\n", data + b"\n"):
            events = run(ADAPTERS[kind].parser("application/json"), whole)
            assert isinstance(events[-1], ErrorKind)


PLACES = {
    "openai": b'{"choices": [{"index": 0, "delta": %b, "finish_reason": null}]}',
    "anthropic": b'{"type": "content_block_delta", "delta": %b}',
    "gemini": b'{"candidates": [{"content": {"parts": [%b]}}]}',
    "ollama": b'{"message": %b, "done": false}',
}


@pytest.mark.parametrize("kind", sorted(ADAPTERS))
def test_no_json_inside_an_event_raises_anything_but_a_named_error(shared_data, kind):
    for _, data in hostile_json(shared_data):
        if b"\n" in data or b"\r" in data or len(data) > 10_000:
            continue
        event = PLACES[kind] % data
        run(ADAPTERS[kind].parser("text/event-stream"), b"data: " + event + b"\n\n")
        for key in (b"content", b"text", b"thinking", b"role", b"type"):
            event = PLACES[kind] % (b'{"%b": %b}' % (key, data))
            run(ADAPTERS[kind].parser("text/event-stream"), b"data: " + event + b"\n\n")


def test_a_body_over_the_cap_ends_after_what_was_said_before_it(monkeypatch):
    whole = delta("Hello ") + delta("world.") * 50
    monkeypatch.setattr(body_module, "MAX_BODY", 400)
    expected = run(BodyParser(read), whole)
    assert text_of(expected).startswith("Hello world.")
    assert expected[-1] is ErrorKind.PROTOCOL
    for size in (1, 7, 399, 400, 401):
        pieces = [whole[i : i + size] for i in range(0, len(whole), size)]
        assert run(BodyParser(read), *pieces) == expected


def test_an_answer_that_ends_before_the_cap_is_whole_however_much_follows(monkeypatch):
    monkeypatch.setattr(body_module, "MAX_BODY", len(ANSWER) + 10)
    assert isinstance(run(BodyParser(read), ANSWER + b"x" * 100)[-1], Finish)


def test_a_document_over_its_cap_is_a_protocol_error():
    parser = BodyParser(read)
    parser.feed(b'{"x": "' + b"y" * MAX_DOCUMENT)
    assert parser.done
    assert run(parser) == [ErrorKind.PROTOCOL]


def test_nothing_is_read_after_the_end():
    parser = BodyParser(read)
    events = run(parser, ANSWER, delta("more"), b"data: {broken\n\n")
    assert text_of(events) == "Hello world."
    assert parser.done


def test_the_end_of_the_model_is_told_before_the_end_of_the_body():
    parser = BodyParser(read)
    parser.feed(delta("Hi."))
    assert [parser.ended, parser.done] == [False, False]
    parser.feed(delta(finish="stop"))
    assert [parser.ended, parser.done] == [True, False]
    parser.feed(DONE)
    assert [parser.ended, parser.done] == [True, True]


def test_a_last_event_without_its_blank_line_was_cut_off():
    events = run(BodyParser(read), delta("Hello "), delta("world.", "stop")[:-1])
    assert text_of(events) == "Hello "
    assert events[-1] is ErrorKind.DISCONNECTED


def test_a_document_cut_off_is_a_protocol_error():
    assert run(BodyParser(read), b'{"choices": [{"message": {"content": "Hi')[-1] is (
        ErrorKind.PROTOCOL
    )


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\r\n \t", b"\xef\xbb\xbf\n"])
def test_what_stands_before_a_body_does_not_hide_what_it_is(start):
    for whole in (ANSWER, b'{"choices": [{"message": {"content": "Hello world."}}]}'):
        for cut in range(len(start) + 2):
            events = run(BodyParser(read), start + whole[:cut], whole[cut:])
            assert text_of(events) == "Hello world."


@pytest.mark.parametrize("end", [b"\n", b"", b"\r\n", b"\n\n"])
def test_lines_of_json_end_as_they_like(end):
    adapter = ADAPTERS["ollama"]
    lines = b'{"message": {"content": "Hi."}}\r\n\n{"done": true, "done_reason": "length"}'
    events = run(adapter.parser("application/x-ndjson"), lines + end)
    assert text_of(events) == "Hi."
    assert events[-1] == Finish(FinishReason.LENGTH, "length")


def test_a_last_line_of_json_cut_off_is_not_an_error_of_its_own():
    parser = ADAPTERS["ollama"].parser("application/x-ndjson")
    events = run(parser, b'{"message": {"content": "Hi."}}\n{"message": {"con')
    assert text_of(events) == "Hi."
    assert events[-1] is ErrorKind.DISCONNECTED
