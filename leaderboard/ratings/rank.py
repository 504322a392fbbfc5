"""Ranks that do not claim more than the intervals they come from."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]


def rank_upper_bound(lower: npt.ArrayLike, upper: npt.ArrayLike) -> IntArray:
    """1 + the number of models whose interval lies wholly above, strictly; [M] from two [M].

    This is the "rank (UB)" of Chiang et al. 2024 (arXiv 2403.04132, section 4) as FastChat computes
    it. A model with NaN for a bound gets 0, "not ranked", and pushes nobody down.
    """
    low, high = np.asarray(lower, dtype=np.float64), np.asarray(upper, dtype=np.float64)
    ranked = ~(np.isnan(low) | np.isnan(high))
    # number of lower bounds > high = how many stand right of it among the sorted lower bounds
    sorted_low = np.sort(low[ranked])
    ranks = np.zeros(low.shape, dtype=np.int64)
    ranks[ranked] = 1 + sorted_low.size - np.searchsorted(sorted_low, high[ranked], side="right")
    return ranks


def rank_by_point(ratings: npt.ArrayLike) -> IntArray:
    """Competition rank ("1, 2, 2, 4") by rating, best first; 0 for NaN; [..., M] from [..., M]."""
    values = np.asarray(ratings, dtype=np.float64)
    ranks = np.zeros(values.shape, dtype=np.int64)
    if values.size == 0:
        return ranks
    rows = values.reshape(-1, values.shape[-1])
    for row, out in zip(rows, ranks.reshape(rows.shape), strict=True):
        rated = ~np.isnan(row)
        ascending = np.sort(row[rated])
        out[rated] = 1 + ascending.size - np.searchsorted(ascending, row[rated], side="right")
    return ranks
