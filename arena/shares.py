"""Making a copy of a conversation public, and taking it back."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from arena import battles, sources
from arena.battles import notice_of
from arena.models import HIDDEN_STATUSES, Answer, Battle, Contestant, Share, Turn
from arena.refusals import Refused
from arena.rendering import render

NOT_PUBLIC = "A model in preview"


def check_shareable(battle: Battle) -> None:
    """Refuses before the vote: a copy names the models."""
    if battle.state == Battle.State.REVEALED:
        return
    if battle.mode == Battle.Mode.BATTLE:
        raise Refused("wrong_state", "A battle can be shared after the vote.")
    if battle.state != Battle.State.READY:
        raise Refused("wrong_state", "There is nothing to share yet.")


def share(*, battle_id: int) -> Share:
    """Copy what there is now; a copy that is public already keeps its address and is renewed."""
    battle = Battle.objects.select_related("contestant_a", "contestant_b").get(pk=battle_id)
    check_shareable(battle)
    # Rendering takes its time, and is done before anything is locked.
    content = _content(battle)
    with transaction.atomic():
        Battle.objects.select_for_update().get(pk=battle_id)
        made, new = Share.objects.get_or_create(
            battle=battle, revoked_at=None, defaults={"content": content}
        )
        if not new:
            made.content = content
            made.save(update_fields=["content"])
    return made


@transaction.atomic
def revoke(*, battle_id: int) -> None:
    """The address leads nowhere from now on, and what it showed is erased."""
    Share.objects.filter(battle=battle_id, revoked_at=None).update(
        revoked_at=timezone.now(), content={}
    )


def _content(battle: Battle) -> dict[str, Any]:
    turns = Turn.objects.filter(battle__in=battles.lineage(battle)).prefetch_related(
        "answers", "attachments"
    )
    vote = getattr(battle, "vote", None)
    contestants = {"a": battle.contestant_a, "b": battle.contestant_b}
    return {
        "mode": battle.mode,
        "names": {slot: _public_name(each) for slot, each in contestants.items() if each},
        "choice": vote.choice if vote else "",
        "choice_label": vote.get_choice_display() if vote else "",
        "turns": [
            {
                "prompt": turn.prompt,
                # Said, not shown: a copy is public, and what is on an image is hard to see again.
                "images": len(turn.attachments.all()),
                "answers": {answer.slot: _answer(answer) for answer in turn.answers.all()},
            }
            for turn in turns.order_by("number")
            if turn.state == Turn.State.DONE
        ],
    }


def _answer(answer: Answer) -> dict[str, Any]:
    return {
        "html": render(answer.text),
        "notice": notice_of(answer) or "",
        "sources": sources.of_answer(answer),
    }


def _public_name(contestant: Contestant) -> str:
    return NOT_PUBLIC if contestant.status in HIDDEN_STATUSES else contestant.name
