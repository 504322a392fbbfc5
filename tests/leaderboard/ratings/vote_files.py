"""Reading the shared vote sets and what the reference implementations made of them."""

from __future__ import annotations

import csv
import gzip
from functools import cache
from pathlib import Path

import numpy as np

from leaderboard.ratings.counts import Outcome, PairCounts

OUTCOMES = {
    "model_a": Outcome.FIRST,
    "model_b": Outcome.SECOND,
    "tie": Outcome.TIE,
    "tie (bothbad)": Outcome.BOTH_BAD,
}
GOLDEN = (
    "alpacaeval2_star",
    "arena33k_human",
    "llmfao_crowd",
    "llmfao_gpt4",
    "quora100_gpt4",
    "wmt16_deu-eng",
    "wmt16_eng-fin",
    "wmt16_eng-ron",
    "wmt16_eng-tur",
    "wmt16_fin-eng",
    "wmt16_ron-eng",
    "wmt16_rus-eng",
    "wmt16_tur-eng",
)


@cache
def rows(shared_data: Path, name: str) -> list[dict[str, str]]:
    with gzip.open(shared_data / "votes" / f"{name}.csv.gz", "rt", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def votes(shared_data: Path, name: str) -> list[tuple[str, str, Outcome]]:
    return [
        (row["model_a"], row["model_b"], OUTCOMES[row["winner"]]) for row in rows(shared_data, name)
    ]


@cache
def counts(shared_data: Path, name: str) -> PairCounts:
    """Read once and shared by the tests, which leave it as it is."""
    return PairCounts.from_votes(votes(shared_data, name))


def golden(shared_data: Path, name: str, column: str, models: tuple[str, ...]) -> np.ndarray:
    """The column of the reference output in the order of `models`."""
    path = shared_data / "votes" / "golden" / f"{name}.csv"
    with path.open(encoding="utf-8") as file:
        by_model = {row["model"]: float(row[column]) for row in csv.DictReader(file)}
    assert by_model.keys() == set(models)
    return np.array([by_model[model] for model in models])
