"""What the API reads and sends: the source of its OpenAPI document."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal

from ninja import Schema
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from leaderboard.board import COLUMNS, MAX_CHOICES, MAX_SEARCH
from leaderboard.formats.arena import STYLE_COLUMNS
from leaderboard.models import Method, Rating

LARGEST = 2**63 - 1  # a database's integer


def _digits(value: Any) -> Any:
    """Pydantic would read " 7", "+7" and "7_0" as numbers; the document says integer."""
    if isinstance(value, str) and not re.fullmatch(r"-?[0-9]{1,30}", value, re.ASCII):
        raise ValueError("must be a whole number")
    return value


Slug = Annotated[str, Field(pattern="^[-a-zA-Z0-9_]{1,110}$", examples=["overall"])]
MethodName = Literal["bradley_terry", "style_control", "elo"]
StatusName = Literal["ok", "provisional", "separated", "unrated"]
SortName = Literal[
    "rank", "model", "rating", "interval", "votes", "organisation", "licence", "win_rate",
    "both_bad_rate", "bootstrap", "status", "quantisation", "parameters", "context_length",
    "price_input", "price_output", "price_answer", "memory_gb", "knowledge_cutoff", "open_weights",
    "error_rate", "first_token", "tokens_per_second", "benchmarks",
]  # fmt: skip
BenchmarkSort = Annotated[str, Field(pattern=r"^bench\.[A-Za-z0-9_-]{1,250}$")]
Words = Annotated[str, Field(min_length=1, max_length=MAX_SEARCH)]
Choices = Annotated[list[Words], Field(max_length=MAX_CHOICES)]
Absent = SkipJsonSchema[None]  # left out of the address; there is no null in it
YesOrNo = Literal["true", "false"]
Billions = Annotated[str, Field(pattern=r"^[0-9]{1,6}(\.[0-9]{1,6})?$", examples=["7", "0.5"])]
Number = Annotated[int, Field(ge=1, le=LARGEST), BeforeValidator(_digits)]
Limit = Annotated[int, Field(ge=1, le=500), BeforeValidator(_digits)]

assert set(SortName.__args__) == set(COLUMNS)  # type: ignore[attr-defined]
assert set(MethodName.__args__) == set(Method.values)  # type: ignore[attr-defined]
assert set(StatusName.__args__) == set(Rating.Status.values)  # type: ignore[attr-defined]


class BoardParams(Schema):
    """The address of the leaderboard page, less its choice of columns."""

    category: Slug = Field("overall", description="A slug of /categories.")
    method: MethodName = Field("bradley_terry", description="How votes become ratings.")
    q: str = Field(
        "", max_length=MAX_SEARCH, description="Words in model, organisation or licence."
    )
    organisation: Choices = Field([], description="One of these; repeat the parameter.")
    licence: Choices = Field([], description="One of these; repeat the parameter.")
    quantisation: Choices = Field([], description="One of these; repeat the parameter.")
    status: list[StatusName] = Field(
        [], max_length=MAX_CHOICES, description="Of the rating; repeat the parameter."
    )
    open_weights: YesOrNo | Absent = Field(None, description="Only with, or only without.")
    min_size: Billions | Absent = Field(None, description="Billions of parameters.")
    max_size: Billions | Absent = Field(None, description="Billions of parameters.")
    retired: YesOrNo = Field("false", description="List retired models as well.")
    sort: SortName | BenchmarkSort = Field(
        "rank", description="A column of the page; of one benchmark `bench.` and its key."
    )
    order: Literal["asc", "desc"] | Absent = Field(
        None, description="Without it, the better end of the column comes first."
    )


class SnapshotParams(Schema):
    category: Slug | Absent = Field(None, description="Only of this category.")
    method: MethodName | Absent = Field(None, description="Only by this method.")
    before: Number | Absent = Field(None, description="Only ids below: `next` of the page before.")
    limit: Limit = Field(50, description="Snapshots a page.")


class HistoryParams(Schema):
    category: Slug = Field("overall", description="A slug of /categories.")
    method: MethodName = Field("bradley_terry", description="How votes become ratings.")
    before: Number | Absent = Field(
        None, description="Only snapshots below: `next` of the page before."
    )
    limit: Limit = Field(100, description="Snapshots a page.")


class PairParams(Schema):
    category: Slug = Field("overall", description="A slug of /categories.")
    method: MethodName = Field("bradley_terry", description="How votes become ratings.")
    page: Annotated[int, Field(ge=1, le=100_000), BeforeValidator(_digits)] = Field(
        1, description="Counted from 1."
    )
    limit: Annotated[int, Field(ge=1, le=5_000), BeforeValidator(_digits)] = Field(
        1_000, description="Pairs a page."
    )


class VoteParams(Schema):
    after: Annotated[int, Field(ge=0, le=LARGEST), BeforeValidator(_digits)] = Field(
        0, description="Only votes after this cursor: `next` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=1_000), BeforeValidator(_digits)] = Field(
        500, description="Votes a page."
    )


class Out(BaseModel):
    """Read from the attributes of the read model's dataclasses; nothing beside is sent."""

    model_config = ConfigDict(
        from_attributes=True, json_schema_serialization_defaults_required=True
    )


class Problem(Out):
    detail: str = Field(description="What is wrong, in words.", examples=["category: unknown"])
    parameter: str | None = Field(None, description="The parameter that is wrong, if one is.")


Whole = int | None
Real = float | None
Elo = Annotated[float | None, Field(description="Elo; null where no honest number exists.")]
Share = Annotated[float | None, Field(ge=0, le=1)]


class RowOut(Out):
    """One model's line. Every rating is null, with its interval and rank, or none is."""

    rank: Whole = Field(
        description="1 + the number of models whose whole interval lies higher.", examples=[1]
    )
    rank_low: Whole = Field(description="Best place in 95 % of the bootstrap's replicas.")
    rank_high: Whole = Field(description="Worst place in 95 % of the bootstrap's replicas.")
    rank_change: Whole = Field(description="Places gained since the snapshot of an earlier day.")
    model: str = Field(examples=["Qwen2.5-Coder-0.5B-Instruct Q4_K_M"])
    slug: str = Field(description="Its name in addresses.")
    url: str = Field(description="Its home page, or empty.")
    organisation: str
    licence: str
    licence_url: str
    rating: Elo = Field(examples=[1104.183])
    lower: Elo = Field(description="Lower end of the 95 % interval.")
    upper: Elo = Field(description="Upper end of the 95 % interval.")
    plus: Elo = Field(description="upper − rating.")
    minus: Elo = Field(description="rating − lower.")
    boot_lower: Elo = Field(description="Lower end of the bootstrap's interval.")
    boot_upper: Elo = Field(description="Upper end of the bootstrap's interval.")
    votes: int = Field(ge=0, description="Counted votes on it.")
    win_rate: Share = Field(description="Expected against all others alike.")
    both_bad_rate: Share = Field(description="Of its battles.")
    status: StatusName = Field(description="Whether the votes place it.")
    status_text: str = Field(description="The same in words.")
    provisional: bool = Field(description="Too few votes to lean on.")
    retired: bool
    quantisation: str
    parameters: str = Field(description="As stated by its maker.", examples=["7B"])
    billions: Real = Field(description="`parameters` as a number of billions.")
    context_length: Whole = Field(description="Tokens.")
    price_input: Real = Field(description="USD per million tokens.")
    price_output: Real = Field(description="USD per million tokens.")
    memory_gb: Real = Field(description="Gigabytes needed.")
    knowledge_cutoff: str
    open_weights: bool | None


class ScoreOut(Out):
    """What one whole run of a benchmark gave a model."""

    value: float = Field(description="Of the primary metric, on the benchmark's own scale.")
    low: Real = Field(description="Lower end of the 95 % interval; null where there is none.")
    high: Real = Field(description="Upper end of the 95 % interval.")
    n: int = Field(ge=0, description="Items scored.")
    errors: int = Field(ge=0, description="Requests that ended in an error.")
    unparsed: Whole = Field(description="Answers in which no answer was found; null: not told.")
    truncated: Whole = Field(description="Answers cut off by the token limit; null: not told.")
    finished_at: datetime
    source: str = Field(description="The program that ran it elsewhere; empty: this site.")
    run_id: int = Field(description="Its page is /benchmarks/runs/ and this number.")


Rounded = Annotated[float, AfterValidator(lambda value: round(value, 5))]


class BriefScoreOut(Out):
    """The figure alone, to five places: /benchmarks has what stands beside it."""

    value: Rounded
    low: Rounded | None = Field(description="Lower end of the 95 % interval.")
    high: Rounded | None = Field(description="Upper end of the 95 % interval.")
    n: int = Field(ge=0, description="Items scored.")
    run_id: int


class BenchmarkOut(Out):
    """One column of results that may be compared with each other."""

    key: str = Field(description="Its name in addresses.", examples=["first_steps"])
    task: str
    title: str
    metric: str = Field(description="filter/metric", examples=["none/exact_match"])
    baseline: float = Field(description="What guessing scores, as a share of the scale.")
    lowest: float = Field(description="Of the scale.")
    highest: float = Field(description="Of the scale.")
    higher_is_better: bool
    source: str = Field(description="The program that ran it elsewhere; empty: this site.")
    fingerprint: str = Field(description="SHA-256 of items, prompts, parameters and scorers.")
    main: bool = Field(description="This site's newest edition of the task.")
    counts: bool = Field(description="Is a part of the average.")


class LeaderboardRowOut(RowOut):
    requests: Whole = Field(description="Of the last 7 days, answered or failed.")
    error_rate: Share = Field(description="Share of them that failed.")
    first_token: Real = Field(description="Seconds to it, the median of the same days.")
    tokens_per_second: Real = Field(description="Of the writing alone.")
    price_answer: Real = Field(
        description="USD for a question and an answer of the mean length that it has had of late."
    )
    benchmark_average: Share = Field(
        description="Mean over the benchmarks, each from 0 (guessing) to 1; null while one of "
        "them is missing."
    )
    benchmark_low: Real = Field(description="Lower end of its 95 % interval.")
    benchmark_high: Real = Field(description="Upper end of its 95 % interval.")
    benchmark_n: Whole = Field(description="Items scored, of all its parts.")
    benchmarks: dict[str, BriefScoreOut] = Field(description="By key of /benchmarks.")


class SnapshotOut(Out):
    """One published computation. It never changes; the next one has another id."""

    id: int
    category: str
    method: MethodName
    published_at: datetime
    superseded: bool = Field(description="A newer one of its kind exists.")
    votes_counted: int = Field(ge=0)
    votes_excluded: dict[str, int] = Field(description="By reason.")
    votes_pending: int = Field(ge=0, description="Waiting when it was published.")
    configuration: dict[str, Any] = Field(description="What a reader needs to recompute it.")
    code_version: str
    data_hash: str = Field(description="SHA-256 of its inputs.")
    extra: dict[str, Any] = Field(description="What the method says beside ratings.")
    looked_at_every: float = Field(
        description="Seconds between two looks at whether a newer one is due."
    )


class CategoryOut(Out):
    slug: str = Field(examples=["coding"])
    name: str
    group: str = Field(description="overall, topic, form or language.")
    description: str
    votes: int = Field(ge=0)
    models: int = Field(ge=0, description="With votes in it.")
    methods: list[MethodName] = Field(description="Those it is published with.")


class FacetOut(Out):
    value: str
    label: str
    count: int = Field(ge=0, description="Rows it would leave, other filters being as they are.")
    chosen: bool


class LeaderboardOut(Out):
    query: str = Field(description="This view's canonical query string; empty for the default.")
    category: CategoryOut
    snapshot: SnapshotOut | None = Field(description="Null before anything is published.")
    listed: int = Field(ge=0, description="Rows without the filters.")
    rows: list[LeaderboardRowOut]
    facets: dict[str, list[FacetOut]]


class ModelScoresOut(Out):
    model: str = Field(description="A slug.")
    average: Share
    average_low: Real
    average_high: Real
    scores: dict[str, ScoreOut] = Field(description="By key of the benchmark.")


class BenchmarksOut(Out):
    benchmarks: list[BenchmarkOut]
    models: list[ModelScoresOut] = Field(description="Those with a result, by slug.")


class CategoriesOut(Out):
    categories: list[CategoryOut]


class SnapshotsOut(Out):
    snapshots: list[SnapshotOut]
    next: Whole = Field(description="`before` of the next page; null on the last.")


class SnapshotWithRowsOut(Out):
    snapshot: SnapshotOut
    rows: list[RowOut] = Field(description="Retired models too.")


class ModelOut(Out):
    name: str
    slug: str
    status: Literal["active", "paused", "retired", "imported"]
    organisation: str
    licence: str
    licence_url: str
    url: str
    description: str
    parameters: str
    quantisation: str
    context_length: Whole
    price_input: Real = Field(description="USD per million tokens.")
    price_output: Real = Field(description="USD per million tokens.")
    memory_gb: Real
    knowledge_cutoff: str
    open_weights: bool | None


class StandingOut(Out):
    snapshot: int
    category: str
    method: MethodName
    published_at: datetime
    rank: Whole
    rank_low: Whole
    rank_high: Whole
    rating: Elo
    lower: Elo
    upper: Elo
    votes: int = Field(ge=0)
    win_rate: Share
    both_bad_rate: Share
    status: StatusName


class ModelsOut(Out):
    models: list[ModelOut]


class ModelWithStandingsOut(Out):
    model: ModelOut
    standings: list[StandingOut] = Field(description="Now, in each category shown.")


class HistoryOut(Out):
    model: str = Field(description="Its slug.")
    history: list[StandingOut] = Field(description="Newest first.")
    next: Whole = Field(description="`before` of the next page; null on the last.")


class PairOut(Out):
    model_a: str = Field(description="A slug; the smaller of the two.")
    model_b: str
    battles: int = Field(ge=0)
    wins_a: int = Field(ge=0)
    wins_b: int = Field(ge=0)
    ties: int = Field(ge=0)
    both_bad: int = Field(ge=0)


class PairsOut(Out):
    snapshot: SnapshotOut | None
    pairs: list[PairOut]
    total: int = Field(ge=0, description="Pairs on all pages.")
    next: Whole = Field(description="`page` of the next page; null on the last.")


class VoteOut(Out):
    """A row of the public vote export, typed. There is no text in it, and no voter's key."""

    vote_id: str
    model_a: str
    model_b: str
    winner: Literal["model_a", "model_b", "tie", "both_bad"]
    voter: str = Field(description="A pseudonym, the same in all exports; empty if unknown.")
    timestamp: datetime
    turns: int = Field(ge=0)
    language: str = Field(description="ISO 639; empty if unknown.")
    prompt_tokens: int = Field(ge=0)
    flags: list[str] = Field(description="What was found in its texts.", examples=[["code"]])
    pair_probability: Real = Field(description="With which the pair was drawn.")
    source: str = Field(description="Where it was imported from; empty for this arena's own.")
    counted: bool
    exclusion_reason: str = Field(description="Why it does not count, or what it waits for.")
    categories: list[str]
    styles: dict[str, int] | None = Field(
        description=f"{', '.join(STYLE_COLUMNS)}; null where it came without texts."
    )
    digest: str = Field(description="First 16 hex digits of SHA-256 over the CSV row's cells.")


class VotesOut(Out):
    votes: list[VoteOut]
    next: Whole = Field(description="`after` of the next page; null when there are no more yet.")
