"""Numbers as pages say them: the same words from the server and over the socket. No Django."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

NONE = "–"


def is_share(result: Mapping[str, Any]) -> bool:
    """Whether a result is a figure of 0 to 1; else it has a scale of its own."""
    known = [result[key] for key in ("value", "low", "high") if result.get(key) is not None]
    return all(0 <= value <= 1 for value in known)


def score(value: float | None, *, percent: bool = True) -> str:
    """62.5 %, or 6.83 on a scale of its own."""
    if value is None:
        return NONE
    return f"{100 * value:.1f} %" if percent else f"{value:.2f}"


def interval(low: float | None, high: float | None, *, percent: bool = True) -> str:
    if low is None or high is None:
        return NONE
    if percent:
        return f"{100 * low:.1f}–{100 * high:.1f} %"
    return f"{low:.2f}–{high:.2f}"


def points(value: float | None, *, percent: bool = True) -> str:
    """A difference with its sign: +3.1 points."""
    if value is None:
        return NONE
    text = f"{100 * value:+.1f}" if percent else f"{value:+.2f}"
    return text.replace("-", "−")


def money(value: float | None) -> str:
    if value is None:
        return NONE
    return f"${value:,.2f}" if value >= 1 or not value else f"${value:.4f}"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return NONE
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes:02d} min"


def words(progress: dict[str, Any]) -> dict[str, str]:
    """What `evaluation.progress` counted, ready to be shown, under the names of its places."""
    running, state = progress["score"], progress["state_text"]
    if progress["checking"]:
        # Beside the sandbox's work nothing else is left of a run.
        state = "{}: checking {:,} of {:,} programs".format(state, *progress["checking"])
    shown, scored = NONE, "no answer scored yet"
    if running:
        percent = running["percent"]
        shown = score(running["value"], percent=percent)
        # Wilson's interval lies to one side of a score near 0 or 1: both ends, not ±.
        bounds = interval(running["low"], running["high"], percent=percent)
        scored = f"{bounds}, of {running['n']:,} answer{'' if running['n'] == 1 else 's'}"
    speed = progress["per_second"]
    return {
        "state": state,
        "reason": progress["reason"],
        "ended": f"{progress['answered']:,} of {progress['total']:,}",
        "percent": f"{progress['percent']:.0f} %",
        "errors": f"{progress['errors']:,}",
        "score": shown,
        "scored": scored,
        "tokens": f"{progress['prompt_tokens']:,} / {progress['completion_tokens']:,}",
        "cost": money(progress["cost"]),
        "eta": duration(progress["eta"]),
        "speed": NONE if not speed else f"{speed:.1f}/s" if speed >= 1 else f"{60 * speed:.0f}/min",
    }


# What a judge's results say beside the score, and which of it is a share.
DETAILS = {
    "policy": "Verdicts of two orders taken as in",
    "won": "Won",
    "tied": "Tied",
    "lost": "Lost",
    "without_verdict": "Without a verdict",
    "both_orders": "Judged in both orders",
    "consistent": "Same verdict in both orders",
    "favours_first": "First shown won both times",
    "favours_second": "Second shown won both times",
    "position_bias_rate": "Position bias",
    "longer_wins": "Longer answer wins",
    "mean_length_difference": "Longer than the other by, characters",
    "judgements_truncated": "Judgements cut short",
    "turns": "By turn",
}
SHARES = ("position_bias_rate", "longer_wins")


def details(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(name, figure) in words."""
    for key, value in found.items():
        name = DETAILS.get(key, key.replace("_", " ").capitalize())
        if isinstance(value, Mapping):
            for part, figure in value.items():
                yield f"{name} {part}", _plain(figure)
        else:
            yield name, score(value) if key in SHARES else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return NONE
    if isinstance(value, float):
        return f"{value:,.2f}".replace("-", "−")
    return f"{value:,}" if isinstance(value, int) else str(value)


@dataclass(frozen=True, slots=True)
class Axis:
    """The scale that the whiskers of a table share."""

    low: float
    high: float

    @classmethod
    def over(cls, values: Iterable[float | None]) -> Axis | None:
        """From the next round number below all values to the next above; None without two."""
        known = [value for value in values if value is not None and isfinite(value)]
        if not known or min(known) == max(known):
            return None
        width = max(known) - min(known)
        step = 10.0 ** floor(log10(width)) / 2
        return cls(floor(min(known) / step) * step, ceil(max(known) / step) * step)

    def percent(self, value: float) -> float:
        return 100 * (value - self.low) / (self.high - self.low)
