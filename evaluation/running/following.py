"""Rows that follow from a row: the next turn of a conversation, a judgement, one asked for again.

They are created in the transaction that stores the response they follow from. So a worker may die
at any instruction: either both are there, or the response is asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db.models import F, Q

from arena.models import Contestant
from evaluation import judging
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.models import Item, Run, Sample
from evaluation.scorers import Response

OF_JUDGE = Q(part__startswith=judging.PREFIX)


def asked(run: Run, part: str) -> Contestant:
    """Who answers a row: the contestant, or the judge."""
    if judging.judgement(part) is None:
        return run.contestant
    assert run.judge is not None
    return run.judge


def at_endpoint(endpoint: int) -> Q:
    """The rows that are asked at an endpoint, whichever run they are of."""
    return (~OF_JUDGE & Q(run__contestant__endpoint=endpoint)) | (
        OF_JUDGE & Q(run__judge__endpoint=endpoint)
    )


def lock(run_id: int) -> None:
    """Before several of a run's samples are changed, or rows are added, in the same transaction.

    All who do that take the run's row first: else two of them that take the samples in another
    order would wait for each other. And no row is added to a run that has been cancelled meanwhile.
    """
    Run.objects.select_for_update(no_key=True).get(pk=run_id)


def after(*, run: Run, definition: Definition, sample: Sample) -> None:
    """Creates what follows from a response that has just been stored; the run's row is locked."""
    item = sample.item
    response = Response(sample.response, sample.finish_reason or None)
    try:
        parts = judging.following(definition, item.fields, sample.part, sample.messages, response)
    except ValueError:  # task and item do not fit, as scoring will say at the end of the run
        return
    if not parts:
        return
    conversation = _conversation(run, definition, item, sample.epoch)
    rows = []
    for part in parts:
        judged = judging.judgement(part)
        if judged is None:
            turn = judging.turn_number(part)
            messages = judging.next_turn(
                definition, item.fields, sample.messages, sample.response, turn
            )
        else:
            messages = judging.ask_judge(
                definition,
                item.fields,
                judged,
                conversation,
                seed=f"{item.hash}/{sample.epoch}/{part}",
            )
        rows.append(Sample(run=run, item=item, epoch=sample.epoch, part=part, messages=messages))
    Sample.objects.bulk_create(rows, ignore_conflicts=True)
    if judging.judgement(sample.part) is not None:  # asked for again: not in the total yet
        Run.objects.filter(pk=run.pk).update(total=F("total") + len(rows))


def _conversation(run: Run, definition: Definition, item: Item, epoch: int) -> judging.Conversation:
    rows = answers_to(run, item, epoch)
    parts = [judging.turn_part(turn + 1) for turn in range(len(rows))]
    others: list[str] = []
    if definition.output_type == "judge_pairwise":
        if run.opponent is None:
            others = judging.own_answers(definition, item.fields)
        else:
            theirs = answers_to(run.opponent, item, epoch) or answers_to(run.opponent, item, 1)
            others = [theirs[part].response for part in parts if part in theirs]
    return judging.Conversation(
        questions=[judging.question(rows[part].messages) for part in parts],
        answers=[rows[part].response for part in parts],
        others=others,
    )


def answers_to(run: Run, item: Item, epoch: int) -> Mapping[str, Any]:
    """The contestant's answers to one item by part, with what was asked."""
    done = run.samples.filter(item=item, epoch=epoch, state=Sample.State.DONE).exclude(OF_JUDGE)
    return {row.part: row for row in done.only("part", "messages", "response", "run")}
