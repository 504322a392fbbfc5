"""A benchmark from its official files, or one that comes with the project."""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError

from evaluation.benchmarks import shipped
from evaluation.definitions.definition import DatasetRef
from evaluation.formats.catalogue import FORMATS
from evaluation.importing import (
    ImportRefused,
    ImportReport,
    import_dataset,
    import_shipped,
    read_task,
    register_task,
)
from evaluation.models import Immutable


class Command(BaseCommand):
    help = "Import a benchmark's items and, with --task, the task that asks them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name",
            help=f"of the benchmark: {', '.join([*shipped(), *FORMATS])}, or one of your own "
            "with --format",
        )
        parser.add_argument(
            "--from", dest="source", type=Path, metavar="FILE|DIR", help="its official files"
        )
        parser.add_argument("--format", choices=sorted(FORMATS), help="if the name does not say")
        parser.add_argument(
            "--split", action="append", help="may be repeated (default: the one evaluated)"
        )
        parser.add_argument("--licence", help="if it is not the benchmark's usual one")
        parser.add_argument("--private", action="store_true", help="never show its items")
        parser.add_argument("--skip-bad", action="store_true", help="import the readable rows")
        parser.add_argument("--task", type=Path, metavar="YAML", help="a task file to register")
        parser.add_argument(
            "--fewshot-split", help="where the task's examples are, if its file means a hub's"
        )

    def handle(
        self,
        *,
        name: str,
        source: Path | None,
        format: str | None,
        split: list[str] | None,
        licence: str | None,
        private: bool,
        skip_bad: bool,
        task: Path | None,
        fewshot_split: str | None,
        **options: Any,
    ) -> None:
        try:
            if source is None:
                self._import_shipped(name)
                return
            splits: list[str | None] = [*split] if split else [None]
            for one in splits:
                report = import_dataset(
                    name=name,
                    source=source,
                    format=format,
                    split=one,
                    licence=licence,
                    public=not private,
                    skip_bad=skip_bad,
                )
                self._say(report)
            if task is not None:
                evaluated = split[0] if split else report.dataset.split
                ref = DatasetRef(name, evaluated, fewshot_split=fewshot_split)
                registered = register_task(read_task(task, dataset=ref))
                self.stdout.write(f"Task {registered} is registered.")
        except (ImportRefused, Immutable) as refusal:
            raise CommandError(str(refusal)) from None

    def _import_shipped(self, name: str) -> None:
        if name not in shipped():
            raise CommandError(
                f"{name} does not come with the project ({', '.join(shipped())} do): give its "
                "files with --from"
            )
        report, task = import_shipped(name)
        self._say(report)
        self.stdout.write(f"Task {task} is registered.")

    def _say(self, report: ImportReport) -> None:
        known = "" if report.created else ", already there"
        self.stdout.write(
            f"{report.dataset}: {report.items:,} items{known}, {report.dataset.version[:19]}."
        )
        if report.duplicates:
            self.stdout.write(f"Left out {len(report.duplicates):,} that repeat an earlier one.")
        for bad in report.bad:
            self.stdout.write(f"Skipped {bad.file} line {bad.line}: {bad.reason}")
