"""The operations of the API. Each reads what is published and answers with bytes that keep."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlencode

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from ninja import NinjaAPI, Path, Query, Schema
from ninja.errors import ValidationError
from pydantic import BaseModel

from arena.models import Vote
from config.version import VERSION
from evaluation.results.published import Benchmarks
from leaderboard import board, public_votes
from leaderboard.api import schemas
from leaderboard.board import published, response_cache
from leaderboard.board.response_cache import MAX_AGE
from leaderboard.formats import arena

DESCRIPTION = """\
Ratings of language models from votes between two anonymous answers. Read-only, open to any
origin, without key or cookie. Answers carry an `ETag`: send it back as `If-None-Match` and an
unchanged one costs a 304 without a body. Numbers are those of published snapshots: immutable,
and recomputable from `/votes`.
"""


def _kept(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """The document itself, with an ETag like every other answer."""

    def answer(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return response_cache.respond(
            request, query="", build=lambda: view(request, **kwargs), max_age=MAX_AGE
        )

    return answer


api = NinjaAPI(
    title="Arena leaderboard",
    version="1",
    description=DESCRIPTION,
    docs_url=None,  # Swagger's page fetches itself from elsewhere, which the CSP forbids
    docs_decorator=_kept,
    urls_namespace="api",
    openapi_extra={"info": {"x-software-version": VERSION}},
)
WRONG = {404: schemas.Problem, 422: schemas.Problem}


def problem(status: int, detail: str, parameter: str | None = None) -> HttpResponse:
    body = schemas.Problem(detail=detail, parameter=parameter).model_dump_json()
    return HttpResponse(body, status=status, content_type="application/json")


@api.exception_handler(ValidationError)
def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    first = error.errors[0]
    # ("query", "params", "sort"), ("query", "params", "status", 0)
    names = [part for part in first["loc"] if isinstance(part, str)]
    name = names[2] if len(names) > 2 else names[-1]
    return problem(422, f"{name}: {first['msg']}", name)


@api.exception_handler(board.BadParameter)
def _bad_parameter(request: HttpRequest, error: board.BadParameter) -> HttpResponse:
    return problem(422, str(error), error.parameter)


@api.exception_handler(board.NoSuchCategory)
def _no_such_category(request: HttpRequest, error: board.NoSuchCategory) -> HttpResponse:
    return problem(404, f"category: no board named {str(error)!r} is shown", "category")


@api.exception_handler(board.NoSuchBenchmark)
def _no_such_benchmark(request: HttpRequest, error: board.NoSuchBenchmark) -> HttpResponse:
    return problem(404, str(error), error.parameter)


@api.exception_handler(published.NotPublished)
def _not_published(request: HttpRequest, error: published.NotPublished) -> HttpResponse:
    return problem(404, f"{error}: there is no such thing, or it is not public")


def _as_json(content: BaseModel) -> HttpResponse:
    return HttpResponse(content.model_dump_json(), content_type="application/json")


def _answer(
    request: HttpRequest, params: Schema | None, build: Callable[[], BaseModel]
) -> HttpResponse:
    query = urlencode(params.model_dump(exclude_none=True), doseq=True) if params else ""
    return response_cache.respond(
        request, query=query, build=lambda: _as_json(build()), max_age=MAX_AGE
    )


@api.get(
    "/leaderboard",
    response={200: schemas.LeaderboardOut, **WRONG},
    summary="The leaderboard",
    tags=["board"],
    operation_id="leaderboard",
)
def leaderboard(request: HttpRequest, params: Query[schemas.BoardParams]) -> HttpResponse:
    """Exactly what the page shows for the same parameters, filtered and sorted."""
    query = board.BoardQuery.from_params(_given(params))

    def build() -> BaseModel:
        read = board.read(query)
        return schemas.LeaderboardOut(
            query=query.encoded(),
            category=schemas.CategoryOut.model_validate(read.category),
            snapshot=_snapshot(read.snapshot),
            listed=read.listed,
            rows=[schemas.LeaderboardRowOut.model_validate(row) for row in read.rows],
            facets={
                name: [schemas.FacetOut.model_validate(choice) for choice in choices]
                for name, choices in read.facets.items()
            },
        )

    return response_cache.respond(
        request, query=query.encoded(), build=lambda: _as_json(build()), max_age=MAX_AGE
    )


def _given(params: Schema) -> Mapping[str, Any]:
    return {k: v for k, v in params.model_dump().items() if v is not None}


def _snapshot(meta: board.SnapshotMeta | None) -> schemas.SnapshotOut | None:
    return None if meta is None else schemas.SnapshotOut.model_validate(meta)


@api.get(
    "/benchmarks",
    operation_id="benchmarks",
    response=schemas.BenchmarksOut,
    summary="Benchmark results",
    tags=["board"],
)
def benchmarks(request: HttpRequest) -> HttpResponse:
    """Of whole runs only. Results under one key are of the same items, prompts and scorers."""

    def build() -> BaseModel:
        found, slugs = published.benchmark_results()
        return schemas.BenchmarksOut(
            benchmarks=[schemas.BenchmarkOut.model_validate(column) for column in found.columns],
            models=[_scores(found, contestant, slug) for contestant, slug in slugs],
        )

    return _answer(request, None, build)


def _scores(found: Benchmarks, contestant: int, slug: str) -> schemas.ModelScoresOut:
    low, high = found.average_interval.get(contestant, (None, None))
    results = found.results[contestant].items()
    return schemas.ModelScoresOut(
        model=slug,
        average=found.average.get(contestant),
        average_low=low,
        average_high=high,
        scores={key: schemas.ScoreOut.model_validate(result) for key, result in results},
    )


@api.get(
    "/categories",
    operation_id="categories",
    response=schemas.CategoriesOut,
    summary="Categories",
    tags=["board"],
)
def categories(request: HttpRequest) -> HttpResponse:
    """Those that have a board: enough battles and enough models. Overall always has one."""

    def build() -> BaseModel:
        shown = board.shown_categories(board.current_snapshots())
        return schemas.CategoriesOut(
            categories=[schemas.CategoryOut.model_validate(category) for category in shown]
        )

    return _answer(request, None, build)


@api.get(
    "/snapshots",
    response={200: schemas.SnapshotsOut, **WRONG},
    summary="Snapshots, newest first",
    tags=["snapshots"],
    operation_id="snapshots",
)
def snapshots(request: HttpRequest, params: Query[schemas.SnapshotParams]) -> HttpResponse:
    """Without their rows. After two days only the last of each day is kept."""

    def build() -> BaseModel:
        found = published.snapshots(
            category=params.category,
            method=params.method,
            before=params.before,
            limit=params.limit + 1,
        )
        page, more = found[: params.limit], len(found) > params.limit
        return schemas.SnapshotsOut(
            snapshots=[schemas.SnapshotOut.model_validate(meta) for meta in page],
            next=page[-1].id if more else None,
        )

    return _answer(request, params, build)


@api.get(
    "/snapshots/{snapshot}",
    response={200: schemas.SnapshotWithRowsOut, **WRONG},
    summary="One snapshot with its ratings",
    tags=["snapshots"],
    operation_id="snapshot",
)
def snapshot(request: HttpRequest, snapshot: Path[schemas.Number]) -> HttpResponse:
    """All of its public rows, best first."""

    def build() -> BaseModel:
        meta, rows = published.snapshot(snapshot)
        return schemas.SnapshotWithRowsOut(
            snapshot=schemas.SnapshotOut.model_validate(meta),
            rows=[schemas.RowOut.model_validate(row) for row in rows],
        )

    return _answer(request, None, build)


@api.get(
    "/models",
    operation_id="models",
    response=schemas.ModelsOut,
    summary="Models by name",
    tags=["models"],
)
def models(request: HttpRequest) -> HttpResponse:
    """Every model with a public name, retired ones too."""

    def build() -> BaseModel:
        return schemas.ModelsOut(
            models=[schemas.ModelOut.model_validate(card) for card in published.models()]
        )

    return _answer(request, None, build)


@api.get(
    "/models/{slug}",
    response={200: schemas.ModelWithStandingsOut, **WRONG},
    summary="A model and where it stands",
    tags=["models"],
    operation_id="model",
)
def model(request: HttpRequest, slug: Path[schemas.Slug]) -> HttpResponse:
    """Its card, and its current line in each category by each method."""

    def build() -> BaseModel:
        card, standings = published.model(slug)
        return schemas.ModelWithStandingsOut(
            model=schemas.ModelOut.model_validate(card),
            standings=[schemas.StandingOut.model_validate(standing) for standing in standings],
        )

    return _answer(request, None, build)


@api.get(
    "/models/{slug}/history",
    response={200: schemas.HistoryOut, **WRONG},
    summary="A model's ratings over time",
    tags=["models"],
    operation_id="history",
)
def history(
    request: HttpRequest, slug: Path[schemas.Slug], params: Query[schemas.HistoryParams]
) -> HttpResponse:
    """Its line in every snapshot of one category and method, newest first."""

    def build() -> BaseModel:
        found = published.history(
            slug,
            category=params.category,
            method=params.method,
            before=params.before,
            limit=params.limit + 1,
        )
        page, more = found[: params.limit], len(found) > params.limit
        return schemas.HistoryOut(
            model=slug,
            history=[schemas.StandingOut.model_validate(standing) for standing in page],
            next=page[-1].snapshot if more else None,
        )

    return _answer(request, params, build)


@api.get(
    "/pairs",
    response={200: schemas.PairsOut, **WRONG},
    summary="Who met whom, and how it ended",
    tags=["board"],
    operation_id="pairs",
)
def pairs(request: HttpRequest, params: Query[schemas.PairParams]) -> HttpResponse:
    """The pair counts that the current snapshot was made from, each pair once, by slug."""

    def build() -> BaseModel:
        meta, found = published.pairs(category=params.category, method=params.method)
        end = params.page * params.limit
        page = found[end - params.limit : end]
        return schemas.PairsOut(
            snapshot=_snapshot(meta),
            pairs=[schemas.PairOut.model_validate(pair) for pair in page],
            total=len(found),
            next=params.page + 1 if end < len(found) else None,
        )

    return _answer(request, params, build)


@api.get(
    "/votes",
    response={200: schemas.VotesOut, 422: schemas.Problem},
    summary="The public votes",
    tags=["votes"],
    operation_id="votes",
)
def votes(request: HttpRequest, params: Query[schemas.VoteParams]) -> HttpResponse:
    """Every vote, oldest first, those that do not count too, with the reason.

    Votes on models without a public name are left out until they have one: their place in the
    order is then among the old ones, so a copy that must be whole starts from 0 now and then.
    """
    after = _public_votes().filter(pk__gt=params.after)
    ids = list(after.values_list("pk", flat=True)[: params.limit + 1])
    page, more = ids[: params.limit], len(ids) > params.limit
    # By number, so that a page costs the same however many votes there are.
    first, last = (page[0], page[-1]) if page else (0, 0)
    chosen = _public_votes().filter(pk__gte=first, pk__lte=last)
    content = schemas.VotesOut(
        votes=[_vote(vote) for vote in public_votes.public_votes(chosen)],
        next=last if more else None,
    )
    return response_cache.respond_once(request, _as_json(content), max_age=MAX_AGE)


def _public_votes() -> QuerySet[Vote]:
    return Vote.objects.public().order_by("pk")


def _vote(vote: arena.PublicVote) -> schemas.VoteOut:
    fields = {name: getattr(vote, name) for name in vote.__slots__}
    styles = dict(zip(arena.STYLE_COLUMNS, vote.styles, strict=True)) if vote.styles else None
    return schemas.VoteOut(
        **{**fields, "styles": styles}, digest=arena.digest(arena.cells_of(vote))
    )
