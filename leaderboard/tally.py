"""Votes into pair counts: exactly once in effect, whatever Redis, Celery or a kill -9 does.

A vote row says itself whether the counts hold it (`tallied`), so claiming rows, changing the
counts and marking the rows is one transaction that either happened or did not.
"""

from __future__ import annotations

import logging
from collections import Counter
from typing import NamedTuple

from django.db import connection, models, transaction
from django.db.models import Case, Count, F, Q, Value, When
from django.db.models.functions import Greatest, Least

from arena.models import Vote
from leaderboard.models import OVERALL, Category, PairCount

logger = logging.getLogger(__name__)

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
        counted: list[int] = []
        uncounted: list[int] = []
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
            "VALUES (%s, %s, %s, %s, 0) "
            "ON CONFLICT (category_id, lo_id, hi_id, outcome) DO NOTHING",
            [row[:4] for row in rows],
        )
        cursor.executemany(
            f"UPDATE {table} SET n = n + %s "  # noqa: S608
            "WHERE category_id = %s AND lo_id = %s AND hi_id = %s AND outcome = %s",
            [(row[-1], *row[:-1]) for row in rows],
        )


def differences() -> dict[Key, tuple[int, int]]:
    """Where the cache and the votes disagree: {key: (in the cache, by the votes)}.

    One statement, so that both sides are of the same moment while votes are being settled.
    """
    overall = Category.objects.get(slug=OVERALL)
    left, right = F("battle__contestant_a_id"), F("battle__contestant_b_id")
    by_votes = (
        Vote.objects.filter(tallied=True)
        .order_by()
        .values(
            category=Value(overall.pk),
            lo=Least(left, right),
            hi=Greatest(left, right),
            # The same as `outcome_of`, said in SQL: a million votes in a second.
            outcome=Case(
                When(choice__in=[Vote.Choice.TIE, Vote.Choice.BOTH_BAD], then=F("choice")),
                When(
                    Q(choice=Vote.Choice.A, battle__contestant_a__lt=right)
                    | Q(choice=Vote.Choice.B, battle__contestant_a__gt=right),
                    then=Value(PairCount.Outcome.LO),
                ),
                default=Value(PairCount.Outcome.HI),
                output_field=models.CharField(),
            ),
        )
        .annotate(total=Count("id"), source=Value("votes"))
        .values_list("category", "lo", "hi", "outcome", "total", "source")
    )
    cached = (
        PairCount.objects.filter(n__gt=0)
        .annotate(source=Value("cache"))
        .values_list("category_id", "lo_id", "hi_id", "outcome", "n", "source")
    )
    sides: dict[str, Counter[Key]] = {"votes": Counter(), "cache": Counter()}
    for category, lo, hi, outcome, n, source in cached.union(by_votes, all=True):
        sides[source][Key(category, lo, hi, outcome)] = n
    return {
        key: (sides["cache"][key], sides["votes"][key])
        for key in sorted(sides["cache"].keys() | sides["votes"].keys())
        if sides["cache"][key] != sides["votes"][key]
    }


@transaction.atomic
def rebuild() -> int:
    """Correct the cache where the votes say otherwise. Returns the number of rows corrected.

    By adding the differences, not by writing the sums: what a worker settles meanwhile is added
    to the same rows, before or after.
    """
    Category.objects.select_for_update().get(slug=OVERALL)  # two rebuilds would correct twice
    corrections = Counter(
        {key: by_votes - cached for key, (cached, by_votes) in differences().items()}
    )
    apply(corrections)
    return len(corrections)


def check() -> int:
    """Compare the cache with the votes, and say so in the log where they disagree."""
    found = differences()
    if found:
        logger.error(
            "the pair counts disagree with the votes in %d rows, the first %s: "
            "`manage.py recount` shows them, `manage.py recount --rebuild` corrects them",
            len(found),
            next(iter(found.items())),
        )
    return len(found)


def excluded_by_reason() -> dict[str, int]:
    return dict(
        Vote.objects.filter(status=Vote.Status.EXCLUDED)
        .values_list("exclusion_reason")
        .annotate(n=models.Count("id"))
        .order_by("exclusion_reason")
    )
