"""The battle's verbs. Votes have a file of their own, streams are in test_socket."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from arena import battles, pairing, states, turns, votes
from arena.battles import Refused
from arena.models import Answer, Battle, Turn
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def two_models():
    return {factories.contestant(), factories.contestant()}


def opened(prompt="Why?"):
    return battles.open_battle(voter=factories.voter(), prompt=prompt)


def finished(started, void_reason="", **texts):
    for slot, answer in started.answers.items():
        answer.text = texts.get(slot, f"Because of {slot}.")
        answer.state = Answer.State.COMPLETE
    return turns.finish(
        turn_id=started.turn.pk, answers=list(started.answers.values()), void_reason=void_reason
    )


def silence(turn, seconds):
    """As if the process that owns the turn had died so long ago."""
    Turn.objects.filter(pk=turn.pk).update(heartbeat_at=timezone.now() - timedelta(seconds=seconds))


def state_of(battle):
    return Battle.objects.get(pk=battle.pk).state


# --- opening -----------------------------------------------------------------------------------


def test_a_battle_remembers_how_it_was_drawn(two_models, settings):
    settings.MAX_ANSWER_TOKENS = 77
    started = opened()
    battle = Battle.objects.get()
    assert {battle.contestant_a, battle.contestant_b} == two_models
    assert (battle.pair_probability, battle.sampler) == (1.0, pairing.WEIGHTED)
    assert battle.state == Battle.State.STREAMING
    assert battle.parameters["max_tokens"] == 77
    assert {a.contestant_id for a in started.answers.values()} == {m.pk for m in two_models}
    assert started.history == {"a": [], "b": []}


@pytest.mark.parametrize(
    ("prompt", "code"),
    [
        ("", "prompt_empty"),
        (" \n\t", "prompt_empty"),
        ("x" * 8_001, "prompt_too_long"),
        ("a\x00b", "prompt_invalid"),
    ],
)
def test_a_prompt_is_refused_never_cut(two_models, prompt, code):
    with pytest.raises(Refused) as refused:
        opened(prompt)
    assert refused.value.code == code
    assert not Battle.objects.exists()


def test_a_prompt_of_the_greatest_length_is_stored_whole(two_models):
    opened("x" * 8_000)
    assert Turn.objects.get().prompt == "x" * 8_000


def test_one_model_cannot_meet_itself():
    factories.contestant()
    with pytest.raises(Refused) as refused:
        opened()
    assert (refused.value.code, refused.value.retry_after) == ("no_models", 60)
    assert not Battle.objects.exists()


# --- further turns -----------------------------------------------------------------------------


def test_each_side_is_told_its_own_answers_only(two_models):
    first = opened("One?")
    finished(first, a="Red", b="Blue")
    second = battles.take_turn(battle_id=first.battle.pk, prompt="Two?")
    finished(second, a="Crimson", b="Navy")
    third = battles.take_turn(battle_id=first.battle.pk, prompt="Three?")
    assert third.turn.number == 3
    assert third.history == {
        "a": [("One?", "Red"), ("Two?", "Crimson")],
        "b": [("One?", "Blue"), ("Two?", "Navy")],
    }
    assert {s: a.contestant for s, a in third.answers.items()} == {
        s: a.contestant for s, a in first.answers.items()
    }


def test_a_battle_has_so_many_turns_and_no_more(two_models, settings):
    settings.MAX_TURNS = 2
    started = opened()
    finished(started)
    finished(battles.take_turn(battle_id=started.battle.pk, prompt="Two?"))
    with pytest.raises(Refused) as refused:
        battles.take_turn(battle_id=started.battle.pk, prompt="Three?")
    assert refused.value.code == "turn_limit"
    assert state_of(started.battle) == Battle.State.READY


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"state": "streaming"}, "streaming"),
        ({"state": "voted"}, "wrong_state"),
        ({"state": "revealed"}, "wrong_state"),
        ({"state": "abandoned"}, "wrong_state"),
        ({"state": "expired"}, "wrong_state"),
        ({"state": "void", "void_reason": "failed"}, "wrong_state"),
    ],
)
def test_only_a_ready_battle_goes_on(fields, code):
    battle = factories.battle(**fields)
    with pytest.raises(Refused) as refused:
        battles.take_turn(battle_id=battle.pk, prompt="More?")
    assert refused.value.code == code
    assert battle.turns.count() == 1


# --- ending a turn -----------------------------------------------------------------------------


def test_two_whole_answers_make_a_battle_ready(two_models):
    started = opened()
    assert finished(started, a="Red", b="Blue") is True
    battle = Battle.objects.get()
    assert (battle.state, battle.void_reason) == (Battle.State.READY, "")
    assert battle.ready_at is not None
    assert [a.text for a in Answer.objects.order_by("slot")] == ["Red", "Blue"]
    assert Turn.objects.get().state == Turn.State.DONE


def test_a_failed_turn_makes_the_whole_battle_void(two_models):
    started = opened()
    finished(started)
    again = battles.take_turn(battle_id=started.battle.pk, prompt="More?")
    finished(again, void_reason=Battle.VoidReason.FAILED)
    battle = Battle.objects.get()
    assert (battle.state, battle.ready_at) == (Battle.State.VOID, None)


def test_every_reason_has_words_that_name_no_side():
    assert set(battles.VOID_MESSAGES) == set(Battle.VoidReason.values)
    for message in battles.VOID_MESSAGES.values():
        assert not {"A", "B", "Model"} & set(message.replace(".", "").split())


# --- the owner dies ----------------------------------------------------------------------------


def test_a_turn_whose_owner_is_gone_becomes_void(two_models, settings):
    started = opened()
    silence(started.turn, settings.ORPHAN_SECONDS + 1)
    assert turns.end_orphaned() == 1
    battle = Battle.objects.get()
    assert (battle.state, battle.void_reason) == ("void", Battle.VoidReason.INTERRUPTED)
    assert {a.state for a in Answer.objects.all()} == {Answer.State.FAILED}
    assert turns.end_orphaned() == 0


def test_a_battle_with_a_side_that_failed_is_never_ready(two_models):
    started = opened()
    for answer in started.answers.values():
        answer.state, answer.error_kind = Answer.State.FAILED, "stalled"
    with pytest.raises(states.Forbidden):
        turns.finish(turn_id=started.turn.pk, answers=list(started.answers.values()))
    assert state_of(started.battle) == Battle.State.STREAMING


def test_a_turn_that_still_beats_is_left_alone(two_models, settings):
    started = opened()
    silence(started.turn, settings.ORPHAN_SECONDS + 1)
    turns.checkpoint({started.turn.pk: []})
    assert turns.end_orphaned() == 0
    assert state_of(started.battle) == Battle.State.STREAMING


def test_a_finished_turn_is_never_an_orphan(two_models, settings):
    started = opened()
    finished(started)
    silence(started.turn, settings.ORPHAN_SECONDS + 1)
    assert turns.end_orphaned() == 0
    assert state_of(started.battle) == Battle.State.READY


def test_what_the_sweep_decided_stands_when_the_owner_comes_back(two_models, settings):
    started = opened()
    silence(started.turn, settings.ORPHAN_SECONDS + 1)
    turns.end_orphaned()
    assert finished(started, a="Too late") is False
    assert state_of(started.battle) == Battle.State.VOID
    assert not Answer.objects.filter(text="Too late").exists()


def test_a_late_checkpoint_changes_nothing(two_models, settings):
    started = opened()
    finished(started, a="The last word")
    row = {"id": started.answers["a"].pk, "state": "streaming", "text": "The la"}
    turns.checkpoint({started.turn.pk: [row]})
    answer = Answer.objects.get(slot="a")
    assert (answer.text, answer.state) == ("The last word", Answer.State.COMPLETE)


# --- checkpoints and Stop ----------------------------------------------------------------------


def test_a_checkpoint_saves_what_there_is(two_models):
    started = opened()
    row = {"id": started.answers["b"].pk, "state": "streaming", "text": "Half an ans"}
    assert turns.checkpoint({started.turn.pk: [row]}).stop == set()
    assert [a.text for a in Answer.objects.order_by("slot")] == ["", "Half an ans"]


def test_a_checkpoint_tells_the_owner_who_asked_to_stop(two_models):
    one, other = opened(), opened()
    turns.request_stop(public_id=one.battle.public_id)
    assert turns.checkpoint({one.turn.pk: [], other.turn.pk: []}).stop == {one.turn.pk}


def test_a_stop_after_the_end_is_not_kept_for_the_next_turn(two_models):
    started = opened()
    finished(started)
    turns.request_stop(public_id=started.battle.public_id)
    again = battles.take_turn(battle_id=started.battle.pk, prompt="More?")
    assert turns.checkpoint({again.turn.pk: []}).stop == set()


# --- replacing a side --------------------------------------------------------------------------


def replaced(started, slot="a", endpoint_down=True, **more):
    failed = {started.answers[slot].contestant_id, *more.pop("also", ())}
    return battles.replace_side(
        turn_id=started.turn.pk, slot=slot, failed=failed, endpoint_down=endpoint_down
    )


def test_a_replaced_side_is_part_of_the_battle_as_it_was_served(two_models):
    started = opened()
    kept = started.answers["b"].contestant
    third = factories.contestant()
    assert replaced(started) == third
    battle = Battle.objects.get()
    assert (battle.contestant_a, battle.contestant_b) == (third, kept)
    assert (battle.swapped, battle.sampler, battle.pair_probability) == (True, pairing.WEIGHTED, 1)
    assert Answer.objects.get(slot="a").contestant == third
    assert Answer.objects.get(slot="a").state == Answer.State.SWAPPED


def test_with_two_models_nobody_is_left_to_replace_one(two_models):
    started = opened()
    assert replaced(started) is None
    assert not Battle.objects.get().swapped


def test_another_endpoint_is_preferred_when_one_is_down(two_models):
    started = opened()
    down = started.answers["a"].contestant.endpoint
    beside = factories.contestant(endpoint=down, weight=1e9)
    elsewhere = factories.contestant()
    assert replaced(started) == elsewhere
    assert replaced(started, also=[elsewhere.pk]) == beside


def test_a_model_that_is_missing_may_be_replaced_by_its_neighbour(two_models):
    started = opened()
    beside = factories.contestant(endpoint=started.answers["a"].contestant.endpoint, weight=1e12)
    factories.contestant()
    assert replaced(started, endpoint_down=False) == beside


def test_only_who_may_be_drawn_replaces(two_models):
    started = opened()
    factories.contestant(status="draft")
    factories.contestant(endpoint=factories.endpoint(enabled=False))
    assert replaced(started) is None


def test_a_battle_that_is_over_or_named_has_nobody_replaced(two_models):
    over, skipped, named = opened(), opened(), opened()
    for _ in range(3):
        factories.contestant()
    finished(over)
    battles.abandon(battle_id=skipped.battle.pk)
    Battle.objects.filter(pk=named.battle.pk).update(mode=Battle.Mode.SIDE_BY_SIDE)
    for started in (over, skipped, named):
        assert replaced(started) is None
    assert not Battle.objects.filter(swapped=True).exists()


def test_models_that_have_spoken_are_not_replaced(two_models):
    first = opened()
    finished(first)
    factories.contestant()
    assert replaced(battles.take_turn(battle_id=first.battle.pk, prompt="More?")) is None


# --- readers elsewhere -------------------------------------------------------------------------


def test_the_owner_is_told_of_readers_at_other_processes(two_models):
    read, unread = opened(), opened()
    turns.watch(turn_id=read.turn.pk)
    checkpoint = turns.checkpoint({read.turn.pk: [], unread.turn.pk: []})
    assert checkpoint.watched == {read.turn.pk}
    Turn.objects.update(watched_at=timezone.now() - 2 * turns.WATCHED_FOR)
    assert turns.checkpoint({read.turn.pk: []}).watched == set()


def test_the_owner_stops_paying_for_a_turn_that_was_ended_elsewhere(two_models, settings):
    started = opened()
    silence(started.turn, settings.ORPHAN_SECONDS + 1)
    turns.end_orphaned()
    assert turns.checkpoint({started.turn.pk: []}).stop == {started.turn.pk}


# --- skip and reveal ---------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["ready", "streaming"])
def test_a_skipped_battle_is_over_without_a_reveal(state):
    battle = factories.battle(state=state)
    battles.abandon(battle_id=battle.pk)
    assert state_of(battle) == Battle.State.ABANDONED
    with pytest.raises(Refused):
        battles.reveal(battle_id=battle.pk)


@pytest.mark.parametrize(
    "fields", [{"state": "voted"}, {"state": "void", "void_reason": "failed"}, {"state": "expired"}]
)
def test_what_is_over_cannot_be_skipped(fields):
    battle = factories.battle(**fields)
    battles.abandon(battle_id=battle.pk)
    assert state_of(battle) == fields["state"]


def test_a_battle_skipped_while_it_streams_stays_skipped(two_models):
    started = opened()
    battles.abandon(battle_id=started.battle.pk)
    finished(started)
    assert state_of(started.battle) == Battle.State.ABANDONED


def test_the_names_appear_once_and_stay(two_models):
    battle = factories.vote().battle
    first = battles.reveal(battle_id=battle.pk)
    again = battles.reveal(battle_id=battle.pk)
    assert again.state == Battle.State.REVEALED
    assert again.revealed_at == first.revealed_at


@pytest.mark.parametrize("state", ["drawing", "streaming", "ready", "abandoned", "expired"])
def test_no_vote_no_names(state):
    battle = factories.battle(state=state)
    with pytest.raises(Refused) as refused:
        battles.reveal(battle_id=battle.pk)
    assert refused.value.code == "wrong_state"
    assert state_of(battle) == state


def test_a_battle_that_nobody_voted_on_expires_and_takes_no_vote():
    now = timezone.now()
    old = factories.battle(ready_at=now - timedelta(days=8))
    fresh = factories.battle(ready_at=now - timedelta(days=6))
    chosen = factories.battle(
        mode="side_by_side", pair_probability=None, ready_at=now - timedelta(days=8)
    )
    voted = factories.battle(state="voted", ready_at=now - timedelta(days=8))
    assert battles.expire(older_than=timedelta(days=7)) == 1
    states_now = [Battle.objects.get(pk=one.pk).state for one in (old, fresh, chosen, voted)]
    assert states_now == ["expired", "ready", "ready", "voted"]
    with pytest.raises(Refused):
        votes.cast(battle_id=old.pk, voter=old.voter, choice="a", turn=1)
    with pytest.raises(Refused):
        battles.reveal(battle_id=old.pk)
