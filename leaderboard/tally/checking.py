"""The counts worked out again from all votes, and where the two disagree."""

from __future__ import annotations

import logging
from collections import Counter
from itertools import chain
from typing import Any

from django.db import models
from django.db.models import Case, Count, F, Q, Value, When
from django.db.models.functions import Greatest, Least

from arena.models import Vote
from leaderboard.models import Category, PairCount, VoteFeatures
from leaderboard.tally.belonging import FEATURE_TRAITS, Key, Rules, features_traits

logger = logging.getLogger(__name__)


def votes_by_traits(
    votes: models.QuerySet[Vote], rules: Rules
) -> models.QuerySet[Vote, dict[str, Any]]:
    """Rows of (lo, hi, outcome, *FEATURE_TRAITS, total): votes grouped by all that the rules see.

    Of a number they see which cut points it has reached; it is replaced by the last of those. By
    its exact length hardly a prompt is like another, and a million votes made a million groups.
    """
    traits: dict[str, F | Case] = {trait: F(f"features__{trait}") for trait in FEATURE_TRAITS}
    for name, cuts in rules.cuts.items():
        field = f"features__{name}"
        traits[name] = Case(
            When(**{f"{field}__isnull": True}, then=None),
            *(When(**{f"{field}__gte": cut}, then=Value(cut)) for cut in cuts),
            default=Value(0),
            output_field=models.IntegerField(),
        )
    left, right = F("battle__contestant_a_id"), F("battle__contestant_b_id")
    return (
        votes.order_by()
        .values(
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
            **traits,
        )
        .annotate(total=Count("id"))
    )


def differences() -> dict[Key, tuple[int, int]]:
    """Where the cache and the votes disagree: {key: (in the cache, by the votes)}.

    The cache and the votes come from one statement, so that both are of the same moment while
    votes are being settled; no lock is held. Stale categories are left out, those too that have
    become stale since.
    """
    before = {category.pk: category for category in Category.objects.filter(stale=False)}
    rules = Rules(before.values())
    columns = ("category", "lo", "hi", "outcome", *FEATURE_TRAITS, "total")
    by_votes = votes_by_traits(Vote.objects.filter(tallied=True), rules).annotate(category=Value(0))
    blank = VoteFeatures()
    cached = PairCount.objects.filter(n__gt=0, category__in=before).annotate(
        **{trait: Value(getattr(blank, trait)) for trait in FEATURE_TRAITS}
    )
    cached_columns = ("category_id", "lo_id", "hi_id", "outcome", *FEATURE_TRAITS, "n")
    in_cache: Counter[int] = Counter()
    in_votes: Counter[int] = Counter()
    rows = cached.values_list(*cached_columns).union(by_votes.values_list(*columns), all=True)
    for category, lo, hi, outcome, *traits, n in rows.iterator(chunk_size=5_000):
        if category:
            in_cache[_packed(category, lo, hi, outcome)] = n
            continue
        if traits[0] is None:  # a vote without features, counted before there were any
            traits = list(features_traits(blank))
        for match in rules.categories_of(0, (*traits, outcome)):
            in_votes[_packed(match, lo, hi, outcome)] += n
    same = {
        category.pk
        for category in Category.objects.filter(stale=False, pk__in=before)
        if category.rule == before[category.pk].rule
    }
    apart = {
        _unpacked(at): (in_cache[at], in_votes[at])
        for at in chain(in_cache, in_votes)
        if in_cache[at] != in_votes[at]
    }
    return {key: apart[key] for key in sorted(apart) if key.category in same}


# A key as one number: a large arena has a million cells, and as tuples they took 400 MB.
_OUTCOMES = PairCount.Outcome.values
_ID = 1 << 32


def _packed(category: int, lo: int, hi: int, outcome: str) -> int:
    return ((category * _ID + lo) * _ID + hi) * len(_OUTCOMES) + _OUTCOMES.index(outcome)


def _unpacked(packed: int) -> Key:
    packed, outcome = divmod(packed, len(_OUTCOMES))
    packed, hi = divmod(packed, _ID)
    category, lo = divmod(packed, _ID)
    return Key(category, lo, hi, _OUTCOMES[outcome])


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
