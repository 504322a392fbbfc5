"""What the staff may ask for when a benchmark is started."""

from __future__ import annotations

from typing import Any

from django import forms

from arena.models import Contestant
from evaluation.benchmarks import shipped
from evaluation.definitions.definition import from_json
from evaluation.importing import ImportRefused, import_shipped
from evaluation.models import Immutable, Run, TaskDefinition
from evaluation.running import costs, runs
from evaluation.running.costs import Estimate

SHIPPED = "shipped:"  # before the name of a benchmark that is not registered yet


class CostCap(forms.Form):
    cost_cap = forms.DecimalField(
        label="Stop at a cost of, USD",
        required=False,
        min_value=0,
        max_digits=12,
        decimal_places=6,
        help_text="The run pauses there. Needs the model's prices.",
    )

    def clean_cost_cap(self) -> Any:
        cap = self.cleaned_data["cost_cap"]
        if cap is not None and cap <= 0:
            raise forms.ValidationError("More than nothing, or empty for no limit.", code="zero")
        return cap


class StartForm(CostCap):
    field_order = ("contestant", "task", "limit", "cost_cap")
    contestant = forms.ModelChoiceField(
        Contestant.objects.none(), label="Model", empty_label="Choose…"
    )
    task = forms.ChoiceField(label="Benchmark")
    limit = forms.IntegerField(
        label="Only the first items",
        required=False,
        min_value=1,
        max_value=1_000_000,
        help_text="To try it out. Such a run is never shown in public.",
    )
    judge = forms.ModelChoiceField(
        Contestant.objects.none(),
        label="Judge",
        required=False,
        empty_label="None",
        help_text="Only for benchmarks whose answers a model judges.",
    )
    opponent = forms.ModelChoiceField(
        Run.objects.none(),
        label="Compared with",
        required=False,
        empty_label="The benchmark's own answers",
        help_text="Only for judges of pairs: a finished run of the same benchmark.",
    )
    allow_self_judge = forms.BooleanField(
        label="Let a model judge its own answers",
        required=False,
        help_text="Models prefer their own. The run’s page will say so.",
    )
    use_cache = forms.BooleanField(
        label="Use stored answers to equal requests",
        required=False,
        help_text="Of earlier runs that allowed it.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        asked = Contestant.objects.filter(endpoint__enabled=True).exclude(upstream_model="")
        for name in ("contestant", "judge"):
            self.fields[name].queryset = asked.order_by("name")  # type: ignore[attr-defined]
        tasks = list(TaskDefinition.objects.exclude(runs.IMPORTED).order_by("slug", "-id"))
        registered = {task.slug for task in tasks}
        waiting = [name for name in shipped() if name not in registered]
        self.fields["task"].choices = [  # type: ignore[attr-defined]
            ("", "Choose…"),
            *([("Registered", [(str(task.pk), str(task)) for task in tasks])] if tasks else []),
            *(
                [("Comes with Arena", [(SHIPPED + name, name) for name in waiting])]
                if waiting
                else []
            ),
        ]
        self.judged = any(str(task.spec["output_type"]).startswith("judge") for task in tasks)
        if not self.judged:
            for name in ("judge", "opponent", "allow_self_judge"):
                del self.fields[name]
        else:
            compared = [
                task.spec["dataset"]["name"]
                for task in tasks
                if task.spec["output_type"] == "judge_pairwise"
            ]
            self.fields["opponent"].queryset = Run.objects.filter(  # type: ignore[attr-defined]
                state=Run.State.COMPLETED, dataset__name__in=compared
            ).select_related("task", "contestant")

    def clean_task(self) -> TaskDefinition:
        """A benchmark that comes with the project registers itself at its first use."""
        chosen: str = self.cleaned_data["task"]
        if not chosen.startswith(SHIPPED):
            return TaskDefinition.objects.get(pk=chosen)
        try:
            return import_shipped(chosen.removeprefix(SHIPPED))[1]
        except (ImportRefused, Immutable) as refusal:
            raise forms.ValidationError(str(refusal), code="refused") from None

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        model, task = cleaned.get("contestant"), cleaned.get("task")
        priced = [one for one in (model, cleaned.get("judge")) if one and runs.has_prices(one)]
        if cleaned.get("cost_cap") and model and not priced:
            self.add_error("cost_cap", f"{model} has no prices: enter them on its card first.")
        if task:
            self._check_judge(task, cleaned)
        return cleaned

    def _check_judge(self, task: TaskDefinition, cleaned: dict[str, Any]) -> None:
        if not self.judged:
            return
        kind = from_json(task.spec).output_type
        if kind.startswith("judge") and not cleaned.get("judge"):
            self.add_error("judge", f"{task} needs a judge.")
        if not kind.startswith("judge") and cleaned.get("judge"):
            self.add_error("judge", f"{task} is scored without a judge: choose none.")
        if kind != "judge_pairwise" and cleaned.get("opponent"):
            self.add_error("opponent", f"{task} compares with nobody: leave it empty.")

    def confirmation(self) -> StartForm:
        """The same once more, of a valid form: what it asked for is registered by now."""
        said = {name: getattr(value, "pk", value) for name, value in self._asked().items()}
        return StartForm(initial=said)

    def estimate(self) -> Estimate:
        """Of a valid form. Raises Refused."""
        said = self.cleaned_data
        return costs.estimate(
            task=said["task"],
            contestant=said["contestant"],
            judge=said.get("judge"),
            limit=said["limit"],
        )

    def start(self) -> Run:
        """Of a valid form. Raises Refused."""
        return runs.create_run(**self._asked())

    def _asked(self) -> dict[str, Any]:
        return {key: value for key, value in self.cleaned_data.items() if value}
