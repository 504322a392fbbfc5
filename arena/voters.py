"""Who is asking: a random key in a signed cookie, a row only once somebody starts a battle.

Not a Django session: a page view then costs no query, and a copy of the database opens no
battle, because the key in it must still be signed.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from django.conf import settings
from django.core.signing import BadSignature, Signer
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from arena.models import Voter
from arena.refusals import Refused

COOKIE = "arena_voter"
YEAR = 365 * 24 * 3600

_signer = Signer(salt="arena.voter")


def key_from(cookies: Mapping[str, str]) -> str | None:
    """The voter's key, or None when the cookie is missing or not ours."""
    try:
        return _signer.unsign(cookies.get(COOKIE, ""))
    except BadSignature:
        return None


def give_cookie(request: HttpRequest, response: HttpResponseBase) -> None:
    """Make a stranger known. The cookie is for this site alone and no script can read it."""
    if key_from(request.COOKIES) is None:
        response.set_cookie(
            COOKIE,
            _signer.sign(secrets.token_hex(16)),
            max_age=YEAR,
            httponly=True,
            samesite="Lax",
            secure=settings.VOTER_COOKIE_SECURE,
        )


def find(cookies: Mapping[str, str]) -> Voter | None:
    key = key_from(cookies)
    return Voter.objects.filter(key=key).first() if key else None


def ensure(key: str) -> Voter:
    """The row of a known key, made on its first battle or upload."""
    return Voter.objects.get_or_create(key=key)[0]


def accept_terms(*, voter: Voter, version: str) -> None:
    """Remember which terms a voter has agreed to. They must be those in force."""
    if version != settings.TERMS_VERSION:
        raise Refused(
            "terms_changed", "The terms of use have changed. Please reload the page to see them."
        )
    if voter.consent_version != version:
        voter.consent_version = version
        voter.save(update_fields=["consent_version"])
