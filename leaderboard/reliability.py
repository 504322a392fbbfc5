"""How every model has answered of late, summed up for the board.

The log of requests changes with each battle, and the board must be the same from every process and
need not be of this second: so a worker writes the figures down now and then, and pages read those.
"""

from __future__ import annotations

from django.db import transaction
from django.db.models import Avg, Max
from django.utils import timezone

from arena import reliability
from arena.models import Answer
from leaderboard.models import Reliability

DAYS = 7
LATEST_ANSWERS = 50_000  # lengths are means over these
_FIGURES = (
    "requests", "failed", "first_token", "tokens_per_second", "input_tokens", "output_tokens",
)  # fmt: skip


def refresh() -> int:
    """Write down what has changed. Returns how many models that are.

    Where nothing has, nothing is written, and finished pages stand.
    """
    found = _figures()
    with transaction.atomic():
        stored = {
            pk: values for pk, *values in Reliability.objects.values_list("contestant", *_FIGURES)
        }
        gone = stored.keys() - found.keys()
        changed = [row for pk, row in sorted(found.items()) if stored.get(pk) != _values(row)]
        Reliability.objects.filter(contestant__in=gone).delete()
        Reliability.objects.bulk_create(
            changed,
            # Two workers may do this at once: the later one's rows stand.
            update_conflicts=True,
            unique_fields=["contestant"],
            update_fields=(*_FIGURES, "changed_at"),
        )
    return len(gone) + len(changed)


def _figures() -> dict[int, Reliability]:
    lengths, now = _lengths(), timezone.now()
    return {
        pk: Reliability(
            contestant_id=pk,
            requests=one.requests,
            failed=one.failed,
            first_token=_rounded(one.median_first_token, 3),
            tokens_per_second=_rounded(one.tokens_per_second, 1),
            input_tokens=_rounded(lengths.get(pk, (None, None))[0], 1),
            output_tokens=_rounded(lengths.get(pk, (None, None))[1], 1),
            changed_at=now,
        )
        for pk, one in reliability.by_contestant(days=DAYS).items()
    }


def _lengths() -> dict[int, tuple[float, float]]:
    """Tokens of what was asked and of what was answered, the mean of each model's late answers."""
    newest = Answer.objects.aggregate(newest=Max("pk"))["newest"] or 0
    answers = Answer.objects.filter(
        pk__gt=newest - LATEST_ANSWERS,
        state=Answer.State.COMPLETE,
        input_tokens__isnull=False,
        output_tokens__isnull=False,
    )
    means = (
        answers.order_by()
        .values_list("contestant")
        .annotate(asked=Avg("input_tokens"), answered=Avg("output_tokens"))
    )
    return {pk: (asked, answered) for pk, asked, answered in means}


def _rounded(value: float | None, digits: int) -> float | None:
    """As exact as anybody reads it: a page is not made anew for less."""
    return None if value is None else round(float(value), digits)


def _values(row: Reliability) -> list[float | None]:
    return [getattr(row, name) for name in _FIGURES]
