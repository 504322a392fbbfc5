"""How far two scores of the same models agree, and who stands out. Pure.

A few hundred pairs of numbers and closed forms: a page may compute this when it is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.statistics import Estimate, spearman

FEWEST = 5  # models; fewer agree or disagree by chance


@dataclass(frozen=True, slots=True)
class Agreement:
    """`rho` is Spearman's, with its interval. `residuals` are y less the line, in the order given;
    `slope` and `intercept` are those of the line of least squares, flat where x does not vary."""

    rho: Estimate
    slope: float
    intercept: float
    residuals: tuple[float, ...]


def agreement(x: Sequence[float], y: Sequence[float]) -> Agreement | None:
    """None below FEWEST pairs."""
    if len(x) < FEWEST:
        return None
    one, two = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    centred = one - one.mean()
    scale = float(centred @ centred)
    slope = float(centred @ (two - two.mean())) / scale if scale > 1e-18 else 0.0
    intercept = float(two.mean()) - slope * float(one.mean())
    residuals = tuple(float(value) for value in two - (intercept + slope * one))
    return Agreement(spearman(one, two), slope, intercept, residuals)
