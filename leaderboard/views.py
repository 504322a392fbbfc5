"""The leaderboard's pages. They read published snapshots and compute no rating."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from leaderboard import board as boards
from leaderboard import methods, sampling
from leaderboard.board import (
    BadParameter,
    Board,
    BoardQuery,
    NoSuchBenchmark,
    NoSuchCategory,
    charts,
    drawing,
    model_pages,
    published,
    response_cache,
)
from leaderboard.board import families as model_families
from leaderboard.board.agreement import FEWEST
from leaderboard.board.published import NotPublished
from leaderboard.board.rows import Axis, table_rows
from leaderboard.formats.csv_cells import TableWriter
from leaderboard.models import OVERALL, Category, Method


def public_page(
    request: HttpRequest, query: str, build: Callable[[], HttpResponse]
) -> HttpResponse:
    """The same page for everybody is built once a snapshot; who is signed in gets their own."""
    signed_in = settings.SESSION_COOKIE_NAME in request.COOKIES
    return response_cache.respond(request, query=query, build=build, shared=not signed_in)


def bad_request(request: HttpRequest, message: str) -> HttpResponse:
    return render(request, "leaderboard/bad_request.html", {"message": message}, status=400)


def view_of(request: HttpRequest, build: Callable[[Board], HttpResponse]) -> HttpResponse:
    """A page or a file that shows the board which the address describes."""
    try:
        query = BoardQuery.from_params(request.GET)
        return public_page(request, query.encoded(), lambda: build(boards.read(query)))
    except BadParameter as error:
        return bad_request(request, str(error))
    except NoSuchCategory as error:
        raise Http404(
            "This category is not shown: it has too few battles, or does not exist."
        ) from error
    except NoSuchBenchmark as error:
        raise Http404("A benchmark of this view has no published result, or no longer.") from error


@require_safe
def board(request: HttpRequest) -> HttpResponse:
    return view_of(
        request, lambda board: render(request, "leaderboard/board.html", board_context(board))
    )


@require_safe
def all_charts(request: HttpRequest) -> HttpResponse:
    def build(board: Board) -> HttpResponse:
        drawn = charts.all_charts(board)
        context = {
            **board_context(board),
            "charts": drawn,
            "against_drawn": "benchmarks" in {chart.name for chart in drawn},
            "fewest": FEWEST,
        }
        return render(request, "leaderboard/charts.html", context)

    return view_of(request, build)


@require_safe
def chart_file(request: HttpRequest, name: str, kind: str) -> HttpResponse:
    """One chart of a view as SVG, or its numbers as CSV."""
    if name not in charts.CHARTS:
        raise Http404(f"There is no chart named {name}.")

    def build(board: Board) -> HttpResponse:
        chart = charts.one_chart(name, board)
        if chart is None:
            raise Http404("There is nothing to draw in this view.")
        if kind == "svg":
            response = HttpResponse(chart.svg, content_type="image/svg+xml; charset=utf-8")
        else:
            response = HttpResponse(chart.csv(), content_type="text/csv; charset=utf-8")
        number = board.snapshot.id if board.snapshot else "none"
        response["Content-Disposition"] = (
            f'attachment; filename="{name}-{board.category.slug}-snapshot-{number}.{kind}"'
        )
        return response

    return view_of(request, build)


@require_safe
def model(request: HttpRequest, slug: str) -> HttpResponse:
    def build() -> HttpResponse:
        view = model_pages.model_view(slug)
        moments = charts.moments_of([slug], OVERALL, Method.BRADLEY_TERRY).get(slug, [])
        context = {
            "view": view,
            "categories": dict(Category.objects.values_list("slug", "name")),
            "history": drawing.history(
                [(view.card.name, moments)], title=f"Rating of {view.card.name} over time"
            ),
            "moments": moments,
        }
        return render(request, "leaderboard/model.html", context)

    try:
        return public_page(request, "", build)
    except NotPublished as error:
        raise Http404("No model of this name is listed.") from error


@require_safe
def compare(request: HttpRequest) -> HttpResponse:
    a, b = request.GET.get("a", ""), request.GET.get("b", "")

    def build() -> HttpResponse:
        context: dict[str, Any] = {"models": published.models(), "a": a, "b": b}
        if a and b and a != b:
            context["comparison"] = model_pages.compare(a, b)
            context["categories"] = dict(Category.objects.values_list("slug", "name"))
        return render(request, "leaderboard/compare.html", context)

    try:
        return public_page(request, f"a={a}&b={b}", build)
    except NotPublished as error:
        raise Http404("No model of this name is listed.") from error


@require_safe
def families(request: HttpRequest) -> HttpResponse:
    def build() -> HttpResponse:
        context = {"families": model_families.families()}
        return render(request, "leaderboard/families.html", context)

    return public_page(request, "", build)


@require_safe
def method(request: HttpRequest) -> HttpResponse:
    def build() -> HttpResponse:
        context = {
            "current": [boards.snapshot_meta(s) for s in boards.current_snapshots()],
            "categories": Category.objects.all(),
            "configurations": [
                (label, methods.CONFIGURATION[value]) for value, label in Method.choices
            ],
            "minimum": settings.MIN_RATED_VOTES,
            "min_battles": settings.MIN_CATEGORY_BATTLES,
            "min_models": settings.MIN_CATEGORY_MODELS,
        }
        return render(request, "leaderboard/method.html", context)

    return public_page(request, "", build)


def board_context(board: Board) -> dict[str, Any]:
    query = board.query
    axis = Axis.over(board.rows)
    filters = sum(
        map(len, (query.organisations, query.licences, query.quantisations, query.statuses))
    ) + sum((query.open_weights is not None, query.min_size is not None,
             query.max_size is not None, query.retired))  # fmt: skip
    return {
        "board": board,
        "query": query,
        "address": query.encoded(),
        "table_rows": table_rows(
            board.rows, [c.key for c in board.columns], axis, board.benchmarks.columns
        ),
        "axis": axis,
        "heads": [
            (column, query.sorted_by(column.key).encoded(), _sorted(query, column.key))
            for column in board.columns
        ],
        "groups": _by_group(board),
        "filters": filters,
        "method_label": Method(query.method).label,
        "method_published": query.method in dict(board.methods) or not board.methods,
        # On a narrow screen the average then stands below the model's name.
        "usual": query.columns == boards.DEFAULT_COLUMNS and query.sort != "benchmarks",
        "all_columns": [(column, column.key in query.columns) for column in board.all_columns],
    }


def _sorted(query: BoardQuery, column: str) -> str:
    """What aria-sort says of the column."""
    if query.sort != column:
        return ""
    return "descending" if query.descending else "ascending"


def _by_group(board: Board) -> list[tuple[str, list[boards.CategoryChoice]]]:
    groups: dict[str, list[boards.CategoryChoice]] = {}
    for category in board.categories:
        groups.setdefault(category.group, []).append(category)
    return [(name.capitalize(), members) for name, members in groups.items()]


@require_safe
def sampling_rates(request: HttpRequest) -> HttpResponse:
    """Who was drawn how often on one day, and what became of it."""
    days = sampling.days()
    asked = request.GET.get("day", "")
    day = next((d for d in days if d.isoformat() == asked), days[0] if days else None)
    context = {"days": days, "day": day, "rows": sampling.rows(day) if day else []}
    return render(request, "leaderboard/sampling.html", context)


@require_safe
def sampling_file(request: HttpRequest) -> HttpResponse:
    """All days and models as CSV."""
    stream = BytesIO()
    table = TableWriter(
        stream,
        (
            *("day", "model", *sampling.FIGURES, "void_reasons", "exclusion_reasons"),
            *("weight", "weight_reason", "samplers"),
        ),
    )
    for row in sampling.rows():
        figures = (getattr(row, name) for name in sampling.FIGURES)
        weight = "" if row.weight is None else row.weight
        samplers = " ".join(row.samplers)
        reasons = (
            " ".join(f"{reason}={n}" for reason, n in each)
            for each in (row.void_reasons, row.exclusion_reasons)
        )
        table.row(
            *(row.day.isoformat(), row.model, *figures, *reasons),
            *(weight, row.weight_reason, samplers),
        )
    response = HttpResponse(stream.getvalue(), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = 'attachment; filename="sampling.csv"'
    return response
