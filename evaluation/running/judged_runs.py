"""Who may judge a run and against whom, and what that adds to the run: checked before it begins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from arena.models import Contestant
from evaluation import judging
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.problems import Unrenderable
from evaluation.definitions.prompts import Message
from evaluation.formats.items import canonical_json
from evaluation.models import Item, Run, Sample, same_model
from evaluation.refusals import Refused
from evaluation.running.following import OF_JUDGE

Prompts = Mapping[Item, Sequence[Message]]


@dataclass(frozen=True, slots=True)
class Judged:
    """`samples` is the number of rows of one epoch."""

    samples: int
    fingerprint: Mapping[str, Any] = field(default_factory=dict)


def check(
    definition: Definition,
    contestant: Contestant,
    prompts: Prompts,
    *,
    judge: Contestant | None,
    opponent: Run | None,
    allow_self_judge: bool,
) -> Judged:
    """Raises Refused; for a task without a judge as well, if one is given."""
    name = definition.task
    if not judging.is_judged(definition):
        if judge or opponent:
            raise Refused(f"{name} is scored without a judge and an opponent")
        return Judged(len(prompts))
    pairwise = definition.output_type == "judge_pairwise"
    if judge is None:
        raise Refused(f"{name} needs a judge")
    if judge.endpoint is None or not judge.upstream_model:
        raise Refused(f"{judge} has no endpoint to ask")
    if opponent is not None and not pairwise:
        raise Refused(f"{name} rates answers one by one: no opponent")
    _check_self_judging(judge, contestant, opponent, allow_self_judge)
    samples = 0
    for item in prompts:
        try:
            samples += judging.samples_of(definition, item.fields)
            judging.references(definition, item.fields)
            if pairwise and opponent is None:
                judging.own_answers(definition, item.fields)
        except Unrenderable as error:
            hint = "; name a run to compare with" if pairwise and opponent is None else ""
            raise Refused(f"{name}, item {item}: {error}{hint}") from None
    compared = None if opponent is None else _opponents_answers(definition, opponent, prompts)
    about = judging.fingerprint(
        definition, judge=f"{judge.slug} {judge.upstream_model}", opponent=compared
    )
    return Judged(samples, {"judge": about})


def _check_self_judging(
    judge: Contestant, contestant: Contestant, opponent: Run | None, allowed: bool
) -> None:
    judged = [contestant, *([opponent.contestant] if opponent else [])]
    if not allowed and any(same_model(judge, one) for one in judged):
        raise Refused(
            f"{judge} would judge its own answers, which models prefer: choose another judge, or "
            "allow it explicitly; the run will say so"
        )


def _opponents_answers(definition: Definition, opponent: Run, prompts: Prompts) -> str:
    """A hash over the answers that are compared with. Raises Refused where some are missing."""
    if opponent.state != Run.State.COMPLETED:
        raise Refused(f"run {opponent.pk} is {opponent.state}: an opponent's run is completed")
    if {item.dataset_id for item in prompts} != {opponent.dataset_id}:
        raise Refused(f"run {opponent.pk} was asked {opponent.dataset}: another dataset")
    done = opponent.samples.filter(state=Sample.State.DONE).exclude(OF_JUDGE)
    answers: dict[tuple[int, str], list[str]] = {}
    asked: dict[int, Any] = {}
    for row in done.order_by("epoch", "pk").iterator():
        answers.setdefault((row.item_id, row.part), []).append(row.response)
        if row.part == judging.ANSWER:
            asked[row.item_id] = row.messages
    otherwise = [
        item
        for item, messages in prompts.items()
        if item.pk in asked and asked[item.pk] != [dict(message) for message in messages]
    ]
    if otherwise:
        raise Refused(f"run {opponent.pk} was asked otherwise, first in item {otherwise[0]}")
    compared = list(_wanted(definition, prompts))
    missing = [one for one in compared if one not in answers]
    if missing:
        raise Refused(f"run {opponent.pk} has no answer to {len(missing)} of {len(compared)}")
    told = [answers[one] for one in compared]
    return hashlib.sha256(canonical_json(told).encode()).hexdigest()


def _wanted(definition: Definition, prompts: Prompts) -> Iterable[tuple[int, str]]:
    for item in prompts:
        for turn in range(1, judging.turns_of(definition, item.fields) + 1):
            yield item.pk, judging.turn_part(turn)
