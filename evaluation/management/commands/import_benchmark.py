"""A benchmark from its official files, or one that comes with the project."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from django.core.management import BaseCommand, CommandError

from arena.models import Contestant
from evaluation.benchmarks import shipped
from evaluation.definitions.definition import DatasetRef
from evaluation.formats.catalogue import FORMATS
from evaluation.importing import (
    ImportRefused,
    ImportReport,
    import_dataset,
    import_shipped,
    read_task,
    register_official_tasks,
    register_task,
)
from evaluation.models import Immutable
from evaluation.needles import CHARACTERS_PER_TOKEN
from evaluation.needles.importing import import_needles, read_filler
from evaluation.needles.token_counts import NotCounted, characters_per_token

T = TypeVar("T")


def _numbers(kind: Callable[[str], T]) -> Callable[[str], list[T]]:
    def numbers(text: str) -> list[T]:
        try:
            return [kind(one) for one in text.split(",")]
        except ValueError:
            raise ArgumentTypeError("numbers with commas between them") from None

    return numbers


class Command(BaseCommand):
    help = "Import a benchmark's items and, with --task, the task that asks them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "name",
            help=f"of the benchmark: {', '.join([*shipped(), 'needle', *FORMATS])}, or one of "
            "your own with --format",
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

        needle = parser.add_argument_group("needle", "a grid of needles in a haystack")
        needle.add_argument("--lengths", type=_numbers(int), default="1000,2000,4000")
        needle.add_argument("--depths", type=_numbers(float), default="0,25,50,75,100")
        needle.add_argument("--seeds", type=int, default=2, help="tries for each cell")
        needle.add_argument("--seed", type=int, help="the same grid again (default: a new one)")
        needle.add_argument("--filler", type=Path, help="a text (default: one of our own)")
        needle.add_argument(
            "--tokens-of", metavar="MODEL", help="count as its endpoint (default: 4 characters)"
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
            if name == "needle":
                self._import_needles(public=not private, **options)
                return
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
            else:
                for official in register_official_tasks(report.dataset):
                    self.stdout.write(f"Task {official} is registered.")
        except (ImportRefused, Immutable) as refusal:
            raise CommandError(str(refusal)) from None

    def _import_needles(
        self,
        *,
        lengths: list[int],
        depths: list[float],
        seeds: int,
        seed: int | None,
        filler: Path | None,
        tokens_of: str | None,
        public: bool,
        **options: Any,
    ) -> None:
        measured = None if tokens_of is None else self._measured(tokens_of, filler)
        report, task = import_needles(
            lengths=lengths,
            depths=depths,
            seeds=seeds,
            seed=seed,
            filler_file=filler,
            characters_per_token=measured or CHARACTERS_PER_TOKEN,
            public=public,
        )
        self._say(report)
        self.stdout.write(
            f"Task {task} is registered. The same grid again: --seed {task.spec['needle']['seed']}"
        )

    def _measured(self, model: str, filler: Path | None) -> float:
        """Characters per token as the model's endpoint counts them."""
        found = Contestant.objects.filter(name=model) or Contestant.objects.filter(slug=model)
        contestant = found.select_related("endpoint").first()
        if contestant is None:
            raise CommandError(f"no contestant {model!r}")
        try:
            measured = characters_per_token(contestant, read_filler(filler, seed=0))
        except (NotCounted, OSError, UnicodeDecodeError) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{contestant} has {measured:.2f} characters to a token.")
        return measured

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
