import logging

import pytest
from django.core.management import CommandError, call_command

from arena import votes
from arena.models import Vote
from leaderboard import categories, tasks
from leaderboard.models import OVERALL, Category, PairCount
from leaderboard.tally import checking, settling
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def counted():
    """Every kind of outcome, from both sides, all counted."""
    one, two, three = (factories.contestant() for _ in range(3))
    for a, b in ((one, two), (two, one), (three, one)):
        for choice in Vote.Choice.values:
            factories.vote(choice, contestant_a=a, contestant_b=b)
    settling.settle_all()


def test_counts_that_agree_are_said_to_agree(counted, capsys):
    call_command("recount")
    assert "agree" in capsys.readouterr().out


def test_a_difference_is_named_and_fails(counted, capsys):
    row = PairCount.objects.filter(outcome="tie", category__slug=OVERALL).first()
    PairCount.objects.filter(pk=row.pk).update(n=row.n + 3)
    with pytest.raises(CommandError, match="1 pair counts disagree"):
        call_command("recount")
    shown = capsys.readouterr().out
    assert f"Overall: {row.lo} – {row.hi}, tie: {row.n + 3} counted, {row.n} by the votes" in shown
    assert PairCount.objects.get(pk=row.pk).n == row.n + 3


def test_rebuilding_corrects_what_is_too_much_too_little_or_missing(counted):
    before = set(PairCount.objects.values_list("category", "lo", "hi", "outcome", "n"))
    too_much, too_little, missing = PairCount.objects.filter(n__gt=0)[:3]
    PairCount.objects.filter(pk=too_much.pk).update(n=99)
    PairCount.objects.filter(pk=too_little.pk).update(n=0)
    missing.delete()
    call_command("recount", "--rebuild")
    assert set(PairCount.objects.values_list("category", "lo", "hi", "outcome", "n")) == before


def test_correcting_takes_the_same_few_statements_however_much_is_wrong(
    counted, django_assert_num_queries, django_assert_max_num_queries
):
    PairCount.objects.filter(outcome="tie", category__slug=OVERALL).update(n=50)
    with django_assert_max_num_queries(12) as few:
        assert categories.correct() == 2
    PairCount.objects.all().delete()
    with django_assert_num_queries(len(few.captured_queries)):
        assert categories.correct() > 10
    assert checking.differences() == {}


def test_a_category_that_is_not_complete_is_completed_too(counted):
    categories.mark_stale([Category.objects.get(slug="exclude-ties").pk])
    PairCount.objects.all().delete()
    call_command("recount", "--rebuild")
    assert not Category.objects.filter(stale=True).exists()
    assert checking.differences() == {}
    assert PairCount.objects.filter(category__slug="exclude-ties").exists()


def test_votes_counted_while_rebuilding_are_kept(counted, monkeypatch):
    """Votes are settled between any two steps of the walk, before and behind it."""
    categories.mark_stale(Category.objects.values_list("pk", flat=True))
    step = categories.rebuild_step
    remaining = list(Vote.objects.all())

    def disturbed(**options):
        done = step(**options, limit=2)
        if remaining:
            votes.exclude(vote_id=remaining.pop().pk, reason=Vote.Exclusion.ADMINISTRATOR)
            votes.exclude(vote_id=remaining.pop(0).pk, reason=Vote.Exclusion.ADMINISTRATOR)
            factories.vote("b", contestant_a=Vote.objects.first().battle.contestant_a)
            settling.settle_all()
        return done

    monkeypatch.setattr(categories, "rebuild_step", disturbed)
    call_command("recount", "--rebuild")
    assert checking.differences() == {}
    assert not Category.objects.filter(stale=True).exists()


def test_a_category_that_is_being_rebuilt_is_not_compared_but_named(counted, capsys):
    categories.mark_stale([Category.objects.get(slug="exclude-ties").pk])
    PairCount.objects.filter(category__slug="exclude-ties").update(n=9)
    call_command("recount")
    assert "Exclude ties is not complete yet" in capsys.readouterr().out


def test_the_nightly_check_logs_an_error_only_where_they_disagree(counted, caplog):
    with caplog.at_level(logging.INFO):
        assert tasks.check_pair_counts() == 0
        assert caplog.records == []
        PairCount.objects.filter(outcome="both_bad", category__slug=OVERALL).update(n=7)
        assert tasks.check_pair_counts() == 2
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "recount --rebuild" in record.getMessage()
