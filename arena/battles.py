"""The battle's verbs: open, take a turn, replace a side, skip, expire, reveal.

Each changes state in one transaction, by a transition that `states` knows; `check_…` refuses with
a `Refused` that says what to do. What a turn is while it runs is `turns`' affair.
"""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import chain
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from arena import attachments, limits, pairing, sampler, states
from arena.backends.base import Image
from arena.models import Answer, ArenaSettings, Battle, Contestant, Slot, Turn, Voter
from arena.refusals import Refused

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

# The same where the reader chose the models: nothing is rated, and the question may be put again.
VOID_MESSAGES_OF_CHOSEN: Mapping[str, str] = {
    Battle.VoidReason.FAILED: "There was no whole answer. You can try again.",
    Battle.VoidReason.TOO_LONG: "Your text is too long for this conversation.",
    Battle.VoidReason.DECLINED: "This request was declined.",
    Battle.VoidReason.INTERRUPTED: "The arena was interrupted. You can try again.",
    Battle.VoidReason.STOPPED: "You stopped before there was an answer.",
    Battle.VoidReason.BUSY: "Busy, please retry in 60 s.",
}
CUT_NOTICE = "This answer was cut at the length limit."
STOPPED_NOTICE = "You stopped this answer."
_rng = random.SystemRandom()


def notice_of(answer: Answer) -> str | None:
    if answer.stopped:
        return STOPPED_NOTICE
    return CUT_NOTICE if answer.finish_reason == "length" else None


def void_message(mode: str, reason: str) -> str:
    return (VOID_MESSAGES if mode == Battle.Mode.BATTLE else VOID_MESSAGES_OF_CHOSEN)[reason]


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
    images: Mapping[int, Sequence[Image]] = field(default_factory=dict)  # by number of the turn
    shown: Sequence[Mapping[str, Any]] = ()  # those of this turn, as the page shows them


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


class TooFewCanSee(Refused):
    def __init__(self) -> None:
        super().__init__(
            "no_vision",
            "Fewer than two models that read images are available. Your question and images are "
            "still here: ask without the images, or retry in 60 s.",
            retry_after=60,
        )


def draw_pair(*, can_see: bool = False) -> pairing.Draw:
    """Two of those that may be drawn now; `can_see`: of those that read images."""
    drawable = Contestant.objects.drawable()
    if can_see:
        drawable = attachments.who_can_see(drawable)
    try:
        return sampler.odds(sampler.entrants(drawable)).draw(_rng)
    except pairing.TooFewContestants:
        raise (TooFewCanSee if can_see else TooFewModels) from None


@transaction.atomic
def open_battle(
    *, voter: Voter, prompt: str, network: str = "", images: Sequence[str] = ()
) -> StartedTurn:
    """A new anonymous battle with its first turn. `network` is where the voter asks from, `images`
    are the ids of what they uploaded for this question."""
    prompt = check_prompt(prompt)
    house = ArenaSettings.current()
    pair = draw_pair(can_see=bool(images))
    battle = Battle(
        voter=voter,
        contestant_a_id=pair.left,
        contestant_b_id=pair.right,
        pair_probability=pair.probability,
        sampler=pair.sampler,
        swapped_sides=pair.swapped,
        parameters={"max_tokens": settings.MAX_ANSWER_TOKENS, "settings": house.version},
        pacing=house.pacing,
        consent_version=voter.consent_version,
    )
    return add_turn(battle, 1, prompt, network, images)


@transaction.atomic
def take_turn(
    *, battle_id: int, prompt: str, network: str = "", images: Sequence[str] = ()
) -> StartedTurn:
    """Another prompt to the same pair."""
    prompt = check_prompt(prompt)
    battle = Battle.objects.select_for_update().get(pk=battle_id)
    if battle.state == Battle.State.STREAMING:
        raise Refused("streaming", "Wait for both answers, or stop them, before you go on.")
    if battle.state != Battle.State.READY:
        raise Refused("wrong_state", "This battle is over. Start a new one.")
    number = battle.turns.latest("number").number + 1
    if number > settings.MAX_TURNS:
        chat = battle.mode == Battle.Mode.DIRECT
        raise Refused(
            "turn_limit",
            f"A {'chat' if chat else 'battle'} has at most {settings.MAX_TURNS} turns. "
            f"Please {'start a new one' if chat else 'vote'} now.",
        )
    return add_turn(battle, number, prompt, network, images)


def add_turn(
    battle: Battle, number: int, prompt: str, network: str, images: Sequence[str] = ()
) -> StartedTurn:
    """The turn with this number, about to stream. Its battle is new and not saved yet, or locked by
    the caller."""
    battle.state = states.BATTLE.check(battle.state, Battle.State.STREAMING)
    battle.save(update_fields=["state"] if battle.pk else None)
    history = history_of(battle, before=number)
    turn = Turn.objects.create(
        battle=battle, number=number, prompt=prompt, heartbeat_at=timezone.now()
    )
    contestants = Contestant.objects.select_related("endpoint").in_bulk(
        [battle.contestant_a_id, battle.contestant_b_id]
    )
    if images:
        attachments.attach(turn=turn, public_ids=images)
    pictures = attachments.pictures(lineage(battle)) if images or number > 1 else {}
    _check_can_see(battle, pictures, contestants.values())
    answers = Answer.objects.bulk_create(
        Answer(turn=turn, slot=slot, contestant=contestants[contestant_id])
        for slot, contestant_id in (("a", battle.contestant_a_id), ("b", battle.contestant_b_id))
        if contestant_id
    )
    return start_turn(battle, turn, answers, history, network, pictures)


def start_turn(
    battle: Battle,
    turn: Turn,
    answers: Sequence[Answer],
    history: Mapping[str, Sequence[tuple[str, str]]],
    network: str,
    pictures: Mapping[int, Sequence[Image]],
) -> StartedTurn:
    """The last step of a transaction that starts a turn: raises Refused if it cannot be paid."""
    hold_its_cost(battle, turn, answers, history, network, sum(map(len, pictures.values())))
    return StartedTurn(
        battle,
        turn,
        {answer.slot: answer for answer in answers},
        history,
        pictures,
        attachments.on_page(turn.attachments.all()) if turn.number in pictures else (),
    )


def _check_can_see(
    battle: Battle,
    pictures: Mapping[int, Sequence[Image]],
    contestants: Iterable[Contestant],
) -> None:
    if not pictures:
        return
    if battle.mode == Battle.Mode.BATTLE and min(pictures) > 1:
        # Whether this pair could read them would say something about who they are.
        raise Refused(
            "images_too_late",
            "In a battle, images come with the first question: then both models are drawn from "
            "those that read images. Ask without them here, or start a new battle.",
        )
    if not all(contestant.vision for contestant in contestants):
        raise Refused(
            "no_vision",
            "There are images in this conversation, and not every model in it reads them. "
            "Please choose others, or ask without the images.",
        )


def lineage(battle: Battle) -> list[int]:
    """The ids of the battles that make up one conversation: those this one continues, then it."""
    ids = [battle.pk]
    while (before := battle.continues) is not None:
        battle = before
        ids.insert(0, battle.pk)
    return ids


def history_of(battle: Battle, *, before: int) -> dict[str, list[tuple[str, str]]]:
    """By slot, (prompt, answer) of the turns before this number. Turns are numbered through a
    whole conversation, over all battles of it."""
    history: dict[str, list[tuple[str, str]]] = {slot: [] for slot in Slot.values}
    if before > 1:
        said = Answer.objects.filter(turn__battle__in=lineage(battle), turn__number__lt=before)
        for slot, prompt, text in said.order_by("turn__number").values_list(
            "slot", "turn__prompt", "text"
        ):
            history[slot].append((prompt, text))
    return history


def hold_its_cost(
    battle: Battle,
    turn: Turn,
    answers: Sequence[Answer],
    history: Mapping[str, Sequence[tuple[str, str]]],
    network: str,
    images: int = 0,
) -> None:
    """Raises Refused if the turn cannot be paid. `images` are all of its conversation."""
    planned = []
    for answer in answers:
        endpoint_id = answer.contestant.endpoint_id
        assert endpoint_id is not None, "only contestants with an endpoint are drawn"
        planned.append(
            limits.Charge(
                endpoint_id,
                limits.highest_cost(
                    answer.contestant,
                    texts=[*chain.from_iterable(history[answer.slot]), turn.prompt],
                    images=images,
                    max_tokens=battle.parameters["max_tokens"],
                ),
            )
        )
    limits.reserve(turn=turn, voter_id=battle.voter_id, network=network, planned=planned)


@transaction.atomic
def replace_side(
    *, turn_id: int, slot: str, failed: Collection[int], endpoint_down: bool
) -> Contestant | None:
    """Draw another model for a side that failed before it had shown anything.

    `failed` are the models that failed in this battle; `endpoint_down` says that the last one's
    endpoint is at fault, so that its other models are drawn only when there are no more. None when
    nobody may be drawn: the models were chosen, have spoken before, or none is left.
    """
    # The lock orders two sides that are replaced at the same moment: they must stay different.
    turn = Turn.objects.select_for_update().get(pk=turn_id)
    battle = Battle.objects.select_related("contestant_a", "contestant_b").get(pk=turn.battle_id)
    if (
        turn.state != Turn.State.RUNNING
        or battle.state != Battle.State.STREAMING
        or battle.mode != Battle.Mode.BATTLE
        or turn.number > 1
        or any(turn.answers.values_list("earlier", flat=True))
    ):
        return None
    out, kept = battle.contestant(slot), battle.contestant("b" if slot == Slot.A else "a")
    there = Contestant.objects.drawable()
    if turn.attachments.exists():
        there = attachments.who_can_see(there)
    drawable = {contestant.pk: contestant for contestant in there}
    candidates = {pk for pk in drawable if pk not in failed and pk not in (out.pk, kept.pk)}
    elsewhere = {pk for pk in candidates if drawable[pk].endpoint_id != out.endpoint_id}
    # All that might have been drawn at first, even if their breakers are open by now; and set to
    # rest since it was drawn, the kept one still is part of this pair.
    entrants = Contestant.objects.in_bulk([*failed, out.pk]) | drawable
    weights = {pk: contestant.weight for pk, contestant in entrants.items()}
    entrants[kept.pk], weights[kept.pk] = kept, kept.weight or 1.0
    chances = sampler.odds((pk, weights[pk], entrants[pk].status) for pk in sorted(entrants))
    for chosen_from in (elsewhere, candidates) if endpoint_down else (candidates,):
        try:
            not_to_be_had = entrants.keys() - chosen_from - {kept.pk}
            drawn, probability = chances.redraw(kept.pk, not_to_be_had, _rng)
            break
        except pairing.TooFewContestants:
            continue
    else:
        return None
    turn.answers.filter(slot=slot).update(contestant=drawn, state=Answer.State.SWAPPED)
    setattr(battle, f"contestant_{slot}", drawable[drawn])
    battle.pair_probability, battle.sampler = probability, chances.sampler
    battle.swapped = True
    battle.save(update_fields=[f"contestant_{slot}", "pair_probability", "sampler", "swapped"])
    return drawable[drawn]


def expire(*, older_than: timedelta) -> int:
    """Battles nobody voted on for so long: they take no vote any more, and name nobody."""
    waiting = Battle.objects.filter(
        mode=Battle.Mode.BATTLE,
        state__in=states.BATTLE.before(Battle.State.EXPIRED),
        ready_at__lt=timezone.now() - older_than,
    )
    return waiting.update(state=Battle.State.EXPIRED)


@transaction.atomic
def abandon(*, battle_id: int) -> None:
    """Skip: the battle ends without a vote and without a reveal; what still runs is stopped."""
    # The turn first, as whoever ends a turn does: the other order would be a deadlock.
    Turn.objects.filter(battle=battle_id, state=Turn.State.RUNNING).update(stop_requested=True)
    ended = Battle.objects.filter(
        pk=battle_id, state__in=states.BATTLE.before(Battle.State.ABANDONED)
    ).update(state=Battle.State.ABANDONED, ready_at=None)
    if ended:
        attachments.let_go(battle_id=battle_id)


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
