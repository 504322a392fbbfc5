"""Having the last turn answered again: by both models, or by one that failed or was stopped."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from arena import attachments, states
from arena.battles import StartedTurn, history_of, lineage, start_turn
from arena.models import Answer, Battle, Contestant, Turn
from arena.refusals import Refused

MOST_TIMES = 5  # that one side may answer one question again
# Of one attempt at an answer: none of it belongs to the next.
_ANEW = {
    "state": Answer.State.QUEUED,
    "text": "",
    "reasoning": "",
    "citations": [],
    "finish_reason": "",
    "stopped": False,
    "input_tokens": None,
    "output_tokens": None,
    "tokens_estimated": False,
    "first_token_ms": None,
    "duration_ms": None,
    "attempts": 0,
    "upstream_id": "",
    "error_kind": "",
    "error_detail": "",
}


@transaction.atomic
def regenerate(*, battle_id: int, slot: str | None = None, network: str = "") -> StartedTurn:
    """Start the last turn again; `slot` names one side that failed or was stopped, None is both.

    The models stay the same ones. What they had said is kept in `Answer.earlier`. Of a void
    conversation only the sides that have no whole answer are asked, whatever `slot` says.
    """
    # The turn first, as whoever ends a turn does: the other order would be a deadlock.
    turn = Turn.objects.select_for_update().filter(battle=battle_id).latest("number")
    battle = Battle.objects.select_for_update().get(pk=battle_id)
    if turn.state == Turn.State.RUNNING:
        raise Refused("streaming", "Wait for both answers, or stop them, before you ask again.")
    named = battle.mode != Battle.Mode.BATTLE
    if not states.may_answer_again(battle.state, names_shown=named):
        raise Refused("wrong_state", "This battle is over. Start a new one.")
    answers = _sides_to_ask(battle, list(turn.answers.order_by("slot")), slot)
    contestants = Contestant.objects.select_related("endpoint").in_bulk(
        [answer.contestant_id for answer in answers]
    )
    for answer in answers:
        answer.contestant = contestants[answer.contestant_id]
        answer.earlier.append(
            {
                "text": answer.text,
                "state": answer.state,
                "finish_reason": answer.finish_reason,
                "stopped": answer.stopped,
            }
        )
        for name, value in _ANEW.items():
            setattr(answer, name, value)
        answer.save()
    turn.state, turn.stop_requested = Turn.State.RUNNING, False
    turn.heartbeat_at, turn.watched_at = timezone.now(), None
    turn.save(update_fields=["state", "stop_requested", "heartbeat_at", "watched_at"])
    battle.state, battle.void_reason, battle.ready_at = Battle.State.STREAMING, "", None
    battle.save(update_fields=["state", "void_reason", "ready_at"])
    history = history_of(battle, before=turn.number)
    pictures = attachments.pictures(lineage(battle))
    return start_turn(battle, turn, answers, history, network, pictures)


def _sides_to_ask(battle: Battle, answers: list[Answer], slot: str | None) -> list[Answer]:
    if battle.state == Battle.State.VOID:
        chosen = [each for each in answers if each.state != Answer.State.COMPLETE] or answers
    elif slot is None:
        chosen = answers
    else:
        # A whole answer is judged with the other one: asking for a better one would be unfair.
        chosen = [each for each in answers if each.slot == slot and each.stopped]
        if not chosen:
            raise Refused("wrong_side", "Only a side that failed or was stopped can answer alone.")
    if any(len(answer.earlier) >= MOST_TIMES for answer in chosen):
        raise Refused(
            "regenerated_often", f"An answer can be made anew {MOST_TIMES} times. Please go on."
        )
    return chosen
