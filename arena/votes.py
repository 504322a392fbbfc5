"""Casting a vote, and taking one out of the count or back in.

Counting itself belongs to `leaderboard.tally`, which settles every row marked `tally_due`.
"""

from __future__ import annotations

from django.db import transaction

from arena import states
from arena.battles import Refused
from arena.models import Battle, Vote, Voter


def check_choice(choice: str) -> str:
    if choice not in Vote.Choice.values:
        raise Refused("bad_choice", f"A vote is one of {', '.join(Vote.Choice.values)}.")
    return choice


@transaction.atomic
def cast(
    *, battle_id: int, voter: Voter, choice: str, turn: int, visible_ms: int | None = None
) -> Vote:
    """Record a vote. It is durable when this returns; a repeated click gets the first answer.

    The lock on the battle row orders two clicks at the same moment; the unique key on the vote
    would stop the second even without it.
    """
    choice = check_choice(choice)
    battle = Battle.objects.select_for_update().get(pk=battle_id)
    if battle.voter_id != voter.pk:
        raise Refused("not_found", "There is no such battle.")
    if battle.state in (Battle.State.VOTED, Battle.State.REVEALED):
        return battle.vote
    if battle.mode == Battle.Mode.DIRECT:
        raise Refused("wrong_state", "A direct chat has no vote.")
    if battle.state == Battle.State.STREAMING:
        raise Refused("wrong_state", "Wait for both answers before you vote.")
    if battle.state != Battle.State.READY:
        raise Refused("wrong_state", "This battle does not count, so it takes no vote.")
    if turn != battle.turns.latest("number").number:
        raise Refused(
            "wrong_turn", "The battle went on in another window. Reload the page before you vote."
        )
    rated = battle.mode == Battle.Mode.BATTLE
    vote = Vote.objects.create(
        battle=battle,
        voter=voter,
        choice=choice,
        turn=turn,
        visible_ms=visible_ms,
        status=Vote.Status.PENDING if rated else Vote.Status.EXCLUDED,
        exclusion_reason="" if rated else Vote.Exclusion.NAMES_SHOWN,
        tally_due=rated,
    )
    battle.state = states.BATTLE.check(battle.state, Battle.State.VOTED)
    battle.save(update_fields=["state"])
    return vote


def _set_status(vote_id: int, status: str, reason: str = "") -> Vote:
    vote = Vote.objects.select_for_update().get(pk=vote_id)
    vote.status = status
    vote.exclusion_reason = reason
    vote.tally_due = True
    vote.save(update_fields=["status", "exclusion_reason", "tally_due"])
    return vote


@transaction.atomic
def exclude(*, vote_id: int, reason: str) -> Vote:
    """Take a vote out of every count, for a reason that is published."""
    return _set_status(vote_id, Vote.Status.EXCLUDED, reason)


@transaction.atomic
def hold(*, vote_id: int) -> Vote:
    """Keep a vote out of the counts until somebody has looked at it."""
    return _set_status(vote_id, Vote.Status.HELD)


@transaction.atomic
def restore(*, vote_id: int) -> Vote:
    """Count a held or excluded vote again. A vote cast on named models is never rated."""
    if not Vote.objects.filter(pk=vote_id, battle__mode=Battle.Mode.BATTLE).exists():
        raise Refused("wrong_state", "Only votes of anonymous battles are rated.")
    return _set_status(vote_id, Vote.Status.PENDING)
