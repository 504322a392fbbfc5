import pytest
from django.db import IntegrityError

from arena import votes
from arena.models import Vote
from leaderboard import tally
from leaderboard.models import PairCount
from tests import factories

pytestmark = pytest.mark.django_db


def counts():
    return {
        (c.lo_id, c.hi_id, c.outcome): c.n for c in PairCount.objects.filter(n__gt=0)
    }


def test_the_winner_is_the_model_whichever_side_it_sat_on():
    one, two = factories.contestant(), factories.contestant()
    factories.vote("a", contestant_a=one, contestant_b=two)
    factories.vote("b", contestant_a=two, contestant_b=one)
    factories.vote("a", contestant_a=two, contestant_b=one)
    assert tally.settle() == 3
    assert counts() == {(one.pk, two.pk, "lo"): 2, (one.pk, two.pk, "hi"): 1}


def test_both_kinds_of_tie_are_kept_apart():
    one, two = factories.contestant(), factories.contestant()
    for choice in ("tie", "both_bad", "both_bad"):
        factories.vote(choice, contestant_a=two, contestant_b=one)
    tally.settle_all()
    assert counts() == {(one.pk, two.pk, "tie"): 1, (one.pk, two.pk, "both_bad"): 2}


def test_settling_again_counts_nothing_twice():
    vote = factories.vote()
    assert tally.settle_all() == 1
    assert tally.settle_all() == 0
    vote.refresh_from_db()
    assert (vote.status, vote.tallied, vote.tally_due) == (Vote.Status.COUNTED, True, False)
    assert sum(counts().values()) == 1


def test_an_excluded_vote_leaves_the_counts_and_comes_back_when_restored():
    vote = factories.vote()
    tally.settle_all()
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    tally.settle_all()
    assert counts() == {}
    votes.restore(vote_id=vote.pk)
    tally.settle_all()
    assert sum(counts().values()) == 1
    assert tally.differences() == {}


def test_a_vote_excluded_before_it_was_counted_never_counts():
    vote = factories.vote()
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    assert tally.settle_all() == 1
    assert counts() == {}


def test_a_held_vote_does_not_count_until_it_is_restored():
    vote = factories.vote()
    votes.hold(vote_id=vote.pk)
    tally.settle_all()
    assert counts() == {}
    votes.restore(vote_id=vote.pk)
    tally.settle_all()
    assert sum(counts().values()) == 1


def test_a_failure_in_the_middle_leaves_neither_count_nor_mark(monkeypatch):
    factories.vote()
    monkeypatch.setattr(tally, "apply", lambda changes: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tally.settle()
    monkeypatch.undo()
    assert tally.settle_all() == 1
    assert sum(counts().values()) == 1


def test_a_drifted_cache_is_found_and_rebuilt():
    factories.vote()
    factories.vote("tie")
    tally.settle_all()
    PairCount.objects.filter(outcome="tie").update(n=5)
    assert list(tally.differences().values()) == [(5, 1)]
    tally.rebuild()
    assert tally.differences() == {}


def test_the_database_refuses_a_negative_count():
    factories.vote()
    tally.settle_all()
    with pytest.raises(IntegrityError):
        PairCount.objects.update(n=-1)
