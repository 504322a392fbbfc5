"""Random histories of battles: whatever happens in whatever order, the forbidden never does."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings as django_settings
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from arena import battles, chosen, regenerating, states, turns, votes
from arena.battles import Refused
from arena.models import Answer, Battle, Turn, Vote
from tests import factories

VOID = st.sampled_from(
    [Battle.VoidReason.FAILED, Battle.VoidReason.DECLINED, Battle.VoidReason.TOO_LONG]
)
CHOICE = st.sampled_from(Vote.Choice.values)
SLOT = st.sampled_from("ab")


class Battles(RuleBasedStateMachine):
    """Readers, owners of streams and the sweep, each doing what it may do at any moment."""

    started = Bundle("started")

    def __init__(self) -> None:
        super().__init__()
        self.transaction = transaction.atomic()
        self.transaction.__enter__()
        for _ in range(4):
            factories.contestant()
        self.voter = factories.voter()
        self.seen: dict[int, str] = {}  # battle → its state after the last step
        self.choices: dict[int, str] = {}  # battle → the vote that was acknowledged

    def teardown(self) -> None:
        transaction.set_rollback(True)
        self.transaction.__exit__(None, None, None)

    # --- readers ---------------------------------------------------------------------------------

    @rule(target=started)
    def ask(self):
        return battles.open_battle(voter=self.voter, prompt="Why?")

    @rule(target=started, turn=started)
    def ask_again(self, turn):
        try:
            return battles.take_turn(battle_id=turn.battle.pk, prompt="And then?")
        except Refused:
            return multiple()

    @rule(target=started, turn=started, slot=SLOT | st.none())
    def have_it_answered_again(self, turn, slot):
        try:
            return regenerating.regenerate(battle_id=turn.battle.pk, slot=slot)
        except Refused:
            return multiple()

    @rule(target=started, turn=started)
    def go_on_with_the_two(self, turn):
        try:
            further = chosen.continue_battle(
                battle_id=turn.battle.pk, voter=self.voter, prompt="More?"
            )
        except Refused:
            return multiple()
        assert turn.battle.pk in self.choices
        return further

    @rule(turn=started)
    def stop(self, turn):
        turns.request_stop(public_id=turn.battle.public_id)

    @rule(turn=started, choice=CHOICE)
    def vote(self, turn, choice):
        turns = Turn.objects.filter(battle=turn.battle).latest("number").number
        try:
            vote = votes.cast(battle_id=turn.battle.pk, voter=self.voter, choice=choice, turn=turns)
        except Refused:
            assert turn.battle.pk not in self.choices
            return
        # A second click is answered with the first vote.
        assert vote.choice == self.choices.setdefault(turn.battle.pk, choice)

    @rule(turn=started)
    def look_behind_the_names(self, turn):
        try:
            battles.reveal(battle_id=turn.battle.pk)
        except Refused:
            assert turn.battle.pk not in self.choices
        else:
            assert turn.battle.pk in self.choices

    @rule(turn=started)
    def skip(self, turn):
        battles.abandon(battle_id=turn.battle.pk)

    # --- the owner of the streams ----------------------------------------------------------------

    @rule(turn=started, slot=SLOT)
    def a_side_says_something(self, turn, slot):
        row = {"id": turn.answers[slot].pk, "state": "streaming", "text": "Because"}
        turns.checkpoint({turn.turn.pk: [row]})

    @rule(turn=started, slot=SLOT)
    def a_side_is_replaced(self, turn, slot):
        failed = {turn.answers[slot].contestant_id}
        battles.replace_side(turn_id=turn.turn.pk, slot=slot, failed=failed, endpoint_down=True)

    @rule(turn=started)
    def both_sides_have_answered(self, turn):
        self.finish(turn, "complete", "complete", "")

    @rule(turn=started, slot=SLOT, reason=VOID)
    def a_side_has_failed(self, turn, slot, reason):
        ends = ("failed", "complete") if slot == "a" else ("complete", "failed")
        self.finish(turn, *ends, reason)

    @rule(turn=started)
    def a_side_has_failed_and_the_owner_forgets_it(self, turn):
        if Turn.objects.get(pk=turn.turn.pk).state == Turn.State.RUNNING:
            with pytest.raises(states.Forbidden):
                self.finish(turn, "failed", "complete", "")

    def finish(self, turn, a, b, reason):
        answers = list(Answer.objects.filter(turn=turn.turn).order_by("slot"))
        for answer, state in zip(answers, (a, b), strict=True):
            answer.state = state
            answer.text = "Because."
            answer.error_kind = "stalled" if state == "failed" else ""
        turns.finish(turn_id=turn.turn.pk, answers=answers, void_reason=reason)

    # --- death -----------------------------------------------------------------------------------

    @rule(turn=started)
    def the_owner_dies_and_the_sweep_comes(self, turn):
        long_ago = timezone.now() - timedelta(seconds=django_settings.ORPHAN_SECONDS + 1)
        Turn.objects.filter(pk=turn.turn.pk).update(heartbeat_at=long_ago)
        turns.end_orphaned()
        assert Turn.objects.get(pk=turn.turn.pk).state != Turn.State.RUNNING

    # --- what must hold after every step ---------------------------------------------------------

    @invariant()
    def battles_go_their_way_and_no_other(self):
        for battle in Battle.objects.all():
            before = self.seen.get(battle.pk, "drawing")
            assert states.BATTLE.leads(before, battle.state), f"{before} → {battle.state}"
            self.seen[battle.pk] = battle.state

    @invariant()
    def votes_are_of_battles_that_count(self):
        voted = dict(Vote.objects.values_list("battle", "choice"))
        assert voted == self.choices
        for battle in Battle.objects.filter(pk__in=voted):
            assert battle.state in ("voted", "revealed")
            answers = Answer.objects.filter(turn__battle=battle)
            assert {answer.state for answer in answers} == {"complete"}

    @invariant()
    def names_are_of_battles_with_a_vote(self):
        assert not Battle.objects.filter(state="revealed", vote=None).exists()
        assert not Battle.objects.exclude(state="revealed").exclude(revealed_at=None).exists()

    @invariant()
    def a_battle_streams_as_long_as_a_turn_runs(self):
        running = set(Turn.objects.filter(state="running").values_list("battle", flat=True))
        streaming = set(Battle.objects.filter(state="streaming").values_list("pk", flat=True))
        assert streaming <= running  # a skipped battle's turn ends a moment later
        others = Battle.objects.filter(pk__in=running - streaming)
        assert {battle.state for battle in others} <= {"abandoned"}

    @invariant()
    def the_two_sides_are_the_pair_and_differ(self):
        for battle in Battle.objects.all():
            assert battle.contestant_a_id != battle.contestant_b_id
            last = battle.turns.latest("number")
            served = dict(last.answers.values_list("slot", "contestant"))
            assert served == {"a": battle.contestant_a_id, "b": battle.contestant_b_id}
            if battle.mode == Battle.Mode.BATTLE:
                assert 0 < battle.pair_probability <= 1


@pytest.mark.any_database
@pytest.mark.django_db
def test_no_history_reaches_a_forbidden_state():
    run_state_machine_as_test(
        Battles,
        settings=settings(
            max_examples=15,
            stateful_step_count=20,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
