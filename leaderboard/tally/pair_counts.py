"""The rows of the counts: added to, or set anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import islice

from django.db import IntegrityError, connection

from leaderboard.models import PairCount
from leaderboard.tally.belonging import Key

ROWS = 400  # in one statement
STORED = 5_000  # the same, where each has its own and nothing is added up


def apply(changes: Counter[Key]) -> None:
    """Add to the counts, creating rows as needed. Call inside a transaction.

    Raw SQL because Django's upsert cannot add to what is there; both databases take this form.
    All in the order of the keys, sums and differences alike: rows are locked in that order.
    """
    table = connection.ops.quote_name(PairCount._meta.db_table)
    rows = [(key, change) for key, change in sorted(changes.items()) if change]
    with connection.cursor() as cursor:
        start = 0
        while start < len(rows):
            key, change = rows[start]
            if change < 0:
                # An upsert of a negative count would meet the check constraint before the row.
                cursor.execute(
                    f"UPDATE {table} SET n = n + %s "  # noqa: S608
                    "WHERE category_id = %s AND lo_id = %s AND hi_id = %s AND outcome = %s",
                    [change, *key],
                )
                if cursor.rowcount != 1:
                    raise IntegrityError(f"{key} holds no votes to take {-change} from")
                start += 1
                continue
            end = start
            while end < min(len(rows), start + ROWS) and rows[end][1] > 0:
                end += 1
            cursor.execute(
                f"INSERT INTO {table} (category_id, lo_id, hi_id, outcome, n) "  # noqa: S608
                f"VALUES {', '.join(['(%s, %s, %s, %s, %s)'] * (end - start))} "
                "ON CONFLICT (category_id, lo_id, hi_id, outcome) "
                f"DO UPDATE SET n = {table}.n + EXCLUDED.n",
                [value for key, change in rows[start:end] for value in (*key, change)],
            )
            start = end


def store(counts: Mapping[Key, int]) -> None:
    """Set these counts, whatever they were. With the counting lock, alone."""
    rows = (
        PairCount(category_id=key.category, lo_id=key.lo, hi_id=key.hi, outcome=key.outcome, n=n)
        for key, n in sorted(counts.items())
    )
    while batch := list(islice(rows, STORED)):
        PairCount.objects.bulk_create(
            batch,
            update_conflicts=True,
            unique_fields=["category", "lo", "hi", "outcome"],
            update_fields=["n"],
        )
