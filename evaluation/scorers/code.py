"""Code tasks: the sandbox says whether a program passed; here is what follows from it.

Source of the estimator: Chen et al., Evaluating Large Language Models Trained on Code,
arXiv:2107.03374, equation 1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

from .score import Item, Response, Score, Scorer


@dataclass(frozen=True, slots=True)
class Parameters:
    """Which k a run reports is a matter of its epochs, not of one response."""


def code(response: Response, item: Item, params: Parameters) -> Score:
    """1 if the sandbox passed it. Raises ValueError without a verdict: nothing is guessed."""
    if response.passed is None:
        raise ValueError("a code response is scored from the sandbox's verdict, and has none")
    return Score(float(response.passed))


def pass_at_k(n: int, c: int, k: int) -> float:
    """Chance that one of `k` responses drawn from `n`, of which `c` passed, passes.

    1 − C(n−c, k) / C(n, k), unbiased. Raises ValueError unless 0 ≤ c ≤ n and 1 ≤ k ≤ n.
    """
    if not 0 <= c <= n:
        raise ValueError(f"{c} of {n} cannot have passed")
    if not 1 <= k <= n:
        raise ValueError(f"pass@{k} needs at least {k} responses an item, there are {n}")
    return 1.0 - comb(n - c, k) / comb(n, k)


CODE = Scorer("code", "1.0.0", Parameters, code)
