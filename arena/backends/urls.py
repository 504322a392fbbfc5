"""Addresses of endpoints, read by one parser only: httpx's."""

from __future__ import annotations

import re
from collections.abc import Mapping

import httpx

from arena.backends.base import BackendError, ErrorKind

# What parsers read differently, or repair silently: httpx would write %20 for a space in a host.
_SUSPECT = re.compile("[\x00-\x20\x7f\\\\\u3002\uff0e\uff61]")


def join(
    base_url: str, path: str, *, prefix: str = "", query: Mapping[str, str] | None = None
) -> str:
    """`prefix` and `path`, percent-encoded, appended to the path of `base_url`.

    The prefix is left out where the base ends with it already ("…/v1"), so that both ways of
    writing a base are understood. A query of the base is kept: Azure's has the API version.
    Raises BackendError(BLOCKED_ADDRESS) for what is not a URL.
    """
    base = parse(base_url)
    # the raw path: decoding would turn %2F into a separator and %0A into a line end
    root, mark, parameters = base.raw_path.decode("ascii").partition("?")
    root = root.rstrip("/")
    if prefix and not root.endswith(prefix):
        root += prefix
    url = base.copy_with(raw_path=f"{root}{path}{mark}{parameters}".encode(), fragment=None)
    return str(url.copy_merge_params(dict(query)) if query else url)


def host_of(url: str) -> str:
    """The host in lower case and ASCII ("xn--…" for other letters), without a trailing dot."""
    return parse(url).raw_host.decode("ascii").lower().rstrip(".")


def parse(url: str) -> httpx.URL:
    """Raises BackendError(BLOCKED_ADDRESS) for what is not a URL, or not one to every parser."""
    if _SUSPECT.search(url):
        raise BackendError(
            ErrorKind.BLOCKED_ADDRESS, "white space, a backslash or an odd dot in the URL"
        )
    try:
        return httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise BackendError(ErrorKind.BLOCKED_ADDRESS, f"not a URL: {error}") from error
