"""Casting a vote, and taking one out of the count or back in.

Counting itself belongs to `leaderboard.tally`, which settles every row marked `tally_due`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from arena import states
from arena.models import Battle, Vote, Voter
from arena.refusals import Refused

# What may have decided a vote, in words that say nothing about which side.
TAGS: Mapping[str, str] = {
    "correct": "Correctness",
    "instructions": "Followed the request",
    "complete": "Completeness",
    "brief": "Brevity",
    "clear": "Clarity",
    "style": "Style and format",
    "ideas": "Ideas",
    "refusal": "A refusal",
}
MAX_COMMENT = 500  # characters


def check_reasons(tags: Sequence[str], comment: str) -> tuple[list[str], str]:
    """The tags in the order of the list, each once, and the comment. Raises Refused."""
    if unknown := set(tags) - TAGS.keys():
        raise Refused("bad_tag", f"Unknown reasons: {', '.join(sorted(unknown))[:100]}.")
    comment = comment.strip()
    if len(comment) > MAX_COMMENT or "\x00" in comment:
        raise Refused("bad_comment", f"A comment has at most {MAX_COMMENT} characters.")
    return [tag for tag in TAGS if tag in tags], comment


def check_choice(choice: str) -> str:
    if choice not in Vote.Choice.values:
        raise Refused("bad_choice", f"A vote is one of {', '.join(Vote.Choice.values)}.")
    return choice


@transaction.atomic
def cast(
    *,
    battle_id: int,
    voter: Voter,
    choice: str,
    turn: int,
    visible_ms: int | None = None,
    tags: Sequence[str] = (),
    comment: str = "",
) -> Vote:
    """Record a vote. It is durable when this returns; a repeated click gets the first answer.

    The lock on the battle row orders two clicks at the same moment; the unique key on the vote
    would stop the second even without it.
    """
    choice = check_choice(choice)
    reasons, comment = check_reasons(tags, comment)
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
    _check_pace(voter)
    rated = battle.mode == Battle.Mode.BATTLE
    vote = Vote.objects.create(
        battle=battle,
        voter=voter,
        choice=choice,
        turn=turn,
        visible_ms=visible_ms,
        tags=reasons,
        comment=comment,
        status=Vote.Status.PENDING if rated else Vote.Status.EXCLUDED,
        exclusion_reason="" if rated else Vote.Exclusion.NAMES_SHOWN,
        tally_due=rated,
    )
    battle.state = states.BATTLE.check(battle.state, Battle.State.VOTED)
    battle.save(update_fields=["state"])
    return vote


def _check_pace(voter: Voter) -> None:
    """Nobody reads two answers in a moment: raises Refused. The vote may be cast a little later."""
    interval = settings.VOTE_INTERVAL_SECONDS
    if not interval:
        return
    # Votes on several battles at the same moment: each must see the one before.
    Voter.objects.select_for_update(no_key=True).get(pk=voter.pk)
    last = Vote.objects.filter(voter=voter).order_by("-created_at").first()
    if last is None:
        return
    passed = (timezone.now() - last.created_at).total_seconds()
    if 0 <= passed < interval:  # below 0, a clock was set back
        wait = ceil(interval - passed)
        raise Refused(
            "too_soon",
            f"One vote every {interval:g} seconds, please. You can cast this one in {wait} s.",
            retry_after=wait,
        )


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
