"""Which votes belong to a category: a small declarative language over a vote's features. No Django.

A rule is JSON that an administrator writes:

    {}                                    every vote
    {"flag": "code"}                      a yes/no feature
    {"language": "de"}                    or a list: {"language": ["de", "nl"]}
    {"min": {"prompt_tokens": 500}}       a number, inclusive; "max" likewise
    {"outcomes": ["lo", "hi"]}            only these outcomes: no ties
    {"not": RULE}, {"all": [RULE, …]}, {"any": [RULE, …]}
    {"leaks": true}                       those too on answers that said who wrote them

Several keys in one object must all hold. Votes with the flag `identity_leak` belong only where the
rule itself, not one inside it, says "leaks".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

FLAGS = ("code", "math", "creative", "instructions", "refusal", "identity_leak")
NUMBERS = ("turns", "prompt_tokens")
OUTCOMES = ("lo", "hi", "tie", "both_bad")
MAX_DEPTH = 8

Features = Mapping[str, Any]
"""`language` (str), every name in FLAGS (bool), every name in NUMBERS (int), `outcome` (str)."""

Rule = Callable[[Features], bool]


class BadRule(ValueError):
    """Not a rule; the message says where and what would be right."""


def compile_rule(rule: object, _depth: int = 0) -> Rule:
    """A predicate for the rule. Raises BadRule."""
    if not isinstance(rule, dict):
        raise BadRule(f"a rule is a JSON object such as {{}}, not {rule!r}")
    if _depth > MAX_DEPTH:
        raise BadRule(f"rules inside rules go {MAX_DEPTH} deep at most")
    parts = [_compile_part(str(key), value, _depth) for key, value in rule.items()]
    if _depth == 0 and not counts_leaks(rule):
        parts.append(lambda features: not features["identity_leak"])
    return lambda features: all(part(features) for part in parts)


def counts_leaks(rule: object) -> bool:
    """Whether a (good) rule lets votes in on answers that said who wrote them."""
    return isinstance(rule, dict) and rule.get("leaks") is True


def cut_points(rule: object) -> dict[str, set[int]]:
    """By name in NUMBERS: the values at which the answer of a (good) rule may change.

    Two numbers with no cut point above the lesser and up to the greater are the same to the rule.
    """
    cuts: dict[str, set[int]] = {name: set() for name in NUMBERS}
    pending = [rule]
    while pending:
        part = pending.pop()
        if isinstance(part, list):
            pending += part
        elif isinstance(part, dict):
            for name, number in part.get("min", {}).items():
                cuts[name].add(number)
            for name, number in part.get("max", {}).items():
                cuts[name].add(number + 1)
            pending += [part[key] for key in ("not", "all", "any") if key in part]
    return cuts


def _compile_part(key: str, value: object, depth: int) -> Rule:
    match key:
        case "flag":
            flag = _one_of(value, FLAGS, "flag")
            return lambda features: bool(features[flag])
        case "language":
            languages = frozenset(_texts(value, "language"))
            return lambda features: features["language"] in languages
        case "outcomes":
            outcomes = frozenset(_one_of(o, OUTCOMES, "outcomes") for o in _list(value, "outcomes"))
            return lambda features: features["outcome"] in outcomes
        case "min" | "max":
            bounds = _bounds(value, key)
            if key == "min":
                return lambda features: all(features[name] >= n for name, n in bounds.items())
            return lambda features: all(features[name] <= n for name, n in bounds.items())
        case "leaks":
            if value is not True or depth > 0:
                raise BadRule('leaks: only {"leaks": true} is understood, and not inside of a rule')
            return lambda features: True
        case "not":
            inner = compile_rule(value, depth + 1)
            return lambda features: not inner(features)
        case "all" | "any":
            rules = [compile_rule(each, depth + 1) for each in _list(value, key)]
            if key == "all":
                return lambda features: all(rule(features) for rule in rules)
            return lambda features: any(rule(features) for rule in rules)
    raise BadRule(
        f"unknown key {key!r}: flag, language, min, max, outcomes, leaks, not, all and any are "
        "understood"
    )


def _one_of(value: object, known: tuple[str, ...], key: str) -> str:
    if not isinstance(value, str) or value not in known:
        raise BadRule(f"{key}: {value!r} is none of {', '.join(known)}")
    return value


def _list(value: object, key: str) -> list[object]:
    if not isinstance(value, list) or not value:
        raise BadRule(f"{key}: a list with at least one entry is expected")
    return value


def _texts(value: object, key: str) -> list[str]:
    texts = [value] if isinstance(value, str) else _list(value, key)
    if not all(isinstance(text, str) and text for text in texts):
        raise BadRule(f'{key}: a code such as "en", or a list of codes, is expected')
    return [str(text) for text in texts]


def _bounds(value: object, key: str) -> dict[str, int]:
    if not isinstance(value, dict) or not value:
        raise BadRule(f'{key}: an object such as {{"turns": 2}} is expected')
    for name, number in value.items():
        _one_of(name, NUMBERS, key)
        if type(number) is not int or number < 0:
            raise BadRule(f"{key}: {name} takes a whole number, not {number!r}")
    return dict(value)
