"""Snapshots on the command line: publish, list, verify from the public votes, prune."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError

from leaderboard import public_votes, snapshots, verification
from leaderboard.formats.source import UnknownFormat
from leaderboard.methods import NotComputable
from leaderboard.models import Category, Method, Snapshot
from leaderboard.tally import settling
from leaderboard.verification import Verdict

SHOWN = 10  # differences of a kind that are printed


class Command(BaseCommand):
    help = "Publish, list, verify and prune the snapshots of the leaderboard."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
        publish = verbs.add_parser("publish", help="count what is due, publish what has changed")
        publish.add_argument("--category", metavar="SLUG", help="only this one")
        publish.add_argument("--method", choices=Method.values, help="only this one")
        listed = verbs.add_parser("list", help="the current snapshots")
        listed.add_argument("--all", action="store_true", help="and those before them")
        verify = verbs.add_parser(
            "verify", help="recompute a snapshot from the public vote export alone"
        )
        verify.add_argument("id", type=int)
        verify.add_argument(
            "--export",
            type=Path,
            metavar="FILE",
            help="an export of the time of the snapshot; without it one is made now",
        )
        verbs.add_parser("prune", help="thin old superseded snapshots to one a day")

    def handle(self, *, verb: str, **options: Any) -> None:
        verbs: dict[str, Callable[..., None]] = {
            "publish": self.publish,
            "list": self.list,
            "verify": self.verify,
            "prune": self.prune,
        }
        verbs[verb](**options)

    def publish(self, *, category: str | None, method: str | None, **others: Any) -> None:
        settling.settle_all()
        chosen = [method] if method else Method.values
        if category is None:
            new = snapshots.publish_all(chosen)
        else:
            row = Category.objects.filter(slug=category).first()
            if row is None:
                raise CommandError(f"There is no category {category!r}.")
            if row.stale:
                raise CommandError(
                    f"The rule of {row} has changed and its counts are not rebuilt yet: "
                    "manage.py backfill_categories"
                )
            try:
                new = sum(snapshots.publish(row, each) is not None for each in chosen)
            except NotComputable as reason:
                raise CommandError(f"{row}: {reason}") from None
        self.stdout.write(f"Published {new} new snapshots." if new else "Nothing has changed.")

    def list(self, *, all: bool, **others: Any) -> None:
        found = Snapshot.objects.select_related("category").defer("cells").order_by("id")
        if not all:
            found = found.filter(superseded=False)
        for each in found:
            superseded = "  superseded" if each.superseded else ""
            self.stdout.write(
                f"{each.pk:>8}  {each.published_at:%Y-%m-%d %H:%M:%S}  {each.category.slug:<24}"
                f"{each.method:<16}{each.votes_counted:>12} votes  {each.data_hash[:12]}"
                f"{superseded}"
            )

    def prune(self, **others: Any) -> None:
        self.stdout.write(f"Removed {snapshots.prune()} snapshots.")

    def verify(self, *, id: int, export: Path | None, **others: Any) -> None:
        snapshot = Snapshot.objects.select_related("category").filter(pk=id).first()
        if snapshot is None:
            raise CommandError(f"There is no snapshot {id}.")
        if export is not None:
            verdict = self._verdict(snapshot, export)
        else:
            with tempfile.TemporaryDirectory(prefix="arena-export-") as folder:
                path = Path(folder) / "votes.csv.gz"
                public_votes.write_file(path)
                verdict = self._verdict(snapshot, path)
        self.stdout.write(
            f"Snapshot {id} ({snapshot.category.slug}, {snapshot.method}, "
            f"{snapshot.published_at:%Y-%m-%d %H:%M:%S} UTC): read {verdict.votes} votes, of which "
            f"{verdict.counted} count here, and compared {verdict.compared} numbers."
        )
        if verdict.equal:
            self.stdout.write("Identical: every rating, rank and interval.")
            return
        self._explain(verdict)
        if export is None and not verdict.bad_rows and verdict.pairs:
            self.stdout.write(
                "Votes have been counted or withdrawn since this snapshot was published, so that "
                "today's votes do not give it. Verify it with an export made then, --export FILE, "
                "or verify the current snapshot (manage.py snapshot list)."
            )
        raise CommandError("The snapshot is not what these votes give.")

    def _verdict(self, snapshot: Snapshot, export: Path) -> Verdict:
        try:
            return verification.verify(snapshot, export)
        except UnknownFormat as error:
            raise CommandError(f"{export} is no public vote export: {error}") from None
        except OSError as error:
            raise CommandError(f"Cannot read {export}: {error.strerror or error}") from None

    def _explain(self, verdict: Verdict) -> None:
        if verdict.first_bad_row:
            row, more = verdict.first_bad_row, verdict.bad_rows - 1
            others = f" (and {more} more rows)" if more else ""
            self.stdout.write(f"Line {row.line}: {row.reason}{others}.")
        for text in verdict.trouble:
            self.stdout.write(f"{text[:1].upper()}{text[1:]}.")
        self._some("pair counts differ", verdict.pairs)
        self._some("numbers differ", verdict.numbers)

    def _some(self, what: str, differences: Iterable[object]) -> None:
        every = list(differences)
        if not every:
            return
        self.stdout.write(f"{len(every)} {what}:")
        for difference in every[:SHOWN]:
            self.stdout.write(f"  {difference}")
        if len(every) > SHOWN:
            self.stdout.write("  …")
