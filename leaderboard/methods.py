"""From votes to the lines of a snapshot, by every method. No Django.

What a worker publishes and what `snapshot verify` finds from the public export are computed here,
by the same functions of the same inputs: if the numbers differ, the votes do.

Everything is put in an order that the votes themselves fix (models by name, cells by model), so
that a database in which the same votes have other ids gives the same numbers to the last bit, the
draws of the bootstrap included.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from math import isfinite
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from leaderboard import covariance
from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import OUTCOME_OF_CELL, Outcome, PairCounts
from leaderboard.ratings.elo import bootstrap_elo, online_elo
from leaderboard.ratings.evidence import Evidence, FloatArray, Status, standing
from leaderboard.ratings.fit import ELO_PER_LOG_ODDS, Fit, Interval, Mean
from leaderboard.ratings.rank import rank_upper_bound
from leaderboard.ratings.replicas import Replicas, normal_replicas
from leaderboard.ratings.style import STYLES, fit_style, style_differences
from leaderboard.vote_table import VoteTable

ENGINE_VERSION = "2"  # raise it when the same votes give other numbers

BRADLEY_TERRY, STYLE_CONTROL, ELO = METHODS = ("bradley_terry", "style_control", "elo")

# What a reader needs to recompute the numbers, with `rounds` and `seed`; a change here publishes
# new snapshots.
CONFIGURATION: dict[str, dict[str, Any]] = {
    BRADLEY_TERRY: {
        "ties": "half",
        "both_bad": "tie",
        "weighting": "battles",
        "gauge": {"mean": 1000},
        "interval": "sandwich",
        "level": 0.95,
        "bootstrap": "poisson",
    },
    STYLE_CONTROL: {
        "ties": "half",
        "both_bad": "tie",
        "weighting": "battles",
        "gauge": {"mean": 1000},
        "interval": "sandwich",
        "level": 0.95,
        "bootstrap": "normal",
        "styles": list(STYLES),
    },
    ELO: {
        "ties": "half",
        "both_bad": "tie",
        "k": 4,
        "base": 10,
        "scale": 400,
        "initial": 1000,
        "interval": "bootstrap",
        "level": 0.95,
        "bootstrap": "votes in random order",
    },
}
AT_ONCE = 65_536  # votes


class NotComputable(ValueError):
    """These votes give no ratings by this method; the text says why."""


@dataclass(frozen=True)
class Line:
    """One model in a snapshot. Ratings and ranks are None unless the status is "ok"; a bound of the
    bootstrap's is None, too, where more replicas than its tail give the model no rating."""

    model: str
    status: str
    votes: int
    rating: float | None = None
    lower: float | None = None
    upper: float | None = None
    rank: int | None = None
    rank_low: int | None = None
    rank_high: int | None = None
    boot_lower: float | None = None
    boot_upper: float | None = None
    win_rate: float | None = None
    both_bad_rate: float | None = None


@dataclass(frozen=True)
class Result:
    """`lines` in the order of the counts' models; `extra` as JSON has it; `covariance` of the
    ratings that are not None, as covariance.pack gives it, empty where the method has none."""

    lines: tuple[Line, ...]
    extra: dict[str, Any]
    covariance: bytes = b""


def _for_style_control(votes: VoteTable, chosen: npt.NDArray[np.bool_]) -> VoteTable:
    at = votes.by_content
    return votes.take(at[chosen[at]], with_styles=True)


def _for_elo(votes: VoteTable, chosen: npt.NDArray[np.bool_]) -> VoteTable:
    at = np.flatnonzero(chosen)
    return votes.take(at[np.argsort(votes.moments[at], kind="stable")], with_styles=False)


def counts_from_cells(
    cells: Iterable[tuple[Hashable, Hashable, str, int]], models: Sequence[Hashable]
) -> PairCounts:
    """`PairCounts.from_cells` for a hundred thousand cells: added up in arrays."""
    at = {model: i for i, model in enumerate(models)}
    rows = np.fromiter(
        (
            number
            for lo, hi, outcome, n in cells
            for number in (OUTCOME_OF_CELL[outcome], at[lo], at[hi], n)
        ),
        dtype=np.int64,
    ).reshape(-1, 4)
    cube = np.zeros((len(Outcome), len(at), len(at)), dtype=np.int64)
    np.add.at(cube, tuple(rows[:, :3].T), rows[:, 3])
    return PairCounts(
        models,
        cube[Outcome.FIRST] + cube[Outcome.SECOND].T,
        cube[Outcome.TIE] + cube[Outcome.TIE].T,
        cube[Outcome.BOTH_BAD] + cube[Outcome.BOTH_BAD].T,
    )


@dataclass(frozen=True, eq=False)
class Inputs:
    """All that the numbers depend on. Made by `inputs_of_counts` or `inputs_of_votes`.

    `counts` hold only models with votes, by name; `listed` names all that get a line. `votes` are
    there for the methods that read them one by one. `seed` comes of the votes alone, so whoever
    has them draws the same replicas.
    """

    method: str
    counts: PairCounts
    votes: VoteTable | None
    listed: tuple[str, ...]
    configuration: dict[str, Any]

    @property
    def data_hash(self) -> str:
        content = [self.votes_hash, self.listed, self.method, self.configuration, ENGINE_VERSION]
        return hashlib.sha256(_canonical(content)).hexdigest()

    votes_hash: str


def inputs_of_counts(counts: PairCounts, *, listed: Iterable[str], rounds: int) -> Inputs:
    """For Bradley-Terry."""
    votes = counts.per_model()
    names = sorted(str(model) for model, n in zip(counts.models, votes, strict=True) if n)
    counts = counts.restricted_to(names)
    digest = hashlib.sha256(_canonical([names, cells_of(counts)])).hexdigest()
    return _inputs(BRADLEY_TERRY, counts, None, listed, rounds, digest)


def inputs_of_votes(
    method: str,
    votes: VoteTable,
    *,
    listed: Iterable[str],
    rounds: int,
    chosen: npt.NDArray[np.bool_] | None = None,
) -> Inputs:
    """For style control and online Elo; `chosen` [N] says which of the votes, all if left out."""
    if chosen is None:
        chosen = np.ones(votes.first.size, dtype=bool)
    order = _for_style_control if method == STYLE_CONTROL else _for_elo
    votes = order(votes, chosen)
    digest = hashlib.sha256(_canonical(votes.models))
    for column in (votes.first, votes.second, votes.outcome):
        digest.update(np.ascontiguousarray(column).tobytes())
    if method == STYLE_CONTROL:
        for start in range(0, votes.first.size, AT_ONCE):
            # the same bytes whatever width they are held in
            digest.update(votes.styles[start : start + AT_ONCE].astype("<i4").tobytes())
    return _inputs(method, votes.counts(), votes, listed, rounds, digest.hexdigest())


def _inputs(
    method: str,
    counts: PairCounts,
    votes: VoteTable | None,
    listed: Iterable[str],
    rounds: int,
    digest: str,
) -> Inputs:
    configuration = {**CONFIGURATION[method], "rounds": rounds, "seed": int(digest[:8], 16)}
    names = tuple(sorted({*listed, *map(str, counts.models)}))
    return Inputs(method, counts, votes, names, configuration, digest)


def cells_of(counts: PairCounts) -> list[tuple[int, int, str, int]]:
    """(lo, hi, outcome, n) with positions for models, sorted."""
    at = {model: i for i, model in enumerate(counts.models)}
    return sorted((at[lo], at[hi], outcome, n) for lo, hi, outcome, n in counts.cells())


def _canonical(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":")).encode()


def compute(inputs: Inputs) -> Result:
    """Raises NotComputable, with the reason, where the votes determine no ratings."""
    result = {BRADLEY_TERRY: _bradley_terry, STYLE_CONTROL: _style_control, ELO: _elo}[
        inputs.method
    ](inputs)
    rated = {line.model: line for line in result.lines}
    return Result(
        tuple(
            rated.get(model) or Line(model, Status.UNRATED.value, votes=0)
            for model in inputs.listed
        ),
        result.extra,
        result.covariance,
    )


def _bradley_terry(inputs: Inputs) -> Result:
    how = inputs.configuration
    fit = fit_bt(
        inputs.counts,
        ties=how["ties"],
        weighting=how["weighting"],
        gauge=Mean(how["gauge"]["mean"]),
    )
    _check_converged(fit, inputs)
    ok = [i for i, status in enumerate(fit.status) if status is Status.OK]
    return Result(
        _lines_of_fit(fit, bootstrap(fit, how["rounds"], how["seed"]), inputs),
        {},
        covariance.pack([str(fit.models[i]) for i in ok], fit.cov()[np.ix_(ok, ok)]),
    )


def _style_control(inputs: Inputs) -> Result:
    how, votes = inputs.configuration, inputs.votes
    assert votes is not None
    try:
        controlled = fit_style(
            votes.first,
            votes.second,
            votes.outcome,
            _differences(votes.styles),
            len(votes.models),
            styles=how["styles"],
            ties=how["ties"],
            weighting=how["weighting"],
            gauge=Mean(how["gauge"]["mean"]),
        )
    except ValueError as error:
        raise NotComputable(str(error)) from error
    fit = replace(controlled.fit, models=votes.models)
    _check_converged(fit, inputs)
    lines = _lines_of_fit(fit, normal_replicas(fit, how["rounds"], how["seed"]), inputs)
    effects = [
        {name: _number(v) if isinstance(v, float) else v for name, v in asdict(effect).items()}
        for effect in controlled.effects(how["level"])
    ]
    return Result(lines, {"styles": effects})


def _differences(styles: npt.NDArray[np.signedinteger]) -> FloatArray:
    """[N, K] of [N, 2, K], a column after the other in memory; a part at a time, since what lies
    between is four times as large."""
    differences = np.empty((styles.shape[2], styles.shape[0])).T
    for start in range(0, styles.shape[0], AT_ONCE):
        part = styles[start : start + AT_ONCE]
        differences[start : start + AT_ONCE] = style_differences(part[:, 0], part[:, 1])
    return differences


def _elo(inputs: Inputs) -> Result:
    """Online Elo, of the models whose votes link them both ways with the others.

    The last number depends on the order of the votes and the bootstrap draws other orders too, so
    it can lie outside the bootstrap's interval, which is then widened to hold it.
    """
    how, votes = inputs.configuration, inputs.votes
    assert votes is not None
    arrays = votes.first, votes.second, votes.outcome, len(votes.models)
    k, base, scale, init = (float(how[name]) for name in ("k", "base", "scale", "initial"))
    ratings = online_elo(*arrays, k=k, base=base, scale=scale, init=init)
    drawn = bootstrap_elo(
        *arrays,
        rounds=how["rounds"],
        seed=how["seed"],
        k=k,
        base=base,
        scale=scale,
        init=init,
    )
    evidence = Evidence.from_counts(
        inputs.counts, ties=how["ties"], weighting="battles", min_pair_count=1
    )
    status = list(standing(evidence).status)
    bounds = drawn.interval(how["level"])
    for i, known in enumerate(np.isfinite(bounds.lower) & np.isfinite(bounds.upper)):
        if status[i] is Status.OK and not known:
            status[i] = Status.PROVISIONAL  # too few votes for an interval
    ranked = np.array([s is Status.OK for s in status], dtype=bool)
    replicas = Replicas(votes.models, ranked, np.where(ranked, drawn.ratings, np.nan), drawn.seed)
    bounds = Interval(
        np.where(ranked, np.minimum(bounds.lower, ratings), np.nan),
        np.where(ranked, np.maximum(bounds.upper, ratings), np.nan),
        how["level"],
    )
    strengths = np.where(ranked, ratings, np.nan) / ELO_PER_LOG_ODDS
    return Result(_lines(ratings, bounds, status, strengths, replicas, inputs), {})


def _check_converged(fit: Fit, inputs: Inputs) -> None:
    if not fit.converged:
        raise NotComputable(f"the fit of {inputs.counts.total} votes did not converge")


def _lines_of_fit(fit: Fit, replicas: Replicas, inputs: Inputs) -> tuple[Line, ...]:
    bounds = fit.interval(inputs.configuration["level"])
    return _lines(fit.ratings, bounds, fit.status, fit.log_odds, replicas, inputs)


def _lines(
    ratings: FloatArray,
    bounds: Interval,
    status: Sequence[Status],
    log_odds: FloatArray,
    replicas: Replicas,
    inputs: Inputs,
) -> tuple[Line, ...]:
    level = inputs.configuration["level"]
    ranks = rank_upper_bound(bounds.lower, bounds.upper)
    settled = replicas.rank_interval(level)
    drawn = replicas.interval(level)
    ranked = np.array([s is Status.OK for s in status], dtype=bool)
    expected = _against_uniform_field(np.where(ranked, log_odds, np.nan))
    votes = inputs.counts.per_model()
    both_bad = inputs.counts.both_bad.sum(axis=1) / votes
    return tuple(
        Line(
            model=str(model),
            status=status[i].value,
            votes=int(votes[i]),
            rating=_number(ratings[i]),
            lower=_number(bounds.lower[i]),
            upper=_number(bounds.upper[i]),
            rank=int(ranks[i]),
            rank_low=int(settled.best[i]),
            rank_high=int(settled.worst[i]),
            boot_lower=_number(drawn.lower[i]),
            boot_upper=_number(drawn.upper[i]),
            win_rate=_number(expected[i]),
            both_bad_rate=float(both_bad[i]),
        )
        if ranked[i]
        else Line(
            model=str(model),
            status=status[i].value,
            votes=int(votes[i]),
            both_bad_rate=float(both_bad[i]),
        )
        for i, model in enumerate(inputs.counts.models)
    )


def _against_uniform_field(log_odds: FloatArray) -> FloatArray:
    """[M] expected score against every other rated model, all met equally often; NaN for none."""
    rated = np.flatnonzero(~np.isnan(log_odds))
    expected = np.full(log_odds.shape, np.nan)
    if rated.size > 1:
        strengths = log_odds[rated]
        scores = expit(strengths[:, np.newaxis] - strengths)
        expected[rated] = (scores.sum(axis=1) - 0.5) / (rated.size - 1)
    return expected


def _number(value: float) -> float | None:
    return float(value) if isfinite(value) else None
