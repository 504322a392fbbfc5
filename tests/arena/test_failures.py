"""The table of failures, against what the arena promises for each."""

from __future__ import annotations

import pytest

from arena.backends.base import BackendError, ErrorKind
from arena.failures import ANSWERED, CANCELLED, NEUTRAL, TABLE, Health, Then, rule_for


def test_every_kind_of_error_has_a_row():
    assert set(TABLE) == set(ErrorKind)


def test_outcomes_fit_beside_the_kinds_of_errors():
    assert not {ANSWERED, CANCELLED} & set(ErrorKind)
    assert set(NEUTRAL) == {CANCELLED, ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER}


def test_a_certificate_that_is_not_trusted_is_never_tried_again():
    for kind in (ErrorKind.TLS, ErrorKind.REDIRECT, ErrorKind.BLOCKED_ADDRESS):
        assert not TABLE[kind].retried
        assert TABLE[kind].health is Health.UNTIL_ADMIN


@pytest.mark.parametrize("kind", [ErrorKind.CONTEXT_LENGTH, ErrorKind.CONTENT_FILTER])
def test_what_the_question_causes_is_not_held_against_the_endpoint(kind):
    rule = TABLE[kind]
    assert rule.then in (Then.TOO_LONG, Then.DECLINED)
    assert rule.health is Health.UNTOUCHED


def test_who_says_when_to_come_back_is_not_asked_before():
    busy = rule_for(BackendError(ErrorKind.UNAVAILABLE, retry_after=20))
    assert (busy.health, busy.retried) == (Health.PAUSED, False)
    down = rule_for(BackendError(ErrorKind.UNAVAILABLE))
    assert (down.health, down.retried) == (Health.COUNTED, True)
