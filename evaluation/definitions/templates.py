"""Prompt templates that people upload, run so that they reach nothing and end soon.

Jinja2's immutable sandbox keeps a template from Python's internals; it does not keep it from
`{{ 'a' * 10**9 }}`. So a template here has no assignments and no macros, which leaves the size of
every intermediate text in proportion to the source and the item; what multiplies (`*`, `replace`,
`join`, loops, `map`) is measured before it is done, against one budget for the whole rendering.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import regex
from jinja2 import (
    BaseLoader,
    StrictUndefined,
    Template,
    TemplateError,
    nodes,
    pass_context,
)
from jinja2.filters import do_map
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.visitor import NodeTransformer

from evaluation.definitions.problems import Unrenderable
from evaluation.scorers.patterns import TIME_LIMIT as PATTERN_TIME_LIMIT
from evaluation.scorers.patterns import compiled as compiled_pattern

MAX_SOURCE = 20_000  # characters of a template
MAX_TEXT = 4 << 20  # characters of all texts that one rendering makes together
MAX_STEPS = 20_000  # rounds of all its loops together
MAX_RANGE = 1_000
TIME_LIMIT = 5.0  # seconds of one rendering; a sane one needs less than a millisecond
_MAX_INTEGER = 1 << 64


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FILTERS = _words(
    "abs capitalize count default d dictsort first float int items last length list lower max min "
    "reject rejectattr reverse round select selectattr sort string sum title tojson trim unique "
    "upper wordcount"
)
_ATTRIBUTES = {
    str: _words(
        "capitalize casefold count endswith find index isalnum isalpha isdecimal isdigit islower "
        "isnumeric isspace istitle isupper join lower lstrip partition removeprefix removesuffix "
        "replace rfind rindex rpartition rsplit rstrip split splitlines startswith strip swapcase "
        "title upper"
    ),
    list: frozenset({"count", "index"}),
    dict: frozenset({"get", "items", "keys", "values"}),
}
_REFUSED = {
    nodes.Assign: "set",
    nodes.AssignBlock: "set",
    nodes.With: "with",
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.FilterBlock: "filter",
    nodes.ScopedEvalContextModifier: "autoescape",
}


@dataclass(slots=True)
class _Budget:
    """What the rendering that is under way may still do."""

    characters: int = MAX_TEXT
    steps: int = MAX_STEPS
    deadline: float = field(default_factory=lambda: time.monotonic() + TIME_LIMIT)

    @property
    def seconds(self) -> float:
        """Left of the time; raises _TooLarge where there is none."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise _TooLarge(f"the template takes more than {TIME_LIMIT:g} seconds")
        return left


_budget: ContextVar[_Budget] = ContextVar("_budget")


class BadTemplate(ValueError):
    """The source is not a template that may be used; the text says why."""


class _TooLarge(TemplateError):
    """A rendering outgrew its limits."""


def _measured(size: int) -> None:
    budget = _budget.get()
    budget.characters -= size
    if budget.characters < 0:
        raise _TooLarge(f"the template makes a text of more than {MAX_TEXT} characters")


def _size(value: Any) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 1


def _counted(values: Iterable[Any]) -> Iterator[Any]:
    """What a loop goes over, its rounds counted for the whole rendering."""
    budget = _budget.get()
    for value in values:
        budget.steps -= 1
        if budget.steps < 0 or budget.seconds < 0:
            raise _TooLarge(f"the template's loops make more than {MAX_STEPS} rounds")
        yield value


def _replace(text: str, old: str, new: str, count: int | None = None) -> str:
    text = str(text)
    _measured(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
    return text.replace(old, new, -1 if count is None else count)


def _join(values: Iterable[Any], d: str = "", attribute: str | int | None = None) -> str:
    if attribute is not None:
        raise _TooLarge("join(attribute=…) is not supported: use map(attribute=…) before it")
    texts = [str(value) for value in _counted(values)]
    _measured(sum(map(len, texts)) + len(d) * len(texts))
    return d.join(texts)


@pass_context
def _map(context: Context, values: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    for value in do_map(context, _counted(values), *args, **kwargs):
        _measured(_size(value))
        yield value


def _regex_replace(string: str, pattern: str, repl: str, count: int = 0) -> str:
    # lm-evaluation-harness gives its templates this one filter of its own.
    # Many searches that each end in time share the time of the rendering.
    seconds = min(PATTERN_TIME_LIMIT, _budget.get().seconds)
    try:
        changed = compiled_pattern(pattern).sub(repl, string, count=count, timeout=seconds)
    except TimeoutError:
        raise TemplateError(f"the pattern {pattern!r} takes too long") from None
    except (regex.error, IndexError) as error:  # of the replacement: it names a missing group
        raise TemplateError(f"not a replacement: {error}") from None
    _measured(len(changed))
    return changed


class _Environment(ImmutableSandboxedEnvironment):
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, allowed in _ATTRIBUTES.items():
            if isinstance(obj, kind):
                return attr in allowed
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            if isinstance(left, int) and isinstance(right, int):
                if abs(left * right) > _MAX_INTEGER:
                    raise _TooLarge("a number out of bounds")
            elif isinstance(left, int) or isinstance(right, int):
                times = left if isinstance(left, int) else right
                _measured(max(times, 0) * _size(right if isinstance(left, int) else left))
        elif operator == "+":
            _measured(_size(left) + _size(right))
        elif operator == "**" and not (abs(left) <= 1_000 and abs(right) <= 6):
            raise _TooLarge("a power out of bounds")
        elif operator == "%" and isinstance(left, str):
            raise TemplateError("formatting by % is not supported")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> None:
        """Nothing: `format` is no attribute here, since `'{:999999999}'` is a text of that size."""

    def call(self, context: Any, obj: Any, *args: Any, **kwargs: Any) -> Any:
        bound = getattr(obj, "__self__", None)
        if isinstance(bound, str):
            name = getattr(obj, "__name__", "")
            if name == "replace":
                return _replace(bound, *args, **kwargs)
            if name == "join" and len(args) == 1 and not kwargs:
                return _join(args[0], bound)
        return super().call(context, obj, *args, **kwargs)


class _Bounded(NodeTransformer):
    """Puts the counting in front of what loops go over."""

    def visit_For(self, node: nodes.For) -> nodes.For:  # noqa: N802 - Jinja2's name for it
        self.generic_visit(node)
        counted = nodes.Filter(node.iter, "_counted", [], [], None, None, lineno=node.lineno)
        counted.environment = node.environment
        node.iter = counted
        return node


def _environment() -> _Environment:
    environment = _Environment(
        loader=BaseLoader(),
        undefined=StrictUndefined,
        keep_trailing_newline=True,  # as lm-evaluation-harness does: a prompt may end in one
        autoescape=False,  # a prompt is no HTML
        cache_size=0,
        optimized=False,  # folding constants would run the template while it is compiled
    )
    environment.filters = {name: environment.filters[name] for name in _FILTERS}
    environment.filters |= {
        "replace": _replace,
        "join": _join,
        "map": _map,
        "regex_replace": _regex_replace,
        "_counted": _counted,
    }
    environment.globals = {"range": _range}
    return environment


def _range(*bounds: int) -> range:
    numbers = range(*bounds)
    if len(numbers) > MAX_RANGE:
        raise _TooLarge(f"a range of more than {MAX_RANGE} numbers")
    return numbers


_ENVIRONMENT = _environment()


@lru_cache(maxsize=1024)
def compiled(source: str) -> Template:
    """Raises BadTemplate."""
    if len(source) > MAX_SOURCE:
        raise BadTemplate(f"a template of more than {MAX_SOURCE} characters")
    try:
        tree = _ENVIRONMENT.parse(source)
        for node in tree.find_all(tuple(_REFUSED)):
            raise BadTemplate(
                f"line {node.lineno}: {{% {_REFUSED[type(node)]} %}} is not supported"
            )
        if any(loop.recursive for loop in tree.find_all(nodes.For)):
            raise BadTemplate("a recursive loop is not supported")
        return _ENVIRONMENT.from_string(_Bounded().visit(tree))
    except TemplateError as error:
        raise BadTemplate(f"not a template: {error.message}") from None
    except (RecursionError, SyntaxError, MemoryError):  # the last two from Python's own compiler
        raise BadTemplate("a template nested too deeply") from None


def render(source: str, fields: Mapping[str, Any]) -> str:
    """The text of the template for one item's fields.

    Raises BadTemplate, and Unrenderable where a field is missing or the item does not fit.
    """
    template = compiled(source)
    token = _budget.set(_Budget())
    parts: list[str] = []
    try:
        for part in template.generate(**fields):
            _measured(len(part))
            parts.append(part)
    except TemplateError as error:
        raise Unrenderable(str(error.message or error)) from None
    except (TypeError, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        raise Unrenderable(f"{type(error).__name__}: {error}") from None
    finally:
        _budget.reset(token)
    return "".join(parts)
