"""Which rows a judged task has: turns of the contestant, and judgements of each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from evaluation.definitions.definition import Judge, TaskDefinition
from evaluation.definitions.problems import Unrenderable

JUDGED = ("judge_single", "judge_pairwise")
ANSWER = "answer"
PREFIX = "judge"  # of the parts that go to the judge
MOST_TURNS = 9


def is_judged(definition: TaskDefinition) -> bool:
    return definition.output_type in JUDGED


def rules(definition: TaskDefinition) -> Judge:
    return Judge(**definition.judge)


@dataclass(frozen=True, slots=True)
class Judgement:
    """Which judgement a row is: of which turn, in which order, asked for the second time or not."""

    turn: int
    order: str = ""  # of a comparison: "first" or "second", where the contestant's answer stands
    again: bool = False

    @property
    def part(self) -> str:
        order = f"-{self.order}" if self.order else ""
        return f"{PREFIX}{self.turn}{order}{'-again' if self.again else ''}"


_JUDGEMENT = re.compile(rf"{PREFIX}([1-9])(?:-(first|second))?(-again)?")
_TURN = re.compile(r"turn([2-9])")


def judgement(part: str) -> Judgement | None:
    """None for a part that the contestant answers."""
    match = _JUDGEMENT.fullmatch(part)
    return Judgement(int(match[1]), match[2] or "", bool(match[3])) if match else None


def turn_part(number: int) -> str:
    return ANSWER if number == 1 else f"turn{number}"


def turn_number(part: str) -> int:
    match = _TURN.fullmatch(part)
    return int(match[1]) if match else 1


def turns_of(definition: TaskDefinition, fields: Mapping[str, Any]) -> int:
    """How many questions an item asks. Raises Unrenderable."""
    name = rules(definition).turns
    return 1 if name is None else len(texts_in(fields, name))


def samples_of(definition: TaskDefinition, fields: Mapping[str, Any]) -> int:
    """Rows of one item and epoch, when no judgement has to be asked for again."""
    count = turns_of(definition, fields)
    return count + sum(len(judgements(definition, turn)) for turn in range(1, count + 1))


def judgements(definition: TaskDefinition, turn: int) -> list[Judgement]:
    """What the judge is asked about one turn."""
    if definition.output_type == "judge_single":
        return [Judgement(turn)]
    return [Judgement(turn, order) for order in ("first", "second")]


def texts_in(fields: Mapping[str, Any], name: str) -> list[str]:
    """A field that is a text or a list of texts. Raises Unrenderable."""
    value = fields.get(name)
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Unrenderable(f"the field {name!r} is no list of texts")
    if not 1 <= len(texts) <= MOST_TURNS:
        raise Unrenderable(f"the field {name!r} has {len(texts)} texts: 1 to {MOST_TURNS} are read")
    return texts
