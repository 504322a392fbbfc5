"""Votes of other arenas, from a file into the database: all of it or nothing, and only once.

The file is read twice. The first reading touches nothing and finds what is wrong with it; the
second stores it, in one transaction. Both take the rows as a stream, so that a file may be larger
than memory.

A vote is recognised by what its source calls it or, where that has no name for it, by a digest of
what it says and the number of times the file has said it before. So a file imported twice changes
nothing, and one that has grown adds what is new.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.db import transaction
from django.utils.text import slugify

from arena.models import Contestant, Source, Vote
from leaderboard.formats.records import BadRow, Skipped, VoteRecord
from leaderboard.formats.source import UnknownFormat
from leaderboard.formats.vote_file import VoteFile, open_votes
from leaderboard.transfer import downloads, imported_votes
from leaderboard.transfer.downloads import DownloadFailed
from leaderboard.transfer.occurrences import Occurrences

BATCH = 1000
SHOWN = 20  # bad rows named before only their number is told
MAX_EXPANDED = 5_000_000  # votes that added-up rows of one file may stand for
MAX_MODELS = 10_000
MAX_TURNS = 1000
MAX_EXTERNAL_ID = 80
UNREADABLE = "not readable as a vote"
REPEATED_ID = "the id of another vote of the file"


class Progress(NamedTuple):
    """How far an import has come."""

    phase: str  # "fetching", "checking" or "storing"
    done: int  # bytes of the file
    total: int | None  # None where nobody has said


OnProgress = Callable[[Progress], None]


@dataclass
class ImportReport:
    """What became of the rows of one file. `known` are votes that the database had already."""

    source: str
    format: str = ""
    unit: str = "line"
    rows: int = 0
    votes: int = 0
    imported: int = 0
    known: int = 0
    skipped: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    models_new: list[str] = field(default_factory=list)
    models_known: list[str] = field(default_factory=list)

    @property
    def bad_count(self) -> int:
        return self.skipped[UNREADABLE]

    def as_json(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "format": self.format,
            "rows": self.rows,
            "votes": self.votes,
            "imported": self.imported,
            "known": self.known,
            "skipped": {reason: n for reason, n in sorted(self.skipped.items()) if n},
            "bad": self.bad,
            "models_new": self.models_new,
            "models_known": len(self.models_known),
        }


class ImportRefused(Exception):
    """Nothing was imported; the text says why, line by line where rows are to blame."""


def import_votes(
    path_or_url: str | Path,
    *,
    name: str | None = None,
    format: str | None = None,
    licence: str = "",
    url: str = "",
    prefix: str = "",
    responses: Sequence[Path] = (),
    skip_bad: bool = False,
    max_votes: int | None = None,
    on_progress: OnProgress | None = None,
) -> ImportReport:
    """Import a file of votes, gzip or not, or one at an https address.

    `name` is the source's, by default the file's; `prefix` goes before every model's name, for
    sets whose names mean something only among themselves; `responses` are AutoArena's tables.
    A file of more than `max_votes` is refused, for callers who have not all day.
    The votes are then due: `tally.settle_all` counts them. Raises ImportRefused.
    """
    if isinstance(path_or_url, str) and "://" in path_or_url:
        address = urlsplit(path_or_url)
        name = name or source_name(address.path)
        # What stands behind the path may be a token.
        url = url or f"{address.scheme}://{address.hostname}{address.path}"
        opening: AbstractContextManager[Path] = _fetched(path_or_url, on_progress)
    else:
        name = name or source_name(str(path_or_url))
        opening = contextlib.nullcontext(Path(path_or_url))
    if not name or name != slugify(name) or len(name) > 60:
        raise ImportRefused(
            f"{name!r} cannot name a source: small letters, digits and hyphens, 60 at most."
        )
    with opening as path:
        reader = _Reader(path, format=format, responses=responses, prefix=prefix)
        report = _check(
            reader, name, skip_bad=skip_bad, max_votes=max_votes, on_progress=on_progress
        )
        if not report.votes:
            return report
        return _store(
            reader,
            name,
            source={"licence": licence, "url": url if len(url) <= 200 else ""},
            skip_bad=skip_bad,
            on_progress=on_progress,
        )


def source_name(path: str) -> str:
    """ "wmt16_ron-eng.csv.gz" → "wmt16-ron-eng"."""
    stem = re.sub(r"(\.(csv|tsv|jsonl?|txt|gz))+$", "", Path(path).name, flags=re.IGNORECASE)
    return slugify(re.sub(r"[_.]+", "-", stem))[:60].strip("-")


@contextlib.contextmanager
def _fetched(url: str, on_progress: OnProgress | None) -> Iterator[Path]:
    def progress(done: int, total: int | None) -> None:
        if on_progress is not None:
            on_progress(Progress("fetching", done, total))

    with contextlib.ExitStack() as stack:
        try:
            path = stack.enter_context(downloads.downloaded(url, on_progress=progress))
        except DownloadFailed as error:
            raise ImportRefused(str(error)) from None
        yield path


@dataclass(frozen=True, slots=True)
class Item:
    """A vote to store, under its name within its source."""

    external_id: str
    record: VoteRecord


class _Reader:
    """The items of one file, as often as asked for, always the same ones."""

    def __init__(
        self, path: Path, *, format: str | None, responses: Sequence[Path], prefix: str
    ) -> None:
        self._path = path
        self._format = format
        self._responses = responses
        self._prefix = prefix

    def read(
        self, report: ImportReport, phase: str, on_progress: OnProgress | None
    ) -> Iterator[Item]:
        """Counts into `report` what it gives and what it leaves out. Raises ImportRefused."""
        with contextlib.ExitStack() as opened:
            try:
                tables = [opened.enter_context(path.open("rb")) for path in self._responses]
                file = opened.enter_context(
                    open_votes(self._path, format=self._format, responses=tables)
                )
            except (UnknownFormat, OSError) as error:
                raise ImportRefused(f"{self._path.name}: {error}") from None
            report.format, report.unit = file.format, file.unit
            seen = opened.enter_context(Occurrences())
            for item in self._items(file, report, seen):
                if on_progress is not None and report.votes % BATCH == 0:
                    on_progress(Progress(phase, file.done, file.total))
                report.votes += 1
                yield item
            if on_progress is not None:
                on_progress(Progress(phase, file.done, file.total))

    def _items(self, file: VoteFile, report: ImportReport, seen: Occurrences) -> Iterator[Item]:
        line = expanded = 0
        for reading in file:
            at = reading.line if isinstance(reading, BadRow | Skipped) else file.line
            report.rows += at != line
            line = at
            if isinstance(reading, Skipped):
                report.skipped[reading.reason] += 1
                continue
            if isinstance(reading, VoteRecord):
                record = imported_votes.renamed(reading, self._prefix)
                reason = _unfit(record)
            else:
                reason = reading.reason
            if reason:
                report.skipped[UNREADABLE] += 1
                if len(report.bad) < SHOWN:
                    report.bad.append(f"{file.unit} {at}: {reason}")
                continue
            expanded += record.count - 1
            if expanded > MAX_EXPANDED:
                raise ImportRefused(
                    f"{file.unit} {at}: the rows up to here stand for more than {MAX_EXPANDED:,} "
                    "votes by their counts. Divide the file."
                )
            yield from _named(record, seen, report)


def _unfit(record: VoteRecord) -> str:
    """Why a vote that was read cannot be stored; "" if it can."""
    longest = Contestant._meta.get_field("name").max_length or 0
    for model in (record.model_a, record.model_b):
        if len(model) > longest:
            return f"a model's name of more than {longest} characters: {model[:40]!r}…"
    if max(record.turns, len(record.turn_messages)) > MAX_TURNS:
        return f"more than {MAX_TURNS} turns"
    exclusion = record.extra.get("exclusion_reason")
    if exclusion and exclusion not in (*Vote.Exclusion.values, *Vote.Status.values):
        return f"exclusion_reason: {str(exclusion)[:40]!r} is unknown here"
    return ""


def _named(record: VoteRecord, seen: Occurrences, report: ImportReport) -> Iterator[Item]:
    """The record as often as it counts, each time under a name of its own."""
    if not record.external_id:
        digest = _digest(record)
        for _ in range(record.count):
            occurrence = seen.add(digest)
            yield Item(hashlib.sha256(b"%b/%d" % (digest, occurrence)).hexdigest(), record)
        return
    for number in range(1, record.count + 1):
        name = record.external_id if record.count == 1 else f"{record.external_id}#{number}"
        if len(name) > MAX_EXTERNAL_ID:
            name = hashlib.sha256(name.encode()).hexdigest()
        if seen.add(name.encode()) > 1:
            report.skipped[REPEATED_ID] += 1
        else:
            yield Item(name, record)


def _digest(record: VoteRecord) -> bytes:
    """Of all that the row says but how often it counts: a sum that has grown adds its growth."""
    content = [
        *(record.model_a, record.model_b, record.winner, record.judge),
        record.timestamp.isoformat() if record.timestamp else "",
        *(record.language, record.turns, record.turn_messages, record.anonymous),
        *(record.pair_probability, dict(record.extra)),
    ]
    return hashlib.sha256(
        json.dumps(content, sort_keys=True, separators=(",", ":"), default=str).encode()
    ).digest()


def _check(
    reader: _Reader,
    name: str,
    *,
    skip_bad: bool,
    max_votes: int | None,
    on_progress: OnProgress | None,
) -> ImportReport:
    """Reads everything and stores nothing. Raises ImportRefused."""
    report = ImportReport(name)
    models: set[str] = set()
    for item in reader.read(report, "checking", on_progress):
        if max_votes is not None and report.votes > max_votes:
            raise ImportRefused(
                f"More than {max_votes:,} votes. Copy the file to the server and use: "
                "manage.py import_votes FILE"
            )
        models.update((item.record.model_a, item.record.model_b))
        if len(models) > MAX_MODELS:
            raise ImportRefused(
                f"More than {MAX_MODELS:,} models: are model_a and model_b the right columns?"
            )
    _refuse_bad(report, skip_bad=skip_bad)
    return report


def _refuse_bad(report: ImportReport, *, skip_bad: bool) -> None:
    if report.bad_count and not skip_bad:
        more = report.bad_count - len(report.bad)
        raise ImportRefused(
            "\n".join(
                [
                    f"{report.bad_count:,} of {report.rows:,} rows cannot be read as votes; "
                    "nothing was imported:",
                    *report.bad,
                    *([f"… and {more:,} more"] if more else []),
                ]
            )
        )


@transaction.atomic
def _store(
    reader: _Reader,
    name: str,
    *,
    source: dict[str, str],
    skip_bad: bool,
    on_progress: OnProgress | None,
) -> ImportReport:
    report = ImportReport(name)
    items = reader.read(report, "storing", on_progress)
    batches = _batches(items, BATCH)
    first = next(batches, [])  # only now is the format known
    row, _ = Source.objects.get_or_create(name=name, defaults={"format": report.format, **source})
    if row.format != report.format:
        raise ImportRefused(
            f"The source {name!r} holds votes in the format {row.format}, not {report.format}: "
            "give this one another name."
        )
    # Held to the end, so that of two imports of one source the second finds what the first stored.
    Source.objects.select_for_update().get(pk=row.pk)
    models = imported_votes.Models()
    for batch in itertools.chain([first], batches):
        stored = imported_votes.store(row, batch, models)
        report.imported += stored
        report.known += len(batch) - stored
    # The file was whole a moment ago. If it is not now, somebody wrote to it.
    _refuse_bad(report, skip_bad=skip_bad)
    report.models_new, report.models_known = models.new, models.known
    return report


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while batch := list(itertools.islice(iterator, size)):
        yield batch
