"""The pair counts are a cache of the votes: compare them, or correct them."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError

from arena.models import Contestant
from leaderboard import categories
from leaderboard.models import Category
from leaderboard.tally import checking


class Command(BaseCommand):
    help = "Compare the pair counts with the votes; exit 1 where they disagree."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--rebuild", action="store_true", help="correct the counts")

    def handle(self, *, rebuild: bool, **options: Any) -> None:
        if rebuild:
            self.stdout.write(f"Corrected {categories.correct()} pair counts.")
            return
        found = checking.differences()
        names = Contestant.objects.in_bulk({model for key in found for model in (key.lo, key.hi)})
        categories_by_id = Category.objects.in_bulk({key.category for key in found})
        for key, (cached, by_votes) in found.items():
            self.stdout.write(
                f"{categories_by_id[key.category]}: {names[key.lo]} – {names[key.hi]}, "
                f"{key.outcome}: {cached} counted, {by_votes} by the votes"
            )
        if found:
            raise CommandError(
                f"{len(found)} pair counts disagree with the votes. Correct them with: "
                "manage.py recount --rebuild"
            )
        self.stdout.write("The pair counts and the votes agree.")
        for category in Category.objects.filter(stale=True):
            self.stdout.write(
                f"{category} is not complete yet. Complete it with: manage.py backfill_categories"
            )
