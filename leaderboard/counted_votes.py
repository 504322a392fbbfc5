"""The votes one by one, for the methods that pair counts do not suffice for, and the export."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from arena.models import Contestant, Vote
from leaderboard.methods import NO_STYLE, VoteTable, microseconds
from leaderboard.models import Category
from leaderboard.ratings.counts import Outcome
from leaderboard.ratings.style import STYLES
from leaderboard.rules import FLAGS, compile_rule
from leaderboard.tally import FEATURE_TRAITS

OUTCOMES = {
    Vote.Choice.A: Outcome.FIRST,
    Vote.Choice.B: Outcome.SECOND,
    Vote.Choice.TIE: Outcome.TIE,
    Vote.Choice.BOTH_BAD: Outcome.BOTH_BAD,
}
FEATURES = FEATURE_TRAITS
STYLE_FIELDS = tuple(
    f"features__{style}_{side}" for side in "ab" for style in ("tokens", "headers", "lists", "bold")
)
READ_AT_ONCE = 5_000


class Membership:
    """Which of some categories a vote belongs to, by their rules."""

    def __init__(self, categories: Iterable[Category]) -> None:
        self.categories = tuple(categories)
        rules = [compile_rule(category.rule) for category in self.categories]

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
        return self._matching(outcome, *features)


@dataclass(frozen=True, eq=False)
class CountedVotes:
    """All votes that the pair counts hold, and by category which of them belong there."""

    table: VoteTable
    belongs: dict[int, npt.NDArray[np.bool_]]


def read(categories: Iterable[Category]) -> CountedVotes:
    """In memory some 60 bytes a vote. Models go by their names, sorted."""
    membership = Membership(categories)
    names = dict(Contestant.objects.values_list("pk", "name"))
    models = sorted(names.values())
    at_name = {name: i for i, name in enumerate(models)}
    at = {pk: at_name[name] for pk, name in names.items()}
    first, second, outcomes = array("i"), array("i"), array("b")
    moments, styles = array("q"), array("i")
    members = [bytearray() for _ in membership.categories]
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
        styles.extend(nothing if None in known else known)
        mine = membership.of(a=a, b=b, choice=choice, turn=turn, features=row[5:style_at])
        for i, column in enumerate(members):
            column.append(i in mine)
    table = VoteTable(
        tuple(models),
        np.frombuffer(first, dtype=np.int32),
        np.frombuffer(second, dtype=np.int32),
        np.frombuffer(outcomes, dtype=np.int8),
        np.frombuffer(moments, dtype=np.int64),
        np.frombuffer(styles, dtype=np.int32).reshape(-1, 2, len(STYLES)),
    )
    belongs = {
        category.pk: np.frombuffer(column, dtype=np.bool_)
        for category, column in zip(membership.categories, members, strict=True)
    }
    return CountedVotes(table, belongs)
