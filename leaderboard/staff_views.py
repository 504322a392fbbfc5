"""Pages for the staff: votes in, votes out."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from channels.db import database_sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from arena.staff import staff
from leaderboard.models import ImportRun
from leaderboard.staff_forms import ExportForm, ImportForm
from leaderboard.transfer import exporting, import_runs
from leaderboard.transfer.exporting import BadFilter, Filters

RECENT = 20


@staff("leaderboard.add_importrun")
@require_http_methods(["GET", "HEAD", "POST"])
def imports(request: HttpRequest) -> HttpResponse:
    form = ImportForm(request.POST, request.FILES) if request.method == "POST" else ImportForm()
    if form.is_valid():
        run = import_runs.request(requested_by=request.user, **form.cleaned_data)
        return redirect("leaderboard:staff_import", pk=run.pk)
    runs = ImportRun.objects.select_related("requested_by")[:RECENT]
    return render(request, "leaderboard/staff/imports.html", {"form": form, "runs": runs})


@staff("leaderboard.add_importrun")
@require_safe
def import_run(request: HttpRequest, pk: int) -> HttpResponse:
    run = get_object_or_404(ImportRun.objects.select_related("requested_by"), pk=pk)
    return render(request, "leaderboard/staff/import_run.html", {"run": run})


@staff("arena.view_vote")
@require_http_methods(["GET", "HEAD", "POST"])
def exports(request: HttpRequest) -> HttpResponseBase:
    form = ExportForm(request.POST) if request.method == "POST" else ExportForm()
    preview = None
    if form.is_valid():
        format, filters = form.cleaned_data["format"], form.filters()
        try:
            if "download" in request.POST:
                return _download(request, format, exporting.pieces(format=format, filters=filters))
            preview = exporting.preview(format=format, filters=filters)
        except BadFilter as error:
            form.add_error(None, str(error))
    context = {
        "form": form,
        "preview": preview,
        "without_text": exporting.without_text(Filters(), format=exporting.DEFAULT),
        "with_texts": [f.title for f in exporting.FORMATS.values() if f.texts],
    }
    return render(request, "leaderboard/staff/exports.html", context)


def _download(
    request: HttpRequest, format: str, pieces: Iterator[exporting.Piece]
) -> StreamingHttpResponse:
    target = exporting.FORMATS[format]
    content = (piece.content for piece in pieces)
    response = StreamingHttpResponse(
        # Each server takes only its own kind as it comes; the other it would collect whole.
        _asynchronously(content) if isinstance(request, ASGIRequest) else content,
        content_type="text/csv; charset=utf-8"
        if target.extension == "csv"
        else "application/x-ndjson",
    )
    name = f"votes-{format}-{timezone.now():%Y-%m-%d}.{target.extension}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    response["X-Content-Type-Options"] = "nosniff"
    return response


async def _asynchronously(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    following = database_sync_to_async(next)
    while (piece := await following(pieces, None)) is not None:
        yield piece
