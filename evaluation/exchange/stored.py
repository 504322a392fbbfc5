"""A run's stored items and responses, to be scored again without asking anybody."""

from __future__ import annotations

from evaluation.definitions.definition import TaskDefinition as Definition
from evaluation.definitions.definition import from_json
from evaluation.exchange.places import UNTOLD
from evaluation.formats.items import Item
from evaluation.models import Run, Sample
from evaluation.refusals import Refused
from evaluation.scorers import Response


def find_run(pk: int) -> Run:
    """Raises Refused."""
    run = Run.objects.select_related("task", "contestant").filter(pk=pk).first()
    if run is None:
        raise Refused(f"there is no run {pk}")
    return run


def definition_of(run: Run) -> Definition:
    """How its task is scored. Raises Refused where the file it came from does not tell it."""
    definition = from_json(run.task.spec)
    if definition.metadata.get(UNTOLD):
        raise Refused(
            f"run {run.pk} was imported from {run.source}, whose file does not tell how its "
            "answers are scored in a way that can be done here: name a task file with --task"
        )
    return definition


def responses_of(run: Run) -> tuple[dict[str, Item], dict[str, list[Response]]]:
    """Its items and its answers, by the items' names. Raises Refused where there are none."""
    items: dict[str, Item] = {}
    responses: dict[str, list[Response]] = {}
    answers = run.samples.filter(state=Sample.State.DONE, part="answer").select_related("item")
    for sample in answers.order_by("item__position", "epoch"):
        item = sample.item
        items.setdefault(
            item.external_id, Item(item.external_id, item.fields, line=item.position + 1)
        )
        responses.setdefault(item.external_id, []).append(
            Response(sample.response, sample.finish_reason or None)
        )
    if not responses:
        raise Refused(f"run {run.pk} has no stored answers")
    return items, responses
