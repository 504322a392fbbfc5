"""The votes one by one, for the methods that pair counts do not suffice for, and the export."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from arena.models import Contestant, Vote
from leaderboard.models import Category
from leaderboard.ratings.counts import Outcome
from leaderboard.ratings.style import STYLES
from leaderboard.rules import FLAGS, NUMBERS, compile_rule, cut_points
from leaderboard.tally.belonging import FEATURE_TRAITS
from leaderboard.vote_table import NARROW, NO_STYLE, VoteTable, microseconds, whole_numbers

OUTCOMES = {
    Vote.Choice.A: Outcome.FIRST,
    Vote.Choice.B: Outcome.SECOND,
    Vote.Choice.TIE: Outcome.TIE,
    Vote.Choice.BOTH_BAD: Outcome.BOTH_BAD,
}
FEATURES = FEATURE_TRAITS
NUMBERS_AT = slice(FEATURES.index(NUMBERS[0]), FEATURES.index(NUMBERS[-1]) + 1)
STYLE_FIELDS = tuple(
    f"features__{style}_{side}" for side in "ab" for style in ("tokens", "headers", "lists", "bold")
)
READ_AT_ONCE = 5_000


class Membership:
    """Which of some categories a vote belongs to, by their rules."""

    def __init__(self, categories: Iterable[Category]) -> None:
        self.categories = tuple(categories)
        rules = [compile_rule(category.rule) for category in self.categories]
        self._cuts = cuts_of(category.rule for category in self.categories)

        # Many votes are alike in all that a rule may look at.
        @lru_cache(maxsize=20_000)
        def matching(outcome: str, *features: Any) -> tuple[int, ...]:
            known = dict(zip(FEATURES, features, strict=True))
            known["outcome"] = outcome
            return tuple(i for i, rule in enumerate(rules) if rule(known))

        self._matching: Callable[..., tuple[int, ...]] = matching

    def of(
        self, *, a: int, b: int, choice: str, turn: int, features: tuple[Any, ...]
    ) -> tuple[int, ...]:
        """Positions among the categories. `a`, `b` are contestants' ids; `features` are the
        columns FEATURES, all None for a vote that has none yet."""
        if features[0] is None:
            features = ("", turn, 0, *[False] * len(FLAGS))
        outcome = choice
        if choice in (Vote.Choice.A, Vote.Choice.B):
            outcome = "lo" if (choice == Vote.Choice.A) == (a < b) else "hi"
        # By its exact length hardly a prompt is like another.
        numbers = [
            cuts[bisect_right(cuts, number) - 1]
            for cuts, number in zip(self._cuts, features[NUMBERS_AT], strict=True)
        ]
        return self._matching(outcome, features[0], *numbers, *features[NUMBERS_AT.stop :])


def cuts_of(rules: Iterable[object]) -> list[list[int]]:
    """By number, as in NUMBERS: 0 and where some rule's answer may change, ascending."""
    found = [cut_points(rule) for rule in rules]
    return [sorted({0}.union(*(cuts[name] for cuts in found))) for name in NUMBERS]


@dataclass(frozen=True, eq=False)
class CountedVotes:
    """All votes that the pair counts hold, and which of them belong to a category.

    Few sets of categories occur: `kind` [N] says which of `kinds` a vote's set is.
    """

    table: VoteTable
    kind: npt.NDArray[np.int32]
    kinds: tuple[frozenset[int], ...]

    def of(self, category: int) -> npt.NDArray[np.bool_]:
        """[N] whether the vote belongs to the category with this id."""
        here = np.array([category in kind for kind in self.kinds], dtype=bool)
        return here[self.kind]


def read(categories: Iterable[Category]) -> CountedVotes:
    """In memory some 40 bytes a vote. Models go by their names, sorted."""
    membership = Membership(categories)
    names = dict(Contestant.objects.values_list("pk", "name"))
    models = sorted(names.values())
    at_name = {name: i for i, name in enumerate(models)}
    at = {pk: at_name[name] for pk, name in names.items()}
    first, second, outcomes = array("i"), array("i"), array("b")
    moments, styles = array("q"), array(NARROW)
    kind, kinds = array("i"), dict[tuple[int, ...], int]()
    fields = [
        *("battle__contestant_a_id", "battle__contestant_b_id", "choice", "created_at", "turn"),
        *(f"features__{name}" for name in FEATURES),
        *STYLE_FIELDS,
    ]
    nothing = (NO_STYLE,) * len(STYLE_FIELDS)
    style_at = 5 + len(FEATURES)
    votes = Vote.objects.public().filter(tallied=True).order_by("pk").values_list(*fields)
    for row in votes.iterator(chunk_size=READ_AT_ONCE):
        a, b, choice, moment, turn = row[:5]
        first.append(at[a])
        second.append(at[b])
        outcomes.append(OUTCOMES[choice])
        moments.append(microseconds(moment))
        known = row[style_at:]
        styles = whole_numbers(styles, nothing if None in known else known)
        mine = membership.of(a=a, b=b, choice=choice, turn=turn, features=row[5:style_at])
        kind.append(kinds.setdefault(mine, len(kinds)))
    table = VoteTable(
        tuple(models),
        np.frombuffer(first, dtype=np.int32),
        np.frombuffer(second, dtype=np.int32),
        np.frombuffer(outcomes, dtype=np.int8),
        np.frombuffer(moments, dtype=np.int64),
        np.frombuffer(styles, dtype=styles.typecode).reshape(-1, 2, len(STYLES)),
    )
    ids = [category.pk for category in membership.categories]
    return CountedVotes(
        table,
        np.frombuffer(kind, dtype=np.int32),
        tuple(frozenset(ids[i] for i in mine) for mine in kinds),
    )
