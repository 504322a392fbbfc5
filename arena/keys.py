"""API keys at rest: encrypted with the first of ENCRYPTION_KEYS, readable with any of them."""

from __future__ import annotations

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings


class KeyUnreadable(Exception):
    """No key in ENCRYPTION_KEYS opens this value."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])


def encrypt(plain: str) -> str:
    return _fernet().encrypt(plain.encode()).decode() if plain else ""


def decrypt(sealed: str) -> str:
    if not sealed:
        return ""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise KeyUnreadable(
            "a stored API key cannot be read with ENCRYPTION_KEYS: restore the key that wrote it, "
            "or enter the API key again"
        ) from error


def rotate(sealed: str) -> str:
    """The same value encrypted with the first key, so that an old key can be dropped."""
    return _fernet().rotate(sealed.encode()).decode() if sealed else ""
