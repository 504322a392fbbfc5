"""Which two models meet. Pure: takes weights and a random generator, returns a pair and its odds.

The probability of the drawn pair is stored with the battle, so that ratings can undo the sampling
by inverse propensity (Chiang et al. 2024, arXiv 2403.04132, eq. 7).
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass

SAMPLER = "weighted/1"


class TooFewContestants(Exception):
    """Fewer than two models with a positive weight: nobody to meet."""


@dataclass(frozen=True, slots=True)
class Draw:
    left: int
    right: int
    probability: float  # of this unordered pair, whichever side each sits on
    swapped: bool  # the coin: the first drawn sits on the right


def pair_probability(weights: Mapping[int, float], one: int, other: int) -> float:
    """Chance that `draw` picks this unordered pair: w₁/W·w₂/(W−w₁) + w₂/W·w₁/(W−w₂)."""
    total = sum(weights.values())
    first, second = weights[one], weights[other]
    return first / total * second / (total - first) + second / total * first / (total - second)


def draw(weights: Mapping[int, float], rng: random.Random) -> Draw:
    """Two different models, each in proportion to its weight, on sides set by a fair coin.

    `weights` maps model ids to weights; those of weight 0 are never drawn. Raises
    TooFewContestants.
    """
    positive = {model: weight for model, weight in weights.items() if weight > 0}
    if len(positive) < 2:
        raise TooFewContestants
    first = rng.choices(list(positive), list(positive.values()))[0]
    rest = {model: weight for model, weight in positive.items() if model != first}
    second = rng.choices(list(rest), list(rest.values()))[0]
    swapped = rng.random() < 0.5
    left, right = (second, first) if swapped else (first, second)
    return Draw(left, right, pair_probability(positive, first, second), swapped)


def redraw(weights: Mapping[int, float], kept: int, rng: random.Random) -> tuple[int, float]:
    """Another model to meet `kept`, by the same rule, and the probability of the new pair.

    `weights` holds `kept`, and no longer the models that failed. A pair
    drawn among all, in which the failed model was replaced so, comes exactly as often as `draw`
    gives it among the others: of two models drawn one after the other, each in proportion to its
    weight, leaving one out and going on is the same as never having had it. So the probability is
    that of the pair given that the failed models were not to be had. Raises TooFewContestants.
    """
    rest = {model: weight for model, weight in weights.items() if weight > 0 and model != kept}
    if not rest:
        raise TooFewContestants
    other = rng.choices(list(rest), list(rest.values()))[0]
    return other, pair_probability({**rest, kept: weights[kept]}, kept, other)
