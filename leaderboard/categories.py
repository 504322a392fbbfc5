"""Changing what a category holds: its rule, and the pair counts that follow from it.

A new rule makes a category stale; `rebuild_stale` then makes its counts anew, walking through the
tallied votes in the order of their ids, so many at a time. Each step is one short transaction
that has the counting lock alone, so votes are cast and settled between any two of them, and a
walk that was killed goes on where it was. `leaderboard.tally` says how the counts stay right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from django.db import transaction
from django.db.models import QuerySet

from arena.models import Vote
from leaderboard.models import Category, PairCount
from leaderboard.tally import belonging, checking, pair_counts, settling, vote_features

STEP = 5_000  # votes in one transaction: a quarter of a second, in which no vote is settled
FEATURES_STEP = 500

Progress = Callable[[int], object]  # told the number of votes done since it was told last


def _nobody(votes: int) -> None:
    pass


# --- rules --------------------------------------------------------------------------------------


@transaction.atomic
def create(category: Category) -> None:
    """Save a new category. It holds what is tallied already once it has been rebuilt."""
    settling.lock_counting(alone=True)
    category.stale, category.rebuilt_through = True, 0
    category.save(force_insert=True)


@transaction.atomic
def change(category: Category, fields: Iterable[str]) -> None:
    """Save these fields alone: the others may have been changed by a rebuild since they were read.

    A new rule makes the category stale. Under the lock: who settles with the old rule is done
    before, and whoever comes after sees that the category is stale.
    """
    changed = set(fields)
    if "rule" in changed:
        settling.lock_counting(alone=True)
        if Category.objects.get(pk=category.pk).rule != category.rule:
            category.stale, category.rebuilt_through = True, 0
            changed |= {"stale", "rebuilt_through"}
    category.save(update_fields=changed)


@transaction.atomic
def delete(category: Category) -> None:
    """With the lock: nobody is adding to the counts that go with it."""
    settling.lock_counting(alone=True)
    category.delete()


@transaction.atomic
def mark_stale(categories: Iterable[int]) -> None:
    settling.lock_counting(alone=True)
    Category.objects.filter(pk__in=list(categories)).update(stale=True, rebuilt_through=0)


# --- counts -------------------------------------------------------------------------------------


def _stale(slug: str | None) -> QuerySet[Category]:
    stale = Category.objects.filter(stale=True)
    return stale if slug is None else stale.filter(slug=slug)


def rebuild_stale(*, slug: str | None = None, progress: Progress = _nobody) -> int:
    """Make the counts of every stale category anew, or of one. Returns the steps it took.

    Any number of processes may do so at once: each step takes up what it finds.
    """
    if not _stale(slug).exists():
        return 0
    backfill_features()  # beforehand: a step that reads texts would hold the lock for long
    steps = 0
    while (done := rebuild_step(slug=slug)) is not None:
        steps += 1
        progress(done)
    return steps


@transaction.atomic
def rebuild_step(*, slug: str | None = None, limit: int = STEP) -> int | None:
    """Add the next votes to the stale categories. Returns how many; None when none is stale.

    The categories that are furthest behind come first, and do not overtake the next ones: so all
    are soon level, and one walk does for all.
    """
    settling.lock_counting(alone=True)
    marks = {category: category.rebuilt_through for category in _stale(slug)}
    if not marks:
        return None
    start = min(marks.values())
    behind = [category for category, mark in marks.items() if mark == start]
    end = min((mark for mark in marks.values() if mark > start), default=None)
    if start == 0:
        PairCount.objects.filter(category__in=behind).delete()  # of the former rule
    votes = Vote.objects.filter(tallied=True, pk__gt=start)
    if end is not None:
        votes = votes.filter(pk__lte=end)
    batch = list(votes.select_related("battle").only(*settling.LOADED).order_by("pk")[:limit])
    if len(batch) == limit:
        end = batch[-1].pk
    for category in behind:
        # No votes are left between here and `end`, or at all.
        category.stale, category.rebuilt_through = end is not None, end or 0
    _count(batch, behind)
    Category.objects.bulk_update(behind, ["stale", "rebuilt_through"])
    return len(batch)


def _count(votes: list[Vote], categories: list[Category]) -> None:
    rules = belonging.Rules(categories)
    features = vote_features.ensure_features(votes)
    changes: Counter[belonging.Key] = Counter()
    for vote in votes:
        lo, hi, outcome = belonging.outcome_of(vote)
        traits = belonging.traits_of(features[vote.pk], outcome)
        for category in rules.categories_of(vote.pk, traits):
            changes[belonging.Key(category, lo, hi, outcome)] += 1
    pair_counts.apply(changes)


def correct() -> int:
    """Set the counts to what the votes say, where they say something else. Returns the rows.

    The counting lock is had alone from the comparison to the last row: nobody settles in between,
    and of two corrections at once the second one finds nothing. Votes are cast meanwhile (on
    SQLite they wait), and counted after it.
    """
    backfill_features()  # beforehand: it reads texts
    with transaction.atomic():
        settling.lock_counting(alone=True)
        found = checking.differences()
        pair_counts.store({key: by_votes for key, (_, by_votes) in found.items()})
    rebuild_stale()  # their counts were left out
    return len(found)


def votes_to_rebuild(*, slug: str | None = None) -> int:
    """How many votes the walk will pass, for a progress bar."""
    start = min(_stale(slug).values_list("rebuilt_through", flat=True), default=None)
    return 0 if start is None else Vote.objects.filter(tallied=True, pk__gt=start).count()


# --- features -----------------------------------------------------------------------------------


def votes_without_features() -> int:
    return Vote.objects.filter(tallied=True, features__isnull=True).count()


def backfill_features(*, progress: Progress = _nobody) -> int:
    """Compute the features of counted votes that have none. Returns how many.

    Needs no lock: features are a function of texts that no longer change.
    """
    last = total = 0
    while votes := list(
        Vote.objects.filter(tallied=True, features__isnull=True, pk__gt=last)
        .select_related("battle")
        .only(*settling.LOADED)
        .order_by("pk")[:FEATURES_STEP]
    ):
        vote_features.ensure_features(votes)
        last = votes[-1].pk
        total += len(votes)
        progress(len(votes))
    return total
