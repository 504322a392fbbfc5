r"""Numbers, compared as decimals: "1,080.00" is 1080, and 0.1 + 0.2 is not asked.

Where the answer stands is looked up in order: `boxed` (the last \boxed{}), `hashes` (GSM8K's
"#### 18", the first, as OpenAI's own grader reads it), `answer` (a line "A: 18" or "Answer: 18",
"the answer is 18", the last) and `last` (the last number of the text). Item: `target`, whose own
number is found the same way, so GSM8K's full reference solutions may stand there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation

from .patterns import compiled, find_all
from .score import Item, Response, Score, Scorer, references, unparsed

# The possessive counts keep each scan linear in the text.
_DIGITS = r"(?:[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)(?:\.[0-9]++)?+|\.[0-9]++"
NUMBER = rf"[-−–+]?\$?(?:{_DIGITS})(?:[eE][-+]?[0-9]{{1,3}}(?![0-9]))?+"
_NUMBER = re.compile(rf"(?<![0-9.])(?:{NUMBER})")
_LEADING = re.compile(rf"[\s*_`$(\[:=]{{0,20}}({NUMBER})")
_HASHES = re.compile(r"#### ?")
_ANSWER = re.compile(
    r"^[ \t]*(?:\*\*|__)?(?:A|Answer|Final answer)(?:\*\*|__)?[ \t]*:|\banswer is\b(?: that)?",
    re.IGNORECASE | re.MULTILINE,
)
_BOXED = re.compile(r"\\(?:boxed|fbox)\s*\{")
LONGEST_NUMBER = 300  # characters; exactness is kept, absurdity refused


@dataclass(frozen=True, slots=True)
class Parameters:
    """`pattern` overrides `order`: its first group, or itself, of the last match."""

    order: Sequence[str] = ("boxed", "hashes", "answer", "last")
    pattern: str | None = None
    absolute_tolerance: float | str = 0
    relative_tolerance: float | str = 0

    def __post_init__(self) -> None:
        if unknown := set(self.order) - set(PLACES):
            raise ValueError(f"numeric looks in no place {', '.join(sorted(unknown))}")
        if self.pattern is not None:
            compiled(self.pattern)
        for tolerance in (self.absolute_tolerance, self.relative_tolerance):
            parsed = number(str(tolerance))
            if parsed is None or parsed < 0:
                raise ValueError(f"{tolerance!r} is no tolerance")


def numeric(response: Response, item: Item, params: Parameters) -> Score:
    found = find(response.text, params)
    if found is None:
        return unparsed()
    wanted = [find(reference, params) for reference in references(item)]
    if None in wanted:
        raise ValueError(f"the target holds no number: {item.get('target')!r}")
    close = any(equal(found, w, params) for w in wanted if w is not None)
    return Score(float(close), format(found, "f") if abs(found.adjusted()) < 50 else str(found))


def find(text: str, params: Parameters) -> Decimal | None:
    """The number a text gives as its answer."""
    if params.pattern is not None:
        matches = find_all(params.pattern, text)
        match = matches[-1] if matches else ""
        if isinstance(match, tuple):
            match = next((group for group in match if group), "")
        return number(match) if match else _last(text) if "last" in params.order else None
    for place in params.order:
        found = PLACES[place](text)
        if found is not None:
            return found
    return None


def number(text: str) -> Decimal | None:
    """A written number without its currency sign, thousands commas, per cent or full stop."""
    text = text.strip().strip("*_`()[] ").replace("\\%", "%").replace("\\$", "$")
    text = text.rstrip(".%").replace("$", "").replace(",", "").replace("−", "-").replace("–", "-")
    if len(text) > LONGEST_NUMBER or not text.isascii():
        return None
    try:
        value = Decimal(text.replace(" ", ""))
    except InvalidOperation:
        return None
    return value if value.is_finite() else None


def equal(found: Decimal, wanted: Decimal, params: Parameters) -> bool:
    if found == wanted:  # exact, whatever the precision
        return True
    absolute = number(str(params.absolute_tolerance)) or Decimal(0)
    relative = number(str(params.relative_tolerance)) or Decimal(0)
    if not absolute and not relative:
        return False
    exact = Context(prec=2 * LONGEST_NUMBER, traps=[])
    distance = exact.abs(exact.subtract(found, wanted))
    return distance <= max(absolute, exact.multiply(relative, exact.abs(wanted)))


def _boxed(text: str) -> Decimal | None:
    opened = None
    for opened in _BOXED.finditer(text):  # noqa: B007
        pass
    if opened is None:
        return None
    depth = 1
    for at in range(opened.end(), len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return _written(text[opened.end() : at])
    return None


_FRACTION = re.compile(
    rf"(-?)\\[dt]?frac\s*\{{({NUMBER})\}}\s*\{{({NUMBER})\}}|({NUMBER})/({NUMBER})"
)
_WRAPPED = re.compile(r"\\(?:text|mathrm|mathbf)\s*\{([^{}]*)\}")


def _written(latex: str) -> Decimal | None:
    """A number as LaTeX sets it: thin spaces, units in \\text, \\frac."""
    plain = _WRAPPED.sub(r" \1", latex).replace("{,}", ",")
    plain = re.sub(r"\\[,;! ]", "", plain).replace("\\$", "$")
    if fraction := _FRACTION.fullmatch(plain.strip()):
        sign, upper, lower, first, second = fraction.groups()
        over, under = number(upper or first), number(lower or second)
        if over is None or not under:
            return None
        return Context(traps=[]).divide(-over if sign else over, under)
    whole = number(plain)
    return _last(plain) if whole is None else whole


def _hashes(text: str) -> Decimal | None:
    return next((_at(text, m.end()) for m in _HASHES.finditer(text)), None)


def _answer(text: str) -> Decimal | None:
    found = [_at(text, m.end()) for m in _ANSWER.finditer(text)]
    return next((value for value in reversed(found) if value is not None), None)


def _at(text: str, start: int) -> Decimal | None:
    match = _LEADING.match(text, start)
    return number(match[1]) if match else None


def _last(text: str) -> Decimal | None:
    found = None
    for found in _NUMBER.finditer(text):  # noqa: B007
        pass
    return number(found[0]) if found else None


PLACES: dict[str, Callable[[str], Decimal | None]] = {
    "boxed": _boxed,
    "hashes": _hashes,
    "answer": _answer,
    "last": _last,
}

NUMERIC = Scorer("numeric", "1.0.0", Parameters, numeric)
