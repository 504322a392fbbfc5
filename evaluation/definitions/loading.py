"""A task file as a mapping: YAML without code, aliases or repeated keys, and what it includes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath
from typing import Any

import yaml

from evaluation.definitions.problems import InvalidTask, Problem
from evaluation.definitions.sections import is_json

MAX_FILE = 256 << 10  # characters of a task file
MAX_INCLUDES = 8

# The text of an included file by its name; KeyError if there is none.
Include = Callable[[str], str]


def load(text: str, *, include: Include | None = None) -> dict[str, Any]:
    """The mapping in a task file, with what it includes. Raises InvalidTask."""
    return _load(text, include, ())


def _load(text: str, include: Include | None, within: tuple[str, ...]) -> dict[str, Any]:
    if len(text) > MAX_FILE:
        raise InvalidTask([Problem("", f"a task file has at most {MAX_FILE} characters")])
    try:
        loaded = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise InvalidTask([Problem("", f"{line}{error.problem}")]) from None
    except RecursionError:
        raise InvalidTask([Problem("", "not YAML: nested too deeply")]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidTask([Problem("", f"not YAML: {error}")]) from None
    if not isinstance(loaded, dict):
        raise InvalidTask([Problem("", "not a mapping of keys to values")])
    if problems := list(_unusable(loaded, "")):
        raise InvalidTask(problems)
    named = loaded.pop("include", None)
    if named is None:
        return loaded
    merged: dict[str, Any] = {}
    for name in named if isinstance(named, list) else [named]:
        merged |= _included(name, include, within)
    return merged | loaded  # what the file itself says wins


def _included(name: Any, include: Include | None, within: tuple[str, ...]) -> dict[str, Any]:
    def refused(reason: str) -> InvalidTask:
        return InvalidTask([Problem("include", reason)])

    if not isinstance(name, str):
        raise refused("not the name of a file")
    if include is None:
        raise refused(f"{name} has to be given together with the task file")
    if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
        raise refused(f"{name} lies outside the folder of the task file")
    if name in within or len(within) >= MAX_INCLUDES:
        raise refused(f"{name} includes itself, or {MAX_INCLUDES} files deep")
    try:
        text = include(name)
    except KeyError:
        raise refused(f"{name} has to be given together with the task file") from None
    return _load(text, include, (*within, name))


class _Loader(yaml.SafeLoader):
    """YAML without functions, aliases or repeated keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            loader: Any = self  # the stubs leave this method untyped
            mark = loader.peek_event().start_mark
            # A file of a few hundred bytes can name billions of values with them.
            raise yaml.MarkedYAMLError(problem="aliases (*name) are not used", problem_mark=mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.tag == "tag:yaml.org,2002:str" and key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} occurs twice", problem_mark=key.start_mark
                )
            seen.add(key.value if isinstance(key.value, str) else None)
        return super().construct_mapping(node, deep)


@dataclasses.dataclass(frozen=True)
class _Tagged:
    """A value with a tag of its own, `!function` above all; refused where its key is known."""

    tag: str
    value: str

    def __str__(self) -> str:
        return f"{self.tag} {self.value}".strip()


def _tagged(loader: yaml.SafeLoader, suffix: str, node: yaml.Node) -> Any:
    return _Tagged(f"!{suffix}", node.value if isinstance(node, yaml.ScalarNode) else "")


yaml.add_multi_constructor("!", _tagged, Loader=_Loader)


def _unusable(value: Any, key: str) -> Iterator[Problem]:
    """The values that are no texts, numbers, lists or mappings, with their keys."""
    if isinstance(value, _Tagged):
        yield Problem(key, f"{value} runs Python, which is not done here")
    elif isinstance(value, dict):
        for name, one in value.items():
            if not isinstance(name, str):  # `on` and `no` are true and false to YAML
                yield Problem(key, f"the key {name} is not a text")
            yield from _unusable(one, f"{key}.{name}" if key else str(name))
    elif isinstance(value, list):
        for number, one in enumerate(value):
            yield from _unusable(one, f"{key}[{number}]")
    elif not is_json(value):
        yield Problem(key, f"{type(value).__name__} values are not used")
