"""The battle's verbs: open, take a turn, replace a side, stop, finish, void, reveal.

Each changes state in one transaction, by a transition that `states` knows; `check_…` refuses with
a `Refused` that says what to do. The streams themselves belong to `generation`.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from arena import pairing, states
from arena.models import Answer, ArenaSettings, Battle, Contestant, Slot, Turn, Voter

# The whole vocabulary for what went wrong. It belongs to the battle, never to a side.
VOID_MESSAGES: Mapping[str, str] = {
    Battle.VoidReason.FAILED: (
        "One of the two models could not answer. This battle does not count."
    ),
    Battle.VoidReason.TOO_LONG: "Your text is too long for one of the models.",
    Battle.VoidReason.DECLINED: "This request was declined.",
    Battle.VoidReason.INTERRUPTED: (
        "The arena was interrupted while the models answered. This battle does not count."
    ),
    Battle.VoidReason.STOPPED: (
        "You stopped before both models had answered, so there is nothing to compare."
    ),
    Battle.VoidReason.BUSY: "Busy, please retry in 60 s.",
}
CUT_NOTICE = "This answer was cut at the length limit."
STOPPED_NOTICE = "You stopped this answer."

_rng = random.SystemRandom()


class Refused(Exception):
    """A request that cannot be granted: `code` for programs, the message for people."""

    def __init__(self, code: str, message: str, *, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.retry_after = retry_after


class TooFewModels(Refused):
    def __init__(self) -> None:
        super().__init__(
            "no_models",
            "Fewer than two models are available. Please retry in 60 s.",
            retry_after=60,
        )


@dataclass(frozen=True, slots=True)
class StartedTurn:
    """What `generation` needs to stream a turn."""

    battle: Battle
    turn: Turn
    answers: Mapping[str, Answer]  # by slot, contestants and endpoints loaded
    history: Mapping[str, Sequence[tuple[str, str]]]  # by slot: (prompt, that side's own answer)


def check_prompt(prompt: str) -> str:
    prompt = prompt.strip()
    if not prompt:
        raise Refused("prompt_empty", "Write a question first.")
    if len(prompt) > settings.MAX_PROMPT_CHARS:
        raise Refused(
            "prompt_too_long",
            f"Your text has {len(prompt):,} characters; at most {settings.MAX_PROMPT_CHARS:,} "
            "are possible. Please shorten it.",
        )
    if "\x00" in prompt:
        # PostgreSQL cannot store it, and no keyboard types it.
        raise Refused("prompt_invalid", "Your text contains a NUL character. Please remove it.")
    return prompt


def draw_pair() -> pairing.Draw:
    weights = dict(Contestant.objects.drawable().values_list("id", "weight"))
    try:
        return pairing.draw(weights, _rng)
    except pairing.TooFewContestants:
        raise TooFewModels from None


@transaction.atomic
def open_battle(*, voter: Voter, prompt: str) -> StartedTurn:
    """A new anonymous battle with its first turn."""
    prompt = check_prompt(prompt)
    house = ArenaSettings.current()
    pair = draw_pair()
    battle = Battle.objects.create(
        voter=voter,
        contestant_a_id=pair.left,
        contestant_b_id=pair.right,
        pair_probability=pair.probability,
        sampler=pairing.SAMPLER,
        swapped_sides=pair.swapped,
        parameters={"max_tokens": settings.MAX_ANSWER_TOKENS, "settings": house.version},
        pacing=house.pacing,
        consent_version=voter.consent_version,
    )
    return _add_turn(battle, 1, prompt)


@transaction.atomic
def take_turn(*, battle_id: int, prompt: str) -> StartedTurn:
    """Another prompt to the same pair."""
    prompt = check_prompt(prompt)
    battle = Battle.objects.select_for_update().get(pk=battle_id)
    if battle.state == Battle.State.STREAMING:
        raise Refused("streaming", "Wait for both answers, or stop them, before you go on.")
    if battle.state != Battle.State.READY:
        raise Refused("wrong_state", "This battle is over. Start a new one.")
    number = battle.turns.count() + 1
    if number > settings.MAX_TURNS:
        raise Refused(
            "turn_limit", f"A battle has at most {settings.MAX_TURNS} turns. Please vote now."
        )
    return _add_turn(battle, number, prompt)


def _add_turn(battle: Battle, number: int, prompt: str) -> StartedTurn:
    history = {
        slot: list(
            Answer.objects.filter(turn__battle=battle, slot=slot)
            .order_by("turn__number")
            .values_list("turn__prompt", "text")
        )
        if number > 1
        else []
        for slot in Slot.values
    }
    battle.state = states.BATTLE.check(battle.state, Battle.State.STREAMING)
    battle.save(update_fields=["state"])
    turn = Turn.objects.create(
        battle=battle, number=number, prompt=prompt, heartbeat_at=timezone.now()
    )
    contestants = Contestant.objects.select_related("endpoint").in_bulk(
        [battle.contestant_a_id, battle.contestant_b_id]
    )
    answers = Answer.objects.bulk_create(
        Answer(turn=turn, slot=slot, contestant=contestants[contestant_id])
        for slot, contestant_id in (("a", battle.contestant_a_id), ("b", battle.contestant_b_id))
        if contestant_id
    )
    return StartedTurn(battle, turn, {answer.slot: answer for answer in answers}, history)


@transaction.atomic
def replace_side(
    *, turn_id: int, slot: str, failed: Collection[int], endpoint_down: bool
) -> Contestant | None:
    """Draw another model for a side that failed before it had shown anything.

    `failed` are the models that failed in this battle; `endpoint_down` says that the last one's
    endpoint is at fault, so that its other models are drawn only when there are no more. None when
    nobody may be drawn: the models were chosen, have spoken in an earlier turn, or none is left.
    """
    # The lock orders two sides that are replaced at the same moment: they must stay different.
    turn = Turn.objects.select_for_update().get(pk=turn_id)
    battle = Battle.objects.select_related("contestant_a", "contestant_b").get(pk=turn.battle_id)
    if (
        turn.state != Turn.State.RUNNING
        or battle.state != Battle.State.STREAMING
        or battle.mode != Battle.Mode.BATTLE
        or turn.number > 1
    ):
        return None
    out, kept = battle.contestant(slot), battle.contestant("b" if slot == Slot.A else "a")
    candidates = {
        contestant.pk: contestant
        for contestant in Contestant.objects.drawable()
        if contestant.pk not in failed and contestant.pk != kept.pk
    }
    if endpoint_down:
        elsewhere = {
            pk: contestant
            for pk, contestant in candidates.items()
            if contestant.endpoint_id != out.endpoint_id
        }
        candidates = elsewhere or candidates
    weights = {pk: contestant.weight for pk, contestant in candidates.items()}
    # Set to rest since it was drawn, the kept one still is part of this pair.
    weights[kept.pk] = kept.weight or 1.0
    try:
        drawn, probability = pairing.redraw(weights, kept.pk, _rng)
    except pairing.TooFewContestants:
        return None
    turn.answers.filter(slot=slot).update(contestant=drawn, state=Answer.State.SWAPPED)
    setattr(battle, f"contestant_{slot}", candidates[drawn])
    battle.pair_probability, battle.sampler, battle.swapped = probability, pairing.SAMPLER, True
    battle.save(update_fields=[f"contestant_{slot}", "pair_probability", "sampler", "swapped"])
    return candidates[drawn]


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
def finish_turn(*, turn_id: int, answers: Sequence[Answer], void_reason: str = "") -> bool:
    """Save the last word of a turn: the battle is ready for a vote, or void.

    False when the turn had already been ended elsewhere (the sweep took this process for dead):
    then what was decided there stands.
    """
    turn = Turn.objects.select_for_update().get(pk=turn_id)
    if turn.state != Turn.State.RUNNING:
        return False
    if not void_reason and any(answer.state != Answer.State.COMPLETE for answer in answers):
        raise states.Forbidden("a battle with a side that has not answered is never ready")
    for answer in answers:
        answer.save(update_fields=ANSWER_FIELDS)
    _end(turn, void_reason)
    return True


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


def _oldest_sign_of_life() -> datetime:
    return timezone.now() - timedelta(seconds=settings.ORPHAN_SECONDS)


def is_orphaned(turn: Turn) -> bool:
    """Whether a turn is running by its state alone: its owner is gone."""
    return turn.state == Turn.State.RUNNING and turn.heartbeat_at < _oldest_sign_of_life()


def end_orphaned_turns() -> int:
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
                ended += 1
    return ended


@transaction.atomic
def abandon(*, battle_id: int) -> None:
    """Skip: the battle ends without a vote and without a reveal; what still runs is stopped."""
    # The turn first, as whoever ends a turn does: the other order would be a deadlock.
    Turn.objects.filter(battle=battle_id, state=Turn.State.RUNNING).update(stop_requested=True)
    Battle.objects.filter(
        pk=battle_id, state__in=states.BATTLE.before(Battle.State.ABANDONED)
    ).update(state=Battle.State.ABANDONED, ready_at=None)


def reveal(*, battle_id: int) -> Battle:
    """Who it was. Only after the vote is committed; raises Refused before."""
    battle = Battle.objects.select_related("contestant_a", "contestant_b").get(pk=battle_id)
    if battle.state == Battle.State.VOTED:
        battle.state = states.BATTLE.check(battle.state, Battle.State.REVEALED)
        battle.revealed_at = timezone.now()
        battle.save(update_fields=["state", "revealed_at"])
    if battle.state != Battle.State.REVEALED:
        raise Refused("wrong_state", "The names appear after the vote.")
    return battle
