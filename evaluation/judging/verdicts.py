"""What one judgement says, and whether it has to be asked for again."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import Any

from evaluation.definitions.definition import TaskDefinition
from evaluation.definitions.prompts import Message
from evaluation.judging.parts import (
    Judgement,
    judgement,
    judgements,
    turn_number,
    turn_part,
    turns_of,
)
from evaluation.judging.prompts import mark_of, quoted
from evaluation.scorers import Response
from evaluation.scoring import MetricScore, score_response


def score_judgement(
    definition: TaskDefinition,
    fields: Mapping[str, Any],
    judged: Judgement,
    messages: Sequence[Message],
    response: Response,
) -> list[MetricScore]:
    """The scores of one judgement, for the contestant wherever its answer stood."""
    shown = {name: text for name, text in quoted(messages).items() if name.startswith("ANSWER")}
    item = {**fields, "answers": list(shown.values())}
    own = dataclasses.replace(response, text=_without_blocks(response.text, mark_of(messages)))
    scores = score_response(_seen_from(definition, judged), item, own)
    if not judged.order:
        return scores
    lengths = [len(text) for text in list(shown.values())[-2:]]
    if judged.order == "second":
        lengths.reverse()
    return [
        dataclasses.replace(
            one,
            score=dataclasses.replace(one.score, details={**one.score.details, "lengths": lengths}),
        )
        for one in scores
    ]


def _without_blocks(text: str, mark: str) -> str:
    """A judgement without the blocks that it copies whole: nothing in them is the judge's."""
    block = rf"{re.escape(mark)} ([A-Z0-9 ]+?)\s.*?{re.escape(mark)} END OF \1"
    return re.sub(block, "", text, flags=re.S)


def _seen_from(definition: TaskDefinition, judged: Judgement) -> TaskDefinition:
    if not judged.order:
        return definition
    letter = "A" if judged.order == "first" else "B"
    metrics = tuple(
        dataclasses.replace(one, options={**one.options, "model_is": letter})
        for one in definition.metrics
    )
    return dataclasses.replace(definition, metrics=metrics)


def has_verdict(
    definition: TaskDefinition,
    fields: Mapping[str, Any],
    judged: Judgement,
    messages: Sequence[Message],
    response: Response,
) -> bool:
    """Whether the published score can be read out of a judgement."""
    scores = score_judgement(definition, fields, judged, messages, response)
    return any(one.metric == definition.primary and one.score.value is not None for one in scores)


def following(
    definition: TaskDefinition,
    fields: Mapping[str, Any],
    part: str,
    messages: Sequence[Message],
    response: Response,
) -> list[str]:
    """The parts that can be asked for once this one has its response."""
    judged = judgement(part)
    if judged is None:
        turn = turn_number(part)
        further = [turn_part(turn + 1)] if turn < turns_of(definition, fields) else []
        return further + [one.part for one in judgements(definition, turn)]
    if judged.again or has_verdict(definition, fields, judged, messages, response):
        return []
    return [dataclasses.replace(judged, again=True).part]
