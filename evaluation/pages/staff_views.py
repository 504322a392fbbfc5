"""Pages for the staff: benchmarks started, watched, paused, resumed, cancelled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from arena.staff import staff
from evaluation.models import Run
from evaluation.pages import run_pages
from evaluation.pages.staff_forms import CostCap, StartForm
from evaluation.refusals import Refused
from evaluation.running import runs

VERBS: dict[str, Callable[..., Any]] = {
    "pause": runs.pause,
    "resume": runs.resume,
    "cancel": runs.cancel,
    "retry": runs.retry_errors,
}


@staff("evaluation.view_run")
@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
def overview(request: HttpRequest) -> HttpResponse:
    """Start a run, once its estimate has been seen; and the latest ones."""
    may_start = request.user.has_perm("evaluation.add_run")
    form, expected = StartForm(initial=request.GET.dict()), None
    if request.method == "POST" and may_start:
        form = StartForm(request.POST)
        if form.is_valid() and "change" not in request.POST:
            try:
                if "start" in request.POST:
                    return redirect("evaluation:run", pk=form.start().pk)
                expected = form.estimate()
            except Refused as refusal:
                form.add_error(None, str(refusal))
    context = {
        "form": form,
        "may_start": may_start,
        "expected": expected,
        "confirmation": form.confirmation() if expected is not None else None,
        "lines": run_pages.latest_runs(),
    }
    return render(request, "evaluation/staff.html", context)


@staff("evaluation.change_run")
@require_POST
def change(request: HttpRequest, pk: int) -> HttpResponse:
    """One of VERBS, named by the button; a run that is resumed may get another cost cap."""
    run = get_object_or_404(Run.objects.select_related("task", "contestant"), pk=pk)
    name = request.POST.get("verb", "")
    cap = CostCap(request.POST)
    if name not in VERBS:
        messages.error(request, "There is no such button.")
    elif name == "resume" and not cap.is_valid():
        messages.error(request, f"The cost to stop at: {cap.errors['cost_cap'][0]}")
    else:
        further = {"cost_cap": cap.cleaned_data["cost_cap"]} if name == "resume" else {}
        try:
            VERBS[name](run=run, **further)
        except Refused as refusal:
            messages.error(request, str(refusal))
    return redirect("evaluation:run", pk=pk)
