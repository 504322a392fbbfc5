"""Reading a judge's verdict, and what two games in both orders say together.

`judge_single` reads "[[7]]" (Zheng et al., MT-bench, arXiv:2306.05685); `judge_pairwise` reads
"[[A]]", "[[B]]", "[[C]]" (MT-bench) or "[[A>>B]]" to "[[B>>A]]" (Li et al., Arena-Hard,
arXiv:2406.11939), single brackets where there are no double ones, the last one counting. The
response is the judge's text and nothing else. Item: `answers`, the texts it judged. A verdict the
judge only quotes from them is none; without one left the score is None: asked again once by the
runner, then left out and shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from .score import Flag, Item, Response, Score, Scorer

ECHO = 80  # characters up to a verdict that, found in an answer, are a copy and no judgement
MOST = 500  # verdicts of one judgement that are looked at
_CODE_FENCE = re.compile(r"^[ ]{0,3}(`{3,}|~{3,})")
_QUOTES = ('"', '"'), ("“", "”"), ("'", "'"), ("`", "`"), ("«", "»")


class Verdict(IntEnum):
    """For the answer shown first: much better, better, tie, worse, much worse."""

    MUCH_BETTER = 2
    BETTER = 1
    TIE = 0
    WORSE = -1
    MUCH_WORSE = -2


_VERDICTS = {
    "A>>B": Verdict.MUCH_BETTER,
    "B<<A": Verdict.MUCH_BETTER,
    "A>B": Verdict.BETTER,
    "B<A": Verdict.BETTER,
    "A": Verdict.BETTER,
    "A=B": Verdict.TIE,
    "B=A": Verdict.TIE,
    "C": Verdict.TIE,
    "A<B": Verdict.WORSE,
    "B>A": Verdict.WORSE,
    "B": Verdict.WORSE,
    "A<<B": Verdict.MUCH_WORSE,
    "B>>A": Verdict.MUCH_WORSE,
}
_PAIRWISE = re.compile(r"\[\[([ABC<>=]{1,4})\]\]"), re.compile(r"\[([ABC<>=]{1,4})\]")
_RATING = re.compile(r"\[\[(\d{1,4}(?:\.\d{1,4})?)\]\]"), re.compile(r"\[(\d{1,4}(?:\.\d{1,4})?)\]")


def parse_pairwise(judgement: str, answers: Sequence[str] = ()) -> Verdict | None:
    """The judge's last own verdict, or None."""
    for pattern in _PAIRWISE:
        for text in _own(pattern, judgement, answers, last=True):
            if text in _VERDICTS:
                return _VERDICTS[text]
    return None


def parse_rating(
    judgement: str,
    answers: Sequence[str] = (),
    *,
    lowest: float = 1,
    highest: float = 10,
    match: str = "last",
) -> float | None:
    """The judge's own rating, or None when there is none or it is out of range.

    `match="first"` is what FastChat's script reads; a judge that reasons first ends with its own.
    """
    for pattern in _RATING:
        for text in _own(pattern, judgement, answers, last=match == "last"):
            rating = float(text)
            return rating if lowest <= rating <= highest else None
    return None


def _own(
    pattern: re.Pattern[str], judgement: str, answers: Sequence[str], *, last: bool
) -> Iterable[str]:
    """What the pattern finds where the judge speaks for itself, from one end of the text.

    Not counted are: block quotes and fenced code; a verdict in quotation marks or backticks if an
    answer holds it; and one whose last 80 characters up to it stand in an answer word for word.
    """
    claimed = {m[0] for answer in answers for m in pattern.finditer(answer)}
    flat = [" ".join(answer.split()) for answer in answers]
    found = [
        (match, text, start)
        for text, start in _spoken_lines(judgement)
        for match in pattern.finditer(text)
    ]
    # A text of nothing but verdicts is looked at from its end only, as far as this.
    for match, text, start in found[:-MOST:-1] if last else found[:MOST]:
        if match[0] in claimed and _in_quotes(text, match):
            continue
        upto = judgement[max(0, start + match.start() - 4 * ECHO) : start + match.end()]
        upto = " ".join(upto.split())[-ECHO:]
        if len(upto) == ECHO and any(upto in answer for answer in flat):
            continue
        yield match[1]


def _spoken_lines(judgement: str) -> Iterable[tuple[str, int]]:
    """(line, its place) for the lines outside block quotes and closed code fences."""
    lines = judgement.split("\n")
    fences = [i for i, line in enumerate(lines) if _CODE_FENCE.match(line)]
    fenced: set[int] = set()
    for opened, closed in zip(fences[::2], fences[1::2], strict=False):
        fenced.update(range(opened, closed + 1))
    # A judge may put its verdict alone in a fence: with nothing else said, it is its own.
    alone = all(i in fenced or not line.strip() for i, line in enumerate(lines))
    start = 0
    for i, line in enumerate(lines):
        if (i not in fenced or alone) and not line.lstrip().startswith(">"):
            yield line, start
        start += len(line) + 1


def _in_quotes(line: str, match: re.Match[str]) -> bool:
    before, after = line[: match.start()], line[match.end() :]
    for opening, closing in _QUOTES:
        if opening == closing:
            if before.count(opening) % 2 and closing in after:
                return True
        elif before.rfind(opening) > before.rfind(closing) and closing in after:
            return True
    return False


# One judgement as a score --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SingleParameters:
    lowest: float = 1
    highest: float = 10
    match: str = "last"

    def __post_init__(self) -> None:
        if self.lowest >= self.highest:
            raise ValueError("a rating needs a range")
        if self.match not in {"first", "last"}:
            raise ValueError("a rating is the first match or the last")


def judge_single(response: Response, item: Item, params: SingleParameters) -> Score:
    rating = parse_rating(
        response.text,
        tuple(item.get("answers") or ()),
        lowest=params.lowest,
        highest=params.highest,
        match=params.match,
    )
    if rating is None:
        return Score(None, None, frozenset({Flag.UNPARSED}))
    return Score(rating, f"{rating:g}")


@dataclass(frozen=True, slots=True)
class PairwiseParameters:
    """`model_is`: whether the model under test was shown as A or as B."""

    model_is: str = "A"

    def __post_init__(self) -> None:
        if self.model_is not in {"A", "B"}:
            raise ValueError("the model is A or B")


def judge_pairwise(response: Response, item: Item, params: PairwiseParameters) -> Score:
    """One game: 1 won by the model, 0.5 tie, 0 lost."""
    verdict = parse_pairwise(response.text, tuple(item.get("answers") or ()))
    if verdict is None:
        return Score(None, None, frozenset({Flag.UNPARSED}))
    ours = verdict if params.model_is == "A" else Verdict(-verdict)
    return Score(_outcome(ours), verdict.name.lower(), details={"first": int(verdict)})


def _outcome(verdict: int) -> float:
    return (1 + (verdict > 0) - (verdict < 0)) / 2


# Both orders together ------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Pairing:
    """One question, judged twice; each verdict is for the answer shown first in its game."""

    model_first: Verdict | None
    model_second: Verdict | None
    model_length: int = 0  # characters
    other_length: int = 0

    @property
    def for_model(self) -> tuple[int | None, int | None]:
        second = self.model_second
        return self.model_first, None if second is None else -second


def outcome(pairing: Pairing, *, policy: str) -> float | None:
    """The model's share of a question in [0, 1], or None when no verdict allows one.

    "mt-bench": both orders agree, or it is a tie; a game without a verdict spoils the pair.
    "arena-hard": the mean of the games there are, a much better answer weighing 3.
    """
    games = pairing.for_model
    told = [game for game in games if game is not None]
    if policy == "mt-bench":
        if len(told) < 2:
            return None
        first, second = (_outcome(game) for game in told)
        return first if first == second else 0.5
    if policy == "arena-hard":
        weights = [3 if abs(game) == 2 else 1 for game in told]
        total = sum(weights)
        if not total:
            return None
        return sum(w * _outcome(g) for w, g in zip(weights, told, strict=True)) / total
    raise ValueError(f"no policy {policy!r}; there are mt-bench and arena-hard")


@dataclass(frozen=True, slots=True)
class JudgeBias:
    """How far place and length went with the verdicts. Rates are None without such questions."""

    questions: int  # with both verdicts
    consistent: int  # the same winner, or tie, in both orders
    favours_first: int  # whoever was shown first won, in both orders
    favours_second: int
    longer_wins: float | None  # of decided, consistent questions with answers of unequal length
    mean_length_difference: float | None  # model minus the other, characters

    @property
    def position_bias_rate(self) -> float | None:
        biased = self.favours_first + self.favours_second
        return biased / self.questions if self.questions else None


def judge_bias(pairings: Iterable[Pairing]) -> JudgeBias:
    consistent = first = second = questions = 0
    longer: list[bool] = []
    differences: list[int] = []
    for pairing in pairings:
        if pairing.model_first is None or pairing.model_second is None:
            continue
        questions += 1
        one, two = (_outcome(v) for v in (pairing.model_first, pairing.model_second))
        first += one == two == 1
        second += one == two == 0
        consistent += one == 1 - two
        difference = pairing.model_length - pairing.other_length
        differences.append(difference)
        if one == 1 - two != 0.5 and difference:
            longer.append((one == 1) == (difference > 0))
    return JudgeBias(
        questions,
        consistent,
        first,
        second,
        sum(longer) / len(longer) if longer else None,
        sum(differences) / len(differences) if differences else None,
    )


JUDGE_SINGLE = Scorer("judge_single", "1.0.0", SingleParameters, judge_single)
JUDGE_PAIRWISE = Scorer("judge_pairwise", "1.0.0", PairwiseParameters, judge_pairwise)
