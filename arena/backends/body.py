"""The body of a successful response, from bytes to the JSON objects of a dialect.

What the body is decides how it is read, not its Content-Type: some servers answer a request for a
stream with one JSON document, some call an event stream text/plain, and a captive portal answers
200 with HTML.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from arena.backends.answer import Answer, clean
from arena.backends.base import BackendError, ErrorKind, Event
from arena.backends.errors import stream_error
from arena.backends.sse import MAX_LINE, SSEDecoder

MAX_DOCUMENT = 1 << 20  # bytes of an answer sent as one JSON document
MAX_BODY = 32 << 20  # bytes of one response: 64 kB of text at 500 bytes a token

_BOM = b"\xef\xbb\xbf"
_SPACE = b" \t\r\n"


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_JSON = json.JSONDecoder(parse_constant=_refuse)


def decode_json(data: str | bytes | bytearray) -> Any:
    """RFC 8259 JSON, without Python's NaN and Infinity. Raises BackendError(PROTOCOL)."""
    text = data if isinstance(data, str) else data.decode("utf-8", "replace")
    try:
        return _JSON.decode(text)
    except (ValueError, RecursionError) as error:
        raise BackendError(ErrorKind.PROTOCOL, f"not JSON ({error}): {text[:200]!r}") from None


class BodyParser:
    """A `base.Parser` for any dialect, given what one JSON object of it means.

    `read(answer, object)` is called for each object of a stream, or once for a whole document.
    With `lines`, JSON is newline-delimited, one object a line.
    """

    def __init__(
        self, read: Callable[[Answer, dict[str, Any]], None], *, lines: bool = False
    ) -> None:
        self._read = read
        self._lines = lines
        self._answer = Answer()
        self._take: Callable[[bytes], None] = self._sniff
        self._buffer = bytearray()  # bytes read and not yet understood
        self._sse = SSEDecoder()
        self._size = 0
        self._failure: BackendError | None = None

    @property
    def done(self) -> bool:
        return self._answer.over or self._failure is not None

    @property
    def ended(self) -> bool:
        return self._answer.finished

    def feed(self, data: bytes) -> list[Event]:
        if not self.done:
            room = MAX_BODY - self._size
            self._size += len(data)
            try:
                self._take(data[:room])
                if len(data) > room and not self.done:
                    raise BackendError(ErrorKind.PROTOCOL, f"a body over {MAX_BODY} bytes")
            except BackendError as error:
                self._failure = error
        return self._answer.take()

    def close(self) -> list[Event]:
        if self._failure is not None:
            raise self._failure
        if self._take == self._document:
            self._objects(decode_json(self._buffer))
            self._answer.over = True
        elif self._take == self._json_lines and not self._answer.over:
            self._last_line()
        return self._answer.close()

    def _sniff(self, data: bytes) -> None:
        """Waits for the first byte that is not white space and says what the body is."""
        self._buffer += data
        head = bytes(self._buffer).removeprefix(_BOM).lstrip(_SPACE)
        if not head or _BOM.startswith(head):
            self._check(len(self._buffer), MAX_LINE)
            return
        self._buffer.clear()
        if head[:1] == b"<":
            raise BackendError(ErrorKind.PROTOCOL, f"HTML, not an answer: {head[:200]!r}")
        if head[:1] == b"{" and self._lines:
            self._take = self._json_lines
        elif head[:1] in (b"{", b"["):
            self._take = self._document
        else:
            self._take = self._events
        self._take(head)

    def _events(self, data: bytes) -> None:
        for event in self._sse.feed(data):
            if event.data.startswith("[DONE]"):
                self._answer.over = True
            elif event.event == "error":
                raise stream_error(self._error_content(event.data))
            elif event.data:
                self._objects(decode_json(event.data))
            if self._answer.over:
                return

    def _json_lines(self, data: bytes) -> None:
        self._buffer += data
        if b"\n" in data:
            *lines, rest = bytes(self._buffer).split(b"\n")
            self._buffer = bytearray(rest)
            for line in lines:
                self._check(len(line), MAX_LINE)
                if line.strip(_SPACE):
                    self._objects(decode_json(line))
                if self._answer.over:
                    return
        self._check(len(self._buffer), MAX_LINE)

    def _last_line(self) -> None:
        """A line whose end did not come. Cut short it says nothing: `Answer` knows what misses."""
        try:
            content = decode_json(self._buffer)
        except BackendError:
            return
        self._objects(content)

    def _document(self, data: bytes) -> None:
        self._buffer += data
        self._check(len(self._buffer), MAX_DOCUMENT)

    def _objects(self, content: Any) -> None:
        """One object, or the list of them that Gemini sends where no event stream was asked for."""
        for item in content if isinstance(content, list) else [content]:
            if not isinstance(item, dict):
                raise BackendError(ErrorKind.PROTOCOL, f"{type(item).__name__}, not an object")
            self._read(self._answer, item)

    @staticmethod
    def _error_content(data: str) -> Any:
        try:
            return decode_json(data)
        except BackendError:
            return data

    @staticmethod
    def _check(size: int, limit: int) -> None:
        if size > limit:
            raise BackendError(ErrorKind.PROTOCOL, f"a line or document over {limit} bytes")


def names_in(body: bytes, field: str, key: str) -> list[str]:
    """The names in a list of models: `{field: [{key: name}, …]}`. Raises BackendError(PROTOCOL)."""
    content = decode_json(body)
    items = content.get(field) if isinstance(content, dict) else None
    if not isinstance(items, list):
        raise BackendError(ErrorKind.PROTOCOL, f"no list of models: {body[:200]!r}")
    names = [item.get(key) for item in items if isinstance(item, dict)]
    return [clean(name) for name in names if isinstance(name, str) and name]


def object_in(content: dict[str, Any], key: str) -> dict[str, Any]:
    """The object under `key`; missing and null are an empty one. Raises BackendError(PROTOCOL)."""
    value = content.get(key)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BackendError(ErrorKind.PROTOCOL, f"{key}: an object expected")
    return value


def list_in(content: dict[str, Any], key: str) -> list[Any]:
    """The list under `key`; missing and null are an empty one. Raises BackendError(PROTOCOL)."""
    value = content.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise BackendError(ErrorKind.PROTOCOL, f"{key}: a list expected")
    return value
