"""Scores stored responses again: no model call, and of files no database either."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management import BaseCommand, CommandError

from evaluation import sandbox
from evaluation.benchmarks import official_task, shipped
from evaluation.definitions.definition import DatasetRef, TaskDefinition
from evaluation.definitions.problems import Unrenderable
from evaluation.exchange import stored
from evaluation.formats.catalogue import benchmark_format
from evaluation.formats.items import BadRow, Item, Unreadable
from evaluation.importing import ImportRefused, read_task
from evaluation.refusals import Refused
from evaluation.running import programs
from evaluation.scorers import Response
from evaluation.scoring import ScoredResponse, score_responses, summarise
from evaluation.statistics import reduce_epochs


class Command(BaseCommand):
    help = (
        'Score stored responses, lines of {"id": …, "response": …} or {"id": …, "responses": […]}. '
        "With --run the stored answers of a run, an imported one too. "
        'Writes {"metrics": {"filter/metric": value}, "samples": {"id": primary score}, '
        '"estimates": …}.'
    )
    requires_system_checks = []  # nothing of the site is used

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--task", help="a task file, or a known task's name (default: the run's own)"
        )
        parser.add_argument("--dataset", type=Path, help="the benchmark's file")
        parser.add_argument("--responses", type=Path, help="JSON lines")
        parser.add_argument("--run", type=int, help="in place of a dataset and responses")
        parser.add_argument("--out", required=True, type=Path)
        parser.add_argument("--format", help="of the dataset (default: as the task says, or JSON)")

    def handle(
        self,
        *,
        task: str | None,
        dataset: Path | None,
        responses: Path | None,
        run: int | None,
        out: Path,
        format: str | None,
        **options: Any,
    ) -> None:
        try:
            definition = _definition(task) if task else None
            if run is not None and dataset is None and responses is None:
                found = stored.find_run(run)
                definition = definition or stored.definition_of(found)
                result = rescore(definition, *stored.responses_of(found))
            elif run is None and definition and dataset and responses:
                chosen = format or definition.dataset.format or "json"
                result = rescore(definition, _items(dataset, chosen), _responses(responses))
            else:
                raise CommandError("give --task, --dataset and --responses, or --run alone")
        except (
            ImportRefused, Refused, Unreadable, Unrenderable, OSError, ValueError
        ) as error:  # fmt: skip
            raise CommandError(str(error)) from None
        out.write_text(
            json.dumps(result, indent=1, ensure_ascii=False, allow_nan=False) + "\n",
            encoding="utf-8",
        )
        for name, value in result["metrics"].items():
            self.stdout.write(f"{name}: {value:.6f} over {len(result['samples'])} items")


def _definition(task: str) -> TaskDefinition:
    files = shipped().get(task)
    known = files.task if files else official_task(task)
    return read_task(known or Path(task), dataset=DatasetRef("file", "test"))


def rescore(
    definition: TaskDefinition, items: dict[str, Item], responses: dict[str, list[Response]]
) -> dict[str, Any]:
    """Raises ValueError for a response to no item, and where task and items do not fit."""
    unknown = sorted(responses.keys() - items.keys())
    if unknown:
        raise ValueError(f"{len(unknown)} responses are to no item, the first to {unknown[0]!r}")
    key = definition.dataset.cluster_key
    if definition.output_type == "code":
        responses = _run(definition, items, responses)
    scored: dict[str, list[ScoredResponse]] = {}
    for name, texts in responses.items():
        item = items[name]
        cluster = str(item.fields[key]) if key and key in item.fields else None
        scored[name] = [
            ScoredResponse(name, scores, cluster)
            for scores in score_responses(definition, item.fields, texts)
        ]
    results = summarise(definition, [one for several in scored.values() for one in several])
    samples: dict[str, float | None] = {}
    for name, several in scored.items():
        values = [
            one.score.value
            for response in several
            for one in response.scores
            if one.metric == definition.primary and one.score.value is not None
        ]
        samples[name] = reduce_epochs([values], definition.epoch_reducer)[0] if values else None
    return {
        "metrics": {
            metric: result.estimate.value for metric, result in results.items() if result.estimate
        },
        "samples": samples,
        "estimates": {metric: result.as_json() for metric, result in results.items()},
    }


def _run(
    definition: TaskDefinition, items: dict[str, Item], responses: dict[str, list[Response]]
) -> dict[str, list[Response]]:
    """The responses to a code task with the sandbox's verdicts. Raises ValueError without one."""
    if not (availability := sandbox.self_test()).ok:
        raise ValueError(f"code cannot be run here: {availability}")
    try:
        return {
            name: [
                replace(one, passed=programs.check(definition, items[name].fields, one.text).passed)
                for one in several
            ]
            for name, several in responses.items()
        }
    except sandbox.Unavailable as error:
        raise ValueError(f"the sandbox did not start: {error}") from None


def _items(path: Path, format: str) -> dict[str, Item]:
    """By the benchmark's own name. Published scores count repeated items, so they stay."""
    items: dict[str, Item] = {}
    for one in benchmark_format(format).read(path):
        if isinstance(one, BadRow):
            raise Unreadable(f"{one.file} line {one.line}: {one.reason}")
        items[one.id] = one
    return items


def _responses(path: Path) -> dict[str, list[Response]]:
    found: dict[str, list[Response]] = {}
    for line, name, texts, finish in _rows(path):
        if name in found:
            raise ValueError(f"{path.name} line {line}: a second row for {name}")
        found[name] = [Response(text, finish) for text in texts]
    if not found:
        raise ValueError(f"{path.name} holds no response")
    return found


def _rows(path: Path) -> Iterator[tuple[int, str, list[str], str | None]]:
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            where = f"{path.name} line {number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from None
            if not isinstance(row, dict) or not isinstance(row.get("id"), str | int):
                raise ValueError(f"{where}: no id")
            texts = row["responses"] if "responses" in row else [row.get("response")]
            if not isinstance(texts, list) or not texts:
                raise ValueError(f"{where}: no response")
            if not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{where}: a response that is not a text")
            finish = row.get("finish_reason")
            yield number, str(row["id"]), texts, finish if isinstance(finish, str) else None
