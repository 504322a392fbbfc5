"""Counts made up for tests."""

from __future__ import annotations

import numpy as np

from leaderboard.ratings.counts import PairCounts, aggregate


def random_counts(seed: int, models: int = 12, votes: int = 3000) -> PairCounts:
    """Strengths around zero (sd 120 Elo), a quarter of ties and both-bad, every pair alike."""
    rng = np.random.default_rng(seed)
    strength = rng.normal(0, 0.7, models)
    a = rng.integers(models, size=votes)
    b = (a + rng.integers(1, models, size=votes)) % models
    wins = rng.random(votes) < 1 / (1 + np.exp(strength[b] - strength[a]))
    outcome = np.where(rng.random(votes) < 0.25, rng.integers(2, 4, votes), np.where(wins, 0, 1))
    return aggregate(a, b, outcome, models)
