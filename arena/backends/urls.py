"""Addresses of endpoints, read by one parser only: httpx's."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

from arena.backends.base import BackendError, ErrorKind


def join(
    base_url: str, path: str, *, prefix: str = "", query: Mapping[str, str] | None = None
) -> str:
    """`prefix` and `path` appended to the path of `base_url`.

    The prefix is left out where the base ends with it already ("…/v1"), so that both ways of
    writing a base are understood. A query of the base is kept: Azure's has the API version.
    Raises BackendError(BLOCKED_ADDRESS) for what is not a URL.
    """
    base = parse(base_url)
    root = base.path.rstrip("/")
    if prefix and not root.endswith(prefix):
        root += prefix
    url = base.copy_with(path=root + path, fragment=None)
    return str(url.copy_merge_params(dict(query)) if query else url)


def host_of(url: str) -> str:
    """The host in lower case, without a trailing dot."""
    return parse(url).host.lower().rstrip(".")


def parse(url: str) -> httpx.URL:
    """Raises BackendError(BLOCKED_ADDRESS) for what is not a URL."""
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise BackendError(ErrorKind.BLOCKED_ADDRESS, f"not a URL: {error}") from error
