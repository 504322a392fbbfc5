"""A run's results and samples to download, as lm-evaluation-harness's files."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from channels.db import database_sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.views.decorators.http import require_safe

from evaluation.exchange import exporting
from evaluation.formats.measured import task_name
from evaluation.models import SCORED, Run
from evaluation.pages import run_pages
from evaluation.pages.shown import NotShown

LINES_AT_ONCE = 100


@require_safe
def results(request: HttpRequest, pk: int) -> HttpResponse:
    """The scores of a public run; the staff gets those of every scored one."""
    run, staff = _run(request, pk)
    # Examples written into a task's definition are items, too.
    with_config = staff or run_pages.samples_public(run)
    document = exporting.results_document(run=run, with_config=with_config)
    response = HttpResponse(exporting.as_text(document), content_type="application/json")
    _as_file(response, f"results_{exporting.file_date(run)}.json")
    return response


@require_safe
def samples(request: HttpRequest, pk: int) -> StreamingHttpResponse:
    """Items, prompts and answers of a public run, unless its items are private."""
    run, staff = _run(request, pk)
    if not (staff or run_pages.samples_public(run)):
        raise Http404("The items of this run are not public.")
    if not run.samples.exists():
        raise Http404("This run was imported without samples.")
    pieces = _pieces(exporting.sample_lines(run=run))
    response = StreamingHttpResponse(
        # Each server takes only its own kind as it comes; the other it would collect whole.
        _asynchronously(pieces) if isinstance(request, ASGIRequest) else pieces,
        content_type="application/x-ndjson",
    )
    _as_file(response, f"samples_{task_name(run.task.slug)}_{exporting.file_date(run)}.jsonl")
    return response


def _run(request: HttpRequest, pk: int) -> tuple[Run, bool]:
    """The run, and whether who asks may see what is not public."""
    staff = bool(request.user.is_staff and request.user.has_perm("evaluation.view_run"))
    try:
        run = run_pages.find_run(pk, staff=staff)
    except NotShown as error:
        raise Http404("There is no run of this number, or it is not public.") from error
    if run.withdrawn_at is not None and not staff:
        raise Http404(f"This run has been withdrawn: {run.withdrawn_reason}")
    if run.state not in SCORED or not run.results:
        raise Http404("This run has no results.")
    return run, staff


def _as_file(response: HttpResponseBase, name: str) -> None:
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"


def _pieces(lines: Iterator[str]) -> Iterator[bytes]:
    held: list[str] = []
    for line in lines:
        held.append(line)
        if len(held) == LINES_AT_ONCE:
            yield "".join(held).encode()
            held = []
    if held:
        yield "".join(held).encode()


async def _asynchronously(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    following = database_sync_to_async(next)
    while (piece := await following(pieces, None)) is not None:
        yield piece
