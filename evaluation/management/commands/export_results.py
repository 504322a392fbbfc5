"""A run's results and samples as lm-evaluation-harness's files."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError

from evaluation.exchange.exporting import export_results
from evaluation.models import Run
from evaluation.refusals import Refused


class Command(BaseCommand):
    help = (
        "Write a run as results_<date>.json and samples_<task>_<date>.jsonl. Items of a private "
        "dataset are among the samples: keep such files to yourself."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("run", type=int, metavar="RUN_ID")
        parser.add_argument("--to", dest="folder", type=Path, required=True, metavar="DIR")

    def handle(self, *, run: int, folder: Path, **options: Any) -> None:
        found = Run.objects.select_related("task", "contestant", "dataset").filter(pk=run).first()
        if found is None:
            raise CommandError(f"there is no run {run}")
        try:
            written = export_results(run=found, folder=folder)
        except (Refused, OSError) as error:
            raise CommandError(str(error)) from None
        for path in written:
            self.stdout.write(f"Wrote {path}")
        if not found.dataset.public:
            self.stdout.write(f"The items of {found.dataset} are private: do not publish them.")
