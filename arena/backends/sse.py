"""Server-sent events, decoded from bytes cut anywhere.

Follows the "event stream interpretation" of the HTML Standard, section 9.2.6
(https://html.spec.whatwg.org/multipage/server-sent-events.html), as Chromium's EventSource does:
lines end with CR, LF or CRLF and with nothing else, one byte order mark is dropped, invalid UTF-8
becomes U+FFFD, an event without a data line is not an event.

Lines are cut before they are decoded. This equals decoding the stream first, because no byte of a
UTF-8 sequence is CR or LF and a line end closes a broken sequence; it needs no incremental decoder.
httpx-sse's decoder was weighed and not used: it reports events that have no data, holds back a
line that ends with CR until the next byte, keeps the byte order mark and has no cap.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from arena.backends.base import BackendError, ErrorKind

MAX_LINE = 1 << 20  # bytes of one line, and of the data of one event

_BOM = b"\xef\xbb\xbf"


class ServerSentEvent(NamedTuple):
    event: str  # "" where the stream names none
    data: str
    id: str  # the last id the stream gave, "" if none


class SSEDecoder:
    """Bytes in, events out. A last event without its blank line is dropped, as the standard says.

    Raises BackendError(PROTOCOL) for a line or an event over `MAX_LINE` bytes.
    """

    def __init__(self) -> None:
        self._partial = bytearray()  # the line that has not ended yet
        self._after_cr = False  # an LF that comes next belongs to the line end already seen
        self._at_start = True
        self._event = b""
        self._data: list[bytes] = []
        self._data_size = 0
        self._id = ""

    def feed(self, data: bytes) -> Iterator[ServerSentEvent]:
        """Lazy, so that the events before a broken line are seen: iterate to the end."""
        if self._after_cr and data:
            self._after_cr = False
            if data[:1] == b"\n":
                data = data[1:]
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = data.split(b"\n")
        for line in lines:
            if self._partial:
                line = bytes(self._partial) + line
                self._partial.clear()
            event = self._line(line)
            if event is not None:
                yield event
        self._partial += rest
        self._check(len(self._partial))

    def _line(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        self._check(len(line))
        field, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if field == b"data":
            self._data_size += len(value) + 1
            self._check(self._data_size)
            self._data.append(value)
        elif field == b"event":
            self._event = value
        elif field == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", "replace")
        # anything else, a comment and `retry` included, says nothing to us
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        event = None
        if self._data:
            event = ServerSentEvent(
                self._event.decode("utf-8", "replace"),
                b"\n".join(self._data).decode("utf-8", "replace"),
                self._id,
            )
            self._data = []
            self._data_size = 0
        self._event = b""
        return event

    @staticmethod
    def _check(size: int) -> None:
        if size > MAX_LINE:
            raise BackendError(ErrorKind.PROTOCOL, f"a line over {MAX_LINE} bytes")
