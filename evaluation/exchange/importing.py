"""Runs of other programs into the database, as completed runs that name their source.

The samples are read twice, line by line: once to check all of them and to find their items here,
once to store them. A file is one transaction.
"""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import transaction
from django.utils import timezone

from arena.models import Contestant
from evaluation.definitions import dumped
from evaluation.definitions.definition import (
    DatasetRef,
    Filter,
    Generation,
    Metric,
    as_json,
    from_json,
    spec_hash,
)
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.formats import inspect_log, lm_eval, lm_eval_folder, rows
from evaluation.formats.items import BadRow, Unreadable, canonical_json, version_of
from evaluation.formats.measured import (
    MeasuredSample,
    MeasuredTask,
    MeasuredValue,
    Verdict,
)
from evaluation.importing import ImportRefused
from evaluation.models import Dataset, Item, Run, Sample, Score, TaskDefinition
from evaluation.running.runs import IMPORTED, WRITE_BATCH
from evaluation.scorers import Flag, Response
from evaluation.scorers import Score as Scored
from evaluation.scorers.score import flags_of
from evaluation.scoring import MetricScore, ScoredResponse, summarise

AS_GIVEN = "as given"  # the method of an estimate that the source made, not this site
UNTOLD = "untold"  # in the metadata of a task of which little more than the name is known
LARGEST = 1e12  # score; whatever is larger has not been one
CLOSE = 1e-6  # of two means of the same scores
NORMAL = 1.959964  # standard errors on either side of 95 %
CHUNK = 500  # hashes in one query

# Phase, lines so far, and of all where that is known.
OnProgress = Callable[[str, int, int | None], object]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one task of a file."""

    run: Run
    created: bool  # else it was there
    items: int
    repeated: int  # lines that ask an item again; left out
    new_items: bool  # none of the datasets here had them


def import_results(
    *,
    path: Path,
    model: str = "",
    create: bool = False,
    tasks: Sequence[str] = (),
    public: bool = True,
    on_progress: OnProgress | None = None,
) -> list[Imported]:
    """Every task of a file, or those of `tasks`; nothing if one cannot be imported.

    `model` is the name or slug of the contestant, if it is not the one that the file names; with
    `create` it is made if there is none. `public` is of items that are new here. The same file
    again changes nothing. Raises ImportRefused.
    """
    measured = read(path)
    if tasks:
        unknown = sorted(set(tasks) - {one.task for one in measured})
        if unknown:
            there = ", ".join(one.task for one in measured)
            raise ImportRefused(f"{path.name} has no task {', '.join(unknown)}; it has {there}")
        measured = [one for one in measured if one.task in tasks]
    with transaction.atomic():
        return [
            _Import(one, path.name, public, on_progress).store(
                _contestant(model or one.model, create, path.name)
            )
            for one in measured
        ]


def read(path: Path) -> list[MeasuredTask]:
    """Raises ImportRefused for what is neither program's file."""
    try:
        document = rows.json_document(path)
        if inspect_log.is_log(document):
            found = [inspect_log.read(document, path.name)]
        elif lm_eval.is_results(document):
            found = lm_eval_folder.read(path, document)
        else:
            raise Unreadable(
                "neither a results file of lm-evaluation-harness nor a log of inspect-ai as JSON"
            )
    except Unreadable as error:
        raise ImportRefused(f"{path.name}: {error}") from None
    found = [one for one in found if one.values]
    if not found:
        raise ImportRefused(f"{path.name} holds no score")
    for value in (value for one in found for value in one.values):
        if abs(value.value) > LARGEST:
            raise ImportRefused(f"{path.name}: {value.value:g} is no score of {value.metric}")
    return found


def is_results_file(path: Path) -> bool:
    """Whether a file in a folder is worth reading: by its content, and quickly refused by it."""
    try:
        document = rows.json_document(path)
    except Unreadable:
        return path.name.startswith("results")  # so that a damaged one is named
    return lm_eval.is_results(document) or inspect_log.is_log(document)


def _contestant(wanted: str, create: bool, file: str) -> Contestant:
    found = Contestant.objects.filter(name=wanted) or Contestant.objects.filter(slug=wanted)
    contestant = found.first()
    if contestant is not None:
        return contestant
    if not create:
        raise ImportRefused(
            f"{file}: there is no contestant {wanted!r}: say which it is with --model, or have it "
            "made with --create"
        )
    if not wanted.strip() or len(wanted) > 100 or not wanted.isprintable():
        raise ImportRefused(f"{file}: {wanted[:100]!r} is no name: give another with --model")
    return Contestant.objects.create(name=wanted, status=Contestant.Status.IMPORTED)


@dataclass
class _Survey:
    """What the first reading finds. Texts are not kept."""

    hashes: dict[str, str] = field(default_factory=dict)  # of the items, in order; and their ids
    repeated: int = 0
    epochs: int = 1
    answered: int = 0
    errors: int = 0
    prompts: Any = field(default_factory=hashlib.sha256)
    scored: list[ScoredResponse] = field(default_factory=list)
    sums: dict[str, list[float]] = field(default_factory=dict)  # with what is repeated


class _Import:
    """One task of one file."""

    def __init__(
        self, one: MeasuredTask, file: str, public: bool, on_progress: OnProgress | None
    ) -> None:
        self._one = one
        self._file = one.samples_file or file
        self._public = public
        self._on_progress = on_progress
        self._scorer = one.source.replace(" ", "@", 1)[:60]

    def store(self, contestant: Contestant) -> Imported:
        one = self._one
        survey = self._survey() if one.samples else _Survey()
        dataset, new_items = self._dataset(survey)
        definition, renamed = self._definition(dataset)
        task = _task(definition, one)
        definition = from_json(task.spec)
        results = self._results(definition, survey, renamed)
        run = Run(
            task=task,
            dataset=dataset,
            contestant=contestant,
            state=Run.State.COMPLETED,
            limit=max(1, len(survey.hashes) or one.items or 1) if one.limited else None,
            source=one.source,
            spec_sha256=task.spec_sha256,
            fingerprint=self._fingerprint(task, survey),
            seed=definition.generation.seed,
            total=len(survey.hashes) * survey.epochs or one.items or 0,
            results=results,
            started_at=one.started,
        )
        known = self._known(run)
        if known is not None:
            return Imported(known, False, len(survey.hashes), survey.repeated, new_items)
        self._close(run, definition, survey)
        run.save(force_insert=True)
        if one.samples:
            self._write(run, survey, renamed, new_items)
        return Imported(run, True, len(survey.hashes), survey.repeated, new_items)

    # --- the first reading ----------------------------------------------------------------------

    def _lines(self, phase: str) -> Iterator[MeasuredSample]:
        assert self._one.samples is not None
        number = 0
        try:
            for number, sample in enumerate(self._one.samples(), 1):
                if isinstance(sample, BadRow):
                    raise ImportRefused(f"{self._file} line {sample.line}: {sample.reason}")
                yield sample
                if self._on_progress is not None:
                    self._on_progress(f"{phase} {self._one.task}", number, self._one.lines)
        except Unreadable as error:
            raise ImportRefused(f"{self._file}: {error}") from None

    def _survey(self) -> _Survey:
        survey = _Survey()
        ids: dict[str, str] = {}
        seen: set[tuple[str, str, int]] = set()
        rows_of: set[tuple[str, int]] = set()
        equal: dict[tuple[object, ...], MetricScore] = {}
        for sample in self._lines("checking"):
            where = f"{self._file} line {sample.line}"
            if ids.setdefault(sample.id, sample.hash) != sample.hash:
                raise ImportRefused(f"{where}: the item {sample.id} has been another one before")
            if (sample.id, sample.filter, sample.epoch) in seen:
                raise ImportRefused(f"{where}: the item {sample.id} occurs twice")
            seen.add((sample.id, sample.filter, sample.epoch))
            for verdict in sample.verdicts:
                if verdict.value is not None:
                    if abs(verdict.value) > LARGEST:
                        raise ImportRefused(
                            f"{where}: {verdict.value:g} is no score of {verdict.metric}"
                        )
                    sums = survey.sums.setdefault(verdict.metric, [0, 0.0])
                    sums[0] += 1
                    sums[1] += verdict.value
            first = sample.hash not in survey.hashes
            if survey.hashes.setdefault(sample.hash, sample.id) != sample.id:
                survey.repeated += 1
                continue
            if (sample.id, sample.epoch) not in rows_of:
                rows_of.add((sample.id, sample.epoch))
                survey.answered += len(sample.responses)
                survey.errors += bool(sample.error)
            if first:
                survey.prompts.update(hashlib.sha256(sample.prompt.encode()).digest())
            survey.epochs = max(survey.epochs, sample.epoch - 1 + len(sample.responses))
            survey.scored.append(
                ScoredResponse(
                    sample.hash,
                    [self._verdict(sample, verdict, equal) for verdict in sample.verdicts],
                    epoch=sample.epoch,
                )
            )
        if not survey.hashes:
            raise ImportRefused(f"{self._file} holds no sample")
        asked = len(ids) + self._one.errors
        if self._one.items is not None and asked != self._one.items:
            raise ImportRefused(
                f"{self._file} holds {asked} of the {self._one.items} items that the results are of"
            )
        return survey

    def _verdict(
        self, sample: MeasuredSample, given: Verdict, equal: dict[tuple[object, ...], MetricScore]
    ) -> MetricScore:
        """Equal ones are one object: most of a large file's are."""
        flags = _flags(sample, given.unparsed)
        key = (given.metric, given.value, flags)
        if key not in equal:
            equal[key] = MetricScore(given.metric, self._scorer, Scored(given.value, None, flags))
        return equal[key]

    # --- where it belongs -----------------------------------------------------------------------

    def _dataset(self, survey: _Survey) -> tuple[Dataset, bool]:
        """The dataset that holds all the items, so that runs are compared on them, or a new one.

        What an earlier import of this task has used goes first: then both stand in one column.
        """
        one, hashes = self._one, list(survey.hashes)
        if hashes:
            used = set(
                Run.objects.filter(task__slug=one.task)
                .exclude(source="")
                .values_list("dataset_id", flat=True)
            )
            holding = Dataset.objects.filter(items__hash=hashes[0]).order_by("-id")
            sizes = {found: found.items.count() for found in holding}
            for found in sorted(sizes, key=lambda d: (d.pk not in used, sizes[d])):
                if _holds(found, hashes):
                    return found, False
        return Dataset.objects.get_or_create(
            name=one.dataset[:100] or one.task,
            split=one.split[:50],
            version=version_of(hashes),
            defaults={
                "format": one.source[:30],
                "public": self._public and not one.private_items,
            },
        )

    def _definition(self, dataset: Dataset) -> tuple[Definition, dict[str, str]]:
        """The task as far as the file tells it, and its metrics' names here by those there."""
        one = self._one
        ref = DatasetRef(dataset.name, dataset.split)
        told = dumped.from_dump(one.config, task=one.task, version=one.version, dataset=ref)
        names: dict[str, str] = {}
        if told is not None:
            listed = one.config.get("metric_list") or ()
            named = [str(given.get("metric")) for given in listed if isinstance(given, dict)]
            names = dict(zip(named, (one.metric for one in told.metrics), strict=False))
        renamed = {value.metric: _renamed(value.metric, names) for value in one.values}
        own = _own_definition(one.task)
        there = list(renamed.values())
        wanted = [own.primary if own else "", renamed.get(one.primary, one.primary)]
        primary = next((name for name in wanted if name in there), there[0])
        if any(len(name) > 120 for name in there):
            raise ImportRefused(f"{self._file}: a metric's name is longer than 120 characters")
        publish = own.publish if own and own.primary == primary else None
        if told is not None:
            publish = told.publish or publish
            return dataclasses.replace(told, primary=primary, publish=publish), renamed
        return (
            Definition(
                task=one.task,
                task_version=one.version or "1",
                dataset=ref,
                doc_to_text="",
                doc_to_target="",
                generation=Generation(until=()),
                filters=tuple(Filter(name, ()) for name in _distinct(there, 0)),
                metrics=tuple(
                    Metric(name, higher_is_better=_better(one.values, name))
                    for name in _distinct(there, 1)
                ),
                primary=primary,
                publish=publish,
                metadata={UNTOLD: True, **({"version": one.version} if one.version else {})},
            ),
            renamed,
        )

    def _fingerprint(self, task: TaskDefinition, survey: _Survey) -> str:
        """Of everything that the scores of two models must share to be compared."""
        one = self._one
        if one.fingerprint:
            return one.fingerprint
        left_out = ("metadata", "dataset_kwargs")  # the model's arguments, the paths of files
        known = {
            "items": version_of(survey.hashes),
            "task": task.spec_sha256,
            "config": {k: v for k, v in one.config.items() if k not in left_out},
            "settings": one.settings,
            "prompts": "" if one.own_prompts else survey.prompts.hexdigest(),
            "scorers": self._scorer,
        }
        return hashlib.sha256(canonical_json(known).encode()).hexdigest()

    def _known(self, run: Run) -> Run | None:
        """The same run, imported before."""
        same = Run.objects.filter(
            contestant=run.contestant,
            task__slug=run.task.slug,
            # What this site exported may come home.
            source__in=[run.source, ""] if self._one.fingerprint else [run.source],
            fingerprint=run.fingerprint,
            limit=run.limit,
        )
        if run.started_at is not None:
            same = same.filter(started_at=run.started_at)
        for found in same.order_by("-id"):
            if _values_of(found) == _values_of(run):
                return found
            if run.started_at is not None:
                raise ImportRefused(
                    f"{self._file}: run {found.pk} of the same moment has other scores; one of the "
                    "two files has been changed"
                )
        return None

    # --- the scores -----------------------------------------------------------------------------

    def _results(
        self, definition: Definition, survey: _Survey, renamed: dict[str, str]
    ) -> dict[str, Any]:
        """Our estimates from the samples' scores, where these give what the file says."""
        plain = dataclasses.replace(
            definition, output_type="generate_until", epochs=1, epoch_reducer="mean"
        )
        ours = summarise(plain, survey.scored)
        results: dict[str, Any] = {}
        for value in self._one.values:
            estimate = ours.get(value.metric)
            count, total = survey.sums.get(value.metric, (0, 0.0))
            means = [total / count] if count else []  # with repeated items; without
            if estimate is not None and estimate.estimate is not None:
                means.append(estimate.estimate.value)
            agrees = any(
                math.isclose(one, value.value, rel_tol=CLOSE, abs_tol=CLOSE) for one in means
            )
            if value.is_mean and count and not agrees and not survey.errors:
                raise ImportRefused(
                    f"{self._file}: the samples give {total / count:.6g} for {value.metric}, the "
                    f"results say {value.value:.6g}"
                )
            if agrees and estimate is not None:
                result = estimate.as_json()
                if not self._one.truncated_known:
                    result["truncated"] = None
            else:
                result = self._as_given(value)
            results[renamed[value.metric]] = result
        return results

    def _as_given(self, value: MeasuredValue) -> dict[str, Any]:
        low = high = None
        if value.stderr is not None:
            low, high = value.value - NORMAL * value.stderr, value.value + NORMAL * value.stderr
            if 0 <= value.value <= 1:
                low, high = max(0.0, low), min(1.0, high)
        n = self._one.items or 0
        return {
            "n": n,
            "value": value.value,
            "se": value.stderr,
            "low": low,
            "high": high,
            "confidence": 0.95,
            "method": AS_GIVEN,
            "clusters": None,
            "scored": n,
            "unparsed": None,
            "truncated": None,
        }

    def _close(self, run: Run, definition: Definition, survey: _Survey) -> None:
        now = timezone.now()
        primary = run.results[definition.primary]
        run.started_at = run.started_at or self._one.finished or now
        run.finished_at = self._one.finished or run.started_at
        run.primary_score = primary["value"]
        run.unparsed, run.truncated = primary["unparsed"], primary["truncated"]
        run.errors = self._one.errors + survey.errors
        run.done = survey.answered or max(0, run.total - run.errors)
        if run.errors > definition.max_error_rate * run.total:
            run.state = Run.State.INCOMPLETE
            run.reason = f"{run.errors} of {run.total} samples are errors"

    # --- the second reading ---------------------------------------------------------------------

    def _write(self, run: Run, survey: _Survey, renamed: dict[str, str], new_items: bool) -> None:
        writer = _Writer(run, self._scorer, renamed, new_items)
        batch: list[MeasuredSample] = []
        for sample in self._lines("storing"):
            owner = survey.hashes.get(sample.hash)
            if owner is None:
                raise ImportRefused(f"{self._file} has been changed while it was read")
            if owner != sample.id:
                continue  # repeated
            batch.append(sample)
            if len(batch) == WRITE_BATCH:
                writer.write(batch)
                batch = []
        writer.write(batch)


class _Writer:
    """Samples in batches: their items where these are new, their rows, their scores."""

    def __init__(self, run: Run, scorer: str, renamed: dict[str, str], new_items: bool) -> None:
        self._run = run
        self._scorer = scorer
        self._renamed = renamed
        self._new_items = new_items
        self._items: dict[str, int] = (
            {} if new_items else dict(run.dataset.items.values_list("hash", "pk"))
        )
        self._rows: dict[tuple[str, int], int] = {}

    def write(self, batch: Sequence[MeasuredSample]) -> None:
        if self._new_items:
            self._write_items(batch)
        first: dict[
            tuple[str, int], MeasuredSample
        ] = {}  # of each item and epoch: other lines are other filters' verdicts on it
        for sample in batch:
            if (sample.hash, sample.epoch) not in self._rows:
                first.setdefault((sample.hash, sample.epoch), sample)
        made = [row for sample in first.values() for row in self._sample_rows(sample)]
        Sample.objects.bulk_create([row for _, row in made], batch_size=WRITE_BATCH)
        self._rows |= {key: row.pk for key, row in made}
        Score.objects.bulk_create(
            [
                Score(
                    sample_id=self._rows[sample.hash, sample.epoch],
                    scorer=self._scorer,
                    metric=self._renamed.get(verdict.metric, verdict.metric)[:120],
                    value=verdict.value,
                    answer=verdict.answer,
                    flags=sorted(_flags(sample, verdict.unparsed)),
                )
                for sample in batch
                for verdict in sample.verdicts
            ],
            batch_size=WRITE_BATCH,
        )

    def _write_items(self, batch: Sequence[MeasuredSample]) -> None:
        new: dict[str, MeasuredSample] = {}
        for sample in batch:
            if sample.hash not in self._items:
                new.setdefault(sample.hash, sample)
        made = [
            Item(
                dataset=self._run.dataset,
                position=len(self._items) + place,
                external_id=sample.id,
                hash=key,
                fields=sample.fields,
            )
            for place, (key, sample) in enumerate(new.items())
        ]
        Item.objects.bulk_create(made, batch_size=WRITE_BATCH)
        self._items |= {item.hash: item.pk for item in made}

    def _sample_rows(self, sample: MeasuredSample) -> Iterator[tuple[tuple[str, int], Sample]]:
        texts = sample.responses or ("",)
        reasons = sample.finish_reasons or ("",) * len(texts)
        for epoch, (text, reason) in enumerate(zip(texts, reasons, strict=True), sample.epoch):
            yield (
                (sample.hash, epoch),
                Sample(
                    run=self._run,
                    item_id=self._items[sample.hash],
                    epoch=epoch,
                    state=Sample.State.ERROR if sample.error else Sample.State.DONE,
                    messages=list(sample.messages),
                    response=text,
                    finish_reason=reason,
                    prompt_tokens=sample.prompt_tokens,
                    completion_tokens=sample.completion_tokens,
                    latency=sample.latency,
                    error_kind="elsewhere" if sample.error else "",
                    error_detail=sample.error,
                ),
            )


def _flags(sample: MeasuredSample, unparsed: bool) -> frozenset[Flag]:
    text = sample.responses[0] if sample.responses else ""
    reason = sample.finish_reasons[0] if sample.finish_reasons else ""
    found = flags_of(Response(text, reason or None))
    return found | {Flag.UNPARSED} if unparsed else found


def _values_of(run: Run) -> dict[str, float]:
    return {
        metric: round(one["value"], 9)
        for metric, one in run.results.items()
        if one.get("value") is not None
    }


def _holds(dataset: Dataset, hashes: Sequence[str]) -> bool:
    return all(
        dataset.items.filter(hash__in=chunk).count() == len(chunk)
        for chunk in (hashes[at : at + CHUNK] for at in range(0, len(hashes), CHUNK))
    )


def _own_definition(slug: str) -> Definition | None:
    """The newest task of that name that this site can run itself."""
    found = TaskDefinition.objects.filter(slug=slug).exclude(IMPORTED).order_by("-id").first()
    return from_json(found.spec) if found else None


def _task(definition: Definition, one: MeasuredTask) -> TaskDefinition:
    """The task as it was run there: marked, so that nobody runs what may be half a definition."""
    marked = {**definition.metadata, "imported_from": one.source}
    for row in TaskDefinition.objects.filter(slug=definition.task).order_by("id"):
        version = row.task_version
        if spec_hash(dataclasses.replace(definition, task_version=version)) == row.spec_sha256:
            return row
    label = f"{one.version or '1'} ({one.source})"[:50]
    if TaskDefinition.objects.filter(slug=definition.task, task_version=label).exists():
        label = f"{label[:41]} {spec_hash(definition)[:8]}"
    stored = dataclasses.replace(definition, task_version=label, metadata=marked)
    return TaskDefinition.objects.create(
        slug=stored.task,
        task_version=label,
        spec=as_json(stored),
        spec_sha256=spec_hash(stored),
    )


def _renamed(metric: str, names: dict[str, str]) -> str:
    one, _, name = metric.rpartition("/")
    return f"{one}/{names.get(name, name)}"


def _distinct(metrics: Sequence[str], part: int) -> list[str]:
    """The filters (0) or the metrics (1) among "<filter>/<metric>", each once."""
    return list(dict.fromkeys(metric.rpartition("/")[::2][part] for metric in metrics))


def _better(values: Sequence[MeasuredValue], name: str) -> bool:
    return all(
        value.higher_is_better for value in values if value.metric.rpartition("/")[2] == name
    )
