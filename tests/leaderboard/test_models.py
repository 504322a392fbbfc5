"""The database refuses what the code should never do: each constraint, by trying."""

from __future__ import annotations

from datetime import date

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from leaderboard.models import (
    Category,
    ImportPiece,
    ImportRun,
    PairCount,
    Rating,
    Reliability,
    SamplingDay,
    Snapshot,
)
from tests import factories
from tests.impossible import declared, each

pytestmark = pytest.mark.django_db


def category():
    return Category.objects.create(slug=f"slice-{Category.objects.count()}", name="Slice")


def pair_count(**fields):
    lo, hi = factories.contestant(), factories.contestant()
    row = {"category": category(), "lo": lo, "hi": hi, "outcome": "lo", "n": 1}
    return PairCount.objects.create(**{**row, **fields})


def snapshot(**fields):
    row = {"category": category(), "method": "bt", "configuration": {}, "votes_counted": 1}
    if "category" in fields:
        del row["category"]
    return Snapshot.objects.create(**row, **fields)


def rating(**fields):
    row = {
        "snapshot": snapshot(), "contestant": factories.contestant(), "status": "ok", "votes": 1,
        "rating": 1000.0, "lower": 990.0, "upper": 1010.0, "rank": 1,
    }  # fmt: skip
    return Rating.objects.create(**{**row, **fields})


def same_pair_twice():
    row = pair_count()
    pair_count(category=row.category, lo=row.lo, hi=row.hi)


def same_contestant_twice():
    row = rating()
    rating(snapshot=row.snapshot, contestant=row.contestant)


def pair_the_wrong_way_round():
    lo, hi = factories.contestant(), factories.contestant()
    pair_count(lo=hi, hi=lo)


def pair_of_one():
    one = factories.contestant()
    pair_count(lo=one, hi=one)


def import_run(**fields):
    return ImportRun.objects.create(**{"file": "votes.csv", "name": "votes", **fields})


def piece_twice():
    run = import_run()
    for _ in range(2):
        ImportPiece.objects.create(run=run, number=1, content=b"")


def sampling_day_twice():
    model = factories.contestant()
    for _ in range(2):
        SamplingDay.objects.create(contestant=model, day=date(2026, 1, 1), weight=1)


def reliability(**fields):
    Reliability.objects.create(contestant=factories.contestant(), **fields)


IMPOSSIBLE = {
    "Category.slug": [lambda: Category.objects.create(slug=category().slug, name="Other")],
    "pair_count_once": [same_pair_twice],
    "pair_count_lo_before_hi": [pair_the_wrong_way_round, pair_of_one],
    "pair_count_not_negative": [lambda: pair_count(n=-1)],
    "pair_count_outcome_known": [lambda: pair_count(outcome="draw")],
    "snapshot_one_current": [lambda: snapshot(category=snapshot().category)],
    "rating_once": [same_contestant_twice],
    "importrun_state_known": [lambda: import_run(state="lost")],
    "import_finished_when_over": [
        lambda: import_run(state="done"),
        lambda: import_run(finished_at=timezone.now()),
    ],
    "import_piece_once": [piece_twice],
    "sampling_day_once": [sampling_day_twice],
    "reliability_is_of_requests": [
        lambda: reliability(requests=0, failed=0),
        lambda: reliability(requests=3, failed=4),
    ],
    "rating_inside_its_interval": [
        lambda: rating(lower=1001.0),
        lambda: rating(upper=999.0),
        lambda: rating(rank=0),
        lambda: rating(rating=None),
        lambda: rating(lower=None, upper=None),
        lambda: rating(rank=None),
        lambda: rating(rating=None, lower=None, upper=None),
    ],
}


@each(IMPOSSIBLE)
def test_the_database_refuses(attempt):
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt()


def test_every_constraint_has_been_tried():
    assert set(IMPOSSIBLE) == declared("leaderboard")


def test_an_older_snapshot_may_stay_beside_the_current_one():
    first = snapshot(superseded=True)
    snapshot(category=first.category, superseded=True)
    snapshot(category=first.category)
    assert Snapshot.objects.filter(category=first.category).count() == 3


def test_a_contestant_without_an_honest_number_has_none():
    row = rating(status="unrated", rating=None, lower=None, upper=None, rank=None, votes=0)
    assert Rating.objects.get(pk=row.pk).rank is None
