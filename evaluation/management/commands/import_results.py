"""Benchmark results that another program made, as runs that name it."""

from __future__ import annotations

import contextlib
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError
from tqdm import tqdm

from evaluation.exchange.importing import Imported, OnProgress, import_results
from evaluation.exchange.reading import is_results_file
from evaluation.importing import ImportRefused


class Command(BaseCommand):
    help = (
        "Import results of lm-evaluation-harness (results_*.json with the samples_*.jsonl beside "
        "it) or logs of inspect-ai as JSON. All of a file or nothing; the same file again changes "
        "nothing."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "path", type=Path, metavar="FILE|DIR", help="a file, or all of a folder"
        )
        parser.add_argument(
            "--model", default="", help="the contestant's name or slug (default: as in the file)"
        )
        parser.add_argument(
            "--create", action="store_true", help="make the contestant if there is none"
        )
        parser.add_argument(
            "--task", action="append", default=[], help="only this; may be repeated"
        )
        parser.add_argument(
            "--private", action="store_true", help="never show the items that are new here"
        )

    def handle(
        self,
        *,
        path: Path,
        model: str,
        create: bool,
        task: list[str],
        private: bool,
        **options: Any,
    ) -> None:
        refused = []
        for file in self._files(path):
            try:
                with progress_bars(self.stderr) as on_progress:
                    found = import_results(
                        path=file,
                        model=model,
                        create=create,
                        tasks=task,
                        public=not private,
                        on_progress=on_progress,
                    )
            except ImportRefused as refusal:
                refused.append(str(refusal))
                continue
            for one in found:
                for line in report(one):
                    self.stdout.write(line)
        if refused:
            raise CommandError("\n".join(refused))

    def _files(self, path: Path) -> list[Path]:
        if not path.is_dir():
            return [path]
        files = [file for file in sorted(path.rglob("*.json")) if is_results_file(file)]
        if not files:
            raise CommandError(f"{path} holds no results of lm-evaluation-harness or inspect-ai")
        return files


@contextlib.contextmanager
def progress_bars(stream: Any) -> Iterator[OnProgress]:
    """A bar of lines for each phase of each task, one after the other."""
    bars: dict[str, Any] = {}

    def show(phase: str, done: int, total: int | None) -> None:
        if phase not in bars:
            for bar in bars.values():
                bar.close()
            bars[phase] = tqdm(total=total, desc=phase, unit=" samples", file=stream, disable=None)
        bars[phase].update(done - bars[phase].n)

    try:
        yield show
    finally:
        for bar in bars.values():
            bar.close()


def report(one: Imported) -> Iterator[str]:
    run = one.run
    what = f"{run.task.slug} × {run.contestant} ({run.source})"
    if not one.created:
        yield f"{what}: already there as run {run.pk}."
        return
    score = "no score" if run.primary_score is None else f"{run.primary_score:.4f}"
    yield f"{what}: run {run.pk}, {score}, {run.get_state_display().lower()}."
    if one.items:
        known = "new here, in" if one.new_items else "the same as in"
        yield f"  {one.items:,} items, {known} {run.dataset}."
    else:
        yield "  No samples beside it: an aggregate, which cannot be compared item by item."
    if one.repeated:
        yield f"  Left out {one.repeated:,} lines that ask an item again."
    if run.limit is not None:
        yield "  Not of all items: not ranked."
