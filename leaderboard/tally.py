"""Votes into pair counts: exactly once in effect, whatever Redis, Celery or a kill -9 does.

A vote row says itself whether the counts hold it (`tallied`), so claiming rows, changing the
counts and marking the rows is one transaction that either happened or did not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from django.db import connection, models, transaction

from arena.models import Vote
from leaderboard.models import OVERALL, Category, PairCount

BATCH = 500


class Key(NamedTuple):
    """A row of PairCount. Ordered: rows are always locked in this order, against deadlock."""

    category: int
    lo: int
    hi: int
    outcome: str


def outcome_of(vote: Vote) -> tuple[int, int, str]:
    """(lo, hi, outcome) of a vote with its battle loaded."""
    left, right = vote.battle.contestant_a_id, vote.battle.contestant_b_id
    assert right is not None
    lo, hi = sorted((left, right))
    if vote.choice in (Vote.Choice.TIE, Vote.Choice.BOTH_BAD):
        return lo, hi, vote.choice
    winner = left if vote.choice == Vote.Choice.A else right
    return lo, hi, PairCount.Outcome.LO if winner == lo else PairCount.Outcome.HI


def settle(limit: int = BATCH) -> int:
    """Bring the pair counts in line with up to `limit` votes that are due. Returns how many."""
    with transaction.atomic():
        due = list(
            Vote.objects.due()
            # `of` leaves the joined battles unlocked; SQLite has one writer and ignores both.
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("battle")[:limit]
        )
        if not due:
            return 0
        overall = Category.objects.get(slug=OVERALL)
        changes: Counter[Key] = Counter()
        counted, uncounted = [], []
        for vote in due:
            wanted = vote.status in (Vote.Status.PENDING, Vote.Status.COUNTED)
            (counted if wanted else uncounted).append(vote.pk)
            if wanted != vote.tallied:
                changes[Key(overall.pk, *outcome_of(vote))] += 1 if wanted else -1
        apply(changes)
        marked = Vote.objects.filter(pk__in=counted).update(
            status=Vote.Status.COUNTED, tallied=True, tally_due=False
        ) + Vote.objects.filter(pk__in=uncounted).update(tallied=False, tally_due=False)
        if marked != len(due):
            raise RuntimeError(f"claimed {len(due)} votes but marked {marked}: rolled back")
        return len(due)


def settle_all() -> int:
    """Settle until nothing is due that another worker has not claimed."""
    total = 0
    while settled := settle():
        total += settled
    return total


def apply(changes: Counter[Key]) -> None:
    """Add to the counts, creating rows as needed. Call inside a transaction.

    Raw SQL because Django's upsert cannot add to what is there; both databases take this form.
    """
    table = connection.ops.quote_name(PairCount._meta.db_table)
    rows = [(*key, change) for key, change in sorted(changes.items()) if change]
    # A zero row first, then the sum: an INSERT of a negative count would meet the check
    # constraint before the conflict is even looked for.
    with connection.cursor() as cursor:
        cursor.executemany(
            f"INSERT INTO {table} (category_id, lo_id, hi_id, outcome, n) "  # noqa: S608
            "VALUES (%s, %s, %s, %s, 0) ON CONFLICT (category_id, lo_id, hi_id, outcome) DO NOTHING",
            [row[:4] for row in rows],
        )
        cursor.executemany(
            f"UPDATE {table} SET n = n + %s "  # noqa: S608
            "WHERE category_id = %s AND lo_id = %s AND hi_id = %s AND outcome = %s",
            [(change, *key) for *key, change in rows],
        )


def recount() -> Counter[Key]:
    """The pair counts as the tallied votes alone give them."""
    overall = Category.objects.get(slug=OVERALL)
    by_votes: Counter[Key] = Counter()
    votes = Vote.objects.filter(tallied=True).select_related("battle")
    for vote in votes.iterator(chunk_size=5_000):
        by_votes[Key(overall.pk, *outcome_of(vote))] += 1
    return by_votes


def differences() -> dict[Key, tuple[int, int]]:
    """Where the cache and the votes disagree: {key: (in the cache, by the votes)}."""
    with transaction.atomic():
        by_votes = recount()
        cached = {
            Key(*values): n
            for *values, n in PairCount.objects.values_list(
                "category_id", "lo_id", "hi_id", "outcome", "n"
            )
        }
    keys: Iterable[Key] = cached.keys() | by_votes.keys()
    return {
        key: (cached.get(key, 0), by_votes[key])
        for key in sorted(keys)
        if cached.get(key, 0) != by_votes[key]
    }


@transaction.atomic
def rebuild() -> int:
    """Replace the cache by what the votes say. Returns the number of rows."""
    # Settling takes vote locks before count locks; taking all votes first keeps that order.
    list(Vote.objects.select_for_update().filter(tally_due=True).values_list("pk", flat=True))
    by_votes = recount()
    PairCount.objects.all().delete()
    apply(by_votes)
    return len(by_votes)


def excluded_by_reason() -> dict[str, int]:
    return dict(
        Vote.objects.filter(status=Vote.Status.EXCLUDED)
        .values_list("exclusion_reason")
        .annotate(n=models.Count("id"))
        .order_by("exclusion_reason")
    )
