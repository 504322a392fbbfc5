"""Who beats whom how often: as observed, and as the ratings predict."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import expit

from .counts import IntArray, PairCounts
from .evidence import FloatArray
from .fit import Fit


@dataclass(frozen=True, eq=False)
class WinMatrix:
    """Shares of wins of the row model over the column model.

    `win_rate` [M, M] between 0 and 1, NaN where nothing can be said and on the diagonal.
    `battles`  [M, M] votes behind each observed share; zeros for a prediction.
    """

    models: tuple[Hashable, ...]
    win_rate: FloatArray
    battles: IntArray

    def average(self) -> FloatArray:
        """[M] mean of each row over the rivals it has a share against, all rivals alike.

        NaN for a model that has none.
        """
        known = ~np.isnan(self.win_rate)
        rivals = known.sum(axis=1)
        total = np.where(known, self.win_rate, 0.0).sum(axis=1)
        mean: FloatArray = np.full(rivals.shape, np.nan)
        np.divide(total, rivals, out=mean, where=rivals > 0)
        return mean


def win_matrix(counts: PairCounts, *, ties: Literal["drop", "half"] = "drop") -> WinMatrix:
    """Observed shares: of the decisive votes (FastChat's tables), or of all with ties as half."""
    wins, battles = counts.wins.astype(np.float64), counts.wins + counts.wins.T
    if ties == "half":
        even = counts.ties + counts.both_bad
        wins, battles = wins + 0.5 * even, battles + even
    elif ties != "drop":
        raise ValueError(f"unknown tie policy {ties!r}")
    share = np.divide(wins, battles, out=np.full(wins.shape, np.nan), where=battles > 0)
    return WinMatrix(counts.models, share, battles)


def predicted_win_matrix(fit: Fit) -> WinMatrix:
    """P_ij = 1 / (1 + 10^((R_j - R_i) / 400)) for every pair of rated models; see `Fit.win_prob`.

    Its `average()` is the expected share of wins against all others, met equally often.
    """
    share = expit(fit.log_odds[:, np.newaxis] - fit.log_odds)
    np.fill_diagonal(share, np.nan)
    return WinMatrix(fit.models, share, np.zeros(share.shape, dtype=np.int64))
