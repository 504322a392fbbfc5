"""Votes of another arena, from a file or an https address, into this one's ratings."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError
from tqdm import tqdm

from leaderboard.formats.vote_file import BY_NAME
from leaderboard.tally import settling
from leaderboard.transfer.importing import (
    UNREADABLE,
    ImportRefused,
    ImportReport,
    OnProgress,
    Progress,
    import_votes,
)


class Command(BaseCommand):
    help = (
        "Import votes: all of the file or, if a row cannot be read, nothing. Importing it again "
        "changes nothing; a file that has grown adds what is new. The format is recognised."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="a file, gzipped or not, or an https address")
        parser.add_argument("--name", help="of the source (default: of the file)")
        parser.add_argument("--format", choices=sorted(BY_NAME), help="if it is not recognised")
        parser.add_argument("--licence", default="", help="of the votes")
        parser.add_argument("--url", default="", help="where the votes come from")
        parser.add_argument("--prefix", default="", help="put before every model's name")
        parser.add_argument(
            "--responses",
            type=Path,
            action="append",
            default=[],
            metavar="FILE",
            help="a table of responses, for AutoArena's numbered head-to-heads; may be repeated",
        )
        parser.add_argument("--skip-bad", action="store_true", help="import the readable rows")
        parser.add_argument("--no-count", action="store_true", help="leave counting to the worker")

    def handle(self, *, file: str, no_count: bool, **options: Any) -> None:
        keys = ("name", "format", "licence", "url", "prefix", "responses", "skip_bad")
        try:
            with progress_bars(self.stderr) as on_progress:
                report = import_votes(
                    file, **{key: options[key] for key in keys}, on_progress=on_progress
                )
        except ImportRefused as refusal:
            raise CommandError(str(refusal)) from None
        for line in summary(report):
            self.stdout.write(line)
        if not no_count:
            self._count(report.imported)

    def _count(self, expected: int) -> None:
        with tqdm(
            total=expected, desc="counting", unit=" votes", file=self.stderr, disable=None
        ) as bar:
            counted = 0
            while settled := settling.settle():
                counted += settled
                bar.update(settled)
        self.stdout.write(f"Counted {counted:,} votes; the next snapshot holds them.")


@contextlib.contextmanager
def progress_bars(stream: Any) -> Iterator[OnProgress]:
    """A bar of bytes for each phase, one after the other."""
    bars: dict[str, Any] = {}

    def show(progress: Progress) -> None:
        if progress.phase not in bars:
            for bar in bars.values():
                bar.close()
            bars[progress.phase] = tqdm(
                total=progress.total,
                desc=progress.phase,
                unit="B",
                unit_scale=True,
                file=stream,
                disable=None,
            )
        bar = bars[progress.phase]
        bar.update(progress.done - bar.n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


def summary(report: ImportReport) -> Iterator[str]:
    yield (
        f"{report.source} ({report.format}): {report.rows:,} rows read, "
        f"{report.imported:,} votes imported, {report.known:,} already there."
    )
    for reason, number in sorted(report.skipped.items()):
        if number:
            yield f"Skipped {number:,}: {reason}."
        if reason == UNREADABLE:
            yield from (f"  {bad}" for bad in report.bad)
    if report.imported or report.known:
        yield f"Models: {len(report.models_new):,} new, {len(report.models_known):,} known."
