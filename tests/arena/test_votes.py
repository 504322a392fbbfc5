from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from arena import battles, votes
from arena.battles import Refused
from arena.models import Battle, Vote
from tests import factories

pytestmark = pytest.mark.django_db


def cast(battle, choice="a", **fields):
    return votes.cast(
        **{"battle_id": battle.pk, "voter": battle.voter, "choice": choice, "turn": 1, **fields}
    )


def test_a_vote_waits_to_be_counted():
    vote = cast(factories.battle())
    assert (vote.status, vote.tally_due, vote.tallied) == (Vote.Status.PENDING, True, False)


def test_a_repeated_click_gets_the_first_answer():
    battle = factories.battle()
    first = cast(battle, "a")
    again = cast(battle, "b")
    assert again == first
    assert Vote.objects.get(battle=battle).choice == "a"


@pytest.mark.parametrize(
    ("state", "extra"),
    [
        (Battle.State.STREAMING, {}),
        (Battle.State.VOID, {"void_reason": Battle.VoidReason.FAILED}),
        (Battle.State.ABANDONED, {}),
        (Battle.State.EXPIRED, {}),
    ],
)
def test_only_a_ready_battle_takes_a_vote(state, extra):
    battle = factories.battle(state=state, **extra)
    with pytest.raises(Refused):
        cast(battle)
    assert not Vote.objects.exists()


def test_somebody_else_cannot_vote():
    with pytest.raises(Refused) as refused:
        cast(factories.battle(), voter=factories.voter())
    assert refused.value.code == "not_found"


def test_a_vote_on_an_older_turn_is_refused():
    with pytest.raises(Refused) as refused:
        cast(factories.battle(), turn=2)
    assert refused.value.code == "wrong_turn"


@pytest.mark.parametrize("choice", ["", "c", "A", "skip", "a' OR 1=1"])
def test_a_choice_that_does_not_exist_is_refused(choice):
    with pytest.raises(Refused):
        cast(factories.battle(), choice)


def test_a_side_by_side_vote_is_stored_and_never_rated():
    vote = cast(factories.battle(mode=Battle.Mode.SIDE_BY_SIDE, pair_probability=None))
    assert vote.status == Vote.Status.EXCLUDED
    assert vote.exclusion_reason == Vote.Exclusion.NAMES_SHOWN
    with pytest.raises(Refused):
        votes.restore(vote_id=vote.pk)


def test_names_appear_only_after_the_vote():
    battle = factories.battle()
    with pytest.raises(Refused):
        battles.reveal(battle_id=battle.pk)
    cast(battle)
    assert battles.reveal(battle_id=battle.pk).state == Battle.State.REVEALED


def test_a_void_battle_is_never_revealed():
    battle = factories.battle(state=Battle.State.VOID, void_reason=Battle.VoidReason.FAILED)
    with pytest.raises(Refused):
        battles.reveal(battle_id=battle.pk)


# --- how often -----------------------------------------------------------------------------------


def test_one_person_votes_once_in_five_seconds(settings):
    settings.VOTE_INTERVAL_SECONDS = 5
    voter = factories.voter()
    first, second = factories.battle(voter=voter), factories.battle(voter=voter)
    vote = cast(first)
    with pytest.raises(Refused) as refused:
        cast(second)
    assert refused.value.code == "too_soon"
    assert 1 <= refused.value.retry_after <= 5
    assert cast(first) == vote  # a repeated click is no second vote
    cast(factories.battle())  # nor is somebody else's
    Vote.objects.filter(pk=vote.pk).update(created_at=vote.created_at - timedelta(seconds=5))
    cast(second)


def test_a_clock_that_was_set_back_keeps_nobody_from_voting(settings):
    settings.VOTE_INTERVAL_SECONDS = 5
    voter = factories.voter()
    vote = cast(factories.battle(voter=voter))
    Vote.objects.filter(pk=vote.pk).update(created_at=vote.created_at + timedelta(hours=1))
    cast(factories.battle(voter=voter))


@pytest.mark.django_db(transaction=True)
def test_of_many_votes_of_one_person_at_the_same_moment_one_is_cast(settings):
    settings.VOTE_INTERVAL_SECONDS = 5
    voter = factories.voter()
    battles = [factories.battle(voter=voter) for _ in range(12)]

    def try_to(battle):
        try:
            return cast(battle)
        except Refused as refused:
            return refused.code
        finally:
            connection.close()

    with ThreadPoolExecutor(len(battles)) as pool:
        results = list(pool.map(try_to, battles))
    assert results.count("too_soon") == len(battles) - 1
    assert Vote.objects.count() == 1
