"""Taking many votes out of every count at once: a voter's, a model's, a time's, a source's.

Only marks them: `leaderboard.tally` takes them out of the counts, and as ratings are a function of
the counts, the next snapshot is what it would be had they never been cast.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from django.db import transaction
from django.db.models import Q

from arena.models import Contestant, Source, Vote, Voter
from leaderboard.public_votes import pseudonyms

BATCH = 5_000


class NobodyOfThatName(LookupError):
    """No voter has this key or this pseudonym."""


def find_voters(name: str) -> list[Voter]:
    """By the key, or by the pseudonym in the public export. Raises NobodyOfThatName."""
    found = list(Voter.objects.filter(key=name))
    if not found:
        pseudonym = pseudonyms()
        found = [v for v in Voter.objects.iterator() if pseudonym(v.key) == name]
    if not found:
        raise NobodyOfThatName(f"no voter has the key or the pseudonym {name!r}")
    return found


def withdraw(
    *,
    voter: str = "",
    contestant: Contestant | None = None,
    source: Source | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    reason: str = Vote.Exclusion.ADMINISTRATOR,
    each: Callable[[int], object] | None = None,
) -> int:
    """Exclude the votes to which all that is given applies; returns how many were not before.

    `voter` is a key or a public pseudonym; the time is that of the vote, from `since` to before
    `until`. A batch is a transaction: stopped half-way, the call may be repeated. `each` is called
    with the number so far after every batch.

    Raises ValueError if nothing is given, and NobodyOfThatName.
    """
    chosen = Q()
    if voter:
        chosen &= Q(voter__in=find_voters(voter))
    if contestant:
        chosen &= Q(battle__contestant_a=contestant) | Q(battle__contestant_b=contestant)
    if source:
        chosen &= Q(battle__source=source)
    if since:
        chosen &= Q(created_at__gte=since)
    if until:
        chosen &= Q(created_at__lt=until)
    if not chosen:
        raise ValueError("say which votes: a voter, a contestant, a source or a time")
    last = total = 0
    while True:
        with transaction.atomic():
            # Locked, so that no worker settles one of them by the status it had before.
            batch = list(
                Vote.objects.filter(chosen, pk__gt=last)
                # Those on answers that said who wrote them are still counted in some categories.
                .exclude(
                    Q(status=Vote.Status.EXCLUDED)
                    & ~Q(exclusion_reason=Vote.Exclusion.IDENTITY_LEAK)
                )
                .order_by("pk")
                .select_for_update(of=("self",))
                .values_list("pk", flat=True)[:BATCH]
            )
            if not batch:
                return total
            total += Vote.objects.filter(pk__in=batch).update(
                status=Vote.Status.EXCLUDED, exclusion_reason=reason, tally_due=True
            )
            last = batch[-1]
        if each:
            each(total)
