"""The odds of every pair, from the weights in the database, the settings and the ratings' needs.

What the ratings say comes from the leaderboard, which calls `store_needs`; this app asks nobody.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from arena import pairing
from arena.models import ArenaSettings, Contestant, ContestantQuerySet, PairNeeds

Row = tuple[int, float, str]  # a contestant's id, weight and status


def entrants(contestants: ContestantQuerySet) -> list[Row]:
    return list(contestants.order_by("pk").values_list("pk", "weight", "status"))


def odds(rows: Iterable[Row], *, house: ArenaSettings | None = None) -> pairing.Odds:
    """The chance of every pair of these models, under the settings in force or others.

    Rows come in the order of their ids, so that the same models are known as the same.
    """
    house = house or ArenaSettings.current()
    targets = _targets()
    drawn_from = tuple(
        pairing.Entrant(
            pk, weight, status == Contestant.Status.PREVIEW, targets.get(pk, frozenset())
        )
        for pk, weight, status in rows
    )
    if house.sampler == ArenaSettings.Sampler.ACTIVE and (needs := _needs(house)):
        return pairing.odds(drawn_from, needs, house.active_floor)
    return pairing.odds(drawn_from)


def _targets() -> dict[int, frozenset[int]]:
    targets: defaultdict[int, set[int]] = defaultdict(set)
    through = Contestant.only_meets.through
    for one, other in through.objects.values_list("from_contestant_id", "to_contestant_id"):
        targets[one].add(other)
    return {one: frozenset(others) for one, others in targets.items()}


# What the ratings need ----------------------------------------------------------------------------

_KEPT = 3  # a process may be reading the one before


@dataclass(frozen=True, slots=True)
class _Known:
    """What this process knows of the newest row, and when it asked."""

    asked: float
    version: tuple[int, datetime]  # the time as well: a database put back gives an id twice
    needs: pairing.Needs


_known: _Known | None = None


def _needs(house: ArenaSettings) -> pairing.Needs | None:
    """The newest, at most SETTINGS_RECHECK_SECONDS late; None where they are missing or too old."""
    global _known
    known = _known
    if not known or time.monotonic() - known.asked >= settings.SETTINGS_RECHECK_SECONDS:
        known = _known = _ask(known)
    return None if not known or too_old(known.version[1], house) else known.needs


def too_old(made_at: datetime, house: ArenaSettings) -> bool:
    return timezone.now() - made_at > timedelta(hours=house.needs_max_age_hours)


def _ask(known: _Known | None) -> _Known | None:
    asked = time.monotonic()
    newest = PairNeeds.objects.order_by("-pk")
    version = newest.values_list("pk", "made_at").first()
    if known and version == known.version:
        return replace(known, asked=asked)
    row = newest.first()
    if row is None:
        return None
    needs = pairing.Needs.unpack(row.contestants, bytes(row.needs))
    return _Known(asked, (row.pk, row.made_at), needs)


def newest_needs() -> PairNeeds | None:
    """When they were worked out and from how many votes; not what they are."""
    return PairNeeds.objects.order_by("-pk").defer("needs", "contestants").first()


@transaction.atomic
def store_needs(*, contestants: Sequence[int], needs: pairing.FloatArray, votes: int) -> PairNeeds:
    """Draw by these needs from now on; `needs` [M, M] in the order of the contestants' ids."""
    stored = PairNeeds.objects.create(
        contestants=list(contestants), needs=pairing.pack_needs(needs), votes=votes
    )
    newest = PairNeeds.objects.order_by("-pk").values_list("pk", flat=True)
    PairNeeds.objects.exclude(pk__in=list(newest[:_KEPT])).delete()
    return stored
