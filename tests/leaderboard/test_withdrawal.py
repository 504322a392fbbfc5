from datetime import timedelta
from io import StringIO

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from arena.models import Contestant, Vote
from leaderboard import public_votes, snapshots, withdrawal
from leaderboard.models import Category
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import Outcome, PairCounts
from leaderboard.tally import checking, settling
from tests import factories
from tests.leaderboard.imported import SINCE, imported_votes

pytestmark = pytest.mark.django_db
OUTCOMES = {
    "a": Outcome.FIRST,
    "b": Outcome.SECOND,
    "tie": Outcome.TIE,
    "both_bad": Outcome.BOTH_BAD,
}


@pytest.fixture
def counted():
    made = imported_votes(150, models=5)
    settling.settle_all()
    return made


def without(votes, withdrawn):
    """A fit from scratch of the votes that are left, read off the vote rows alone."""
    left = [vote for vote in votes if vote not in withdrawn]
    counts = PairCounts.from_votes(
        (v.battle.contestant_a_id, v.battle.contestant_b_id, OUTCOMES[v.choice]) for v in left
    )
    return fit_bt(counts)


def published():
    """(contestant, log-odds less their mean) on the overall board after everything is settled."""
    settling.settle_all()
    snapshots.publish(Category.objects.get(slug="overall"))
    rows = snapshots.current("overall").ratings.filter(rating__isnull=False)
    ratings = dict(rows.values_list("contestant_id", "rating"))
    scale = np.log(10) / 400
    return {model: (rating - 1000) * scale for model, rating in ratings.items()}


def assert_as_if_never_cast(votes, withdrawn):
    fit = without(votes, withdrawn)
    board = published()
    assert set(board) == {fit.models[i] for i in fit.main}
    for model, strength in zip(fit.models, fit.log_odds, strict=True):
        if model in board:
            assert board[model] == pytest.approx(strength, abs=1e-9)
    assert checking.differences() == {}


def test_a_voter_goes_by_key_or_by_public_pseudonym(counted):
    voters = list({vote.voter for vote in counted})
    first = [vote for vote in counted if vote.voter == voters[0]]
    assert withdrawal.withdraw(voter=voters[0].key) == len(first)
    second = [vote for vote in counted if vote.voter == voters[1]]
    assert withdrawal.withdraw(voter=public_votes.pseudonyms()(voters[1].key)) == len(second)
    assert_as_if_never_cast(counted, first + second)


def test_a_model_goes_with_every_vote_on_it(counted):
    model = counted[0].battle.contestant_a
    gone = [v for v in counted if model in (v.battle.contestant_a, v.battle.contestant_b)]
    assert withdrawal.withdraw(contestant=model) == len(gone)
    assert_as_if_never_cast(counted, gone)
    assert model.pk not in published()


def test_a_time_range_goes_from_its_start_to_before_its_end(counted):
    since, until = SINCE + timedelta(minutes=20), SINCE + timedelta(minutes=50)
    assert withdrawal.withdraw(since=since, until=until) == 30
    assert_as_if_never_cast(counted, counted[20:50])


def test_a_source_goes_whole(counted):
    others = imported_votes(60, models=3, seed=1)
    settling.settle_all()
    assert withdrawal.withdraw(source=counted[0].battle.source) == len(counted)
    assert_as_if_never_cast(counted + others, counted)


def test_only_votes_to_which_all_that_is_given_applies_go(counted):
    voter = counted[0].voter
    until = SINCE + timedelta(minutes=30)
    assert withdrawal.withdraw(voter=voter.key, until=until) == 10


def test_withdrawing_again_changes_nothing(counted):
    assert withdrawal.withdraw(source=counted[0].battle.source) == len(counted)
    settling.settle_all()
    assert withdrawal.withdraw(source=counted[0].battle.source) == 0
    assert not Vote.objects.due().exists()


def test_many_votes_go_in_batches(counted, monkeypatch):
    monkeypatch.setattr(withdrawal, "BATCH", 40)
    told: list[int] = []
    assert withdrawal.withdraw(until=SINCE + timedelta(days=1), each=told.append) == 150
    assert told == [40, 80, 120, 150]


def test_nothing_is_withdrawn_without_saying_which(counted):
    with pytest.raises(ValueError, match="say which"):
        withdrawal.withdraw()
    with pytest.raises(withdrawal.NobodyOfThatName):
        withdrawal.withdraw(voter="0123456789ab")
    assert not Vote.objects.filter(status="excluded").exists()


@pytest.mark.any_database
class AnyWithdrawal(TestCase):
    @settings(max_examples=10, deadline=None)
    @given(st.integers(0, 1000), st.integers(0, 79), st.integers(1, 80))
    def test_any_part_of_any_votes(self, seed, start, length):
        votes = imported_votes(80, models=4, seed=seed)
        settling.settle_all()
        since = SINCE + timedelta(minutes=start)
        withdrawal.withdraw(since=since, until=since + timedelta(minutes=length))
        Contestant.objects.filter(status="active").update(status="retired")
        assert_as_if_never_cast(votes, votes[start : start + length])


def test_the_command_withdraws_and_settles_at_once():
    vote = factories.vote()
    settling.settle_all()
    call_command("withdraw_votes", "--model", vote.battle.contestant_a.name, stdout=StringIO())
    vote.refresh_from_db()
    assert (vote.status, vote.tallied, vote.tally_due) == ("excluded", False, False)


@pytest.mark.parametrize(
    "arguments", [[], ["--model", "nobody"], ["--source", "no"], ["--voter", "x"]]
)
def test_the_command_says_what_it_could_not_find(arguments):
    with pytest.raises(CommandError):
        call_command("withdraw_votes", *arguments)
