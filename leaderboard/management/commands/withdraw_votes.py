"""Take a voter's, a model's, a source's or a time's votes out of every count."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import UTC, datetime
from typing import Any

from django.core.management import BaseCommand, CommandError

from arena.models import Contestant, Source
from leaderboard import withdrawal
from leaderboard.tally import settling


class Command(BaseCommand):
    help = (
        "Exclude votes from all counts. They stay, marked, and can be counted again in the "
        "administration. All that is given must apply to a vote."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--voter", default="", help="a key, or a pseudonym of the export")
        parser.add_argument("--model", default="", help="the name of a contestant")
        parser.add_argument("--source", default="", help="the name of an import")
        parser.add_argument("--from", dest="since", type=_moment, help="ISO 8601, UTC")
        parser.add_argument("--to", dest="until", type=_moment, help="not included")

    def handle(
        self,
        *,
        voter: str,
        model: str,
        source: str,
        since: datetime | None,
        until: datetime | None,
        **options: Any,
    ) -> None:
        try:
            gone = withdrawal.withdraw(
                voter=voter,
                contestant=Contestant.objects.get(name=model) if model else None,
                source=Source.objects.get(name=source) if source else None,
                since=since,
                until=until,
            )
        except Contestant.DoesNotExist as error:
            raise CommandError(f"There is no contestant named {model!r}.") from error
        except Source.DoesNotExist as error:
            raise CommandError(f"There is no source named {source!r}.") from error
        except (withdrawal.NobodyOfThatName, ValueError) as error:
            raise CommandError(f"Nothing withdrawn: {error}.") from error
        settling.settle_all()
        self.stdout.write(f"Withdrew {gone:,} votes; the next snapshot is without them.")


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
