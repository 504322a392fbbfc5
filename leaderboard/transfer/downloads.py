"""A file of votes fetched from the web, into a temporary file and from public addresses only."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from arena.backends.base import BackendError
from arena.backends.guard import AddressPolicy
from arena.backends.transport import (
    NETWORK_ERRORS,
    Check,
    connection_error,
    open_client,
)

MAX_BYTES = 4 << 30
TIMEOUT = 30.0  # seconds without a byte
Progress = Callable[[int, int | None], None]
"""Bytes so far, and of all where the server says."""


class DownloadFailed(Exception):
    """The file could not be had; the text says why."""


@contextlib.contextmanager
def downloaded(
    url: str,
    *,
    on_progress: Progress | None = None,
    max_bytes: int = MAX_BYTES,
    check: Check = AddressPolicy.check,
    ssl_context: ssl.SSLContext | None = None,
) -> Iterator[Path]:
    """The file at an https address, deleted when the block ends. Raises DownloadFailed.

    Data sets lie behind redirects, so they are followed; each address on the way meets the same
    policy as a model's endpoint, at the moment of connecting.
    """
    with tempfile.TemporaryDirectory(prefix="arena-import-") as folder:
        path = Path(folder) / "votes"
        asyncio.run(_download(url, path, on_progress, max_bytes, check, ssl_context))
        yield path


async def _download(
    url: str,
    path: Path,
    on_progress: Progress | None,
    max_bytes: int,
    check: Check,
    ssl_context: ssl.SSLContext | None,
) -> None:
    client = open_client("httpx", check=check, ssl_context=ssl_context)
    client.event_hooks = {"request": [_refuse_unclear]}
    by_hand = "Download it by hand and import the file."
    try:
        async with (
            client,
            client.stream("GET", url, follow_redirects=True, timeout=TIMEOUT) as response,
        ):
            if response.status_code != httpx.codes.OK:
                raise DownloadFailed(f"The server answers {response.status_code}. {by_hand}")
            await _write(response, path, on_progress, max_bytes)
    except BackendError as error:
        raise DownloadFailed(f"Not fetched: {error.detail or error}. {by_hand}") from None
    except NETWORK_ERRORS as error:
        failure = connection_error(error)
        raise DownloadFailed(f"Not fetched ({failure.kind.value}): {error}. {by_hand}") from None


async def _write(
    response: httpx.Response, path: Path, on_progress: Progress | None, max_bytes: int
) -> None:
    stated = response.headers.get("content-length", "")
    total = int(stated) if stated.isdecimal() else None
    too_large = f"The file is larger than {max_bytes >> 20} MB."
    if total is not None and total > max_bytes:
        raise DownloadFailed(too_large)
    done = 0
    with path.open("wb") as file:
        # Raw: what a server compresses on the way is a gzip file, which the reader knows.
        async for chunk in response.aiter_raw():
            done += len(chunk)
            if done > max_bytes:
                raise DownloadFailed(too_large)
            file.write(chunk)
            if on_progress is not None:
                on_progress(done, total)
    if total is not None and done != total:
        raise DownloadFailed(f"The connection broke after {done} of {total} bytes.")


async def _refuse_unclear(request: httpx.Request) -> None:
    """Raises DownloadFailed for every hop that is not plain https to a clear host."""
    if request.url.scheme != "https":
        raise DownloadFailed(f"{request.url} is not an https address.")
    AddressPolicy().trusts(str(request.url))
