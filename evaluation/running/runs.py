"""A run from its creation on, as people ask for it: create, pause, resume, cancel, retry."""

from __future__ import annotations

import contextlib
import hashlib
from decimal import Decimal
from typing import Any

from django.db import transaction
from django.db.models import Q, Sum, TextField
from django.db.models.functions import Cast, Coalesce, Length
from django.utils import timezone

from arena.models import Contestant
from evaluation import judging, needles
from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.definitions.problems import Unrenderable
from evaluation.definitions.prompts import Prompt, build_prompts
from evaluation.formats.items import canonical_json
from evaluation.models import SCORED, Dataset, Item, Run, Sample, TaskDefinition
from evaluation.refusals import Refused
from evaluation.running import judged_runs, sandboxes
from evaluation.running.following import OF_JUDGE
from evaluation.running.limits import CHARS_PER_TOKEN
from evaluation.scoring import (
    scorer_keys,
)

RUNNABLE = ("generate_until", "multiple_choice", "code", "needle", *judging.JUDGED)
WRITE_BATCH = 500
# Tasks that are known from results made elsewhere: there is too little of them to be run here.
IMPORTED = Q(spec__metadata__has_key="imported_from")


# --- creation -----------------------------------------------------------------------------------


def create_run(
    *,
    task: TaskDefinition,
    contestant: Contestant,
    limit: int | None = None,
    cost_cap: Decimal | None = None,
    judge: Contestant | None = None,
    opponent: Run | None = None,
    allow_self_judge: bool = False,
    use_cache: bool = False,
) -> Run:
    """A queued run with every first prompt it will send.

    `judge` and `opponent` are for judged tasks; a judge of its own answers has to be allowed.
    Raises Refused.
    """
    definition = from_json(task.spec)
    _check_runnable(definition, contestant, limit)
    if cost_cap is not None and not any(one and has_prices(one) for one in (contestant, judge)):
        raise Refused(f"no price of {contestant} is known: without one a cost cap stops nothing")
    dataset = find_dataset(definition)
    chosen = rendered(definition, dataset, limit)
    judged = judged_runs.check(
        definition,
        contestant,
        {item: prompt.messages for item, prompt in chosen},
        judge=judge,
        opponent=opponent,
        allow_self_judge=allow_self_judge,
    )
    fingerprint = {
        "dataset": dataset.version,
        "task": task.spec_sha256,
        "prompts": [prompt.hash for _, prompt in chosen],
        "scorers": scorer_keys(definition),
        **judged.fingerprint,
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
            total=judged.samples * definition.epochs,
            judge=judge,
            opponent=opponent,
            price_input=contestant.price_input,
            price_output=contestant.price_output,
            judge_price_input=judge.price_input if judge else None,
            judge_price_output=judge.price_output if judge else None,
            cost_cap=cost_cap,
            use_cache=use_cache,
        )
        Sample.objects.bulk_create(
            [
                Sample(run=run, item=item, epoch=epoch, messages=_stored(definition, item, prompt))
                for epoch in range(1, definition.epochs + 1)
                for item, prompt in chosen
            ],
            batch_size=WRITE_BATCH,
        )
    return run


def _stored(definition: Definition, item: Item, prompt: Prompt) -> list[dict[str, str]]:
    """A haystack may be a book, and is kept with its item alone."""
    if definition.output_type == "needle":
        return needles.without_haystack(prompt.messages, item.fields)
    return list(prompt.messages)


def _check_runnable(definition: Definition, contestant: Contestant, limit: int | None) -> None:
    if source := definition.metadata.get("imported_from"):
        raise Refused(
            f"{definition.task} {definition.task_version} is known from results of {source}: "
            "register its task file to run it here"
        )
    if definition.output_type not in RUNNABLE:
        raise Refused(f"{definition.task}: tasks of the kind {definition.output_type} are not run")
    if definition.output_type == "code" and (why := sandboxes.obstacle()):
        raise Refused(f"{definition.task}: code tasks are disabled: {why}")
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


def rendered(
    definition: Definition, dataset: Dataset, limit: int | None = None
) -> list[tuple[Item, Prompt]]:
    """The items with what is asked first of each. Raises Refused.

    Prompts are built over the whole dataset and cut to `limit` afterwards: the draw of examples
    runs through all items, so a partial run sends what a whole one would.
    """
    items = list(dataset.items.order_by("position"))
    try:
        prompts = list(
            build_prompts(definition, [item.fields for item in items], _fewshot_pool(definition))
        )
    except Unrenderable as error:
        raise Refused(f"{definition.task}: {error}") from None
    return list(zip(items, prompts, strict=True))[:limit]


def has_prices(one: Contestant) -> bool:
    return one.price_input is not None and one.price_output is not None


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


def stop(*, run: Run, reason: str) -> None:
    """Pauses a run that cannot go on by itself. Somebody may have been quicker: as good."""
    with contextlib.suppress(Refused):
        pause(run=run, reason=reason)


def resume(*, run: Run, cost_cap: Decimal | None = None) -> None:
    """With another cost cap, if one is given: a run that has reached its own needs one."""
    fields = {} if cost_cap is None else {"cost_cap": cost_cap}
    allowed = (Run.State.DRAFT, Run.State.PAUSED)
    _change(run, allowed, "resumed", state=Run.State.QUEUED, reason="", **fields)


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
    """Asks once more what has no answer, and nothing else. The number of samples."""
    if run.source:
        raise Refused(f"{run} was run elsewhere, by {run.source}, and cannot be retried here")
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
        # What was skipped after a refusal of its length is asked again, too.
        again = run.samples.filter(state__in=[Sample.State.ERROR, Sample.State.SKIPPED])
        return again.update(state=Sample.State.PENDING, attempts=0, error_kind="", error_detail="")


def withdraw(*, run: Run, reason: str) -> None:
    """Off the board at once. The run, its page and the reason stay."""
    if not reason.strip():
        raise Refused("a run is withdrawn for a reason: say which")
    with transaction.atomic():
        locked = Run.objects.select_for_update(no_key=True).get(pk=run.pk)
        if locked.withdrawn_at is not None:
            raise Refused(f"{run} has been withdrawn before: {locked.withdrawn_reason}")
        _change(
            run,
            SCORED,
            "withdrawn",
            withdrawn_at=timezone.now(),
            withdrawn_reason=storable(reason.strip()),
        )


def restore(*, run: Run) -> None:
    """Back on the board."""
    if not Run.objects.filter(pk=run.pk, withdrawn_at__isnull=False).update(
        withdrawn_at=None, withdrawn_reason=""
    ):
        raise Refused(f"{run} has not been withdrawn")
    run.refresh_from_db()


def cost_so_far(run: Run) -> Decimal | None:
    """USD by the prices of the start and the usage reported; None where no price is known.

    Of contestant and judge, who is without a price adds nothing.
    """
    costs = [
        used["prompt"] * price_input + used["completion"] * price_output
        for of_judge, price_input, price_output in (
            (False, run.price_input, run.price_output),
            (True, run.judge_price_input, run.judge_price_output),
        )
        if price_input is not None and price_output is not None
        for used in [_tokens(run, of_judge)]
    ]
    if not costs:
        return None
    return (sum(costs, Decimal(0)) / 1_000_000).quantize(Decimal("0.000001"))


def _tokens(run: Run, of_judge: bool) -> dict[str, int]:
    """Paid for: an answer out of the cache was not. Estimated where the endpoint did not say."""
    paid = run.samples.filter(OF_JUDGE if of_judge else ~OF_JUDGE, cached=False, state="done")
    written = Length("response") + Length("reasoning")
    sent = Length(Cast("messages", TextField()))
    counted: dict[str, int] = paid.aggregate(
        prompt=Sum(Coalesce("prompt_tokens", sent / CHARS_PER_TOKEN), default=0),
        completion=Sum(Coalesce("completion_tokens", written / CHARS_PER_TOKEN), default=0),
    )
    return counted


def storable(text: str) -> str:
    """PostgreSQL keeps no NUL, and no driver half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()
