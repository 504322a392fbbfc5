"""What older votes lack: their features, and a place in the categories made since."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management import BaseCommand, CommandError
from tqdm import tqdm

from leaderboard import categories
from leaderboard.models import Category


class Command(BaseCommand):
    help = (
        "Rebuild the pair counts of the categories whose rule has changed. May be stopped at any "
        "time and goes on where it was; votes are counted meanwhile."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--category", metavar="SLUG", help="rebuild this one alone, changed or not"
        )
        parser.add_argument(
            "--features", action="store_true", help="first compute features that votes lack"
        )

    def handle(self, *, category: str | None, features: bool, **options: Any) -> None:
        if category is not None:
            chosen = Category.objects.filter(slug=category).first()
            if chosen is None:
                known = ", ".join(Category.objects.values_list("slug", flat=True))
                raise CommandError(f"There is no category {category!r}. There are: {known}")
            if not chosen.stale:  # else it goes on where it was
                categories.mark_stale([chosen.pk])
        if features:
            with self.bar("features", categories.votes_without_features()) as bar:
                made = categories.backfill_features(progress=bar.update)
            self.stdout.write(f"Computed the features of {made} votes.")
        names = [str(each) for each in Category.objects.filter(stale=True)]
        if category is not None:
            names = [str(chosen)]
        with self.bar("votes", categories.votes_to_rebuild(slug=category)) as bar:
            categories.rebuild_stale(slug=category, progress=bar.update)
        self.stdout.write(
            f"Rebuilt {', '.join(names)}." if names else "Every category is up to date."
        )

    def bar(self, unit: str, total: int) -> Any:
        return tqdm(total=total, unit=f" {unit}", disable=None)  # silent where nobody looks
