"""Ratings of a file of votes on the command line; the database is not touched."""

from __future__ import annotations

import csv
import io
import json
from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np
from django.core.management import BaseCommand, CommandError

from leaderboard.rating_files import STYLE_COLUMNS, Unusable, VoteReader, read_counts, read_votes
from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import IntArray
from leaderboard.ratings.elo import bootstrap_elo, online_elo
from leaderboard.ratings.evidence import FloatArray, Status
from leaderboard.ratings.fit import Anchor, Fit, Gauge, Interval, Mean
from leaderboard.ratings.rank import rank_upper_bound
from leaderboard.ratings.replicas import Replicas, normal_replicas
from leaderboard.ratings.style import Effect, fit_style

ROUNDS = {"bt": 1000, "style": 1000, "elo": 100}


@dataclass(frozen=True)
class Line:
    """One model in the output; None where the votes give no number."""

    model: str
    rating: float | None
    lower: float | None
    upper: float | None
    rank: int | None
    rank_low: int | None
    rank_high: int | None
    votes: int
    status: str


class Command(BaseCommand):
    help = (
        "Rate the models of a file of votes, gzipped or not: CSV or JSON lines with model_a, "
        "model_b, winner (model_a, model_b, tie, both_bad) and, for added-up votes, count; or any "
        "other format that can be imported."
    )
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--method",
            choices=sorted(ROUNDS),
            default="bt",
            help="bt: Bradley-Terry (default); elo: online Elo in the order of the file; style: "
            "Bradley-Terry with style control, from columns such as len_a, len_b, bold_a, bold_b",
        )
        parser.add_argument(
            "--ties",
            choices=("half", "drop", "drop_bothbad", "davidson"),
            default="half",
            help="a tie is half a win (default), dropped, or an outcome of its own",
        )
        parser.add_argument(
            "--reweight", action="store_true", help="let all pairs count alike, however often met"
        )
        parser.add_argument(
            "--anchor", type=anchor, metavar="MODEL=RATING", help="instead of a mean of 1000"
        )
        parser.add_argument(
            "--rounds", type=positive, help="of the bootstrap (default 1000; 100 for elo)"
        )
        parser.add_argument("--seed", type=int, default=0)
        parser.add_argument("--level", type=level, default=0.95, help="of the intervals")
        parser.add_argument("--format", choices=("table", "csv", "json"), default="table")

    def handle(self, *, file: Path, method: str, rounds: int | None, **options: Any) -> None:
        votes = VoteReader(file)
        rounds = ROUNDS[method] if rounds is None else rounds
        effects: tuple[Effect, ...] = ()
        try:
            if method == "elo":
                lines = rate_elo(votes, rounds=rounds, **options)
            elif method == "style":
                lines, effects = rate_style(votes, rounds=rounds, **options)
            else:
                lines = rate_bt(votes, rounds=rounds, **options)
        except ValueError as error:
            raise CommandError(str(error)) from None
        for reason, number in sorted(votes.skipped.items()):
            self.stderr.write(f"Skipped {number} rows: {reason}.")
        for effect in effects:
            self.stderr.write(describe(effect))
        self.stdout.write(FORMATS[options["format"]](lines), ending="")


def rate_bt(
    file: VoteReader,
    *,
    rounds: int,
    ties: Any,
    reweight: bool,
    anchor: Anchor | None,
    seed: int,
    level: float,
    **others: Any,
) -> list[Line]:
    fit = fit_bt(
        read_counts(file),
        ties=ties,
        weighting="uniform_pairs" if reweight else "battles",
        gauge=anchor or Mean(),
    )
    check_converged(fit)
    return lines_of(fit, bootstrap(fit, rounds, seed), level=level)


def rate_style(
    file: VoteReader,
    *,
    rounds: int,
    ties: Any,
    reweight: bool,
    anchor: Anchor | None,
    seed: int,
    level: float,
    **others: Any,
) -> tuple[list[Line], tuple[Effect, ...]]:
    votes = read_votes(file)
    if not votes.styles:
        columns = ", ".join(f"{c}_a and {c}_b" for c in STYLE_COLUMNS.values())
        raise Unusable(f"{file.path} has no style counts, which are columns such as {columns}")
    controlled = fit_style(
        votes.first,
        votes.second,
        votes.outcome,
        votes.features,
        len(votes.models),
        styles=votes.styles,
        ties=ties,
        weighting="uniform_pairs" if reweight else "battles",
        gauge=by_position(anchor, votes.models),
    )
    fit = controlled.fit
    check_converged(fit)
    lines = lines_of(fit, normal_replicas(fit, rounds, seed), level=level, names=votes.models)
    return lines, controlled.effects(level)


def rate_elo(
    file: VoteReader,
    *,
    rounds: int,
    ties: str,
    reweight: bool,
    anchor: Anchor | None,
    seed: int,
    level: float,
    **others: Any,
) -> list[Line]:
    if ties != "half" or reweight:
        raise Unusable("online Elo counts a tie as half a win and each vote once")
    votes = read_votes(file)
    arrays = votes.first, votes.second, votes.outcome
    size = len(votes.models)
    ratings = online_elo(*arrays, size)
    replicas = bootstrap_elo(*arrays, size, rounds=rounds, seed=seed)
    gauge = by_position(anchor, votes.models)
    if isinstance(gauge, Anchor):
        at = int(str(gauge.model))
        ratings = ratings + (gauge.rating - ratings[at])
        shifted = replicas.ratings + (gauge.rating - replicas.ratings[:, at : at + 1])
        replicas = Replicas(replicas.models, replicas.ranked, shifted, seed)
    bounds = replicas.interval(level)
    seen = np.bincount(np.concatenate([votes.first, votes.second]), minlength=size)
    return sorted_lines(
        votes.models,
        ratings,
        bounds,
        rank_upper_bound(bounds.lower, bounds.upper),
        replicas,
        seen,
        [Status.OK] * size,
        level=level,
    )


def check_converged(fit: Fit) -> None:
    if not fit.converged:
        raise Unusable("the fit did not converge: these votes determine no ratings")


def by_position(anchor: Anchor | None, models: Sequence[str]) -> Gauge:
    """The gauge for a fit whose models are numbers. Raises Unusable for a model not in the file."""
    if anchor is None:
        return Mean()
    if anchor.model not in models:
        raise Unusable(f"the anchor {anchor.model!r} has no votes in the file")
    return Anchor(models.index(str(anchor.model)), anchor.rating)


def lines_of(
    fit: Fit, replicas: Replicas, *, level: float, names: Sequence[str] | None = None
) -> list[Line]:
    models = [str(model) for model in fit.models] if names is None else names
    return sorted_lines(
        models,
        fit.ratings,
        fit.interval(level),
        fit.rank_ub(level),
        replicas,
        fit.votes,
        fit.status,
        level=level,
    )


def sorted_lines(
    models: Sequence[str],
    ratings: FloatArray,
    bounds: Interval,
    ranks: IntArray,
    replicas: Replicas,
    votes: IntArray,
    status: Sequence[Status],
    *,
    level: float,
) -> list[Line]:
    """Best first; then those without a rating, by name."""
    settled = replicas.rank_interval(level)
    lines = [
        Line(
            model=model,
            rating=number(ratings[i]),
            lower=number(bounds.lower[i]),
            upper=number(bounds.upper[i]),
            rank=int(ranks[i]) or None,
            rank_low=int(settled.best[i]) or None,
            rank_high=int(settled.worst[i]) or None,
            votes=int(votes[i]),
            status=status[i].value,
        )
        for i, model in enumerate(models)
    ]
    return sorted(lines, key=lambda x: (x.rating is None, -(x.rating or 0.0), x.model))


def number(value: float) -> float | None:
    return round(float(value), 4) if isfinite(value) else None


def as_table(lines: list[Line]) -> str:
    names = [field.name for field in fields(Line)]
    rows = [names] + [[shown(value) for value in asdict(line).values()] for line in lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
    left = {0, len(names) - 1}
    return "".join(
        "  ".join(
            cell.ljust(width) if i in left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        + "\n"
        for row in rows
    )


def shown(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.1f}" if isinstance(value, float) else str(value)


def as_csv(lines: list[Line]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(field.name for field in fields(Line))
    writer.writerows(asdict(line).values() for line in lines)
    return out.getvalue()


def as_json(lines: list[Line]) -> str:
    return json.dumps([asdict(line) for line in lines], ensure_ascii=False, indent=1) + "\n"


FORMATS = {"table": as_table, "csv": as_csv, "json": as_json}


def describe(effect: Effect) -> str:
    if not isfinite(effect.coefficient):
        return f"Style {effect.style}: no two answers differ."
    return (
        f"Style {effect.style}: {effect.elo:+.1f} Elo per standard deviation "
        f"({effect.elo_lower:+.1f} to {effect.elo_upper:+.1f}), "
        f"coefficient {effect.coefficient:.5f} (se {effect.standard_error:.5f})."
    )


def anchor(text: str) -> Anchor:
    model, found, rating = text.rpartition("=")
    try:
        value = float(rating)
    except ValueError:
        value = float("nan")
    if not found or not model or not isfinite(value):
        raise ArgumentTypeError(f"{text!r} is not MODEL=RATING")
    return Anchor(model, value)


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def level(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < 1.0:
        raise ArgumentTypeError(f"{text!r} is not between 0 and 1")
    return value
