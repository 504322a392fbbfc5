"""Which pair counts a vote belongs to: its two models, its outcome, the categories whose rule it
meets."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter
from typing import Any, NamedTuple

from arena.models import Vote
from leaderboard.models import Category, PairCount, VoteFeatures
from leaderboard.rules import FLAGS, NUMBERS, Rule, compile_rule, cut_points


class Key(NamedTuple):
    """A row of PairCount. Ordered: rows are always locked in this order, against deadlock."""

    category: int
    lo: int
    hi: int
    outcome: str


class Rules:
    """Every category's rule, compiled once a batch; votes with equal features are matched once."""

    def __init__(self, categories: Iterable[Category]) -> None:
        categories = list(categories)
        cuts = [cut_points(category.rule) for category in categories]
        # By number: where some rule's answer may change, descending.
        self.cuts = {
            name: sorted(set().union(*(cut[name] for cut in cuts)), reverse=True)
            for name in NUMBERS
        }
        self._rules: list[tuple[int, float, Rule]] = [
            (
                category.pk,
                category.rebuilt_through if category.stale else float("inf"),
                compile_rule(category.rule),
            )
            for category in categories
        ]
        self._matching: dict[tuple[Any, ...], list[tuple[int, float]]] = {}

    def categories_of(self, vote_id: int, traits: tuple[Any, ...]) -> Iterator[int]:
        """The categories whose counts hold the vote if it is tallied; traits as `traits_of`."""
        found = self._matching.get(traits)
        if found is None:
            known = dict(zip(TRAITS, traits, strict=True))
            found = [(pk, through) for pk, through, rule in self._rules if rule(known)]
            self._matching[traits] = found
        return (pk for pk, through in found if vote_id <= through)


FEATURE_TRAITS = ("language", *NUMBERS, *FLAGS)
TRAITS = (*FEATURE_TRAITS, "outcome")
features_traits = attrgetter(*FEATURE_TRAITS)


def traits_of(features: VoteFeatures, outcome: str) -> tuple[Any, ...]:
    """All that rules look at, in the order of TRAITS."""
    return (*features_traits(features), outcome)


def outcome_of(vote: Vote) -> tuple[int, int, str]:
    """(lo, hi, outcome) of a vote with its battle loaded."""
    left, right = vote.battle.contestant_a_id, vote.battle.contestant_b_id
    assert right is not None
    lo, hi = sorted((left, right))
    if vote.choice in (Vote.Choice.TIE, Vote.Choice.BOTH_BAD):
        return lo, hi, vote.choice
    winner = left if vote.choice == Vote.Choice.A else right
    return lo, hi, PairCount.Outcome.LO if winner == lo else PairCount.Outcome.HI
