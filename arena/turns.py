"""A turn while it runs, and its end: what its owner saves, who watches it, who stops it.

The streams themselves belong to `generation`; what the end means for the battle, `states` knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from arena import attachments, limits, states
from arena.battles import history_of
from arena.models import Answer, Battle, Turn


def request_stop(*, public_id: str) -> None:
    """Ask whichever process owns the streams of this battle to stop them."""
    Turn.objects.filter(battle__public_id=public_id, state=Turn.State.RUNNING).update(
        stop_requested=True
    )


ANSWER_FIELDS = (
    "state", "text", "reasoning", "citations", "finish_reason", "stopped", "input_tokens",
    "output_tokens", "tokens_estimated", "first_token_ms", "duration_ms", "attempts",
    "upstream_id", "error_kind", "error_detail",
)  # fmt: skip

# A reader at another process says so in the database, a few times within this span.
WATCHED_FOR = timedelta(seconds=15)
WATCH_INTERVAL = 5.0  # seconds


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the owner of running turns has to know, by their ids."""

    stop: set[int]
    watched: set[int]  # somebody reads them at another process


def watch(*, turn_id: int) -> None:
    """Tell the owner of a turn that somebody reads it here."""
    Turn.objects.filter(pk=turn_id, state=Turn.State.RUNNING).update(watched_at=timezone.now())


_SAVE_TEXT = f"UPDATE {Answer._meta.db_table} SET state = %s, text = %s WHERE id = %s"  # noqa: S608


@transaction.atomic
def checkpoint(turns: Mapping[int, Sequence[Mapping[str, Any]]]) -> Checkpoint:
    """Save what running turns have so far. Says which of them to stop, and who is watched.

    `turns` maps turn ids to their changed answers, each a mapping with `id`, `state` and `text`.
    """
    # The lock keeps a turn from being finished in between: its last word would be overwritten.
    running = {
        pk: (stop, watched_at)
        for pk, stop, watched_at in Turn.objects.select_for_update()
        .filter(pk__in=turns, state=Turn.State.RUNNING)
        .order_by("pk")
        .values_list("pk", "stop_requested", "watched_at")
    }
    now = timezone.now()
    Turn.objects.filter(pk__in=running).update(heartbeat_at=now)
    # Twice a second for every answer in progress: the ORM would cost more than the streams.
    with connection.cursor() as cursor:
        cursor.executemany(
            _SAVE_TEXT,
            [
                (answer["state"], answer["text"], answer["id"])
                for turn_id in running
                for answer in turns[turn_id]
            ],
        )
    return Checkpoint(
        # A turn that the sweep has ended meanwhile is not to be paid for any longer.
        stop={pk for pk in turns if pk not in running or running[pk][0]},
        watched={pk for pk, (_, at) in running.items() if at and now - at < WATCHED_FOR},
    )


@transaction.atomic
def finish(
    *,
    turn_id: int,
    answers: Sequence[Answer],
    void_reason: str = "",
    charges: Sequence[limits.Charge] | None = None,
) -> bool:
    """Save the last word of a turn, and what it cost: the battle is ready for a vote, or void.

    `charges` are all requests that it took; None: judged by what the answers say. False when the
    turn had already been ended elsewhere (the sweep took this process for dead): then what was
    decided there stands.
    """
    turn = Turn.objects.select_for_update().get(pk=turn_id)
    if turn.state != Turn.State.RUNNING:
        if charges is not None:
            limits.settle(turn_id=turn_id, charges=charges)
        return False
    if not void_reason and any(answer.state != Answer.State.COMPLETE for answer in answers):
        raise states.Forbidden("a battle with a side that has not answered is never ready")
    for answer in answers:
        answer.save(update_fields=ANSWER_FIELDS)
    _end(turn, void_reason)
    limits.settle(turn_id=turn_id, charges=_judged_by_text(turn) if charges is None else charges)
    return True


def _judged_by_text(turn: Turn) -> list[limits.Charge]:
    """What a turn cost, where the process that asked is gone: one request a side, by its text."""
    history = history_of(turn.battle, before=turn.number)
    charges = []
    for answer in turn.answers.select_related("contestant__endpoint"):
        heard = sum(map(len, chain(*history[answer.slot], [turn.prompt])))
        said = len(answer.text) + len(answer.reasoning)
        if answer.contestant.endpoint_id is None:
            continue
        charges.append(
            limits.Charge(
                answer.contestant.endpoint_id,
                limits.cost(
                    answer.contestant,
                    input_tokens=answer.input_tokens or limits.estimated_tokens(heard),
                    output_tokens=answer.output_tokens or limits.estimated_tokens(said),
                ),
            )
        )
    return charges


def _end(turn: Turn, void_reason: str) -> None:
    turn.state = states.TURN.check(turn.state, Turn.State.VOID if void_reason else Turn.State.DONE)
    turn.save(update_fields=["state"])
    verdict = Battle.State.VOID if void_reason else Battle.State.READY
    # Only from where it may: a battle skipped meanwhile stays skipped.
    Battle.objects.filter(pk=turn.battle_id, state__in=states.BATTLE.before(verdict)).update(
        state=verdict,
        void_reason=void_reason,
        ready_at=None if void_reason else timezone.now(),
    )
    if void_reason and turn.battle.mode == Battle.Mode.BATTLE:  # others may be answered again
        attachments.let_go(battle_id=turn.battle_id)


def _oldest_sign_of_life() -> datetime:
    return timezone.now() - timedelta(seconds=settings.ORPHAN_SECONDS)


def is_orphaned(turn: Turn) -> bool:
    """Whether a turn is running by its state alone: its owner is gone."""
    return turn.state == Turn.State.RUNNING and turn.heartbeat_at < _oldest_sign_of_life()


def end_orphaned() -> int:
    """Void the turns whose owner is gone: a killed process leaves none running for ever."""
    ended = 0
    orphans = Turn.objects.filter(state=Turn.State.RUNNING, heartbeat_at__lt=_oldest_sign_of_life())
    for turn_id in orphans.values_list("pk", flat=True):
        with transaction.atomic():
            turn = Turn.objects.select_for_update().get(pk=turn_id)
            if is_orphaned(turn):
                turn.answers.exclude(state__in=states.ANSWER.final).update(
                    state=Answer.State.FAILED, error_kind=Battle.VoidReason.INTERRUPTED
                )
                _end(turn, Battle.VoidReason.INTERRUPTED)
                # The owner would have known better; its requests were paid for all the same.
                limits.settle(turn_id=turn_id, charges=_judged_by_text(turn))
                ended += 1
    return ended
