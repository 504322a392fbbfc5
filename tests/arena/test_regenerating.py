"""Having a turn answered again."""

from __future__ import annotations

import pytest

from arena import battles, regenerating, turns
from arena.models import Answer, Battle, Turn
from arena.refusals import Refused
from tests import factories

pytestmark = pytest.mark.django_db


def finished(started, void_reason="", **states):
    for answer in started.answers.values():
        answer.state = states.get(answer.slot, Answer.State.COMPLETE)
        answer.error_kind = "stalled" if answer.state == Answer.State.FAILED else ""
        answer.text = f"Second {answer.slot}"
    turns.finish(
        turn_id=started.turn.pk, answers=list(started.answers.values()), void_reason=void_reason
    )


def answers(battle):
    return {answer.slot: answer for answer in Answer.objects.filter(turn__battle=battle)}


def failed_battle(**fields):
    battle = factories.battle(state="void", void_reason="failed", **fields)
    Answer.objects.filter(turn__battle=battle, slot="b").update(
        state="failed", error_kind="stalled", text="Half"
    )
    return battle


def named(**fields):
    return {"mode": Battle.Mode.SIDE_BY_SIDE, "pair_probability": None, **fields}


def test_both_sides_answer_again_and_what_they_had_said_is_kept():
    battle = factories.battle()
    started = regenerating.regenerate(battle_id=battle.pk)
    battle.refresh_from_db()
    assert battle.state == Battle.State.STREAMING
    assert battle.turns.get().state == Turn.State.RUNNING
    assert set(started.answers) == {"a", "b"}
    finished(started)
    battle.refresh_from_db()
    assert battle.state == Battle.State.READY
    now = answers(battle)
    assert [now[slot].text for slot in "ab"] == ["Second a", "Second b"]
    assert now["a"].earlier == [
        {"text": "Because of a.", "state": "complete", "finish_reason": "", "stopped": False}
    ]


def test_the_pair_stays_even_if_a_model_fails_then():
    battle = factories.battle()
    factories.contestant()  # who would be drawn otherwise
    started = regenerating.regenerate(battle_id=battle.pk)
    failed = {battle.contestant_a_id}
    assert (
        battles.replace_side(turn_id=started.turn.pk, slot="a", failed=failed, endpoint_down=False)
        is None
    )


def test_only_the_last_turn_is_answered_again_and_the_others_are_its_history():
    battle = factories.battle()
    second = battles.take_turn(battle_id=battle.pk, prompt="And then?")
    finished(second)
    again = regenerating.regenerate(battle_id=battle.pk)
    assert again.turn == second.turn
    assert [text for _, text in again.history["a"]] == ["Because of a."]


def test_one_side_alone_only_if_it_was_stopped():
    battle = factories.battle()
    with pytest.raises(Refused) as refused:
        regenerating.regenerate(battle_id=battle.pk, slot="a")
    assert refused.value.code == "wrong_side"
    Answer.objects.filter(turn__battle=battle, slot="a").update(stopped=True)
    started = regenerating.regenerate(battle_id=battle.pk, slot="a")
    assert set(started.answers) == {"a"}
    finished(started)
    now = answers(battle)
    assert (now["a"].text, now["a"].stopped) == ("Second a", False)
    assert now["b"].text == "Because of b."
    battle.refresh_from_db()
    assert battle.state == Battle.State.READY


@pytest.mark.parametrize("state", ["voted", "revealed", "abandoned", "expired"])
def test_not_after_the_vote_and_not_when_the_battle_is_over(state):
    battle = factories.battle(state=state)
    with pytest.raises(Refused) as refused:
        regenerating.regenerate(battle_id=battle.pk)
    assert refused.value.code == "wrong_state"
    assert answers(battle)["a"].earlier == []


def test_not_while_it_is_answered():
    battle = factories.battle(state="streaming")
    with pytest.raises(Refused) as refused:
        regenerating.regenerate(battle_id=battle.pk)
    assert refused.value.code == "streaming"


def test_a_void_battle_between_anonymous_models_stays_void():
    battle = failed_battle()
    with pytest.raises(Refused) as refused:
        regenerating.regenerate(battle_id=battle.pk)
    assert refused.value.code == "wrong_state"
    battle.refresh_from_db()
    assert battle.state == Battle.State.VOID


def test_side_by_side_the_side_that_failed_tries_again_and_the_other_stays():
    battle = failed_battle(**named())
    started = regenerating.regenerate(battle_id=battle.pk)
    assert set(started.answers) == {"b"}
    finished(started)
    battle.refresh_from_db()
    assert (battle.state, battle.void_reason) == (Battle.State.READY, "")
    now = answers(battle)
    assert (now["a"].text, now["b"].text) == ("Because of a.", "Second b")
    assert now["b"].earlier[0]["text"] == "Half"
    assert now["b"].error_kind == ""


def test_it_may_fail_again_and_is_void_again():
    battle = failed_battle(**named())
    finished(regenerating.regenerate(battle_id=battle.pk), void_reason="failed", b="failed")
    battle.refresh_from_db()
    assert (battle.state, battle.void_reason) == (Battle.State.VOID, "failed")


def test_there_is_an_end_to_asking_again():
    battle = factories.battle()
    for _ in range(regenerating.MOST_TIMES):
        finished(regenerating.regenerate(battle_id=battle.pk))
    with pytest.raises(Refused) as refused:
        regenerating.regenerate(battle_id=battle.pk)
    assert refused.value.code == "regenerated_often"
    battle.refresh_from_db()
    assert battle.state == Battle.State.READY
