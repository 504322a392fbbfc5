"""Validators of settings. Each says what would be right; `environs` puts the name before it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import dj_database_url
from cryptography.fernet import Fernet
from environs import ValidationError

from arena.backends.guard import AddressPolicy

_HOST = re.compile(r"\.?[a-z0-9]([a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:]+\]", re.IGNORECASE)


def long_secret(value: str) -> None:
    """What Django's own deployment check asks of SECRET_KEY."""
    if len(value) < 50 or len(set(value)) < 5 or value.startswith("django-insecure-"):
        raise ValidationError("Must be at least 50 random characters.")


def fernet_keys(values: Sequence[str]) -> None:
    for position, value in enumerate(values, start=1):
        try:
            Fernet(value)
        except ValueError as error:
            # The value itself stays out of the message: it may be a key with a slip in it.
            raise ValidationError(
                f"Key {position} is not a Fernet key (32 bytes in URL-safe base64)."
            ) from error


def json_object(value: object) -> None:
    if not isinstance(value, dict):
        raise ValidationError("Must be a JSON object.")


def text_file(path: Path) -> None:
    try:
        path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise ValidationError("Must be a text file in UTF-8 that can be read.") from error


def only_demo(demo: bool) -> Callable[[bool], None]:
    def check(value: bool) -> None:
        if value and not demo:
            raise ValidationError("Shows settings to visitors: only ARENA_PROFILE=demo may.")

    return check


def host_names(values: Sequence[str]) -> None:
    """No `*`: the check of a WebSocket's origin rests on these names."""
    for value in values:
        if not _HOST.fullmatch(value):
            raise ValidationError(
                f"{value!r} is no host name. Names without scheme or port, separated by commas."
            )


def origins(values: Sequence[str]) -> None:
    for value in values:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.netloc or parts.path:
            raise ValidationError(f"{value!r} is no origin such as https://arena.example.org.")


def host_ports(values: Sequence[str]) -> None:
    try:
        AddressPolicy(values)
    except ValueError as error:
        raise ValidationError(f"Wrong entry: {error}.") from error


def database_url(value: str) -> None:
    """PostgreSQL or SQLite; empty is the default. The value may hold a password: never shown."""
    if not value:
        return
    if urlsplit(value).scheme not in ("postgres", "postgresql", "sqlite"):
        raise ValidationError("Must begin with postgres:// or sqlite:///.")
    try:
        dj_database_url.parse(value)
    except dj_database_url.ParseError as error:
        raise ValidationError(
            "Must look like postgres://user:password@host:port/name; "
            "special characters in the password are %-encoded."
        ) from error


def redis_url(value: str) -> None:
    parts = urlsplit(value)
    if value and not (
        (parts.scheme in ("redis", "rediss") and parts.hostname)
        or (parts.scheme == "redis+socket" and parts.path)
    ):
        raise ValidationError("Must look like redis://[user:password@]host[:port]/number.")
