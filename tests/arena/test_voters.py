from __future__ import annotations

import pytest
from django.core.signing import Signer
from django.http import HttpResponse
from django.test import RequestFactory

from arena import voters
from arena.models import Voter


def visit(cookies=None):
    """The response to a page view by a browser with these cookies."""
    request = RequestFactory().get("/")
    request.COOKIES.update(cookies or {})
    response = HttpResponse()
    voters.give_cookie(request, response)
    return response


def cookie_of_a_stranger():
    return {voters.COOKIE: visit().cookies[voters.COOKIE].value}


def test_a_stranger_gets_a_cookie_that_identifies_the_browser():
    cookies = cookie_of_a_stranger()
    key = voters.key_from(cookies)
    assert key is not None
    assert len(key) == 32
    assert voters.key_from(cookie_of_a_stranger()) != key


def test_the_cookie_is_out_of_reach_of_scripts_and_of_other_sites(settings):
    settings.VOTER_COOKIE_SECURE = True
    cookie = visit().cookies[voters.COOKIE]
    assert (cookie["httponly"], cookie["samesite"], cookie["secure"]) == (True, "Lax", True)


def test_a_known_browser_keeps_its_cookie():
    assert voters.COOKIE not in visit(cookie_of_a_stranger()).cookies


@pytest.mark.parametrize(
    "forged",
    [
        "",
        "no signature",
        "0" * 32,
        "0" * 32 + ":" + "A" * 43,
        Signer().sign("0" * 32),  # ours, but made for something else
        Signer(key="somebody else's secret", salt="arena.voter").sign("0" * 32),
    ],
)
def test_a_forged_cookie_is_a_stranger(forged):
    assert voters.key_from({voters.COOKIE: forged}) is None
    assert voters.COOKIE in visit({voters.COOKIE: forged}).cookies


def test_a_changed_cookie_is_a_stranger():
    value = cookie_of_a_stranger()[voters.COOKIE]
    other = ("1" if value[0] == "0" else "0") + value[1:]
    assert voters.key_from({voters.COOKIE: other}) is None


@pytest.mark.django_db
def test_a_voter_exists_from_the_first_battle_on():
    cookies = cookie_of_a_stranger()
    assert voters.find(cookies) is None
    voter = voters.ensure(voters.key_from(cookies))
    assert voters.find(cookies) == voter
    assert voters.ensure(voter.key) == voter
    assert Voter.objects.count() == 1


@pytest.mark.django_db
def test_a_key_read_from_the_database_opens_nothing():
    voter = voters.ensure(voters.key_from(cookie_of_a_stranger()))
    assert voters.find({voters.COOKIE: voter.key}) is None
