"""What the sampler needs of the ratings: how much each pair needs another vote.

From the overall pair counts, models in preview included: what is not published may be drawn.
"""

from __future__ import annotations

from datetime import timedelta

from django.db.models import Sum
from django.utils import timezone

from arena import sampler
from arena.models import Contestant, PairNeeds
from leaderboard import methods
from leaderboard.models import OVERALL, Category, PairCount
from leaderboard.ratings.needs import pair_needs

# Without new votes they are written again after this long: their age says that a worker lives.
_RENEWED_AFTER = timedelta(hours=1)
_DRAWN = (Contestant.Status.ACTIVE, Contestant.Status.PREVIEW, Contestant.Status.PAUSED)


def refresh() -> PairNeeds | None:
    """Work the needs out anew; None where nothing has changed, or the counts are being rebuilt."""
    overall = Category.objects.get(slug=OVERALL)
    if overall.stale:
        return None
    drawn = list(
        Contestant.objects.filter(status__in=_DRAWN).order_by("pk").values_list("pk", flat=True)
    )
    counts = PairCount.objects.filter(category=overall, n__gt=0).order_by()
    votes = counts.aggregate(votes=Sum("n", default=0))["votes"]
    if len(drawn) < 2 or _still_hold(drawn, votes):
        return None
    cells = list(counts.values_list("lo_id", "hi_id", "outcome", "n"))
    # Retired models are drawn no more, yet their battles tell about those that met them.
    others = {model for cell in cells for model in cell[:2]}.difference(drawn)
    needs = pair_needs(methods.counts_from_cells(cells, [*drawn, *sorted(others)]))
    size = len(drawn)
    return sampler.store_needs(contestants=drawn, needs=needs[:size, :size], votes=votes)


def _still_hold(drawn: list[int], votes: int) -> bool:
    newest = PairNeeds.objects.order_by("-pk").defer("needs").first()
    return (
        newest is not None
        and newest.contestants == drawn
        and newest.votes == votes
        and timezone.now() - newest.made_at < _RENEWED_AFTER
    )
