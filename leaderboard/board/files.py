"""The view of the leaderboard page as a file to keep."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from leaderboard import board
from leaderboard.board import response_cache, tables


@require_safe
def export(request: HttpRequest, kind: str) -> HttpResponse:
    """leaderboard/export.csv, .json or .parquet with the query string of the page."""
    try:
        query = board.BoardQuery.from_params(request.GET)
    except board.BadParameter as error:
        return _refused(str(error), 422)
    try:
        return response_cache.respond(
            request,
            query=query.encoded(),
            build=lambda: _file(query, kind),
            max_age=response_cache.MAX_AGE,
        )
    except board.NoSuchCategory as error:
        return _refused(f"category: no board named {str(error)!r} is shown", 404)
    except board.NoSuchBenchmark as error:
        return _refused(str(error), 404)


def _file(query: board.BoardQuery, kind: str) -> HttpResponse:
    read = board.read(query)
    write, content_type = tables.WRITERS[kind]
    response = HttpResponse(write(read), content_type=content_type)
    number = read.snapshot.id if read.snapshot else "none"
    name = f"leaderboard-{read.category.slug}-{query.method}-snapshot-{number}.{kind}"
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _refused(detail: str, status: int) -> HttpResponse:
    return HttpResponse(detail, status=status, content_type="text/plain; charset=utf-8")
