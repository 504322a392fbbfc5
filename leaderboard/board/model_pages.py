"""What the pages of one model, and of two models side by side, show. Reads what is published."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from arena import siblings
from arena.models import HIDDEN_STATUSES, Contestant
from evaluation.results import figures
from evaluation.results.published import Column, Result
from leaderboard import snapshots
from leaderboard.board import NoSuchCategory, published
from leaderboard.board.answering import Answering, answering_of
from leaderboard.board.published import ModelCard, Pair, Standing
from leaderboard.models import OVERALL, Method

FEWEST = 5  # decisive battles before an opponent is named best or worst
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Opponent:
    """A model's battles against another one, from its own point of view."""

    slug: str
    name: str
    wins: int
    losses: int
    ties: int
    both_bad: int

    @property
    def decisive(self) -> int:
        return self.wins + self.losses

    @property
    def battles(self) -> int:
        return self.decisive + self.ties + self.both_bad

    @property
    def win_rate(self) -> float | None:
        """Share of the decisive battles."""
        return self.wins / self.decisive if self.decisive else None

    @property
    def percent(self) -> int | None:
        return None if self.win_rate is None else round(100 * self.win_rate)


@dataclass(frozen=True, slots=True)
class ModelView:
    card: ModelCard
    overall: Standing | None
    standings: list[Standing]  # by Bradley-Terry, in every category shown
    other_methods: list[Standing]  # overall
    best: list[Opponent]
    worst: list[Opponent]
    benchmarks: BenchmarkScores
    answering: Answering | None
    family: Sequence[Contestant]  # with it among them, the most bits first; () for none


@dataclass(frozen=True, slots=True)
class BenchmarkScores:
    """A model's results, and their average in words; "" without one."""

    lines: list[BenchmarkLine]
    average: str
    interval: str


@dataclass(frozen=True, slots=True)
class BenchmarkLine:
    """A model's result in one column, in words; without `result`, one of an older edition."""

    column: Column
    score: str
    interval: str
    result: Result | None


def model_view(slug: str) -> ModelView:
    """Raises published.NotPublished."""
    card, standings = published.model(slug)
    main = [s for s in standings if s.method == Method.BRADLEY_TERRY]
    opponents = [o for o in opponents_of(slug) if o.decisive >= FEWEST]
    ranked = sorted(opponents, key=lambda o: (-(o.win_rate or 0), -o.decisive))
    half = min(SHOWN, len(ranked) // 2)
    return ModelView(
        card=card,
        overall=next((s for s in main if s.category == OVERALL), None),
        standings=main,
        other_methods=[
            s for s in standings if s.category == OVERALL and s.method != Method.BRADLEY_TERRY
        ],
        best=ranked[:half],
        worst=ranked[::-1][:half],
        benchmarks=benchmark_scores(slug),
        answering=answering_of(slug),
        family=family_of(slug),
    )


def family_of(slug: str) -> Sequence[Contestant]:
    """The public models that are this one in other quantisations, and itself; () for none."""
    public = Contestant.objects.exclude(status__in=HIDDEN_STATUSES)
    named = public.only("name", "slug", "quantisation")
    return next(
        (
            members
            for members in siblings.families(named)
            if any(member.slug == slug for member in members)
        ),
        (),
    )


def benchmark_scores(slug: str) -> BenchmarkScores:
    found, models = published.benchmark_results()
    contestant = next((pk for pk, name in models if name == slug), 0)
    results = found.results.get(contestant, {})
    older = found.reruns.get(contestant, frozenset())
    average = found.average.get(contestant)
    low, high = found.average_interval.get(contestant, (None, None))
    return BenchmarkScores(
        [
            _line(column, results.get(column.key))
            for column in found.columns
            if column.key in results or column.key in older
        ],
        "" if average is None else figures.score(average),
        "" if low is None else figures.interval(low, high),
    )


def _line(column: Column, result: Result | None) -> BenchmarkLine:
    if result is None:
        return BenchmarkLine(column, "", "", None)
    return BenchmarkLine(
        column,
        figures.score(result.value, percent=column.percent),
        figures.interval(result.low, result.high, percent=column.percent),
        result,
    )


def opponents_of(slug: str) -> list[Opponent]:
    """Everyone it has met in the counted votes of the current overall snapshot."""
    try:
        _, pairs = published.pairs(category=OVERALL, method=Method.BRADLEY_TERRY)
    except NoSuchCategory:
        return []
    names = {card.slug: card.name for card in published.models()}
    return [_seen_from(slug, pair, names) for pair in pairs if slug in (pair.model_a, pair.model_b)]


def _seen_from(slug: str, pair: Pair, names: dict[str, str]) -> Opponent:
    other = pair.model_b if pair.model_a == slug else pair.model_a
    wins, losses = pair.wins_a, pair.wins_b
    if pair.model_b == slug:
        wins, losses = losses, wins
    return Opponent(other, names[other], wins, losses, pair.ties, pair.both_bad)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models. `difference` in Elo, a minus b, with its interval where the snapshot has one."""

    a: ModelCard
    b: ModelCard
    standing_a: Standing | None
    standing_b: Standing | None
    head_to_head: Opponent | None  # seen from a
    difference: float | None
    lower: float | None
    upper: float | None
    expected: float | None  # score of a against b
    categories: list[tuple[str, Standing | None, Standing | None]]


def compare(a: str, b: str) -> Comparison:
    """Raises published.NotPublished."""
    card_a, standings_a = published.model(a)
    card_b, standings_b = published.model(b)
    by_category = _side_by_side(standings_a, standings_b)
    one, other = next(((x, y) for slug, x, y in by_category if slug == OVERALL), (None, None))
    difference = lower = upper = expected = None
    if one and other and one.rating is not None and other.rating is not None:
        difference = one.rating - other.rating
        expected = 1 / (1 + 10 ** (-difference / 400))
        error = snapshots.standard_error_of_difference(card_a.name, card_b.name)
        if error is not None:
            lower, upper = difference - 1.959964 * error, difference + 1.959964 * error
    return Comparison(
        a=card_a,
        b=card_b,
        standing_a=one,
        standing_b=other,
        head_to_head=next((o for o in opponents_of(a) if o.slug == b), None),
        difference=difference,
        lower=lower,
        upper=upper,
        expected=expected,
        categories=by_category,
    )


def _side_by_side(
    one: Sequence[Standing], other: Sequence[Standing]
) -> list[tuple[str, Standing | None, Standing | None]]:
    first = {s.category: s for s in one if s.method == Method.BRADLEY_TERRY}
    second = {s.category: s for s in other if s.method == Method.BRADLEY_TERRY}
    return [(slug, first.get(slug), second.get(slug)) for slug in dict.fromkeys([*first, *second])]
