"""Votes that are due into the counts, a batch in one transaction, and the locks that takes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Any

from django.conf import settings
from django.db import connection, transaction

from arena.models import Vote, Voter
from leaderboard.models import OVERALL, Category
from leaderboard.tally import pair_counts
from leaderboard.tally.belonging import Key, Rules, outcome_of, traits_of
from leaderboard.tally.refusals import RATED, refusals
from leaderboard.tally.vote_features import ensure_features

BATCH = 1_000


def lock_counting(*, alone: bool) -> None:
    """Take the counting lock until the transaction ends: alone, or shared with who settles.

    Read what it protects after this, in statements of their own: PostgreSQL shows a statement
    what was there when it began, which may be before it got the lock.
    """
    if alone:
        # By its row, not by a list of rows: an UPDATE of the row must wait for it as well.
        Category.objects.select_for_update().get(slug=OVERALL)
    elif connection.features.has_select_for_update:
        table = connection.ops.quote_name(Category._meta.db_table)
        with connection.cursor() as cursor:  # Django has no word for FOR SHARE
            cursor.execute(
                f"SELECT id FROM {table} WHERE slug = %s FOR SHARE",  # noqa: S608
                [OVERALL],
            )


def lock_voters(due: Iterable[Vote]) -> None:
    """Whoever settles other votes of the same people waits: how many of them count is limited."""
    people = {vote.voter_id for vote in due if vote.voter_id and vote.status in RATED}
    if people and (settings.VOTES_COUNTED_PER_DAY or settings.SAME_PROMPT_COUNTS_ONCE):
        # Not their keys: votes that are being cast refer to them and need not wait.
        list(
            Voter.objects.select_for_update(no_key=True)
            .filter(pk__in=people)
            .order_by("pk")
            .values_list("pk", flat=True)
        )


def settle(limit: int = BATCH) -> int:
    """Bring the pair counts in line with up to `limit` votes that are due. Returns how many."""
    with transaction.atomic():
        due = list(
            Vote.objects.due()
            # `of` leaves the joined rows unlocked; SQLite has one writer and ignores both.
            .select_for_update(skip_locked=True, of=("self",))
            .select_related("battle")
            .only(*LOADED)[:limit]
        )
        if not due:
            return 0
        lock_voters(due)
        lock_counting(alone=False)
        rules = Rules(Category.objects.all())
        features = ensure_features(due)
        refused = refusals(due, features)
        changes: Counter[Key] = Counter()
        counted: list[int] = []
        leaked: list[int] = []  # in the counts of the categories that ask for them
        uncounted: dict[str, list[int]] = defaultdict(list)  # by the reason found here
        for vote in due:
            leak = features[vote.pk].identity_leak
            wanted = vote.pk not in refused and (
                vote.status in RATED
                or (leak and vote.exclusion_reason == Vote.Exclusion.IDENTITY_LEAK)
            )
            if wanted:
                (leaked if leak else counted).append(vote.pk)
            else:
                uncounted[refused.get(vote.pk, "")].append(vote.pk)
            if wanted != vote.tallied:
                lo, hi, outcome = outcome_of(vote)
                traits = traits_of(features[vote.pk], outcome)
                for category in rules.categories_of(vote.pk, traits):
                    changes[Key(category, lo, hi, outcome)] += 1 if wanted else -1
        pair_counts.apply(changes)
        marked = Vote.objects.filter(pk__in=counted).update(
            status=Vote.Status.COUNTED, tallied=True, tally_due=False
        )
        marked += Vote.objects.filter(pk__in=leaked).update(
            status=Vote.Status.EXCLUDED,
            exclusion_reason=Vote.Exclusion.IDENTITY_LEAK,
            tallied=True,
            tally_due=False,
        )
        for reason, ids in uncounted.items():
            excluded: dict[str, Any] = (
                {"status": Vote.Status.EXCLUDED, "exclusion_reason": reason} if reason else {}
            )
            marked += Vote.objects.filter(pk__in=ids).update(
                tallied=False, tally_due=False, **excluded
            )
        if marked != len(due):
            raise RuntimeError(f"claimed {len(due)} votes but marked {marked}: rolled back")
        return len(due)


LOADED = (
    *("status", "exclusion_reason", "choice", "turn", "tallied", "voter_id", "created_at"),
    *("battle__contestant_a_id", "battle__contestant_b_id", "battle__mode", "battle__source_id"),
)


def settle_all() -> int:
    """Settle until nothing is due that another worker has not claimed."""
    total = 0
    while settled := settle():
        total += settled
    return total
