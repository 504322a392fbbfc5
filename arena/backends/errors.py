"""What an upstream's error means to the arena.

Servers agree on little: `{"error": {…}}`, `{"error": "…"}`, `{"detail": …}`, plain text or HTML;
string and integer codes; 400 for anything. Types and codes are trusted first, then the status,
and the wording only for the two cases the arena must tell apart inside a 400: a prompt that is too
long and a declined prompt.
"""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Iterator, Mapping
from email.utils import parsedate_to_datetime
from typing import Any

from arena.backends.answer import clean
from arena.backends.base import BackendError, ErrorKind

MAX_DETAIL = 500  # characters of upstream text kept for the log

_CONTEXT_CODES = {
    "context_length_exceeded",
    "exceed_context_size_error",
    "context_window_exceeded",
    "request_too_large",
    "string_above_max_length",
}
_FILTER_CODES = {
    "content_filter",
    "content_policy_violation",
    "contentpolicyviolation",
    "responsibleaipolicyviolation",
    "content_filtered",
    "moderation_blocked",
}
_RATE_CODES = {
    "rate_limit_error",
    "rate_limit_exceeded",
    "rate_limited",
    "resource_exhausted",
    "throttling_error",
    "too_many_requests",
    "tokens_per_minute_exceeded",
}
_QUOTA_CODES = {
    "insufficient_quota",
    "billing_error",
    "billing_hard_limit_reached",
    "billing_not_active",
    "insufficient_balance",
    "insufficient_credits",
    "payment_required",
}
_AUTH_CODES = {"invalid_api_key", "api_key_invalid", "authentication_error", "permission_error"}
_MISSING_CODES = {"model_not_found", "not_found_error", "notfounderror"}

_CONTEXT_WORDS = re.compile(
    r"maximum context length|context (length|window|size)|prompt is too long"
    r"|input is too long|too many (input )?tokens|token count .{0,60}exceeds"
    r"|exceeds? .{0,40}\bcontext\b|longer than the (model|maximum)"
    r"|tokens.{0,40} must be <= \d+|must have less than \d+ tokens",  # TGI
    re.IGNORECASE,
)
_FILTER_WORDS = re.compile(
    r"content (management )?policy|content filter|flagged by|was filtered|safety system",
    re.IGNORECASE,
)
_QUOTA_WORDS = re.compile(r"credit balance is too low|exceeded your current quota", re.IGNORECASE)
_AUTH_WORDS = re.compile(r"api key not valid|api key expired", re.IGNORECASE)


def response_error(status: int, headers: Mapping[str, str], body: bytes) -> BackendError:
    """The error a response that is not a usable 2xx stands for.

    `headers` must find their names in lower case (httpx.Headers finds any case).
    """
    if 300 <= status < 400:
        location = headers.get("location", "")
        return BackendError(ErrorKind.REDIRECT, clean(f"to {location}")[:MAX_DETAIL], status=status)
    if 200 <= status < 300:
        return BackendError(ErrorKind.EMPTY, f"HTTP {status} without an answer", status=status)
    text = body.decode("utf-8", "replace").strip()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    message, codes = _read(content)
    kind = _kind(status, codes, message or text)
    return BackendError(
        kind,
        clean(message or text)[:MAX_DETAIL],
        status=status,
        retry_after=_retry_after(headers, content),
    )


def stream_error(content: Any) -> BackendError:
    """The error an object inside a successful response stands for."""
    message, codes = _read(content)
    if codes & _CONTEXT_CODES:
        kind = ErrorKind.CONTEXT_LENGTH
    elif codes & _FILTER_CODES:
        kind = ErrorKind.CONTENT_FILTER
    elif codes & _QUOTA_CODES:
        kind = ErrorKind.QUOTA
    elif codes & (_RATE_CODES | {"429"}):
        kind = ErrorKind.RATE_LIMITED
    else:
        kind = ErrorKind.UPSTREAM
    return BackendError(
        kind,
        clean(message or _excerpt(content))[:MAX_DETAIL],
        retry_after=_retry_after({}, content),
    )


def _kind(status: int, codes: set[str], text: str) -> ErrorKind:
    if codes & _FILTER_CODES:
        return ErrorKind.CONTENT_FILTER
    if status == 413 or codes & _CONTEXT_CODES:
        return ErrorKind.CONTEXT_LENGTH
    if status == 402 or codes & _QUOTA_CODES:
        return ErrorKind.QUOTA
    if status == 429:
        return ErrorKind.QUOTA if _QUOTA_WORDS.search(text) else ErrorKind.RATE_LIMITED
    if status == 408 or status >= 500:
        return ErrorKind.UNAVAILABLE
    if status in (400, 422):
        if _CONTEXT_WORDS.search(text):
            return ErrorKind.CONTEXT_LENGTH
        if _FILTER_WORDS.search(text):
            return ErrorKind.CONTENT_FILTER
        if _QUOTA_WORDS.search(text):
            return ErrorKind.QUOTA
        if codes & _AUTH_CODES or _AUTH_WORDS.search(text):
            return ErrorKind.AUTHENTICATION
        if codes & _MISSING_CODES:
            return ErrorKind.NOT_FOUND
    if status in (401, 403):
        return ErrorKind.AUTHENTICATION
    if status == 404:
        return ErrorKind.NOT_FOUND
    return ErrorKind.BAD_REQUEST


def _read(content: Any) -> tuple[str, set[str]]:
    """The message and every type or code found, in lower case, at any of the usual places."""
    message = ""
    codes: set[str] = set()
    for part in _parts(content):
        for key in ("code", "type", "status", "reason"):
            value = part.get(key)
            if isinstance(value, str | int):
                codes.add(str(value).lower())
        if not message:
            for key in ("message", "detail", "error"):
                value = part.get(key)
                if isinstance(value, str):
                    message = value
                    break
                if key == "detail" and value:
                    message = _excerpt(value)
                    break
    if isinstance(content, str):
        message = content
    return message, codes


def _excerpt(content: Any) -> str:
    try:
        return json.dumps(content)
    except RecursionError:
        return "nested too deeply to show"


def _parts(content: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """The error object, outermost first: Gemini wraps it in a list, Azure nests an inner one."""
    if isinstance(content, list):
        for item in content[:10]:
            yield from _parts(item, depth + 1)
    elif isinstance(content, dict) and depth < 5:
        yield content
        for key in ("error", "innererror", "details"):
            yield from _parts(content.get(key), depth + 1)


def _retry_after(headers: Mapping[str, str], content: Any) -> float | None:
    """Seconds to wait, from `retry-after-ms`, `Retry-After` (RFC 9110, 10.2.3: seconds or a date)
    or Google's RetryInfo in the body."""
    seconds = _number(headers.get("retry-after-ms"))
    if seconds is not None:
        return seconds / 1000
    value = headers.get("retry-after")
    if value:
        seconds = _number(value)
        if seconds is None:
            try:
                seconds = max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
            except (ValueError, OverflowError):
                seconds = None
        return seconds
    for part in _parts(content):
        delay = part.get("retryDelay")
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1])
    return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
