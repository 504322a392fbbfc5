import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction

from arena import votes
from arena.models import Contestant, Vote
from leaderboard import liveness, snapshots
from leaderboard.models import Category, Method, PairCount, Rating, Snapshot, VoteFeatures
from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import PairCounts
from leaderboard.ratings.fit import Mean
from leaderboard.tally import settling
from tests import factories
from tests.leaderboard.imported import imported_votes

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def few_rounds(settings):
    settings.BOOTSTRAP_ROUNDS = settings.ELO_BOOTSTRAP_ROUNDS = 30
    settings.BOOTSTRAP_ROUNDS_OVERALL = 100


@pytest.fixture
def overall():
    return Category.objects.get(slug="overall")


@pytest.fixture
def styled_votes():
    made = imported_votes(90)
    settling.settle_all()
    return made


@pytest.fixture
def three_models():
    """A beats B twice as often as not, B beats C likewise; everybody wins and loses."""
    return three_models_with_votes()


def three_models_with_votes():
    models = [factories.contestant() for _ in range(3)]
    for better, worse in ((0, 1), (1, 2), (0, 2)):
        for choice in ("a", "a", "b", "tie"):
            factories.vote(choice, contestant_a=models[better], contestant_b=models[worse])
    settling.settle_all()
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


def test_the_numbers_are_those_of_the_engine(overall, three_models):
    snapshot = snapshots.publish(overall)
    names = sorted(model.name for model in three_models)
    a, b, c = (model.name for model in three_models)
    counts = PairCounts.from_cells(
        [
            (*pair, outcome, n)
            for pair in ((a, b), (b, c), (a, c))
            for outcome, n in (("lo", 2), ("hi", 1), ("tie", 1))
        ],
        names,
    )
    fit = fit_bt(counts, gauge=Mean(1000))
    drawn = bootstrap(fit, 100, snapshot.configuration["seed"])
    settled, bounds = drawn.rank_interval(), drawn.interval()
    for i, name in enumerate(names):
        row = snapshot.ratings.get(contestant__name=name)
        assert row.rating == pytest.approx(fit.ratings[i], abs=1e-9)
        assert (row.rank_low, row.rank_high) == (settled.best[i], settled.worst[i])
        assert (row.boot_lower, row.boot_upper) == (
            bounds.lower[i] if abs(bounds.lower[i]) < 1e9 else None,
            bounds.upper[i] if abs(bounds.upper[i]) < 1e9 else None,
        )
        others = [other for other in names if other != name]
        expected = sum(fit.win_prob(name, other) for other in others) / 2
        assert row.win_rate == pytest.approx(expected)
    assert sum(snapshot.ratings.values_list("win_rate", flat=True)) == pytest.approx(1.5)


def test_the_share_of_votes_that_call_both_bad_is_shown_by_model(overall, three_models):
    factories.vote("both_bad", contestant_a=three_models[0], contestant_b=three_models[1])
    settling.settle_all()
    shares = dict(snapshots.publish(overall).ratings.values_list("contestant", "both_bad_rate"))
    assert [shares[m.pk] for m in three_models] == [pytest.approx(1 / 9), pytest.approx(1 / 9), 0]


def test_nothing_new_publishes_nothing(overall, three_models):
    assert snapshots.publish(overall)
    assert snapshots.publish(overall) is None
    assert Snapshot.objects.count() == 1


def test_looking_again_when_nothing_is_new_reads_neither_votes_nor_counts(
    three_models, django_assert_max_num_queries
):
    assert snapshots.publish_all()
    with django_assert_max_num_queries(3 + len(Method.values) * Category.objects.count()) as seen:
        assert snapshots.publish_all() == 0
    assert not any('FROM "arena_vote"' in query["sql"] for query in seen.captured_queries)
    counts = [q["sql"] for q in seen.captured_queries if 'FROM "leaderboard_paircount"' in q["sql"]]
    assert len(counts) == 1
    assert "SUM" in counts[0]


def test_a_new_vote_publishes_a_new_snapshot_and_keeps_the_old(overall, three_models):
    first = snapshots.publish(overall)
    before = list(first.ratings.values_list("contestant", "rating"))
    factories.vote("a", contestant_a=three_models[2], contestant_b=three_models[0])
    settling.settle_all()
    second = snapshots.publish(overall)
    first.refresh_from_db()
    assert (first.superseded, second.superseded) == (True, False)
    assert list(first.ratings.values_list("contestant", "rating")) == before


def test_a_vote_out_and_another_in_publishes_although_the_sum_is_the_same(overall, three_models):
    first = snapshots.publish(overall)
    votes.exclude(vote_id=Vote.objects.first().pk, reason="administrator")
    factories.vote("b", contestant_a=three_models[0], contestant_b=three_models[2])
    settling.settle_all()
    second = snapshots.publish(overall)
    assert second.votes_counted == first.votes_counted
    assert second.data_hash != first.data_hash


def test_a_new_model_is_listed_before_its_first_vote(overall, three_models):
    snapshots.publish(overall)
    idle = factories.contestant()
    row = snapshots.publish(overall).ratings.get(contestant=idle)
    assert (row.rating, row.status, row.votes) == (None, Rating.Status.UNRATED, 0)


def test_a_model_that_only_won_has_no_number_and_says_why(overall, three_models):
    hero = factories.contestant()
    factories.vote("a", contestant_a=hero, contestant_b=three_models[0])
    settling.settle_all()
    row = snapshots.publish(overall).ratings.get(contestant=hero)
    assert (row.rating, row.rank, row.votes) == (None, None, 1)
    assert row.status == Rating.Status.PROVISIONAL


def test_an_empty_arena_publishes_an_empty_snapshot(overall):
    snapshot = snapshots.publish(overall)
    assert snapshot.ratings.count() == 0
    assert snapshot.votes_counted == 0


def test_a_category_without_votes_publishes_nothing():
    assert snapshots.publish(Category.objects.get(slug="korean")) is None


def test_a_category_whose_last_vote_went_says_so(styled_votes):
    german = Category.objects.get(slug="german")
    assert snapshots.publish(german).votes_counted == 45
    Vote.objects.update(status="excluded", exclusion_reason="administrator", tally_due=True)
    settling.settle_all()
    assert snapshots.publish(german).votes_counted == 0


def test_a_category_that_is_being_rebuilt_keeps_the_board_it_has(styled_votes):
    german = Category.objects.get(slug="german")
    published = snapshots.publish(german)
    PairCount.objects.filter(category=german).update(n=9)
    german.stale = True
    german.save()
    assert snapshots.publish(german) is None
    assert snapshots.current("german") == published


def test_every_category_and_method_has_a_snapshot_of_its_own(styled_votes):
    snapshots.publish_all()
    found = Snapshot.objects.values_list("category__slug", "method")
    assert set(found) >= {
        ("overall", "bradley_terry"),
        ("overall", "style_control"),
        ("overall", "elo"),
        ("german", "bradley_terry"),
        ("german", "style_control"),
    }
    assert ("german", "elo") not in set(found)


def test_style_control_states_what_each_style_is_worth(overall, styled_votes):
    snapshot = snapshots.publish(overall, Method.STYLE_CONTROL)
    effects = {effect["style"]: effect for effect in snapshot.extra["styles"]}
    assert set(effects) == {"length", "headers", "lists", "bold"}
    for effect in effects.values():
        assert effect["elo_lower"] < effect["elo"] < effect["elo_upper"]
    assert snapshot.ratings.filter(rating__isnull=False).count() == 4


def test_votes_without_texts_have_no_style_controlled_board(overall):
    models = [factories.contestant() for _ in range(2)]
    for choice in ("a", "b", "a"):
        battle = factories.imported_battle(contestant_a=models[0], contestant_b=models[1])
        Vote.objects.create(battle=battle, choice=choice, turn=1)
    settling.settle_all()
    assert snapshots.publish(overall, Method.STYLE_CONTROL) is None
    assert snapshots.publish(overall, Method.BRADLEY_TERRY).votes_counted == 3


def test_styles_that_cannot_be_told_apart_leave_the_other_boards_alone(overall, styled_votes):
    VoteFeatures.objects.update(bold_a=1, bold_b=0, headers_a=1, headers_b=0)
    assert snapshots.publish_all() > 0
    methods = Snapshot.objects.filter(category=overall).values_list("method", flat=True)
    assert set(methods) == {"bradley_terry", "elo"}


def test_online_elo_follows_the_order_in_which_votes_were_cast(overall):
    """The votes are stored last first, so ids and times disagree."""
    models = [factories.contestant() for _ in range(2)]
    now = datetime(2026, 1, 1, tzinfo=UTC)
    for hours, choice in ((30, "b"), (20, "a"), (10, "a"), (0, "a")):
        vote = factories.vote(choice, contestant_a=models[0], contestant_b=models[1])
        Vote.objects.filter(pk=vote.pk).update(created_at=now + timedelta(hours=hours))
    for hours in range(40, 80):
        vote = factories.vote("ab"[hours % 2], contestant_a=models[0], contestant_b=models[1])
        Vote.objects.filter(pk=vote.pk).update(created_at=now + timedelta(hours=hours))
    settling.settle_all()
    rating = lead = 0.0
    for choice in ["a", "a", "a", "b"] + ["a", "b"] * 20:
        step = 4 * ((choice == "a") - 1 / (1 + 10 ** (-2 * lead / 400)))
        lead += step
    rating = 1000 + lead
    row = snapshots.publish(overall, Method.ELO).ratings.get(contestant=models[0])
    assert row.rating == pytest.approx(rating, abs=1e-9)
    assert row.lower <= row.rating <= row.upper


def test_the_database_refuses_two_current_snapshots(overall):
    snapshots.publish(overall)
    current = Snapshot.objects.get()
    current.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        current.save(force_insert=True)


def test_the_same_votes_give_the_same_numbers_to_the_last_bit(overall, styled_votes):
    columns = [field.name for field in Rating._meta.fields if field.name not in ("id", "snapshot")]
    for method in Method.values:
        first = list(snapshots.publish(overall, method).ratings.values_list(*columns))
        Snapshot.objects.all().delete()
        assert list(snapshots.publish(overall, method).ratings.values_list(*columns)) == first


def test_the_order_in_which_models_were_registered_changes_no_number(overall):
    """The same names and votes under other ids: the draws of the bootstrap too are the same."""
    found = []
    for order in ((0, 1, 2), (2, 0, 1)):
        models = {i: factories.contestant(name=f"M{i}") for i in order}
        for better, worse in ((0, 1), (1, 2), (0, 2)):
            for choice in ("a", "a", "b", "tie"):
                factories.vote(choice, contestant_a=models[better], contestant_b=models[worse])
        settling.settle_all()
        ratings = snapshots.publish(overall).ratings.order_by("contestant__name")
        found.append(list(ratings.values_list("rating", "lower", "rank_low", "boot_lower")))
        Snapshot.objects.all().delete()
        PairCount.objects.all().delete()
        Vote.objects.all().delete()
        for model in models.values():
            model.name += f" of order {order}"
            model.status = Contestant.Status.RETIRED
            model.save()
    assert found[0] == found[1]


def test_a_snapshot_says_what_it_left_out(overall, three_models):
    votes.exclude(vote_id=Vote.objects.first().pk, reason="administrator")
    votes.hold(vote_id=Vote.objects.last().pk)
    settling.settle_all()
    factories.vote("a", contestant_a=three_models[0], contestant_b=three_models[1])
    snapshot = snapshots.publish(overall)
    assert snapshot.votes_counted == 10
    assert snapshot.votes_excluded == {"administrator": 1}
    assert snapshot.votes_pending == 2


def test_the_counts_of_a_snapshot_stay_what_they_were(overall, three_models):
    snapshot = snapshots.publish(overall)
    Vote.objects.update(status="excluded", exclusion_reason="administrator", tally_due=True)
    settling.settle_all()
    counts = snapshots.snapshot_counts(Snapshot.objects.get(pk=snapshot.pk))
    a, b = three_models[0].pk, three_models[1].pk
    assert counts.total == 12
    assert counts.wins[counts.position(a), counts.position(b)] == 2
    assert counts.ties[counts.position(a), counts.position(b)] == 1


def test_the_current_snapshot_is_read_without_its_counts(three_models, overall):
    published = snapshots.publish(overall)
    current = snapshots.current("overall")
    assert current == published
    assert "cells" in current.get_deferred_fields()
    assert snapshots.current("overall", Method.ELO) is None


def published_on(category, moment, *, method=Method.BRADLEY_TERRY, superseded=True, rating=None):
    snapshot = Snapshot.objects.create(
        category=category,
        method=method,
        configuration={},
        code_version="test",
        data_hash="0" * 64,
        votes_counted=0,
        superseded=superseded,
    )
    Snapshot.objects.filter(pk=snapshot.pk).update(published_at=moment)
    if rating:
        model, value = rating
        Rating.objects.create(
            snapshot=snapshot,
            contestant=model,
            status="ok",
            rating=value,
            lower=value,
            upper=value,
            rank=1,
            votes=1,
        )
    return snapshot


def test_history_is_the_last_rating_of_each_day(overall):
    model, day = factories.contestant(), datetime(2026, 3, 1, tzinfo=UTC)
    for hours, value in ((1, 1000.0), (23, 1010.0), (25, 1020.0)):
        published_on(overall, day + timedelta(hours=hours), rating=(model, value))
    published_on(overall, day, method=Method.ELO, rating=(model, 5.0))
    assert [r.rating for r in snapshots.history(model, overall)] == [1010.0, 1020.0]


def test_pruning_keeps_the_last_of_each_day_by_category_and_method(overall):
    german = Category.objects.get(slug="german")
    now = datetime(2026, 3, 10, 12, tzinfo=UTC)
    old = datetime(2026, 3, 1, tzinfo=UTC)
    gone = [published_on(overall, old + timedelta(hours=hours)) for hours in (0, 5)]
    kept = [
        published_on(overall, old + timedelta(hours=23)),
        published_on(overall, old + timedelta(hours=24)),
        published_on(overall, old + timedelta(hours=1), method=Method.ELO),
        published_on(german, old + timedelta(hours=1)),
        # Days of which the end is not two days past yet.
        published_on(overall, datetime(2026, 3, 8, 1, tzinfo=UTC)),
        published_on(overall, datetime(2026, 3, 8, 2, tzinfo=UTC)),
        published_on(overall, now),
    ]
    assert snapshots.prune(now) == len(gone)
    assert set(Snapshot.objects.all()) == set(kept)
    assert snapshots.prune(now) == 0


def test_pruning_never_takes_the_current_snapshot(overall):
    old = datetime(2026, 3, 1, tzinfo=UTC)
    current = published_on(overall, old, superseded=False)
    later = published_on(overall, old + timedelta(hours=1))
    assert snapshots.prune(old + timedelta(days=30)) == 0
    assert set(Snapshot.objects.all()) == {current, later}


def test_the_command_counts_publishes_and_lists(three_models, capsys):
    factories.vote("a", contestant_a=three_models[0], contestant_b=three_models[1])
    call_command("snapshot", "publish", "--category", "overall", "--method", "bradley_terry")
    call_command("snapshot", "publish", "--category", "overall", "--method", "bradley_terry")
    call_command("snapshot", "list")
    assert "Published 1 new snapshots." in (output := capsys.readouterr().out)
    assert "Nothing has changed." in output
    assert "13 votes" in output


def test_the_command_knows_no_unknown_category():
    with pytest.raises(CommandError, match="no category 'klingon'"):
        call_command("snapshot", "publish", "--category", "klingon")


@pytest.mark.django_db(transaction=True)
def test_of_computations_at_the_same_moment_one_publishes():
    # A test with real transactions begins with empty tables: the migrations' rows are gone.
    category, _ = Category.objects.get_or_create(slug="overall", defaults={"name": "Overall"})
    three_models_with_votes()
    start = threading.Barrier(4)
    published, errors = [], []

    def compute():
        try:
            start.wait()
            published.append(snapshots.publish(category))
        except Exception as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=compute) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sum(snapshot is not None for snapshot in published) == 1
    assert Snapshot.objects.count() == 1


def test_a_previews_votes_are_kept_and_published_only_once_its_name_is_public(
    overall, three_models
):
    before = snapshots.publish(overall).votes_counted
    rival = three_models[0]
    secret = factories.contestant(status="preview")
    for choice in "ab":
        factories.vote(choice, contestant_a=secret, contestant_b=rival)
    settling.settle_all()
    assert snapshots.publish(overall) is None
    assert liveness.outdated_snapshot() is None  # nothing waits for a worker
    secret.status = "active"
    secret.save()
    assert liveness.outdated_snapshot() is not None
    shown = snapshots.publish(overall)
    assert shown.votes_counted == before + 2
    assert shown.ratings.get(contestant=secret).rating is not None
