"""Runs out, as lm-evaluation-harness would have written them; what imports them reads them equal.

Beyond that program's keys a results file has `config.arena` (who ran it, its fingerprint, its
errors) and a line of samples `finish_reasons`. The task's definition is in a task file's words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from config.version import VERSION
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.definitions.dumped import as_task_file
from evaluation.definitions.problems import Unrenderable
from evaluation.definitions.prompts import target_of
from evaluation.formats import lm_eval
from evaluation.formats.lm_eval_folder import NOTHING_FOUND, OURS
from evaluation.formats.measured import task_name
from evaluation.models import SCORED, Item, Run, Sample
from evaluation.refusals import Refused
from evaluation.running import haystacks
from evaluation.running.following import OF_JUDGE
from evaluation.statistics import reduce_epochs

ITEMS_AT_ONCE = 200


def results_document(*, run: Run, with_config: bool = True) -> dict[str, Any]:
    """The content of a results file. `run` comes with its task and contestant.

    The definition may hold examples out of the dataset: `with_config` off leaves it out.
    """
    _check(run)
    definition = from_json(run.task.spec)
    better = {one.metric: one.higher_is_better for one in definition.metrics}
    asked = run.samples.values("item").distinct().count()
    answered = _answers(run).values("item").distinct().count()
    n = asked or max((one.get("n") or 0 for one in run.results.values()), default=0)
    size = run.dataset.items.count()
    values = []
    for metric, one in _in_order(run, definition):
        filter_name, _, name = metric.rpartition("/")
        if one.get("value") is not None:
            higher = better.get(name, True)
            values.append(lm_eval.Value(name, filter_name, one["value"], one.get("se"), higher))
    return lm_eval.results_document(
        lm_eval.Results(
            model=run.contestant.name,
            tasks=(
                lm_eval.TaskResult(
                    task=definition.task,
                    values=tuple(values),
                    version=run.task.task_version.removesuffix(f" ({run.source})"),
                    num_fewshot=definition.num_fewshot,
                    items=n,
                    items_of_dataset=_items_of_dataset(run, n, size),
                    config=as_task_file(definition) if with_config else {},
                ),
            ),
            date=run.started_at,
            seconds=_seconds(run),
            lm_eval_version=run.source.removeprefix("lm-eval ")
            if run.source.startswith("lm-eval ")
            else "",
            limit=run.limit,
            fewshot_seed=definition.fewshot.seed,
            system_instruction=definition.system_instruction,
            fewshot_as_multiturn=definition.fewshot.as_multiturn,
            config={
                "model": run.contestant.name,
                OURS: {
                    "version": VERSION,
                    "source": run.source or f"arena {VERSION}",
                    "fingerprint": run.fingerprint,
                    "errors": asked - answered,
                    "private_items": not run.dataset.public,
                },
            },
        )
    )


def sample_lines(*, run: Run) -> Iterator[str]:
    """The lines of a samples file, a few items in memory at a time. `run` comes with its task.

    Every item once for each filter, as that program orders them; what has no answer is left out.
    """
    _check(run)
    definition = from_json(run.task.spec)
    metrics = (metric for metric, _ in _in_order(run, definition))
    for name in dict.fromkeys(metric.rpartition("/")[0] for metric in metrics):
        for item, samples in _by_item(run):
            yield from lm_eval.sample_lines([_sample(run, definition, name, item, samples)])


def _in_order(run: Run, definition: Definition) -> list[tuple[str, dict[str, Any]]]:
    """The results as the task names them; a database may keep the keys of JSON in another order."""
    named = [
        f"{one.name}/{metric.metric}" for one in definition.filters for metric in definition.metrics
    ]
    return sorted(
        run.results.items(),
        key=lambda pair: (named.index(pair[0]) if pair[0] in named else len(named), pair[0]),
    )


def export_results(*, run: Run, folder: Path) -> list[Path]:
    """Writes both files, of an aggregate the first only. Raises Refused and OSError."""
    document = results_document(run=run)
    folder.mkdir(parents=True, exist_ok=True)
    date = file_date(run)
    written = [folder / f"results_{date}.json"]
    written[0].write_text(as_text(document), encoding="utf-8")
    if _answers(run).exists():
        written.append(folder / f"samples_{task_name(run.task.slug)}_{date}.jsonl")
        with written[1].open("w", encoding="utf-8") as file:
            file.writelines(sample_lines(run=run))
    return written


def file_date(run: Run) -> str:
    """As it stands in both names, which it holds together."""
    assert run.started_at is not None, "a run with a score has begun"
    return f"{run.started_at:%Y-%m-%dT%H-%M-%S.%f}"


def as_text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _check(run: Run) -> None:
    if run.state not in SCORED or not run.results:
        raise Refused(f"run {run.pk} is {run.get_state_display().lower()} and has no results")


def _answers(run: Run) -> Any:
    return run.samples.filter(state=Sample.State.DONE).exclude(OF_JUDGE)


def _items_of_dataset(run: Run, asked: int, size: int) -> int | None:
    """More than were asked in a partial run; where that cannot be known, the limit says it."""
    if run.limit is None:
        return asked
    return size if size > asked else None


def _seconds(run: Run) -> float | None:
    if run.started_at is None or run.finished_at is None:
        return None
    return max(0.0, (run.finished_at - run.started_at).total_seconds())


def _by_item(run: Run) -> Iterator[tuple[Item, list[Sample]]]:
    """By position, a batch a query: a download may be long, and holds no cursor open.

    Asked for by their own keys: of a run just imported the database does not know yet how large
    it is, and would read all of it for every batch.
    """
    done = run.samples.filter(state=Sample.State.DONE)
    places = done.order_by("item__position", "part", "epoch").values_list("item_id", "pk")
    keys = [[pk for _, pk in group] for _, group in groupby(places, lambda place: place[0])]
    for at in range(0, len(keys), ITEMS_AT_ONCE):
        batch = keys[at : at + ITEMS_AT_ONCE]
        rows = Sample.objects.select_related("item").prefetch_related("scores")
        found = rows.in_bulk([pk for several in batch for pk in several])
        for several in batch:
            samples = [found[pk] for pk in several if pk in found]
            if samples:
                yield samples[0].item, samples


def _sample(
    run: Run, definition: Definition, filter_name: str, item: Item, samples: list[Sample]
) -> lm_eval.Sample:
    answers = [sample for sample in samples if sample.part == "answer"] or samples
    scores: dict[str, dict[int, Any]] = {}  # by metric, of each row the newest
    for sample in samples:
        for score in sorted(sample.scores.all(), key=lambda one: one.pk):
            name, _, metric = score.metric.rpartition("/")
            if name == filter_name:
                scores.setdefault(metric, {})[sample.pk] = score
    read = next(iter(scores.values()), {})
    values = {
        metric: [one.value for one in rows.values() if one.value is not None]
        for metric, rows in scores.items()
    }
    # What another program reduced has one score an item.
    reducer = "mean" if run.source else definition.epoch_reducer
    messages = haystacks.messages(definition, answers[0])
    # This site sends messages; of an import a single one was a completion endpoint's text.
    plain = bool(run.source) and [one.get("role") for one in messages] == ["user"]
    reasons = tuple(sample.finish_reason for sample in answers)
    return lm_eval.Sample(
        doc_id=item.position,
        doc=item.fields,
        target=_target(definition, item),
        prompt=messages[0]["content"] if plain else json.dumps(messages, ensure_ascii=False),
        responses=tuple(sample.response for sample in answers),
        filtered=tuple(
            NOTHING_FOUND if one.answer is None else one.answer for one in read.values()
        ),
        filter=filter_name,
        scores={
            metric: reduce_epochs([known], reducer)[0] for metric, known in values.items() if known
        },
        generation_kwargs=as_task_file(definition)["generation_kwargs"],
        chat=not plain,
        finish_reasons=reasons if any(reasons) else (),
    )


def _target(definition: Definition, item: Item) -> str:
    try:
        return str(target_of(definition, item.fields))
    except (Unrenderable, ValueError):
        return ""  # its task is known by name only
