"""Which failures are worth another request, and how long to wait before it."""

from __future__ import annotations

import random

from arena.backends.base import BackendError, ErrorKind

MAX_ATTEMPTS = 8  # requests for one sample, over all the workers that have had it
FIRST_DELAY = 0.5  # seconds; doubles with each attempt
LONGEST_DELAY = 30.0  # seconds
LONGEST_RETRY_AFTER = 120.0  # seconds: a server that asks for hours is not waited for

RETRYABLE = frozenset(
    {
        ErrorKind.CONNECT,
        ErrorKind.RATE_LIMITED,
        ErrorKind.UNAVAILABLE,
        ErrorKind.EMPTY,  # with a status: a success without a body
        ErrorKind.FIRST_TOKEN_TIMEOUT,
        ErrorKind.STALLED,
        ErrorKind.TOTAL_TIMEOUT,
        ErrorKind.DISCONNECTED,
        ErrorKind.PROTOCOL,
        ErrorKind.UPSTREAM,
    }
)
# What the item, not the endpoint, is to blame for: never counted against the endpoint.
OF_THE_ITEM = frozenset({ErrorKind.CONTEXT_LENGTH})


def is_an_answer(error: BackendError) -> bool:
    """The model did answer: with nothing, or its provider declined. Both are scored."""
    if error.kind is ErrorKind.EMPTY:
        return error.status is None
    return error.kind is ErrorKind.CONTENT_FILTER


def delay(attempts: int, retry_after: float | None, chance: random.Random) -> float:
    """Seconds until the next request after `attempts` of them.

    Full jitter (Brooker, Exponential Backoff and Jitter, AWS Architecture Blog, 2015); never
    before the moment the server named, and a little after it, as all others wait for it as well.
    """
    drawn = chance.uniform(0, min(LONGEST_DELAY, FIRST_DELAY * 2 ** (attempts - 1)))
    if retry_after is None:
        return drawn
    return min(retry_after, LONGEST_RETRY_AFTER) + min(drawn, 1.0)
