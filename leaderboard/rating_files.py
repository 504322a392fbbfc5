"""Files of votes as the ratings take them: pair counts, or arrays in the order of the file.

Model names are the models' ids here; nothing is looked up and nothing is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from leaderboard.formats.records import BadRow, Skipped, VoteRecord
from leaderboard.formats.source import UnknownFormat
from leaderboard.formats.vote_file import VoteFile, open_votes
from leaderboard.ratings.counts import Outcome, PairCounts
from leaderboard.ratings.style import STYLES, style_differences

SHOWN = 5  # unreadable rows named before reading stops
NOT_BLIND = "the models were known before the vote"
NOT_COUNTED = "not counted at its source"
OUTCOMES = {
    "model_a": Outcome.FIRST,
    "model_b": Outcome.SECOND,
    "tie": Outcome.TIE,
    "both_bad": Outcome.BOTH_BAD,
}
STYLE_COLUMNS = dict(zip(STYLES, ("len", "headers", "lists", "bold"), strict=True))
"""Columns with what each answer has of a style, less their ending `_a` or `_b`."""
STYLE_METADATA = dict(
    zip(
        STYLES,
        ("sum_assistant_{}_tokens", "header_count_{}", "list_count_{}", "bold_count_{}"),
        strict=True,
    )
)
"""The same in LMArena's `conv_metadata`, with the side's letter left open."""


class Unusable(ValueError):
    """The file cannot be rated; the text says which lines are to blame."""


class VoteReader:
    """The votes of one file in any format that `open_votes` knows, read from beginning to end.

    `skipped` counts, by reason, the sound rows that gave no vote; it is complete after reading.
    Votes whose models were known beforehand are among them: they are no blind comparison. So are
    those that the arena they come from has excluded.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.skipped: Counter[str] = Counter()

    def __iter__(self) -> Iterator[VoteRecord]:
        """Raises Unusable for a file without votes or with a row that is none."""
        try:
            with open_votes(self.path) as file:
                yield from self._records(file)
        except UnknownFormat as error:
            raise Unusable(f"{self.path}: {error}") from None
        except OSError as error:
            raise Unusable(f"cannot read {self.path}: {error.strerror}") from None

    def _records(self, file: VoteFile) -> Iterator[VoteRecord]:
        bad: list[str] = []
        any_votes = False
        for reading in file:
            if isinstance(reading, BadRow):
                bad.append(f"{file.unit} {reading.line}: {reading.reason}")
                if len(bad) == SHOWN:
                    bad.append("... (the rest was not read)")
                    break
            elif isinstance(reading, Skipped):
                self.skipped[reading.reason] += 1
            elif not reading.anonymous:
                self.skipped[NOT_BLIND] += 1
            elif reading.extra.get("counted") is False:
                self.skipped[NOT_COUNTED] += 1
            elif not bad:
                any_votes = True
                yield reading
        if bad:
            raise Unusable("\n".join([f"{self.path} has rows that are not votes:", *bad]))
        if not any_votes:
            raise Unusable(f"{self.path} holds no votes")


def read_counts(file: VoteReader) -> PairCounts:
    """The votes added up, in memory for the pairs and not for the votes. Raises Unusable."""
    tally: Counter[tuple[str, str, str]] = Counter()
    for record in file:
        tally[record.model_a, record.model_b, record.winner] += record.count
    counts = PairCounts(sorted({model for a, b, _ in tally for model in (a, b)}))
    for (a, b, winner), n in tally.items():
        counts.add(a, b, OUTCOMES[winner], n)
    return counts


@dataclass(frozen=True, eq=False)
class Votes:
    """N single votes in the order of the file, as positions among `models` (sorted by name).

    `features` [N, K] differences in the K styles for which the file has columns, see `styles`.
    """

    models: tuple[str, ...]
    first: npt.NDArray[np.int32]
    second: npt.NDArray[np.int32]
    outcome: npt.NDArray[np.int8]
    styles: tuple[str, ...]
    features: npt.NDArray[np.float64]


def read_votes(file: VoteReader) -> Votes:
    """The votes one by one. Raises Unusable, also for rows that stand for several votes."""
    first: list[str] = []
    second: list[str] = []
    outcome: list[int] = []
    styles: tuple[str, ...] | None = None
    counts: list[list[float]] = []
    for record in file:
        if record.count != 1:
            raise Unusable(f"{file.path} holds added-up votes; this method needs them one by one")
        first.append(record.model_a)
        second.append(record.model_b)
        outcome.append(OUTCOMES[record.winner])
        if styles is None:
            styles = tuple(s for s in STYLES if style_count(record, s, "a") is not None)
        counts.append(_style_counts(record, styles, file.path, number=len(first)))
    models = tuple(sorted({*first, *second}))
    at = {model: i for i, model in enumerate(models)}
    by_side = np.array(counts, dtype=np.float64).reshape(len(first), 2, -1)
    return Votes(
        models,
        np.array([at[m] for m in first], dtype=np.int32),
        np.array([at[m] for m in second], dtype=np.int32),
        np.array(outcome, dtype=np.int8),
        styles or (),
        style_differences(by_side[:, 0], by_side[:, 1]),
    )


def _style_counts(
    record: VoteRecord, styles: tuple[str, ...], path: Path, *, number: int
) -> list[float]:
    """Counts of every style for side a, then for side b."""
    counts = []
    for side in "ab":
        for style in styles:
            count = style_count(record, style, side)
            if count is None:
                raise Unusable(
                    f"{path}: vote {number} has no count of {style} for side {side} "
                    f"({STYLE_COLUMNS[style]}_{side})"
                )
            counts.append(count)
    return counts


def style_count(record: VoteRecord, style: str, side: str) -> float | None:
    """The number of at least 0 that a record gives for a style of one side; None if it has none."""
    value = record.extra.get(f"{STYLE_COLUMNS[style]}_{side}")
    metadata = record.extra.get("conv_metadata")
    if value is None and isinstance(metadata, dict):
        value = metadata.get(STYLE_METADATA[style].format(side))
    if value is None:
        return None
    try:
        # LMArena counts by kind: {"h1": 2, "h2": 0}
        count = float(sum(value.values()) if isinstance(value, dict) else value)
    except (TypeError, ValueError):
        return None
    return count if 0.0 <= count < float("inf") else None
