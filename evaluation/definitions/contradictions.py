"""What is wrong with the keys of a task together, each being right alone."""

from __future__ import annotations

import re
from collections.abc import Iterator

from evaluation.definitions.definition import TaskDefinition
from evaluation.definitions.problems import Problem
from evaluation.scorers import filters, scorer

JUDGED = ("judge_single", "judge_pairwise")


def contradictions(definition: TaskDefinition) -> list[Problem]:
    problems = []
    fewshot, dataset = definition.fewshot, definition.dataset
    if definition.num_fewshot and dataset.fewshot_split is None and fewshot.samples is None:
        problems.append(
            Problem("num_fewshot", "wants examples, and neither fewshot_split nor samples is given")
        )
    if fewshot.samples is not None and definition.num_fewshot > len(fewshot.samples):
        problems.append(
            Problem("num_fewshot", f"there are only {len(fewshot.samples)} samples to choose from")
        )
    if definition.output_type == "multiple_choice" and definition.doc_to_choice is None:
        problems.append(Problem("doc_to_choice", "missing: the answers to choose from"))
    if definition.output_type in JUDGED:
        problems += _not_judged(definition)
    if definition.output_type == "code":
        problems += _not_runnable(definition)
    if definition.output_type == "needle" and not definition.needle:
        problems.append(Problem("needle", "missing: lengths, depths and seeds of the grid"))
    reducer = definition.epoch_reducer
    passes = re.fullmatch(r"pass@(\d{1,4})", reducer)
    if reducer not in ("mean", "majority") and not passes:
        problems.append(Problem("epoch_reducer", f"{reducer!r} is none of mean, majority, pass@k"))
    if passes and not 1 <= int(passes[1]) <= definition.epochs:
        problems.append(
            Problem("epoch_reducer", f"{reducer} needs at least {passes[1]} epochs, and 1 or more")
        )
    for one in definition.filters:
        together = filters.reads_several(one.steps)
        if together > definition.epochs:
            problems.append(Problem("epochs", f"the filter {one.name} reads {together} responses"))
        if together and passes:
            problems.append(
                Problem("epoch_reducer", f"{reducer} needs all responses; {one.name} leaves one")
            )
    scores = scores_of(definition)
    if definition.primary and definition.primary not in scores:
        problems.append(
            Problem("primary", f"{definition.primary!r} is none of {', '.join(scores)}")
        )
    return problems


def _not_runnable(definition: TaskDefinition) -> Iterator[Problem]:
    """Each response is one program, run once."""
    if len(definition.filters) > 1:
        yield Problem("filter_list", "a code task has one filter, which finds the code")
    if any(filters.reads_several(one.steps) for one in definition.filters):
        yield Problem("filter_list", "the filter of a code task reads one response at a time")
    if [scorer(one.metric).id for one in definition.metrics] != ["code"]:
        yield Problem("metric_list", "a code task is scored by code alone")


def _not_judged(definition: TaskDefinition) -> Iterator[Problem]:
    """What a judge's verdicts cannot be scored by."""
    kind = definition.output_type
    if [scorer(one.metric).id for one in definition.metrics] != [kind]:
        yield Problem("metric_list", f"a task of the kind {kind} is scored by {kind} alone")
    if definition.epoch_reducer != "mean":
        yield Problem("epoch_reducer", "verdicts of several epochs are averaged: only mean")


def scores_of(definition: TaskDefinition) -> list[str]:
    """Every "<filter>/<metric>"."""
    return [
        f"{one.name}/{metric.metric}" for one in definition.filters for metric in definition.metrics
    ]
