"""The rows of a needle run: its heat map, and the lengths that the endpoint's context cannot hold.

An endpoint that says "too long" is believed for that length and every longer one: they are skipped
and shown as not supported. That is no error of the run, and no zero.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Q, Subquery

from evaluation import needles
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.models import Run, Sample, Score
from evaluation.running import following

OPEN = (Sample.State.PENDING, Sample.State.LEASED)


def counts_as_error(definition: Definition) -> Q:
    """Which samples are errors of the run: not what its endpoint's context cannot hold."""
    errors = Q(state=Sample.State.ERROR)
    return errors & ~Q(error_kind="context") if definition.output_type == "needle" else errors


def messages(definition: Definition, sample: Sample) -> list[dict[str, Any]]:
    """What is sent: the stored messages, and in a needle task the item's haystack in its place.

    `sample` comes with its item.
    """
    if definition.output_type == "needle":
        return needles.with_haystack(sample.messages, sample.item.fields)
    stored: list[dict[str, Any]] = sample.messages
    return stored


def heat_map(run: Run) -> needles.Grid:
    """The cells of a run, scored or still under way; one query. `run` comes with its task."""
    primary = from_json(run.task.spec).primary
    newest = Score.objects.filter(sample=OuterRef("pk"), metric=primary).order_by("-id")
    # A cancelled run has skipped what it never asked.
    skipped = run.state != Run.State.CANCELLED
    rows = (
        run.samples.filter(part="answer")
        .order_by("id")
        .values_list(
            "item__fields__length",
            "item__fields__depth",
            "state",
            "error_kind",
            "prompt_tokens",
            Subquery(newest.values("value")[:1]),
        )
    )
    return needles.grid(
        needles.Try(
            length,
            depth,
            score if state == Sample.State.DONE else None,
            supported=not (kind == "context" or (skipped and state == Sample.State.SKIPPED)),
            prompt_tokens=tokens,
        )
        for length, depth, state, kind, tokens, score in rows
    )


def skip_longer(refused: Sample) -> set[int]:
    """Skips what is still open of a refused sample's length and of longer ones; their ids.

    Also what a worker has leased: an answer that is under way is not stored any more.
    """
    with transaction.atomic():
        following.lock(refused.run_id)
        ids = set(
            Sample.objects.filter(
                run=refused.run_id,
                state__in=OPEN,
                item__fields__length__gte=refused.item.fields["length"],
            ).values_list("pk", flat=True)
        )
        Sample.objects.filter(pk__in=ids, state__in=OPEN).update(
            state=Sample.State.SKIPPED, lease_owner="", lease_until=None
        )
    return ids
