"""What FastChat's rating scripts do, step by step in their cost, written anew from the formulas.

Votes come as a table of strings; they are counted by distinct (a, b, outcome) rows, and the
likelihood is minimised by SciPy's L-BFGS-B from zero, once for the estimate and once per replica.
"""

from __future__ import annotations

from math import log

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit

SCORES = {"model_a": 1.0, "model_b": 0.0}
LOG_10 = log(10.0)


def distinct_rows(table: pd.DataFrame) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """Models, [R, 2] pairs, [R] scores of the first and [R] counts."""
    codes, models = pd.factorize(pd.concat([table["model_a"], table["model_b"]]))
    scores = table["winner"].map(SCORES).fillna(0.5).to_numpy(dtype=float)
    rows = np.column_stack([codes[: len(table)], codes[len(table) :], 2 * scores]).astype(np.int32)
    distinct, counts = np.unique(rows, axis=0, return_counts=True)
    return list(models), distinct[:, :2], distinct[:, 2] / 2.0, counts.astype(float)


def bradley_terry(
    pairs: np.ndarray, scores: np.ndarray, counts: np.ndarray, models: int
) -> np.ndarray:
    """Ratings: 400 x + 1000 at the minimum of the weighted log loss."""

    def loss(x: np.ndarray) -> tuple[float, np.ndarray]:
        p = expit(LOG_10 * (x[pairs[:, 0]] - x[pairs[:, 1]]))
        value = -(counts * (scores * np.log(p) + (1 - scores) * np.log(1 - p))).sum()
        pull = -LOG_10 * counts * (scores - p)
        gradient = np.zeros(models)
        np.add.at(gradient, pairs, np.column_stack([pull, -pull]))
        return value, gradient

    options = {"gtol": 1e-6, "maxiter": 100}
    found = minimize(loss, np.zeros(models), jac=True, method="L-BFGS-B", options=options)
    return 400.0 * found.x + 1000.0


def bootstrap(
    pairs: np.ndarray, scores: np.ndarray, counts: np.ndarray, models: int, rounds: int
) -> np.ndarray:
    total = int(counts.sum())
    draws = np.random.default_rng(0).multinomial(total, counts / total, size=rounds)
    return np.stack([bradley_terry(pairs, scores, draw.astype(float), models) for draw in draws])


def style(
    pairs: np.ndarray, scores: np.ndarray, features: np.ndarray, models: int
) -> tuple[np.ndarray, np.ndarray]:
    """Ratings and coefficients with FastChat's penalty of 1/4 |parameters|^2."""

    def loss(parameters: np.ndarray) -> tuple[float, np.ndarray]:
        x, beta = parameters[:models], parameters[models:]
        p = expit(LOG_10 * (x[pairs[:, 0]] - x[pairs[:, 1]]) + features @ beta)
        value = -(scores * np.log(p) + (1 - scores) * np.log(1 - p)).sum()
        pull = p - scores
        by_model = np.bincount(pairs[:, 0], pull, models) - np.bincount(pairs[:, 1], pull, models)
        gradient = np.concatenate([LOG_10 * by_model, features.T @ pull])
        return value + 0.25 * parameters @ parameters, gradient + 0.5 * parameters

    start = np.zeros(models + features.shape[1])
    options = {"gtol": 1e-6, "maxiter": 100}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    return 400.0 * found[:models] + 1000.0, found[models:]


def online_elo(table: pd.DataFrame) -> dict[str, float]:
    ratings: dict[str, float] = {}
    rows = table[["model_a", "model_b", "winner"]].itertuples(index=False)
    for a, b, winner in rows:
        rating_a, rating_b = ratings.setdefault(a, 1000.0), ratings.setdefault(b, 1000.0)
        surprise = SCORES.get(winner, 0.5) - 1 / (1 + 10 ** ((rating_b - rating_a) / 400))
        ratings[a] += 4 * surprise
        ratings[b] -= 4 * surprise
    return ratings
