"""What each failure of an endpoint means: for the side that failed, and for the endpoint's health.

One table for all. Pure: it knows the kinds of errors and nothing of battles or databases.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from arena.backends.base import BackendError, ErrorKind


class Then(StrEnum):
    """What becomes of a side that failed before it had shown any text."""

    REPLACE = "replace"  # another model is drawn in its place
    TOO_LONG = "too_long"  # the battle is void: the text does not fit
    DECLINED = "declined"  # the battle is void, and nobody has lost


class Health(StrEnum):
    """What the failure says about the endpoint."""

    UNTOUCHED = "untouched"  # nothing: another question may well be answered
    COUNTED = "counted"  # one of those that open the breaker when they come together
    OPEN = "open"  # it will not mend by itself; probes find out when it was mended
    UNTIL_ADMIN = "until_admin"  # not to be trusted again before somebody has looked
    PAUSED = "paused"  # it said when to come back


@dataclass(frozen=True, slots=True)
class Rule:
    then: Then
    health: Health
    retried: bool = False  # once, at the same endpoint, before the rest of the rule


_AGAIN = Rule(Then.REPLACE, Health.COUNTED, retried=True)
_MEND = Rule(Then.REPLACE, Health.OPEN)
_DISTRUST = Rule(Then.REPLACE, Health.UNTIL_ADMIN)
_PAUSE = Rule(Then.REPLACE, Health.PAUSED)
_OVERDUE = Rule(Then.REPLACE, Health.COUNTED)  # a second wait as long would be too long

TABLE: Mapping[ErrorKind, Rule] = {
    ErrorKind.CONNECT: _AGAIN,
    ErrorKind.TLS: _DISTRUST,
    ErrorKind.BLOCKED_ADDRESS: _DISTRUST,
    ErrorKind.REDIRECT: _DISTRUST,
    ErrorKind.AUTHENTICATION: _MEND,
    ErrorKind.NOT_FOUND: _MEND,
    ErrorKind.BAD_REQUEST: _MEND,
    ErrorKind.QUOTA: _MEND,
    ErrorKind.CONTEXT_LENGTH: Rule(Then.TOO_LONG, Health.UNTOUCHED),
    ErrorKind.CONTENT_FILTER: Rule(Then.DECLINED, Health.UNTOUCHED),
    ErrorKind.RATE_LIMITED: _PAUSE,
    ErrorKind.UNAVAILABLE: _AGAIN,
    ErrorKind.EMPTY: _AGAIN,
    ErrorKind.FIRST_TOKEN_TIMEOUT: _OVERDUE,
    ErrorKind.STALLED: _OVERDUE,
    ErrorKind.TOTAL_TIMEOUT: _OVERDUE,
    ErrorKind.DISCONNECTED: _AGAIN,
    ErrorKind.PROTOCOL: _AGAIN,
    ErrorKind.UPSTREAM: _AGAIN,
}

# About one model; the others of the same endpoint may well answer.
OF_THE_MODEL = frozenset({ErrorKind.NOT_FOUND, ErrorKind.BAD_REQUEST})

# Refused before the model began: nobody charges for these.
FREE_OF_CHARGE = frozenset(
    {
        ErrorKind.CONNECT, ErrorKind.TLS, ErrorKind.BLOCKED_ADDRESS, ErrorKind.REDIRECT,
        ErrorKind.AUTHENTICATION, ErrorKind.NOT_FOUND, ErrorKind.BAD_REQUEST, ErrorKind.QUOTA,
        ErrorKind.CONTEXT_LENGTH, ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE,
    }
)  # fmt: skip

# An attempt that was neither answered nor failed: the reader left, or the battle was void already.
CANCELLED = "cancelled"
ANSWERED = "answered"
# An answer that was there, and that moderation blocked.
WITHDRAWN = "withdrawn"
# Outcomes that say nothing about whether the endpoint works.
NEUTRAL = (CANCELLED, *(kind for kind, rule in TABLE.items() if rule.health is Health.UNTOUCHED))


def rule_for(error: BackendError) -> Rule:
    """The row of the table. A server that is busy and says until when is left alone until then."""
    if error.kind is ErrorKind.UNAVAILABLE and error.retry_after is not None:
        return _PAUSE
    return TABLE[error.kind]
