"""What the rules look at in each vote, made from its texts once and stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache

from arena.leaks import Identity, Said, Scanner
from arena.models import Answer, Battle, Contestant, Slot, Turn, Vote
from leaderboard.features import Message, features_of, prompt_key
from leaderboard.models import VoteFeatures
from leaderboard.tally.belonging import FEATURE_TRAITS

TEXTS = 100  # conversations in memory at a time


def ensure_features(votes: Sequence[Vote]) -> dict[int, VoteFeatures]:
    """The features of each vote, by its id, made and stored where there are none.

    Votes with `battle` selected, and not with their features: PostgreSQL joins a thousand votes
    with those by walking through the features of all votes before them. Two workers may make the
    same ones at the same time: from the same texts, so whose are stored does not matter.
    """
    found = VoteFeatures.objects.only("prompt_key", *FEATURE_TRAITS).in_bulk(
        [vote.pk for vote in votes]
    )
    missing = [vote for vote in votes if vote.pk not in found]
    with_text = set(
        Turn.objects.order_by()
        .filter(battle__in=[vote.battle_id for vote in missing])
        .values_list("battle_id", flat=True)
        if missing
        else ()
    )
    made = [
        VoteFeatures(vote_id=vote.pk, turns=vote.turn)
        for vote in missing
        if vote.battle_id not in with_text
    ]
    judged = [vote for vote in missing if vote.battle_id in with_text]
    who = Identities() if judged else None
    for start in range(0, len(judged), TEXTS):
        part = judged[start : start + TEXTS]
        texts = conversations(part)
        for vote in part:
            turns = texts[vote.battle_id]
            # Whoever published other votes had rules of their own.
            own = vote.battle.source_id is None
            made.append(
                VoteFeatures(
                    vote_id=vote.pk,
                    prompt_key=prompt_key(turns[0][0]) if own and turns else "",
                    identity_leak=own and who is not None and who.leaked(vote.battle, turns),
                    **asdict(features_of(turns)),
                )
            )
    VoteFeatures.objects.bulk_create(made, ignore_conflicts=True)
    return found | {features.vote_id: features for features in made}


class Identities:
    """Who might be named, and whether an answer does it."""

    def __init__(self) -> None:
        everybody = Contestant.objects.only("name", "organisation", "aliases")
        self._of = {contestant.pk: contestant.identity() for contestant in everybody}
        self._scanner = _scanner(frozenset(self._of.values()))

    def leaked(self, battle: Battle, turns: Sequence[Message]) -> bool:
        assert battle.contestant_b_id is not None
        sides = {
            Slot.A.value: self._of[battle.contestant_a_id],
            Slot.B.value: self._of[battle.contestant_b_id],
        }
        said = [Said(prompt, {Slot.A.value: a, Slot.B.value: b}) for prompt, a, b in turns]
        return self._scanner.leaks(said, sides)


@lru_cache(maxsize=2)
def _scanner(everybody: frozenset[Identity]) -> Scanner:
    """Compiled once, not with each batch: it changes only when a model comes or is renamed."""
    return Scanner(everybody)


def conversations(votes: Sequence[Vote]) -> dict[int, list[Message]]:
    """The judged turns of each vote's battle, by the battle's id: two queries, however many."""
    judged = {vote.battle_id: vote.turn for vote in votes}
    answers: dict[tuple[int, str], str] = {
        (turn, slot): text
        for turn, slot, text in Answer.objects.order_by()
        .filter(turn__battle__in=judged)
        .values_list("turn_id", "slot", "text")
    }
    found: dict[int, list[Message]] = defaultdict(list)
    for battle, number, turn, prompt in (
        Turn.objects.filter(battle__in=judged)
        .order_by("battle_id", "number")
        .values_list("battle_id", "number", "id", "prompt")
    ):
        if number <= judged[battle]:
            found[battle].append(
                (prompt, answers.get((turn, Slot.A), ""), answers.get((turn, Slot.B), ""))
            )
    return found
