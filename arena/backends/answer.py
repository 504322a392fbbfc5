"""One answer while it is being read: what is the same in every dialect.

Joins characters split over two chunks, holds back leading white space until something visible
comes, merges usage, and gives the verdict at the end. Dialects say what they read
(`answer.text(…)`); this class decides what leaves.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any
from urllib.parse import urlsplit

from arena.backends.base import (
    BackendError,
    Citation,
    ErrorKind,
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    TextDelta,
    UpstreamId,
    Usage,
)

MAX_LEADING_SPACE = 1 << 16  # characters of an answer that has shown nothing yet
MAX_CITATIONS = 100
MAX_URL = 2048
MAX_TITLE = 300
MAX_TOKENS_BELIEVED = 10_000_000

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_URL_BREAKERS = re.compile(r"[\x00-\x20\x7f\\<>\"]")
_INVISIBLE = frozenset({"Cc", "Cf", "Zs", "Zl", "Zp"})


def clean(text: str) -> str:
    """The text with surrogate pairs joined and lone surrogates and U+0000 as U+FFFD.

    A database refuses both; JSON escapes can smuggle either into a Python string.
    """
    if text.isascii() and "\x00" not in text:
        return text
    if not _UNSTORABLE.search(text):
        return text
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return joined.replace("\x00", "\ufffd")


def _visible(text: str) -> bool:
    return any(unicodedata.category(character) not in _INVISIBLE for character in text)


def _believable(count: Any) -> int | None:
    if type(count) is int and 1 <= count <= MAX_TOKENS_BELIEVED:
        return count
    return None


class _Channel:
    """The running text of one kind of delta. A high surrogate waits for its other half."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending = ""

    def push(self, text: str) -> str:
        if self._pending:
            text = self._pending + text
            self._pending = ""
        elif text.isascii() and "\x00" not in text:
            return text
        if "\ud800" <= text[-1] <= "\udbff":
            self._pending = text[-1]
            text = text[:-1]
        return clean(text)

    def flush(self) -> str:
        text = clean(self._pending)
        self._pending = ""
        return text


class Answer:
    """Collects the events of one answer; `take` hands over those not yet taken."""

    def __init__(self) -> None:
        self.over = False  # the dialect's own end marker was read
        self._events: list[Event] = []
        self._text = _Channel()
        self._reasoning = _Channel()
        self._held: str | None = ""  # leading white space; None once something was visible
        self._finish: Finish | None = None
        self._usage = Usage()
        self._id = ""
        self._cited: set[str] = set()

    @property
    def finished(self) -> bool:
        return self.over or self._finish is not None

    def take(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    def text(self, text: Any) -> None:
        """Visible words. `None` and "" are nothing; anything but text breaks the dialect."""
        if text:
            self._show(self._text.push(expect_text(text)))
        elif text is not None:
            expect_text(text)

    def reasoning(self, text: Any) -> None:
        """Words the model thought and did not say."""
        if text:
            text = self._reasoning.push(expect_text(text))
            if text:
                self._events.append(ReasoningDelta(text))

    def citation(self, url: Any, title: Any = "") -> None:
        """A source. One that is not a plain http(s) address, or that came before, is dropped."""
        if not isinstance(url, str) or len(url) > MAX_URL or url in self._cited:
            return
        if _URL_BREAKERS.search(url) or len(self._cited) >= MAX_CITATIONS:
            return
        try:
            parts = urlsplit(url)
            host = parts.hostname
        except ValueError:
            return
        if parts.scheme not in ("http", "https") or not host:
            return
        self._cited.add(url)
        title = clean(title)[:MAX_TITLE] if isinstance(title, str) else ""
        self._events.append(Citation(clean(url), title))

    def usage(self, input_tokens: Any = None, output_tokens: Any = None) -> None:
        """Counts as read; what is missing or absurd leaves the earlier count standing."""
        usage = Usage(
            _believable(input_tokens) or self._usage.input_tokens,
            _believable(output_tokens) or self._usage.output_tokens,
        )
        if usage != self._usage:
            self._usage = usage
            self._events.append(usage)

    def upstream_id(self, value: Any) -> None:
        if value and not self._id and isinstance(value, str):
            self._id = clean(value)[:200]
            self._events.append(UpstreamId(self._id))

    def finish(self, reason: FinishReason, raw: str = "") -> None:
        """The reason the model gave for stopping; the first one counts."""
        if self._finish is None:
            self._finish = Finish(reason, clean(raw)[:100])

    def close(self) -> list[Event]:
        """The last events. Raises BackendError(EMPTY | DISCONNECTED)."""
        self._show(self._text.flush())
        reasoning = self._reasoning.flush()
        if reasoning:
            self._events.append(ReasoningDelta(reasoning))
        finish = self._finish
        if finish is None and self.over:
            finish = Finish(FinishReason.OTHER)  # ended without saying why
        if finish is None and self._held is None:
            raise BackendError(ErrorKind.DISCONNECTED, "the body ended before the answer")
        if finish is None or (
            self._held is not None and finish.reason is not FinishReason.CONTENT_FILTER
        ):
            raw = f", finish reason {finish.raw!r}" if finish else ""
            raise BackendError(ErrorKind.EMPTY, f"no visible text{raw}")
        self._events.append(finish)
        return self.take()

    def _show(self, text: str) -> None:
        if not text:
            return
        if self._held is not None:
            self._held += text
            if not _visible(text):
                if len(self._held) > MAX_LEADING_SPACE:
                    raise BackendError(ErrorKind.EMPTY, "nothing but white space")
                return
            text, self._held = self._held, None
        self._events.append(TextDelta(text))


def expect_text(value: Any) -> str:
    """The value if it is text. Raises BackendError(PROTOCOL)."""
    if not isinstance(value, str):
        raise BackendError(ErrorKind.PROTOCOL, f"text expected, got {type(value).__name__}")
    return value
