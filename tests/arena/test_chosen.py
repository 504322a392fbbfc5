"""Conversations with chosen models: side by side, direct, and on after a vote."""

from __future__ import annotations

import pytest

from arena import battles, chosen, turns, votes
from arena.models import Answer, Battle, Vote
from arena.refusals import Refused
from tests import factories

pytestmark = pytest.mark.django_db


def opened(*models, mode=Battle.Mode.SIDE_BY_SIDE, **fields):
    return chosen.open_chosen(
        voter=fields.pop("voter", None) or factories.voter(),
        prompt=fields.pop("prompt", "Why?"),
        mode=mode,
        models=[model.slug for model in models],
        parameters=fields.pop("parameters", {}),
        **fields,
    )


def answered(started):
    for answer in started.answers.values():
        answer.state = Answer.State.COMPLETE
        answer.text = f"Answer {started.turn.number}{answer.slot}"
    turns.finish(turn_id=started.turn.pk, answers=list(started.answers.values()))
    return started.battle


def test_the_first_model_chosen_sits_on_the_left_and_nothing_is_drawn():
    left, right = factories.contestant(), factories.contestant()
    battle = opened(left, right).battle
    assert (battle.contestant_a, battle.contestant_b) == (left, right)
    assert battle.pair_probability is None
    assert battle.sampler == ""


def test_a_direct_chat_has_one_side():
    started = opened(factories.contestant(), mode=Battle.Mode.DIRECT)
    assert list(started.answers) == ["a"]
    assert started.battle.contestant_b is None


def test_parameters_are_kept_with_the_conversation():
    started = opened(
        factories.contestant(), factories.contestant(), parameters={"temperature": 0.2}
    )
    assert started.battle.parameters["temperature"] == 0.2
    assert started.battle.parameters["max_tokens"] > 0  # always sent


@pytest.mark.parametrize(
    "parameters",
    [
        {"temperature": -0.1},
        {"temperature": 2.1},
        {"temperature": float("nan")},
        {"top_p": 0},
        {"top_p": 1.1},
        {"max_tokens": 0},
        {"max_tokens": 10**9},
    ],
)
def test_parameters_out_of_bounds_are_refused_by_name(parameters):
    with pytest.raises(Refused, match=next(iter(parameters)).replace("_", "[ -]")) as refused:
        opened(factories.contestant(), factories.contestant(), parameters=parameters)
    assert refused.value.code == "bad_parameter"
    assert not Battle.objects.exists()


@pytest.mark.parametrize("status", ["draft", "preview", "paused", "retired"])
def test_a_model_that_is_not_public_or_rests_cannot_be_chosen(status):
    with pytest.raises(Refused) as refused:
        opened(factories.contestant(), factories.contestant(status=status))
    assert refused.value.code == "model_unavailable"


def test_a_model_is_not_compared_with_itself():
    model = factories.contestant()
    with pytest.raises(Refused, match="two different"):
        opened(model, model)


@pytest.mark.parametrize(
    ("mode", "number"),
    [(Battle.Mode.SIDE_BY_SIDE, 1), (Battle.Mode.DIRECT, 0), (Battle.Mode.DIRECT, 2)],
)
def test_each_mode_has_its_number_of_models(mode, number):
    with pytest.raises(Refused) as refused:
        opened(*(factories.contestant() for _ in range(number)), mode=mode)
    assert refused.value.code == "bad_models"


def test_a_vote_side_by_side_is_kept_and_never_rated():
    started = opened(factories.contestant(), factories.contestant())
    battle = answered(started)
    vote = votes.cast(battle_id=battle.pk, voter=battle.voter, choice="a", turn=1)
    assert (vote.status, vote.exclusion_reason) == ("excluded", Vote.Exclusion.NAMES_SHOWN)
    assert not vote.tally_due


def test_a_direct_chat_takes_no_vote():
    battle = answered(opened(factories.contestant(), mode=Battle.Mode.DIRECT))
    with pytest.raises(Refused, match="no vote"):
        votes.cast(battle_id=battle.pk, voter=battle.voter, choice="a", turn=1)


@pytest.fixture
def revealed():
    return factories.battle(state=Battle.State.REVEALED)


def test_after_the_vote_the_same_two_go_on_and_know_what_was_said(revealed):
    started = chosen.continue_battle(
        battle_id=revealed.pk, voter=revealed.voter, prompt="And at night?"
    )
    battle = started.battle
    assert (battle.mode, battle.continues) == (Battle.Mode.SIDE_BY_SIDE, revealed)
    assert (battle.contestant_a, battle.contestant_b) == (
        revealed.contestant_a,
        revealed.contestant_b,
    )
    assert started.turn.number == 2
    asked = revealed.turns.get().prompt
    assert started.history == {"a": [(asked, "Because of a.")], "b": [(asked, "Because of b.")]}


def test_a_conversation_that_was_continued_can_be_judged_and_continued_again(revealed):
    second = answered(
        chosen.continue_battle(battle_id=revealed.pk, voter=revealed.voter, prompt="Two?")
    )
    votes.cast(battle_id=second.pk, voter=second.voter, choice="b", turn=2)
    battles.reveal(battle_id=second.pk)
    third = chosen.continue_battle(battle_id=second.pk, voter=second.voter, prompt="Three?")
    assert third.turn.number == 3
    assert [text for _, text in third.history["a"]] == ["Because of a.", "Answer 2a"]


@pytest.mark.parametrize("state", ["ready", "streaming", "abandoned"])
def test_nobody_goes_on_with_two_whose_names_are_not_known(state):
    battle = factories.battle(state=state)
    with pytest.raises(Refused) as refused:
        chosen.continue_battle(battle_id=battle.pk, voter=battle.voter, prompt="More?")
    assert refused.value.code == "wrong_state"


def test_the_turns_of_all_parts_count_for_the_limit(revealed, settings):
    settings.MAX_TURNS = 1
    with pytest.raises(Refused) as refused:
        chosen.continue_battle(battle_id=revealed.pk, voter=revealed.voter, prompt="More?")
    assert refused.value.code == "turn_limit"


def test_a_model_that_was_taken_out_meanwhile_cannot_go_on(revealed):
    revealed.contestant_a.status = "paused"
    revealed.contestant_a.save()
    with pytest.raises(Refused) as refused:
        chosen.continue_battle(battle_id=revealed.pk, voter=revealed.voter, prompt="More?")
    assert refused.value.code == "model_unavailable"
