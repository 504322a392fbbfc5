"""A file of votes in whatever format it is: opened, recognised, read once from end to end."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Protocol

from leaderboard.formats import (
    arena,
    arena_55k,
    arena_100k,
    arena_140k,
    autoarena,
    comparia,
    fastchat_battles,
    fastchat_log,
    lmsys_33k,
    openwebui,
    plain,
)
from leaderboard.formats.records import Reading
from leaderboard.formats.source import Head, Source, UnknownFormat


class Format(Protocol):
    """What a module of this package must have to be a format."""

    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    def sniff(self, head: Head) -> bool: ...
    def read(self, source: Source) -> Iterator[Reading]: ...


# The first that recognises a file reads it, so those that ask for more come first.
FORMATS: tuple[Format, ...] = (
    arena,
    lmsys_33k,
    arena_55k,
    arena_100k,
    arena_140k,
    comparia,
    openwebui,
    autoarena,
    fastchat_battles,
    fastchat_log,
    plain,
)
BY_NAME = {format.name: format for format in FORMATS}


class VoteFile:
    """The votes of one open file, to iterate over once.

    `format` is the name of its format, `unit` what the lines of BadRow and Skipped count ("line",
    or "item" of a JSON array). `done` of `total` bytes have been taken from the file, as it lies on
    the disk; `total` is None where the stream does not say.
    """

    def __init__(
        self,
        format: Format,
        source: Source,
        votes: Iterator[Reading],
        *,
        total: int | None,
        opened: contextlib.ExitStack,
    ) -> None:
        self.format = format.name
        self.title = format.title
        self.unit = source.unit
        self.total = total
        self._source = source
        self._votes = votes
        self._opened = opened

    @property
    def done(self) -> int:
        return self._source.done

    @property
    def line(self) -> int:
        """Where the reading given last stands, in `unit`."""
        return self._source.line

    def __iter__(self) -> Iterator[Reading]:
        return self._votes

    def __enter__(self) -> VoteFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes what open_votes opened; a stream that was handed in stays open."""
        self._opened.close()


def open_votes(
    file: str | Path | IO[bytes],
    *,
    format: str | None = None,
    responses: Iterable[IO[bytes]] = (),
) -> VoteFile:
    """The votes of a path or a stream of bytes, gzip or not, in the named or the sniffed format.

    `responses` are AutoArena's tables of responses. Raises UnknownFormat, and OSError for a path
    that cannot be opened. What is wrong with a row comes as a BadRow when its turn is.
    """
    if format is not None and format not in BY_NAME:
        raise UnknownFormat(f"no format {format!r}; there are {', '.join(BY_NAME)}")
    with contextlib.ExitStack() as opened:
        if isinstance(file, (str, Path)):
            stream: IO[bytes] = opened.enter_context(Path(file).open("rb", buffering=0))
        else:
            stream = file
        total = _size(stream)
        source = Source(stream)
        chosen = BY_NAME[format] if format else _sniffed(source)
        if chosen is BY_NAME[autoarena.name]:
            votes = autoarena.read(source, responses)
        else:
            votes = chosen.read(source)
        return VoteFile(chosen, source, votes, total=total, opened=opened.pop_all())


def _sniffed(source: Source) -> Format:
    for candidate in FORMATS:
        if candidate.sniff(source.head):
            return candidate
    if not source.head.fields:
        raise UnknownFormat(f"no JSON object in it ({source.first_trouble or 'it has no rows'})")
    columns = ", ".join(sorted(source.head.fields)[:20])
    raise UnknownFormat(f"no known vote format has these columns: {columns}")


def _size(stream: IO[bytes]) -> int | None:
    """Bytes from here to the end, if the stream can say."""
    try:
        here = stream.tell()
        end = stream.seek(0, io.SEEK_END)
        stream.seek(here)
    except (AttributeError, OSError, ValueError):
        return None
    return end - here
