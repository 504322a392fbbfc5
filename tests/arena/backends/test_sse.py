"""Server-sent events: the same events whatever the chunks, and nothing without bound."""

from __future__ import annotations

import base64
import json

import pytest

from arena.backends.base import BackendError, ErrorKind
from arena.backends.sse import MAX_LINE, ServerSentEvent, SSEDecoder


def decode(stream: bytes, size: int | None = None) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    pieces = [stream] if size is None else cut(stream, size)
    return [event for piece in pieces for event in decoder.feed(piece)]


def cut(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


@pytest.mark.parametrize("size", [1, 7, None])
def test_streams_give_the_events_chromium_reported(shared_data, size):
    lines = (shared_data / "hostile" / "sse_streams.jsonl").read_text().splitlines()
    assert lines
    wrong = []
    for item in map(json.loads, lines):
        expected = [
            ServerSentEvent(event["event"] or "", event["data"], event["id"])
            for event in item["events"]
        ]
        if decode(base64.b64decode(item["b64"]), size) != expected:
            wrong.append(item["name"])
    assert wrong == []


@pytest.mark.parametrize("size", [1, 7, None])
def test_broken_utf8_in_data_becomes_replacement_characters(shared_data, size):
    lines = (shared_data / "hostile" / "utf8_sequences.jsonl").read_text().splitlines()
    assert lines
    wrong = []
    for item in map(json.loads, lines):
        raw = bytes.fromhex(item["hex"])
        good = bytes.fromhex(item["hex" if item["valid"] else "replace_hex"]).decode()
        framed = b"data:\t" + raw.replace(b"\r\n", b"\n").replace(b"\n", b"\ndata:\t") + b"\n\n"
        texts = [event.data for event in decode(framed, size)]
        if texts != ["\n".join("\t" + line for line in good.replace("\r\n", "\n").split("\n"))]:
            wrong.append(item["id"])
    assert wrong == []


@pytest.mark.parametrize("size", [1, 2, None])
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n"])
def test_every_line_end_of_the_standard_and_no_other_ends_a_line(end, size):
    lines = ["data: a\u2028b\x0bc\x85d", "data: é", "", "event: x", "data: 1", "", ""]
    stream = end.join(line.encode() for line in lines)
    assert decode(stream, size) == [
        ServerSentEvent("", "a\u2028b\x0bc\x85d\né", ""),
        ServerSentEvent("x", "1", ""),
    ]


def test_an_event_is_given_as_soon_as_its_blank_line_ends_with_a_carriage_return():
    decoder = SSEDecoder()
    assert [event.data for event in decoder.feed(b"data: a\r\r")] == ["a"]
    assert [event.data for event in decoder.feed(b"\ndata: b\r\n\r\n")] == ["b"]


def test_one_byte_order_mark_is_dropped_at_the_start_and_kept_elsewhere():
    assert [e.data for e in decode(b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", 1)] == ["a"]


@pytest.mark.parametrize(
    "endless",
    [
        b"data: " + b"x" * MAX_LINE,
        b": " + b"x" * MAX_LINE,
        (b"data: " + b"x" * 1000 + b"\n") * 1100,
    ],
    ids=["line", "comment", "event"],
)
@pytest.mark.parametrize("size", [16384, None])
def test_a_line_or_event_over_the_cap_breaks_the_stream_after_the_events_before_it(endless, size):
    decoder = SSEDecoder()
    seen = []

    def read_all():
        for piece in cut(b"data: first\n\n" + endless, size or 1 << 30):
            seen.extend(event.data for event in decoder.feed(piece))

    with pytest.raises(BackendError) as caught:
        read_all()
    assert caught.value.kind is ErrorKind.PROTOCOL
    assert seen == ["first"]
