"""One model's line of the board, as data: its rating, its card, its results, how it answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from decimal import Decimal
from typing import Any

from django.conf import settings

from arena.models import Contestant
from evaluation.results.published import Benchmarks, Result
from leaderboard.board import answering
from leaderboard.board.query import BENCHMARK
from leaderboard.models import Rating


@dataclass(frozen=True, slots=True)
class Row:
    """One model's line. Numbers are None where no honest one exists; Elo to 3 decimals."""

    rank: int | None
    rank_low: int | None  # of the bootstrap: best and worst place in 95 % of the replicas
    rank_high: int | None
    rank_change: int | None  # places gained since the snapshot of an earlier day
    model: str
    slug: str
    url: str
    organisation: str
    licence: str
    licence_url: str
    rating: float | None
    lower: float | None
    upper: float | None
    plus: float | None
    minus: float | None
    boot_lower: float | None
    boot_upper: float | None
    votes: int
    win_rate: float | None  # 0 to 1
    both_bad_rate: float | None
    status: str  # of the rating: ok, provisional, separated, unrated
    status_text: str
    provisional: bool  # too few votes to lean on, or no honest number yet
    retired: bool
    quantisation: str
    parameters: str
    billions: float | None  # `parameters` as a number
    context_length: int | None
    price_input: float | None
    price_output: float | None
    memory_gb: float | None
    knowledge_cutoff: str
    open_weights: bool | None
    requests: int | None = None  # of the last days, answered or failed
    error_rate: float | None = None  # 0 to 1, of those
    first_token: float | None = None  # seconds to it, the median
    tokens_per_second: float | None = None
    price_answer: float | None = None  # USD, at the mean length of its late answers
    benchmark_average: float | None = None  # 0 to 1
    benchmark_low: float | None = None
    benchmark_high: float | None = None
    benchmark_n: int | None = None  # items scored, of all its parts
    benchmarks: Mapping[str, Result] = field(default_factory=dict)  # by Benchmark.key
    reruns: frozenset[str] = frozenset()  # those of which it has an older edition only
    contestant_id: int = 0

    def value(self, name: str) -> Any:
        """One field of a column; of a benchmark's, its result or a figure of that."""
        if not name.startswith(BENCHMARK):
            return getattr(self, name)
        benchmark, _, figure = name.removeprefix(BENCHMARK).partition(".")
        result = self.benchmarks.get(benchmark)
        return None if result is None else getattr(result, figure or "value")


ROW_FIELDS = tuple(field.name for field in fields(Row))


STATUS_TEXT = {str(value): str(label) for value, label in Rating.Status.choices}


def row_of(
    contestant: int,
    rating: Mapping[str, Any],
    card: Mapping[str, Any],
    lately: Sequence[Any],  # values of answering.FIELDS
    rank_before: int | None,
    public: Benchmarks,
) -> Row:
    low, high = public.average_interval.get(contestant, (None, None))
    point, lower, upper, rank = (rating[k] for k in ("rating", "lower", "upper", "rank"))
    rated = point is not None
    few = rating["votes"] < settings.MIN_RATED_VOTES
    return Row(
        rank=rank,
        rank_low=rating["rank_low"],
        rank_high=rating["rank_high"],
        rank_change=rank_before - rank if rated and rank_before is not None else None,
        model=card["name"],
        slug=card["slug"],
        url=card["url"],
        organisation=card["organisation"],
        licence=card["licence"],
        licence_url=card["licence_url"],
        rating=elo(point),
        lower=elo(lower),
        upper=elo(upper),
        plus=elo(upper - point) if rated else None,
        minus=elo(point - lower) if rated else None,
        boot_lower=elo(rating["boot_lower"]),
        boot_upper=elo(rating["boot_upper"]),
        votes=rating["votes"],
        win_rate=share(rating["win_rate"]),
        both_bad_rate=share(rating["both_bad_rate"]),
        status=rating["status"],
        status_text=f"Provisional: fewer than {settings.MIN_RATED_VOTES} votes"
        if few and rated
        else STATUS_TEXT[rating["status"]],
        provisional=few or not rated,
        retired=card["status"] == Contestant.Status.RETIRED,
        quantisation=card["quantisation"],
        parameters=card["parameters"],
        billions=billions(card["parameters"]),
        context_length=card["context_length"],
        price_input=price(card["price_input"]),
        price_output=price(card["price_output"]),
        memory_gb=card["memory_gb"],
        knowledge_cutoff=card["knowledge_cutoff"],
        open_weights=card["open_weights"],
        **answering.answering(lately, price_in=card["price_input"], price_out=card["price_output"]),
        benchmark_average=share(public.average.get(contestant)),
        benchmark_low=share(low),
        benchmark_high=share(high),
        benchmark_n=_items(contestant, public),
        benchmarks=public.results.get(contestant, {}),
        reruns=public.reruns.get(contestant, frozenset()),
        contestant_id=contestant,
    )


def _items(contestant: int, public: Benchmarks) -> int | None:
    """How many the average is over."""
    if contestant not in public.average:
        return None
    results = public.results[contestant]
    return sum(results[part.key].n for part in public.parts)


def elo(value: float | None) -> float | None:
    """Rounded for reading: a thousandth is far below what any vote can tell."""
    return None if value is None else round(value, 3)


def share(value: float | None) -> float | None:
    return None if value is None else round(value, 5)


def price(value: Decimal | None) -> float | None:
    return None if value is None else float(value)


_SIZE = re.compile(r"\s*(?:(\d+)\s*[x×]\s*)?(\d+(?:\.\d+)?)\s*([KMBT])\b", re.ASCII | re.IGNORECASE)
_SCALE = {"K": 1e-6, "M": 1e-3, "B": 1.0, "T": 1e3}


def billions(parameters: str) -> float | None:
    """A stated size as a number: "135M" is 0.135, "8x7B" is 56; None where it says none."""
    match = _SIZE.match(parameters)
    if not match:
        return None
    experts, number, unit = match.groups()
    return round(int(experts or 1) * float(number) * _SCALE[unit.upper()], 6)
