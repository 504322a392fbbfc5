"""Votes into a file that other tools read, or training data made of them."""

from __future__ import annotations

import contextlib
import datetime
import gzip
import sys
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from django.core.management import BaseCommand, CommandError
from tqdm import tqdm

from leaderboard.transfer.exporting import (
    FORMATS,
    BadFilter,
    Filters,
    Piece,
    count,
    export_votes,
    preview,
    without_text,
)


class Command(BaseCommand):
    help = (
        "Export votes: only those that count unless told otherwise, preference pairs only from "
        "blind votes. Voters are pseudonyms; no address and no voter's key is ever written."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--format", choices=sorted(FORMATS), required=True)
        parser.add_argument("--output", help="a file, compressed if it ends in .gz; - is stdout")
        parser.add_argument("--preview", action="store_true", help="print the first 5 and totals")
        parser.add_argument("--category", default="", metavar="SLUG")
        parser.add_argument("--from", dest="since", type=day, metavar="DATE", help="inclusive, UTC")
        parser.add_argument("--to", dest="until", type=day, metavar="DATE", help="inclusive, UTC")
        parser.add_argument("--turns", default="", metavar="N|multi")
        parser.add_argument("--language", default="", metavar="CODE", help="such as en")
        parser.add_argument(
            "--agreed-only",
            action="store_true",
            help="the same prompts and models, judged at least twice and always alike",
        )
        parser.add_argument(
            "--licence",
            dest="licences",
            action="append",
            default=[],
            metavar="TEXT",
            help="which both models must have; may be repeated",
        )
        parser.add_argument(
            "--include-excluded", action="store_true", help="also excluded and held votes"
        )

    def handle(self, *, format: str, output: str | None, **options: Any) -> None:
        try:
            filters = self._filters(**options)
            if options["preview"]:
                found = preview(format=format, filters=filters)
                self.stdout.write(found.beginning, ending="")
                left_out = _left_out(found.without_text)
                self.stdout.write(f"{found.votes:,} votes of {found.seen:,} looked at.{left_out}")
                return
            if not output:
                raise CommandError("--output FILE, or --preview.")
            with self._progress(filters, format) as show, opened(output) as stream:
                total = export_votes(stream, format=format, filters=filters, on_progress=show)
                left_out = _left_out(without_text(filters, format=format))
        except BadFilter as error:
            raise CommandError(str(error)) from None
        except OSError as error:
            raise CommandError(f"{output}: {error.strerror}") from None
        self.stderr.write(f"{total.votes:,} votes, {total.rows:,} rows.{left_out}")

    def _filters(self, *, turns: str, licences: list[str], **options: Any) -> Filters:
        if turns and turns != "multi" and not (turns.isdecimal() and int(turns) > 0):
            raise BadFilter(f"--turns: {turns!r} is neither a number nor multi.")
        until = options["until"]
        return Filters(
            category=options["category"],
            since=options["since"],
            until=until + datetime.timedelta(days=1) if until else None,
            turns=int(turns) if turns.isdecimal() else None,
            multi_turn=turns == "multi",
            language=options["language"],
            licences=tuple(licences),
            agreed_only=options["agreed_only"],
            include_excluded=options["include_excluded"],
        )

    @contextlib.contextmanager
    def _progress(self, filters: Filters, format: str) -> Iterator[Any]:
        with tqdm(
            total=count(filters, format=format), unit=" votes", file=self.stderr, disable=None
        ) as bar:

            def show(piece: Piece) -> None:
                bar.update(piece.seen - bar.n)

            yield show


def _left_out(votes: int) -> str:
    if not votes:
        return ""
    verb = "is" if votes == 1 else "are"
    return f" {votes:,} more would pass and {verb} left out, having no text."


@contextlib.contextmanager
def opened(output: str) -> Iterator[IO[bytes]]:
    """The stream to write to; a file appears under its name only when it is whole."""
    if output == "-":
        yield sys.stdout.buffer
        return
    path = Path(output)
    part = path.with_name(f"{path.name}.part")
    try:
        with part.open("wb") as file:
            if path.suffix == ".gz":
                # Without a time in it the same votes are the same bytes.
                with gzip.GzipFile("", "wb", fileobj=file, mtime=0) as packed:
                    yield packed  # type: ignore[misc]
            else:
                yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def day(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.combine(
            datetime.date.fromisoformat(text), datetime.time(), datetime.UTC
        )
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is not a date such as 2026-01-31") from None
