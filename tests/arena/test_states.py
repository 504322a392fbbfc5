"""The transitions there are."""

from __future__ import annotations

import pytest

from arena import states
from arena.live import SideState
from arena.models import AnswerState, BattleState, TurnState


@pytest.mark.parametrize(
    ("machine", "choices"),
    [
        (states.BATTLE, BattleState),
        (states.TURN, TurnState),
        (states.ANSWER, AnswerState),
        (states.ANSWER, SideState),
    ],
)
def test_a_machine_knows_every_state_that_can_be_stored(machine, choices):
    assert set(machine.moves) == {state.value for state in choices}


@pytest.mark.parametrize("machine", [states.BATTLE, states.TURN, states.ANSWER])
def test_from_every_state_an_end_can_be_reached(machine):
    assert machine.final
    for state in machine.moves:
        assert any(machine.leads(state, end) for end in machine.final)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("streaming", "voted"),
        ("ready", "revealed"),
        ("void", "ready"),
        ("void", "revealed"),
        ("abandoned", "voted"),
        ("expired", "voted"),
        ("voted", "ready"),
        ("revealed", "voted"),
    ],
)
def test_what_must_never_happen_to_a_battle_is_no_transition(old, new):
    with pytest.raises(states.Forbidden, match=f"{old} → {new}"):
        states.BATTLE.check(old, new)


@pytest.mark.parametrize("dead", ["void", "abandoned", "expired"])
def test_no_way_leads_from_a_battle_that_does_not_count_to_the_names(dead):
    assert not states.BATTLE.leads(dead, "revealed")


def test_an_answer_that_has_shown_text_is_never_replaced():
    for state in ("streaming", "complete", "failed"):
        assert not states.ANSWER.leads(state, "swapped")
        assert not states.ANSWER.leads(state, "retrying")


def test_a_state_that_only_follows_is_a_mistake():
    with pytest.raises(ValueError, match="nowhere"):
        states.Machine("odd", {"here": ["nowhere"]})
