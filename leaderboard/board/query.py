"""What a reader asks of the leaderboard: which rows, in which order, with which columns."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from django.utils.datastructures import MultiValueDict

from leaderboard.models import OVERALL, Method, Rating

MAX_SEARCH = 100
MAX_COLUMN = 300
MAX_LIST = 5_000
MAX_CHOICES = 50  # values of one facet in one address


# The facets of an address: its names for them, and the fields of BoardQuery that hold them.
FACET_FIELDS = {
    "organisation": "organisations",
    "licence": "licences",
    "quantisation": "quantisations",
    "status": "statuses",
}


class BadParameter(ValueError):
    """A parameter of the address has a value that it cannot have."""

    def __init__(self, parameter: str, detail: str) -> None:
        super().__init__(f"{parameter}: {detail}")
        self.parameter = parameter
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the page; in a file it is as many as it has `fields` of Row."""

    key: str
    label: str
    fields: tuple[str, ...]
    description: str
    numeric: bool = True
    descending: bool = True  # the direction of the first click
    default: bool = False

    @property
    def style(self) -> str:
        """Its name in style sheets; single benchmarks look alike."""
        return "bench" if benchmark_of(self.key) else self.key


COLUMNS: dict[str, Column] = {
    column.key: column
    for column in (
        Column("rank", "Rank", ("rank", "rank_low", "rank_high", "rank_change"),
               "1 + the models whose whole interval lies higher; its bootstrap interval; places "
               "gained since the snapshot of an earlier day",
               descending=False, default=True),
        Column("model", "Model", ("model", "slug"), "Name, unique in this arena",
               numeric=False, descending=False, default=True),
        Column("rating", "Arena Elo", ("rating", "lower", "upper"),
               "Rating on the Elo scale with its 95 % interval", default=True),
        Column("interval", "95 % CI", ("plus", "minus"),
               "From the rating up and down to the ends of the interval",
               descending=False, default=True),
        Column("votes", "Votes", ("votes",), "Counted votes on this model", default=True),
        Column("organisation", "Organisation", ("organisation",), "Who made the model",
               numeric=False, descending=False, default=True),
        Column("licence", "Licence", ("licence",), "Terms of the weights or the service",
               numeric=False, descending=False, default=True),
        Column("benchmarks", "Benchmarks",
               ("benchmark_average", "benchmark_low", "benchmark_high", "benchmark_n"),
               "Mean over the benchmarks, each from 0 (guessing) to 100; only of models that have "
               "taken all of them", default=True),
        Column("win_rate", "Win rate", ("win_rate",),
               "Expected share of wins against all others alike"),
        Column("both_bad_rate", "Both bad", ("both_bad_rate",),
               "Share of this model's battles in which both answers were called bad",
               descending=False),
        Column("bootstrap", "Bootstrap", ("boot_lower", "boot_upper"),
               "Interval from resampled votes", descending=False),
        Column("status", "Status", ("status",), "Whether the votes place the model",
               numeric=False, descending=False),
        Column("quantisation", "Quantisation", ("quantisation",), "Of the weights served",
               numeric=False, descending=False),
        Column("parameters", "Parameters", ("parameters",), "As stated by its maker"),
        Column("context_length", "Context", ("context_length",), "Tokens"),
        Column("price_input", "Price in", ("price_input",), "USD per million tokens",
               descending=False),
        Column("price_output", "Price out", ("price_output",), "USD per million tokens",
               descending=False),
        Column("price_answer", "Price per answer", ("price_answer",),
               "USD for a question and an answer of the mean length that it has had of late",
               descending=False),
        Column("memory_gb", "Memory", ("memory_gb",), "Gigabytes needed", descending=False),
        Column("knowledge_cutoff", "Knowledge cut-off", ("knowledge_cutoff",), "As stated",
               numeric=False),
        Column("open_weights", "Open weights", ("open_weights",), "Whether anyone may fetch them",
               numeric=False),
        Column("error_rate", "Error rate", ("error_rate", "requests"),
               "Share of the requests of the last 7 days that failed", descending=False),
        Column("first_token", "First token", ("first_token",),
               "Seconds to the first token, the median of the last 7 days", descending=False),
        Column("tokens_per_second", "Tokens/s", ("tokens_per_second",),
               "Of the writing alone, over the answers of the last 7 days"),
    )
}  # fmt: skip
# The columns of single benchmarks are those there are results of: "bench." and a name.
BENCHMARK = "bench."
_BENCHMARK = re.compile(r"bench\.([A-Za-z0-9_-]{1,250})", re.ASCII)
DEFAULT_COLUMNS = tuple(key for key, column in COLUMNS.items() if column.default)
STATUSES = tuple(Rating.Status.values)


def benchmark_of(key: str) -> str:
    """The benchmark whose column this is; "" for a column that is there always."""
    match = _BENCHMARK.fullmatch(key)
    return match[1] if match else ""


def falls(key: str) -> bool | None:
    """Whether the better end of this column is its highest; a benchmark's is its own affair."""
    return COLUMNS[key].descending if key in COLUMNS else None


@dataclass(frozen=True, slots=True)
class BoardQuery:
    """Which rows, in which order, with which columns."""

    category: str = OVERALL
    method: str = Method.BRADLEY_TERRY.value
    search: str = ""
    organisations: tuple[str, ...] = ()
    licences: tuple[str, ...] = ()
    quantisations: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    open_weights: bool | None = None
    min_size: float | None = None  # billions of parameters
    max_size: float | None = None
    retired: bool = False  # retired models are listed too
    sort: str = "rank"
    descending: bool | None = False  # None: the better end first, which only the results say
    columns: tuple[str, ...] = DEFAULT_COLUMNS
    against: str = ""  # the benchmark that a chart sets the ratings against; "": the average

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> BoardQuery:
        """Read an address. Parameters it does not know are ignored, empty ones are defaults."""
        read = _Reader(params)
        sort = read.column("sort", "rank")
        asked = read.columns("columns")
        against = read.text("against", MAX_COLUMN)
        if against and not benchmark_of(BENCHMARK + against):
            raise BadParameter("against", f"{against!r} is not the name of a benchmark")
        low, high = read.size("min_size"), read.size("max_size")
        return cls(
            category=read.text("category") or OVERALL,
            method=read.one_of("method", tuple(Method.values), Method.BRADLEY_TERRY.value),
            search=" ".join(read.text("q").split()),
            organisations=read.many("organisation"),
            licences=read.many("licence"),
            quantisations=read.many("quantisation"),
            statuses=read.many("status", STATUSES),
            open_weights=read.yes_or_no("open_weights"),
            min_size=low,
            max_size=high,
            retired=bool(read.yes_or_no("retired")),
            sort=sort,
            descending=read.order(falls(sort)),
            columns=asked or DEFAULT_COLUMNS,
            against=against,
        )

    def to_params(self) -> list[tuple[str, str]]:
        """The address of this view in one canonical order, defaults left out."""
        pairs: list[tuple[str, str]] = []

        def add(name: str, value: object, default: object = "") -> None:
            if value != default:
                pairs.append((name, str(value)))

        add("category", self.category, OVERALL)
        add("method", self.method, Method.BRADLEY_TERRY.value)
        add("q", self.search)
        pairs += [("organisation", value) for value in self.organisations]
        pairs += [("licence", value) for value in self.licences]
        pairs += [("quantisation", value) for value in self.quantisations]
        pairs += [("status", value) for value in self.statuses]
        if self.open_weights is not None:
            add("open_weights", "true" if self.open_weights else "false")
        if self.min_size is not None:
            add("min_size", f"{self.min_size:g}")
        if self.max_size is not None:
            add("max_size", f"{self.max_size:g}")
        if self.retired:
            add("retired", "true")
        add("sort", self.sort, "rank")
        if self.descending != falls(self.sort):
            add("order", "desc" if self.descending else "asc")
        add("columns", ",".join(self.columns), ",".join(DEFAULT_COLUMNS))
        add("against", self.against)
        return pairs

    def encoded(self) -> str:
        """What follows the question mark; empty for the default view."""
        return urlencode(self.to_params())

    def but(self, **changes: Any) -> BoardQuery:
        """The same view with other values; sorting by another column takes its own direction."""
        if "sort" in changes and "descending" not in changes:
            changes["descending"] = falls(changes["sort"])
        return replace(self, **changes)

    def sorted_by(self, column: str) -> BoardQuery:
        """What a click on the head of this column asks for: sort by it, or turn it round."""
        if self.sort == column:
            return replace(self, descending=not self.descending)
        return self.but(sort=column)


class _Reader:
    """Typed values from a QueryDict or a plain mapping; a wrong one is a BadParameter."""

    def __init__(self, params: Mapping[str, Any]) -> None:
        self._params = params

    def _values(self, name: str) -> list[str]:
        if isinstance(self._params, MultiValueDict):
            values = self._params.getlist(name)
        else:
            given = self._params.get(name, [])
            values = list(given) if isinstance(given, list | tuple) else [given]
        return [str(value) for value in values]

    def text(self, name: str, longest: int = MAX_SEARCH) -> str:
        value = (self._values(name) or [""])[-1]
        if len(value) > longest:
            raise BadParameter(name, f"is longer than {longest} characters")
        return value

    def column(self, name: str, default: str) -> str:
        value = self.text(name, MAX_COLUMN) or default
        self._check_column(name, value)
        return value

    def columns(self, name: str) -> tuple[str, ...]:
        """Keys with commas between them, or one parameter each as a plain form sends them.

        In one order, whatever the order given; the model is always among them. () for none.
        """
        text = ",".join(self._values(name))
        if len(text) > MAX_LIST:
            raise BadParameter(name, f"is longer than {MAX_LIST} characters")
        asked = {value for value in text.split(",") if value}
        if not asked:
            return ()
        for key in sorted(asked):
            self._check_column(name, key)
        always = [key for key in COLUMNS if key in asked or key == "model"]
        return (*always, *sorted(asked - COLUMNS.keys()))

    def _check_column(self, name: str, key: str) -> None:
        if key not in COLUMNS and not benchmark_of(key):
            known = f"{', '.join(COLUMNS)}, {BENCHMARK}NAME"
            raise BadParameter(name, f"{key!r} is none of {known}")

    def one_of(self, name: str, known: Sequence[str], default: str) -> str:
        value = self.text(name) or default
        if value not in known:
            raise BadParameter(name, f"{value!r} is none of {', '.join(known)}")
        return value

    def order(self, natural: bool | None) -> bool | None:
        if not self.text("order"):
            return natural
        return self.one_of("order", ("asc", "desc"), "asc") == "desc"

    def many(self, name: str, known: Sequence[str] | None = None) -> tuple[str, ...]:
        values = sorted({value for value in self._values(name) if value})
        if len(values) > MAX_CHOICES:
            raise BadParameter(name, f"has more than {MAX_CHOICES} values")
        for value in values:
            if len(value) > MAX_SEARCH:
                raise BadParameter(name, f"is longer than {MAX_SEARCH} characters")
            if known is not None and value not in known:
                raise BadParameter(name, f"{value!r} is none of {', '.join(known)}")
        return tuple(values)

    def yes_or_no(self, name: str) -> bool | None:
        value = self.one_of(name, ("", "true", "false"), "")
        return {"": None, "true": True, "false": False}[value]

    def size(self, name: str) -> float | None:
        value = self.text(name)
        if not value:
            return None
        if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", value, re.ASCII):
            raise BadParameter(name, "must be a number of billions, for example 7 or 0.5")
        return float(value)
