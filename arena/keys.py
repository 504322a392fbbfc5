"""API keys at rest: encrypted with the first of ENCRYPTION_KEYS, readable with any of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class KeyUnreadable(Exception):
    """No key in ENCRYPTION_KEYS opens this value."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def encrypt(plain: str) -> str:
    return _fernet().encrypt(plain.encode()).decode() if plain else ""


def decrypt(sealed: str) -> str:
    """Raises KeyUnreadable."""
    if not sealed:
        return ""
    with _readable():
        return _fernet().decrypt(sealed.encode()).decode()


def rotate(sealed: str) -> str:
    """The same value sealed with the first key, so that an old one can be dropped.

    Raises KeyUnreadable.
    """
    if not sealed:
        return ""
    with _readable():
        return _fernet().rotate(sealed.encode()).decode()


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except InvalidToken as error:
        raise KeyUnreadable(
            "a stored API key cannot be read with ENCRYPTION_KEYS: restore the key that wrote it, "
            "or enter the API key again"
        ) from error
