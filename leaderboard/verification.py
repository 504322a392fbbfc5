"""Is a snapshot what the public votes say? Recomputed from the export file and nothing else.

The database is asked for the snapshot itself, never for a vote or a count.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from math import isclose
from pathlib import Path
from typing import Any

import numpy as np

from arena.models import Vote
from leaderboard import methods, snapshots
from leaderboard.formats import arena, values
from leaderboard.formats.records import BadRow, Unreadable
from leaderboard.formats.source import Source
from leaderboard.methods import BRADLEY_TERRY, ENGINE_VERSION, Inputs, Line, NotComputable
from leaderboard.models import Snapshot
from leaderboard.ratings.counts import Outcome, PairCounts
from leaderboard.ratings.style import STYLES
from leaderboard.vote_table import NO_STYLE, VoteTable, microseconds

TOLERANCE = 1e-9  # Elo, and whatever else is no whole number
_OUTCOMES = {
    "model_a": Outcome.FIRST,
    "model_b": Outcome.SECOND,
    "tie": Outcome.TIE,
    "both_bad": Outcome.BOTH_BAD,
}
_STYLES = tuple(f"{style}_{side}" for side in "ab" for style in arena.STYLES)


@dataclass(frozen=True)
class PairDifference:
    """`published` votes with this outcome in the snapshot, `found` in the file."""

    first: str
    second: str
    outcome: str  # said of these two
    published: int
    found: int

    def __str__(self) -> str:
        return (
            f"{self.first} – {self.second}, {self.outcome}: {self.published} in the snapshot, "
            f"{self.found} by the file"
        )


@dataclass(frozen=True)
class NumberDifference:
    """One column of one model, or one figure of the method."""

    subject: str
    column: str
    published: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.subject}, {self.column}: {self.published} published, {self.found} recomputed"


@dataclass
class Verdict:
    """What was read and what differs; equal when nothing does."""

    votes: int = 0  # rows of the file that are as they were written
    counted: int = 0  # of them, those the snapshot's category counts
    bad_rows: int = 0
    first_bad_row: BadRow | None = None
    pairs: list[PairDifference] = field(default_factory=list)
    numbers: list[NumberDifference] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)
    compared: int = 0  # numbers

    @property
    def equal(self) -> bool:
        return not (self.bad_rows or self.pairs or self.numbers or self.trouble)


def verify(snapshot: Snapshot, export: Path) -> Verdict:
    """Compare every number of the snapshot with those that the export gives.

    Raises UnknownFormat for a file that is no export, OSError for one that cannot be opened.
    """
    verdict = Verdict()
    table = _read(export, snapshot.category.slug, verdict)
    engine = snapshot.code_version.rpartition("ratings.")[2]
    if engine != ENGINE_VERSION:
        verdict.trouble.append(
            f"the snapshot was computed by version {engine} of the ratings, this is "
            f"{ENGINE_VERSION}: use the code of that time"
        )
    published = snapshots.counts_by_name(snapshot)
    inputs = _inputs(snapshot, table, listed=[str(model) for model in published.models])
    verdict.counted = inputs.counts.total
    verdict.pairs = _pair_differences(published, inputs.counts)
    if inputs.configuration != snapshot.configuration:
        for key in sorted(inputs.configuration.keys() | snapshot.configuration.keys()):
            stated, found = snapshot.configuration.get(key), inputs.configuration.get(key)
            if stated != found:
                verdict.numbers.append(NumberDifference("configuration", key, stated, found))
    if inputs.data_hash != snapshot.data_hash:
        verdict.numbers.append(
            NumberDifference("snapshot", "data_hash", snapshot.data_hash, inputs.data_hash)
        )
    if inputs.counts.total != snapshot.votes_counted:
        verdict.numbers.append(
            NumberDifference(
                "snapshot", "votes_counted", snapshot.votes_counted, inputs.counts.total
            )
        )
    try:
        result = methods.compute(inputs)
    except NotComputable as reason:
        verdict.trouble.append(f"the votes of the file give no ratings: {reason}")
        return verdict
    _compare_lines(snapshot, result.lines, verdict)
    _compare("snapshot", "extra", snapshot.extra, result.extra, verdict)
    return verdict


def _read(path: Path, category: str, verdict: Verdict) -> VoteTable:
    """The counted votes of one category, in the order of the file."""
    at: dict[str, int] = {}
    first, second, outcomes = array("i"), array("i"), array("b")
    moments, styles = array("q"), array("i")
    nothing = (NO_STYLE,) * len(_STYLES)
    with path.open("rb", buffering=0) as file:
        for row in arena.checked_rows(Source(file)):
            if isinstance(row, BadRow):
                verdict.bad_rows += 1
                verdict.first_bad_row = verdict.first_bad_row or row
                continue
            verdict.votes += 1
            cells = row.fields
            if category not in cells["categories"].split() or not _in_the_counts(cells):
                continue
            try:
                outcome = _OUTCOMES[values.winner(cells["winner"])]
                moment = values.timestamp(cells, "timestamp")
                if moment is None:
                    raise Unreadable("timestamp: no time")
                known = [int(cells[column]) for column in _STYLES if cells[column]]
            except ValueError as error:
                verdict.bad_rows += 1
                verdict.first_bad_row = verdict.first_bad_row or BadRow(row.line, str(error))
                continue
            first.append(at.setdefault(cells["model_a"], len(at)))
            second.append(at.setdefault(cells["model_b"], len(at)))
            outcomes.append(outcome)
            moments.append(microseconds(moment))
            styles.extend(known if len(known) == len(_STYLES) else nothing)
    names = sorted(at)
    place = np.empty(len(names), dtype=np.int32)
    place[[at[name] for name in names]] = np.arange(len(names), dtype=np.int32)
    return VoteTable(
        tuple(names),
        place[np.frombuffer(first, dtype=np.int32)],
        place[np.frombuffer(second, dtype=np.int32)],
        np.frombuffer(outcomes, dtype=np.int8),
        np.frombuffer(moments, dtype=np.int64),
        np.frombuffer(styles, dtype=np.int32).reshape(-1, 2, len(STYLES)),
    )


def _in_the_counts(cells: Mapping[str, str]) -> bool:
    """Votes on answers that said who wrote them are in those of a category that asks for them."""
    return cells["counted"] == "true" or (
        cells["exclusion_reason"] == Vote.Exclusion.IDENTITY_LEAK
        and "identity_leak" in cells["flags"].split()
    )


def _inputs(snapshot: Snapshot, table: VoteTable, *, listed: list[str]) -> Inputs:
    rounds = int(snapshot.configuration["rounds"])
    if snapshot.method == BRADLEY_TERRY:
        return methods.inputs_of_counts(table.counts(), listed=listed, rounds=rounds)
    return methods.inputs_of_votes(snapshot.method, table, listed=listed, rounds=rounds)


def _pair_differences(published: PairCounts, found: PairCounts) -> list[PairDifference]:
    models = sorted({*map(str, published.models), *map(str, found.models)})
    # `+` of nothing: the same models in the same order on both sides
    one, other = PairCounts(models) + published, PairCounts(models) + found
    differences = []
    for outcome, left, right in (
        ("wins of the first", one.wins, other.wins),
        ("ties", one.ties, other.ties),
        ("both bad", one.both_bad, other.both_bad),
    ):
        for i, j in np.argwhere(left != right):
            if left is one.wins or i < j:
                differences.append(
                    PairDifference(models[i], models[j], outcome, int(left[i, j]), int(right[i, j]))
                )
    return differences


def _compare_lines(snapshot: Snapshot, lines: tuple[Line, ...], verdict: Verdict) -> None:
    names = snapshots.names_by_id(snapshot)
    published = {names[row.contestant_id]: row for row in snapshot.ratings.all()}
    found = {line.model: line for line in lines}
    for model in sorted(published.keys() | found.keys()):
        if model not in published or model not in found:
            here, there = model in published, model in found
            verdict.numbers.append(NumberDifference(model, "is listed", here, there))
            continue
        for column in fields(Line):
            if column.name != "model":
                stated = getattr(published[model], column.name)
                _compare(model, column.name, stated, getattr(found[model], column.name), verdict)


def _compare(subject: str, column: str, published: Any, found: Any, verdict: Verdict) -> None:
    """Numbers to TOLERANCE, all else exactly; inside lists and objects too."""
    if isinstance(published, dict) and isinstance(found, dict):
        for key in sorted(published.keys() | found.keys()):
            _compare(subject, f"{column}.{key}", published.get(key), found.get(key), verdict)
        return
    if isinstance(published, list) and isinstance(found, list) and len(published) == len(found):
        for i, (one, other) in enumerate(zip(published, found, strict=True)):
            _compare(subject, f"{column}.{i}", one, other, verdict)
        return
    verdict.compared += 1
    if isinstance(published, float) and isinstance(found, float):
        same = isclose(published, found, rel_tol=0.0, abs_tol=TOLERANCE)
    else:
        same = published == found
    if not same:
        verdict.numbers.append(NumberDifference(subject, column, published, found))
