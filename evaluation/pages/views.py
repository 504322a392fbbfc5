"""The benchmarks' pages: results, comparisons, a run and its samples; for staff while it runs."""

from __future__ import annotations

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from evaluation.models import Run
from evaluation.pages import run_pages, tables
from evaluation.pages.shown import NotShown
from evaluation.results.figures import words
from evaluation.running.progress import progress

SAMPLES_ON_A_PAGE = 25


@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "evaluation/index.html", {"index": tables.index()})


@require_safe
def task(request: HttpRequest, slug: str) -> HttpResponse:
    try:
        found = tables.task(slug)
    except NotShown as error:
        raise Http404("No benchmark of this name has a published result.") from error
    return render(request, "evaluation/task.html", {"slug": slug, "tables": found})


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    asked = {name: request.GET.get(name, "") for name in ("task", "a", "b")}
    try:
        found = tables.choices(key=asked["task"], a=asked["a"], b=asked["b"])
    except NotShown as error:
        raise Http404("No published result has this name.") from error
    return render(request, "evaluation/compare.html", {"choices": found, **asked})


def _may_look(request: HttpRequest) -> bool:
    return bool(request.user.is_staff and request.user.has_perm("evaluation.view_run"))


def _find_run(request: HttpRequest, pk: int) -> Run:
    try:
        return run_pages.find_run(pk, staff=_may_look(request))
    except NotShown as error:
        raise Http404("There is no run of this number, or it is not public.") from error


@require_safe
@never_cache
def run(request: HttpRequest, pk: int) -> HttpResponse:
    found = _find_run(request, pk)
    looks = _may_look(request)
    context = {"page": run_pages.run_page(found), "run": found, "staff": looks}
    if looks:
        seen = progress(found)
        context |= {
            "progress": seen,
            "words": words(seen),
            "live": not seen["over"],
            "operates": request.user.has_perm("evaluation.change_run"),
        }
    return render(request, "evaluation/run.html", context)


@require_safe
@never_cache
def samples(request: HttpRequest, pk: int) -> HttpResponse:
    found = _find_run(request, pk)
    looks = _may_look(request)
    if not (looks or run_pages.samples_public(found)):
        raise Http404("The items of this run are not public.")
    show = request.GET.get("show", "all")
    search = request.GET.get("item", "")[:200].replace("\0", "")  # PostgreSQL takes none
    if show not in run_pages.SHOWN:
        show = "all"
    listed = Paginator(run_pages.samples(found, show=show, search=search), SAMPLES_ON_A_PAGE)
    page = listed.get_page(request.GET.get("page"))
    context = {
        "page": run_pages.run_page(found),
        "run": found,
        "staff": looks,
        "shown": run_pages.SHOWN.items(),
        "show": show,
        "search": search,
        "listed": page,
        "samples": run_pages.sample_views(found, list(page)),
    }
    return render(request, "evaluation/samples.html", context)
