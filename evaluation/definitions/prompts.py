"""From a definition, an item and its examples to the exact messages that are sent.

Byte for byte what lm-evaluation-harness 0.4.13 sends (lm_eval/api/task.py, fewshot_context), as
text to a completion endpoint and as messages to a chat endpoint, in one turn or in several.
"""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evaluation.definitions import templates
from evaluation.definitions.definition import TaskDefinition
from evaluation.definitions.fewshot import Fields, draw_examples
from evaluation.definitions.problems import InvalidTask, Problem, Unrenderable
from evaluation.formats.items import canonical_json

MAX_LITERAL = 100_000  # characters of a list that a template wrote

Message = dict[str, str]  # {"role": "system" | "user" | "assistant", "content": …}
Target = str | int | list[str]


class _Part(NamedTuple):
    role: str
    content: str
    delimiter: str = ""  # what follows in a text, and has no place between messages


@dataclass(frozen=True, slots=True)
class Prompt:
    """One item as it is sent. A last message of the assistant is the beginning of its answer."""

    messages: tuple[Message, ...]
    text: str  # the same for an endpoint that completes texts

    @property
    def hash(self) -> str:
        """SHA-256 of the messages, part of a run's fingerprint."""
        return hashlib.sha256(canonical_json(self.messages).encode()).hexdigest()


def build_prompts(
    definition: TaskDefinition, items: Iterable[Fields], pool: Sequence[Fields] = ()
) -> Iterator[Prompt]:
    """The prompts of a whole dataset, in its order; `pool` is its few-shot split.

    Raises Unrenderable, naming the item's place.
    """
    items = list(items)
    examples = draw_examples(definition, items, pool)
    for place, item in enumerate(items):
        try:
            yield build_prompt(definition, item, next(examples))
        except Unrenderable as error:
            raise Unrenderable(f"item {place}: {error}") from None


def build_prompt(
    definition: TaskDefinition, item: Fields, examples: Sequence[Fields] = ()
) -> Prompt:
    """The prompt for one item after the examples that `draw_examples` gave for it.

    Raises Unrenderable.
    """
    parts = []
    system = _delimited(
        definition.system_instruction,
        _field_or_template(definition.description, item, "description"),
        definition.fewshot_delimiter,
    )
    if system:
        parts.append(_Part("system", system))
    for example in examples:
        parts += _example(definition, example)
    parts += _question(definition, item)
    turns = parts if definition.fewshot.as_multiturn else _in_one_turn(parts)
    return Prompt(
        messages=tuple({"role": part.role, "content": part.content} for part in turns),
        text="".join(part.content + part.delimiter for part in parts),
    )


def choices_of(definition: TaskDefinition, item: Fields) -> list[str] | None:
    """The answers to choose from, None for a task without. Raises Unrenderable."""
    return _choices(definition.doc_to_choice, item)


def target_of(definition: TaskDefinition, item: Fields) -> Target:
    """The right answer: a text, a list of texts, or the place of the right choice."""
    return _target(definition.doc_to_target, item, numbered=definition.doc_to_choice is not None)


def scored_item(definition: TaskDefinition, item: Fields) -> dict[str, Any]:
    """The item as the scorers take it: with `target`, and `choices` where there are any."""
    scored = {**item, "target": target_of(definition, item)}
    choices = choices_of(definition, item)
    if choices is not None:
        scored["choices"] = choices
    return scored


@dataclass(frozen=True, slots=True)
class Preview:
    """One item as people see it before a task is used."""

    prompt: Prompt
    target: Target
    choices: list[str] | None


def preview(
    definition: TaskDefinition,
    items: Sequence[Fields],
    pool: Sequence[Fields] = (),
    *,
    count: int = 5,
) -> list[Preview]:
    """The first items rendered, to be looked at. Raises InvalidTask where one cannot be used."""
    shown, problems = [], []
    try:
        prompts = list(build_prompts(definition, items[:count], pool))
    except Unrenderable as error:
        raise InvalidTask([Problem("", str(error))]) from None
    for place, (item, prompt) in enumerate(zip(items, prompts, strict=False)):
        try:
            one = Preview(prompt, target_of(definition, item), choices_of(definition, item))
        except Unrenderable as error:
            problems.append(Problem("", f"item {place}: {error}"))
            continue
        problems += _unanswerable(definition, one, place)
        shown.append(one)
    if problems:
        raise InvalidTask(problems)
    return shown


def _unanswerable(definition: TaskDefinition, one: Preview, place: int) -> list[Problem]:
    if definition.output_type != "multiple_choice" or one.choices is None:
        return []
    found = []
    asked = one.prompt.messages[-1]["content"] if one.prompt.messages else ""
    missing = [choice for choice in one.choices if choice.strip() not in asked]
    if missing:
        found.append(
            Problem(
                "doc_to_text",
                f"item {place}: the prompt does not show the choice {missing[0][:80]!r}; a model "
                "that answers by writing cannot know it",
            )
        )
    if isinstance(one.target, int) and not 0 <= one.target < len(one.choices):
        found.append(Problem("doc_to_target", f"item {place}: {one.target} is none of the choices"))
    return found


def _question(definition: TaskDefinition, item: Fields) -> list[_Part]:
    text = _text(definition.doc_to_text, item, choices=definition.doc_to_choice is not None)
    prefix = _field_or_template(definition.gen_prefix, item, "gen_prefix")
    if not prefix:
        return [_Part("user", text)]
    spaced = bool(text) and not (text[-1].isspace() or prefix[0].isspace())
    return [
        _Part("user", text, definition.target_delimiter if spaced else ""),
        _Part("assistant", prefix),
    ]


def _example(definition: TaskDefinition, item: Fields) -> list[_Part]:
    own = definition.fewshot
    choice = definition.doc_to_choice if own.doc_to_choice is None else own.doc_to_choice
    numbered = definition.doc_to_choice is not None
    text = _text(
        definition.doc_to_text if own.doc_to_text is None else own.doc_to_text,
        item,
        choices=numbered,
    )
    target = _target(
        definition.doc_to_target if own.doc_to_target is None else own.doc_to_target,
        item,
        numbered=numbered,
    )
    prefix = _field_or_template(
        definition.gen_prefix if own.gen_prefix is None else own.gen_prefix, item, "gen_prefix"
    )
    between = definition.target_delimiter if own.target_delimiter is None else own.target_delimiter
    after = definition.fewshot_delimiter if own.fewshot_delimiter is None else own.fewshot_delimiter
    if target == "":
        spaced = bool(text and prefix) and not (text[-1].isspace() or prefix[0].isspace())
        parts = [_Part("user", text, between if spaced else "")]
        return [*parts, _Part("assistant", prefix)] if prefix else parts
    answer = _answer(target, _choices(choice, item))
    if prefix and (not text or text[-1].isspace() or prefix[0].isspace()):
        between = ""
    return [
        _Part("user", text, between),
        _Part("assistant", _delimited(prefix, answer, " "), after),
    ]


def _answer(target: Target, choices: list[str] | None) -> str:
    if isinstance(target, int):
        if choices is None:
            raise Unrenderable(f"doc_to_target: gives {target}, a place, and there are no choices")
        if not -len(choices) <= target < len(choices):
            raise Unrenderable(f"doc_to_target: {target} is none of {len(choices)} choices")
        return choices[target]
    if isinstance(target, list):
        if not target:
            raise Unrenderable("doc_to_target: gives an empty list")
        return target[0]  # of several right answers an example shows the first
    return target


def _in_one_turn(parts: Sequence[_Part]) -> list[_Part]:
    """Everything in one message of the user, but for the system's and the answer's beginning."""
    before = [part for part in parts[:1] if part.role == "system"]
    rest = list(parts[len(before) :])
    after = [rest.pop()] if rest[-1].role == "assistant" else []
    texts = [part.content + part.delimiter for part in rest[:-1]] + [rest[-1].content]
    return [*before, _Part("user", "".join(texts)), *after]


def _text(source: str, item: Fields, *, choices: bool) -> str:
    text = _field_or_template(source, item, "doc_to_text")
    if choices and text.isdigit():
        raise Unrenderable(
            "doc_to_text: gives a number, which stands for one of several questions; those are "
            "compared by log-likelihoods and cannot be asked"
        )
    return text


def _field_or_template(source: str | None, item: Fields, key: str) -> str:
    """The field of that name where there is one, else the template rendered."""
    if not source:
        return ""
    if source in item:
        if not isinstance(item[source], str):
            raise Unrenderable(f"{key}: the field {source!r} is not a text")
        text: str = item[source]
        return text
    return _rendered(source, item, key)


def _rendered(source: str, item: Fields, key: str) -> str:
    try:
        return templates.render(source, item)
    except (Unrenderable, templates.BadTemplate) as error:
        raise Unrenderable(f"{key}: {error}") from None


def _target(source: str | int | tuple[str, ...], item: Fields, *, numbered: bool) -> Target:
    key = "doc_to_target"
    if isinstance(source, int):
        return source
    if not isinstance(source, str):
        return list(source)
    if source in item:
        return _given_target(item[source], key)
    text = _rendered(source, item, key) if source else ""
    if numbered and text.isdecimal() and len(text) < 10:
        return int(text)
    if len(text) >= 2 and text[0] == "[" and text[-1] == "]":
        try:
            return _texts(_literal(text), key)
        except Unrenderable:
            return text  # "[1] see below" is a text
    return text


def _given_target(value: Any, key: str) -> Target:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return _texts(value, key)


def _choices(source: str | tuple[str, ...] | None, item: Fields) -> list[str] | None:
    key = "doc_to_choice"
    if source is None:
        return None
    if not isinstance(source, str):
        return list(source)
    value = item[source] if source in item else _literal(_rendered(source, item, key))
    choices = _texts(value, key)
    if len(choices) < 2:
        raise Unrenderable(f"{key}: gives fewer than two choices")
    return choices


def _literal(text: str) -> Any:
    """The list that a template wrote in Python's notation, as `{{choices}}` does."""
    if len(text) > MAX_LITERAL:
        raise Unrenderable(f"a list of more than {MAX_LITERAL} characters")
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        raise Unrenderable(f"{text[:80]!r} is not a list") from None


def _texts(value: Any, key: str) -> list[str]:
    if not isinstance(value, list | tuple) or not value:
        raise Unrenderable(f"{key}: {str(value)[:80]!r} is not a list")
    if not all(isinstance(one, str | int | float) for one in value):
        raise Unrenderable(f"{key}: not a list of texts")
    return [str(one) for one in value]


def _delimited(before: str | None, after: str, delimiter: str) -> str:
    """Both, with the delimiter between them where neither brings white space."""
    if not before or not after:
        return before or after
    spaced = before[-1].isspace() or after[0].isspace()
    return before + ("" if spaced else delimiter) + after
