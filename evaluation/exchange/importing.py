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
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.exchange.places import dataset_of, definition_of, registered
from evaluation.exchange.reading import LARGEST, read
from evaluation.exchange.writing import Writer, flags_in
from evaluation.formats.items import BadRow, Unreadable, canonical_json, version_of
from evaluation.formats.measured import MeasuredSample, MeasuredTask, MeasuredValue, Verdict
from evaluation.importing import ImportRefused
from evaluation.models import Run, TaskDefinition
from evaluation.running.runs import WRITE_BATCH
from evaluation.scorers import Score as Scored
from evaluation.scoring import MetricScore, ScoredResponse, summarise

AS_GIVEN = "as given"  # the method of an estimate that the source made, not this site
CLOSE = 1e-6  # of two means of the same scores
NORMAL = 1.959964  # standard errors on either side of 95 %

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
        dataset, new_items = dataset_of(one, list(survey.hashes), public=self._public)
        definition, renamed = definition_of(one, dataset, file=self._file)
        task = registered(definition, one)
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
        flags = flags_in(sample, given.unparsed)
        key = (given.metric, given.value, flags)
        if key not in equal:
            equal[key] = MetricScore(given.metric, self._scorer, Scored(given.value, None, flags))
        return equal[key]

    # --- whether it is here ---------------------------------------------------------------------

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
        writer = Writer(run, self._scorer, renamed, new_items)
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


def _values_of(run: Run) -> dict[str, float]:
    return {
        metric: round(one["value"], 9)
        for metric, one in run.results.items()
        if one.get("value") is not None
    }
