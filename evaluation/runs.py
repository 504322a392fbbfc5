"""A run from its creation on, as people ask for it: create, pause, resume, cancel, retry."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone

from arena.models import Contestant
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.definitions.problems import Unrenderable
from evaluation.definitions.prompts import build_prompts
from evaluation.formats.items import canonical_json
from evaluation.models import Dataset, Run, Sample, TaskDefinition
from evaluation.scoring import (
    scorer_keys,
)

RUNNABLE = ("generate_until", "multiple_choice", "needle")
WRITE_BATCH = 500


class Refused(Exception):
    """The verb cannot be done now; the text is for whoever asked."""


# --- creation -----------------------------------------------------------------------------------


def create_run(
    *,
    task: TaskDefinition,
    contestant: Contestant,
    limit: int | None = None,
    cost_cap: Decimal | None = None,
) -> Run:
    """A queued run with every prompt it will send.

    Prompts are built over the whole dataset and cut to `limit` afterwards: the draw of examples
    runs through all items, so a partial run sends what a whole one would. Raises Refused.
    """
    definition = from_json(task.spec)
    _check_runnable(definition, contestant, limit)
    dataset = find_dataset(definition)
    items = list(dataset.items.order_by("position"))
    try:
        prompts = list(
            build_prompts(definition, [item.fields for item in items], _fewshot_pool(definition))
        )
    except Unrenderable as error:
        raise Refused(f"{task}: {error}") from None
    chosen = list(zip(items, prompts, strict=True))[:limit]
    fingerprint = {
        "dataset": dataset.version,
        "task": task.spec_sha256,
        "prompts": [prompt.hash for _, prompt in chosen],
        "scorers": scorer_keys(definition),
    }
    with transaction.atomic():
        locked = TaskDefinition.objects.select_for_update().get(pk=task.pk)
        if locked.spec_sha256 != task.spec_sha256:
            raise Refused(f"{task} has just been changed")
        run = Run.objects.create(
            task=task,
            dataset=dataset,
            contestant=contestant,
            state=Run.State.QUEUED,
            limit=limit,
            spec_sha256=task.spec_sha256,
            fingerprint=hashlib.sha256(canonical_json(fingerprint).encode()).hexdigest(),
            seed=definition.generation.seed,
            total=len(chosen) * definition.epochs,
            price_input=contestant.price_input,
            price_output=contestant.price_output,
            cost_cap=cost_cap,
        )
        Sample.objects.bulk_create(
            [
                Sample(run=run, item=item, epoch=epoch, messages=list(prompt.messages))
                for epoch in range(1, definition.epochs + 1)
                for item, prompt in chosen
            ],
            batch_size=WRITE_BATCH,
        )
    return run


def _check_runnable(definition: Definition, contestant: Contestant, limit: int | None) -> None:
    if definition.output_type not in RUNNABLE:
        raise Refused(f"{definition.task}: tasks of the kind {definition.output_type} are not run")
    unsent = [
        name
        for name in ("top_k", "presence_penalty", "frequency_penalty")
        if getattr(definition.generation, name) is not None
    ]
    if unsent:
        raise Refused(f"{definition.task}: {', '.join(unsent)} cannot be sent to every endpoint")
    if contestant.endpoint is None or not contestant.upstream_model:
        raise Refused(f"{contestant} has no endpoint to ask")
    if limit is not None and limit < 1:
        raise Refused("a limit is at least 1")


def find_dataset(definition: Definition) -> Dataset:
    """The dataset a task means: that version, or the newest. Raises Refused."""
    wanted = definition.dataset
    found = Dataset.objects.filter(name=wanted.name, split=wanted.split)
    if wanted.version:
        found = found.filter(version=wanted.version)
    dataset = found.order_by("-id").first()
    if dataset is None:
        raise Refused(
            f"{definition.task} needs the dataset {wanted.name}/{wanted.split}"
            f"{' ' + wanted.version if wanted.version else ''}: import it first"
        )
    return dataset


def _fewshot_pool(definition: Definition) -> list[dict[str, Any]]:
    split = definition.dataset.fewshot_split
    if not split or not definition.num_fewshot or definition.fewshot.samples is not None:
        return []
    pool = Dataset.objects.filter(name=definition.dataset.name, split=split).order_by("-id").first()
    if pool is None:
        raise Refused(f"the examples of {definition.task} come from the split {split}: import it")
    return list(pool.items.order_by("position").values_list("fields", flat=True))


# --- what people ask for ------------------------------------------------------------------------


def _change(run: Run, allowed: tuple[str, ...], verb: str, **fields: Any) -> None:
    """Raises Refused when the run's present state does not allow the verb."""
    if not Run.objects.filter(pk=run.pk, state__in=allowed).update(**fields):
        run.refresh_from_db()
        raise Refused(f"{run} is {run.state} and cannot be {verb}")
    run.refresh_from_db()


def pause(*, run: Run, reason: str = "") -> None:
    """Workers notice within LOOK and give back what they hold."""
    _change(
        run,
        (Run.State.DRAFT, Run.State.QUEUED, Run.State.RUNNING),
        "paused",
        state=Run.State.PAUSED,
        reason=reason,
    )


def resume(*, run: Run) -> None:
    _change(run, (Run.State.DRAFT, Run.State.PAUSED), "resumed", state=Run.State.QUEUED, reason="")


def cancel(*, run: Run) -> None:
    """For good: what was answered stays, what was not is skipped."""
    with transaction.atomic():
        _change(
            run,
            (Run.State.DRAFT, Run.State.QUEUED, Run.State.RUNNING, Run.State.PAUSED),
            "cancelled",
            state=Run.State.CANCELLED,
            finished_at=timezone.now(),
        )
        run.samples.filter(state__in=[Sample.State.PENDING, Sample.State.LEASED]).update(
            state=Sample.State.SKIPPED, lease_owner="", lease_until=None
        )


def retry_errors(*, run: Run) -> int:
    """Asks once more what ended in an error, and nothing else. The number of samples."""
    with transaction.atomic():
        _change(
            run,
            (Run.State.QUEUED, Run.State.RUNNING, Run.State.PAUSED, Run.State.COMPLETED,
             Run.State.INCOMPLETE, Run.State.FAILED),
            "retried",
            state=Run.State.QUEUED,
            reason="",
            finished_at=None,
            primary_score=None,
            results={},
            done=None,
            errors=None,
            unparsed=None,
            truncated=None,
            cost=None,
        )  # fmt: skip
        return run.samples.filter(state=Sample.State.ERROR).update(
            state=Sample.State.PENDING, attempts=0, error_kind="", error_detail=""
        )


def cost_so_far(run: Run) -> Decimal | None:
    """USD by the prices of the start and the usage reported; None where no price is known."""
    if run.price_input is None or run.price_output is None:
        return None
    used = run.samples.aggregate(
        prompt=Sum(F("prompt_tokens"), default=0), completion=Sum(F("completion_tokens"), default=0)
    )
    cost = used["prompt"] * run.price_input + used["completion"] * run.price_output
    return (cost / 1_000_000).quantize(Decimal("0.000001"))


def storable(text: str) -> str:
    """PostgreSQL keeps no NUL, and no driver half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
