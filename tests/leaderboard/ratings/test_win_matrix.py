from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import PairCounts
from leaderboard.ratings.win_matrix import predicted_win_matrix, win_matrix

from . import vote_files
from .synthetic import random_counts

SMALL = PairCounts(
    "abc",
    [[0, 3, 0], [1, 0, 0], [0, 0, 0]],
    [[0, 2, 4], [2, 0, 0], [4, 0, 0]],
    [[0, 2, 0], [2, 0, 0], [0, 0, 0]],
)


def test_observed_shares_are_of_decisive_votes() -> None:
    observed = win_matrix(SMALL)
    assert observed.win_rate[0, 1] == 0.75
    assert observed.win_rate[1, 0] == 0.25
    assert observed.battles[0, 1] == 4
    assert np.isnan(observed.win_rate[0, 2])  # nothing but ties
    assert np.isnan(observed.win_rate[1, 2])  # never met
    assert np.isnan(observed.win_rate.diagonal()).all()
    assert observed.average()[:2].tolist() == [0.75, 0.25]
    assert np.isnan(observed.average()[2])


def test_with_ties_as_half_every_vote_counts() -> None:
    observed = win_matrix(SMALL, ties="half")
    assert observed.win_rate[0, 1] == 5 / 8
    assert observed.win_rate[0, 2] == 0.5
    assert observed.battles[0, 1] == 8
    assert observed.average().tolist() == [(5 / 8 + 0.5) / 2, 3 / 8, 0.5]
    with pytest.raises(ValueError, match="tie policy"):
        win_matrix(SMALL, ties="double")


def test_the_prediction_agrees_with_the_fit_and_leaves_out_the_unrated() -> None:
    hero = PairCounts.from_cells([(0, "hero", "hi", 12)], models=[0, "hero"])
    fit = fit_bt(random_counts(31) + hero)
    predicted = predicted_win_matrix(fit)
    assert predicted.win_rate[2, 5] == fit.win_prob(2, 5)
    assert np.isnan(predicted.win_rate[-1]).all()
    assert np.isnan(predicted.win_rate[:, -1]).all()
    rated = predicted.win_rate[:-1, :-1]
    off = ~np.eye(12, dtype=bool)
    assert np.allclose((rated + rated.T)[off], 1)
    order = np.argsort(predicted.average()[:-1])
    assert order.tolist() == np.argsort(fit.ratings[:-1]).tolist()


def test_average_shares_agree_with_the_published_ones(shared_data: Path) -> None:
    path = shared_data / "votes" / "llmfao_crowd.published_evalica.csv"
    with path.open(encoding="utf-8") as file:
        published = {
            row["item"]: float(row["score"])
            for row in csv.DictReader(file)
            if row["algorithm"] == "average_win_rate"
        }
    counts = vote_files.counts(shared_data, "llmfao_crowd")
    ours = win_matrix(counts, ties="half").average()
    assert np.allclose(ours, [published[m] for m in counts.models], atol=1e-9)
