"""Runs and their samples for the staff: looked at, and paused, resumed, cancelled or retried."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.defaultfilters import pluralize
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html

from arena.admin.parts import ReadOnly
from evaluation.models import Dataset, Run, Sample, SandboxReport, TaskDefinition, Verdict
from evaluation.results import figures
from evaluation.running import runs
from evaluation.running.progress import ENDED


@admin.register(Dataset)
class DatasetAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("name", "split", "short_version", "licence", "public", "created_at")
    list_filter = ("public",)

    @admin.display(description="Version")
    def short_version(self, dataset: Dataset) -> str:
        return dataset.version[:19]


@admin.register(TaskDefinition)
class TaskDefinitionAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("slug", "task_version", "created_at")


class WithdrawalForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3, "cols": 60}),
        help_text="It is public: what was wrong with the run.",
    )


@admin.register(Run)
class RunAdmin(ReadOnly, admin.ModelAdmin):
    list_display = (
        "id", "task", "contestant", "state", "progress", "limit", "score", "page", "created_at",
    )  # fmt: skip
    list_display_links = ("id", "task")
    list_filter = ("state", "task__slug")
    list_select_related = ("task", "contestant")
    actions = ("pause", "resume", "cancel", "retry_errors", "withdraw", "restore")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Run]:
        ended = Q(samples__state__in=ENDED)
        # As `haystacks.counts_as_error`: beyond a context is no error of a needle run.
        failed = Q(samples__state=Sample.State.ERROR) & (
            ~Q(samples__error_kind="context") | ~Q(task__spec__output_type="needle")
        )
        return (
            super()
            .get_queryset(request)
            .annotate(ended=Count("samples", filter=ended), failed=Count("samples", filter=failed))
        )

    @admin.display(description="Progress")
    def progress(self, run: Any) -> str:
        errors = f", {run.failed} error{pluralize(run.failed)}" if run.failed else ""
        text = f"{run.ended} of {run.total}{errors}"
        return format_html(
            '<progress max="{}" value="{}" aria-label="Answered"></progress><br>{}',
            run.total or 1,
            run.ended,
            text,
        )

    @admin.display(description="Live and results")
    def page(self, run: Run) -> str:
        return format_html('<a href="{}">Open</a>', reverse("evaluation:run", args=[run.pk]))

    @admin.display(description="Score")
    def score(self, run: Run) -> str:
        result = run.results.get(run.task.spec["primary"], {})
        return figures.score(run.primary_score, percent=figures.is_share(result))

    # The actions need a permission that ReadOnly does not give, as nothing is edited here.
    def has_operate_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("evaluation.change_run")

    @admin.action(description="Pause", permissions=["operate"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, lambda run: runs.pause(run=run), "Paused")

    @admin.action(description="Resume", permissions=["operate"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, lambda run: runs.resume(run=run), "Resumed")

    @admin.action(description="Cancel for good", permissions=["operate"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, lambda run: runs.cancel(run=run), "Cancelled")

    @admin.action(description="Retry errors only", permissions=["operate"])
    def retry_errors(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, lambda run: runs.retry_errors(run=run), "Retrying")

    @admin.action(description="Withdraw from the board…", permissions=["operate"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Run]) -> HttpResponse | None:
        """Asks for the reason first: it is shown in place of the scores."""
        form = WithdrawalForm(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            reason = form.cleaned_data["reason"]
            verb = functools.partial(runs.withdraw, reason=reason)
            self._each(request, queryset, lambda run: verb(run=run), "Withdrawn")
            return None
        context = {
            **self.admin_site.each_context(request),
            "title": "Withdraw runs from the board",
            "opts": self.opts,
            "form": form,
            "runs": queryset,
            "checkbox": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "evaluation/admin/withdraw.html", context)

    @admin.action(description="Put back on the board", permissions=["operate"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Run]) -> None:
        self._each(request, queryset, lambda run: runs.restore(run=run), "Restored")

    def _each(
        self,
        request: HttpRequest,
        queryset: QuerySet[Run],
        verb: Callable[[Run], Any],
        done: str,
    ) -> None:
        for run in queryset:
            try:
                verb(run)
            except runs.Refused as refusal:
                self.message_user(request, str(refusal), messages.ERROR)
            else:
                self.message_user(request, f"{done}: {run}", messages.SUCCESS)


@admin.register(Sample)
class SampleAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "run", "item", "epoch", "state", "attempts", "latency", "error_kind")
    list_filter = ("state", "error_kind")
    list_select_related = ("run__task", "run__contestant", "item")
    search_fields = ("=run__id",)
    show_full_result_count = False


@admin.register(SandboxReport)
class SandboxReportAdmin(ReadOnly, admin.ModelAdmin):
    """Why code tasks are disabled, if they are."""

    list_display = ("worker", "ok", "remark", "checked_at")


@admin.register(Verdict)
class VerdictAdmin(ReadOnly, admin.ModelAdmin):
    list_display = ("id", "sample", "passed", "reason", "seconds", "checked_at")
    list_filter = ("passed",)
    list_select_related = ("sample",)
    search_fields = ("=sample__run__id",)
    show_full_result_count = False
