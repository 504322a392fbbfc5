import pytest
from django.db import IntegrityError, transaction

from leaderboard import snapshots, tally
from leaderboard.models import Category, Rating, Snapshot
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def overall():
    return Category.objects.get(slug="overall")


@pytest.fixture
def three_models():
    """A beats B twice as often as not, B beats C likewise; everybody wins and loses."""
    models = [factories.contestant() for _ in range(3)]
    for better, worse in ((0, 1), (1, 2), (0, 2)):
        for choice in ("a", "a", "b", "tie"):
            factories.vote(choice, contestant_a=models[better], contestant_b=models[worse])
    tally.settle_all()
    return models


def test_a_snapshot_ranks_the_models_with_intervals(overall, three_models):
    snapshot = snapshots.publish(overall)
    rows = {row.contestant: row for row in snapshot.ratings.all()}
    ratings = [rows[model].rating for model in three_models]
    assert ratings == sorted(ratings, reverse=True)
    assert sum(ratings) / 3 == pytest.approx(1000)
    assert all(row.lower < row.rating < row.upper for row in rows.values())
    assert {row.votes for row in rows.values()} == {8}
    assert snapshot.votes_counted == 12


def test_nothing_new_publishes_nothing(overall, three_models):
    assert snapshots.publish(overall)
    assert snapshots.publish(overall) is None
    assert Snapshot.objects.count() == 1


def test_a_new_vote_publishes_a_new_snapshot_and_keeps_the_old(overall, three_models):
    first = snapshots.publish(overall)
    before = list(first.ratings.values_list("contestant", "rating"))
    factories.vote("a", contestant_a=three_models[2], contestant_b=three_models[0])
    tally.settle_all()
    second = snapshots.publish(overall)
    first.refresh_from_db()
    assert (first.superseded, second.superseded) == (True, False)
    assert list(first.ratings.values_list("contestant", "rating")) == before


def test_a_model_that_only_won_has_no_number_and_says_why(overall, three_models):
    hero = factories.contestant()
    factories.vote("a", contestant_a=hero, contestant_b=three_models[0])
    tally.settle_all()
    row = snapshots.publish(overall).ratings.get(contestant=hero)
    assert (row.rating, row.rank, row.votes) == (None, None, 1)
    assert row.status == Rating.Status.PROVISIONAL


def test_a_model_without_votes_is_listed_as_unrated(overall, three_models):
    idle = factories.contestant()
    row = snapshots.publish(overall).ratings.get(contestant=idle)
    assert (row.rating, row.status, row.votes) == (None, Rating.Status.UNRATED, 0)


def test_an_empty_arena_publishes_an_empty_snapshot(overall):
    snapshot = snapshots.publish(overall)
    assert snapshot.ratings.count() == 0
    assert snapshot.votes_counted == 0


def test_the_database_refuses_two_current_snapshots(overall):
    snapshots.publish(overall)
    current = Snapshot.objects.get()
    current.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        current.save(force_insert=True)


def test_the_same_votes_give_the_same_numbers_to_the_last_bit(overall, three_models):
    first = list(snapshots.publish(overall).ratings.values_list("contestant", "rating", "lower"))
    Snapshot.objects.all().delete()
    again = list(snapshots.publish(overall).ratings.values_list("contestant", "rating", "lower"))
    assert first == again
