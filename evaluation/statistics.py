"""What a board may say about a benchmark's scores: estimates with their uncertainty.

No Django, no database: arrays in, dataclasses out. Where there is too little to say (one item, one
cluster) the error and the bounds are nan, not a guess. Randomness comes in as a seed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import atanh, comb, isnan, nan, sqrt, tanh

import numpy as np
import numpy.typing as npt
from scipy.special import ndtri, stdtrit

from .scorers.code import pass_at_k

FloatArray = npt.NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]  # [..., n] to [...]

DRAWS = 2_000
CELLS_AT_ONCE = 2_000_000  # draws times items held in memory together, 16 MB per array


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure of `n` items and what is known of it.

    `se` is the standard error; `low` and `high` bound the interval of `confidence`; `method` names
    how, for the reader of a board. `clusters` is None where items count as independent.
    """

    n: int
    value: float
    se: float
    low: float
    high: float
    confidence: float
    method: str
    clusters: int | None = None


def _values(values: npt.ArrayLike) -> FloatArray:
    """[n] finite scores. Raises ValueError for anything else, and for none."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or not array.size:
        raise ValueError("an estimate needs a list of scores")
    if not np.isfinite(array).all():
        raise ValueError("a score that is not a number cannot be averaged")
    return array


def _check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise ValueError("a confidence lies between 0 and 1")


def _standard_error(values: FloatArray) -> float:
    """s/√n with s over n − 1."""
    return float(values.std(ddof=1) / sqrt(values.size)) if values.size > 1 else nan


def _t(confidence: float, freedom: int) -> float:
    return float(stdtrit(freedom, (1 + confidence) / 2)) if freedom > 0 else nan


def mean(values: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """The mean with s/√n and Student's interval."""
    _check_confidence(confidence)
    array = _values(values)
    value, se = float(array.mean()), _standard_error(array)
    half = _t(confidence, array.size - 1) * se
    return Estimate(array.size, value, se, value - half, value + half, confidence, "t")


def accuracy(values: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """The mean of right (1) and wrong (0) with s/√n and Wilson's interval.

    Raises ValueError for any other score: Wilson's interval is one of counts.
    """
    array = _values(values)
    if not np.isin(array, (0.0, 1.0)).all():
        raise ValueError("accuracy is of scores that are 0 or 1")
    low, high = wilson(int(array.sum()), array.size, confidence=confidence)
    se = _standard_error(array)
    return Estimate(array.size, float(array.mean()), se, low, high, confidence, "wilson")


def wilson(successes: int, n: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a proportion, within [0, 1] (Wilson 1927, JASA 22, 209-212)."""
    _check_confidence(confidence)
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no proportion")
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    p = successes / n
    centre = (p + z2 / (2 * n)) / (1 + z2 / n)
    half = sqrt(z2 * (p * (1 - p) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # At the ends the bound is the end itself, which rounding would miss by a hair.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def clustered_mean(
    values: npt.ArrayLike, clusters: Sequence[Hashable], *, confidence: float = 0.95
) -> Estimate:
    """The mean over all items when those of one cluster hang together.

    Cluster-robust variance C/(C−1) · Σ_c (Σ_{i∈c} (x_i − x̄))² / n² with Student's interval of
    C − 1 degrees of freedom (Cameron & Miller 2015, J. Human Resources 50, 317-372; for language
    models Miller 2024, arXiv:2411.00640). `clusters` names the cluster of each value.
    """
    _check_confidence(confidence)
    array = _values(values)
    if len(clusters) != array.size:
        raise ValueError(f"{array.size} scores in {len(clusters)} cluster names")
    number: dict[Hashable, int] = {}
    index = np.array([number.setdefault(c, len(number)) for c in clusters], dtype=np.intp)
    count = len(number)
    value = float(array.mean())
    sums = np.bincount(index, weights=array - value, minlength=count)
    se = sqrt(count / (count - 1) * float(sums @ sums)) / array.size if count > 1 else nan
    half = _t(confidence, count - 1) * se
    return Estimate(
        array.size, value, se, value - half, value + half, confidence, "clustered t", count
    )


def _mean_of_last(values: FloatArray) -> FloatArray:
    averages: FloatArray = values.mean(axis=-1)
    return averages


def bootstrap(
    values: npt.ArrayLike,
    statistic: Statistic = _mean_of_last,
    *,
    seed: int = 0,
    draws: int = DRAWS,
    confidence: float = 0.95,
) -> Estimate:
    """Percentile bootstrap over items (Efron & Tibshirani 1993, chapter 13).

    `statistic` takes arrays [..., n] and reduces their last axis. The same seed gives the same
    bounds. The error is the standard deviation of the draws.
    """
    _check_confidence(confidence)
    if draws < 2:
        raise ValueError("a bootstrap has at least two draws")
    array = _values(values)
    value = float(statistic(array))
    if array.size == 1:
        return Estimate(1, value, nan, nan, nan, confidence, "bootstrap")
    rng = np.random.default_rng(seed)
    batch = max(1, CELLS_AT_ONCE // array.size)
    replicas = np.concatenate(
        [
            statistic(array[rng.integers(array.size, size=(min(batch, draws - done), array.size))])
            for done in range(0, draws, batch)
        ]
    )
    tail = (1 - confidence) / 2
    low, high = (float(q) for q in np.quantile(replicas, (tail, 1 - tail)))
    se = float(replicas.std(ddof=1))
    return Estimate(array.size, value, se, low, high, confidence, "bootstrap")


def reduce_epochs(epochs: Sequence[Sequence[float]], reducer: str = "mean") -> list[float]:
    """One score per item from its epochs: they are repeats, not more items.

    "mean"; "majority", the most frequent score, the lower of equals; "pass@k" with a number for k,
    from scores that are 0 or 1. Raises ValueError for an item without epochs.
    """
    if not all(epochs):
        raise ValueError("an item without a score has nothing to reduce")
    if reducer == "mean":
        return [float(np.mean(scores)) for scores in epochs]
    if reducer == "majority":
        return [_most_frequent(scores) for scores in epochs]
    name, _, k = reducer.partition("@")
    if name == "pass" and k.isascii() and k.isdigit():
        return [pass_at_k(len(scores), _passed(scores), int(k)) for scores in epochs]
    raise ValueError(f"no reducer {reducer!r}; there are mean, majority and pass@k")


def _most_frequent(scores: Sequence[float]) -> float:
    counts = Counter(scores)
    return float(max(counts, key=lambda score: (counts[score], -score)))


def _passed(scores: Sequence[float]) -> int:
    if not set(scores) <= {0, 1}:
        raise ValueError("pass@k is of scores that are 0 or 1")
    return int(sum(scores))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A minus B on the items both answered.

    `a_better` and `b_better` count the items on which the two differ; `p` is the exact two-sided
    sign test over them (McNemar's, for right and wrong). `clear` is whether the board may name a
    winner. `left_out` counts items that only one has.
    """

    n: int
    difference: float
    se: float
    low: float
    high: float
    a_better: int
    b_better: int
    p: float
    clear: bool
    left_out: int


def compare(
    a: Mapping[str, float],
    b: Mapping[str, float],
    *,
    clusters: Mapping[str, Hashable] | None = None,
    confidence: float = 0.95,
) -> Comparison:
    """Two models on the same items, by item hash: the differences are what varies.

    Pairing takes the items' own difficulty out of the error. There is no clear difference while
    the interval holds 0, nor, where all differences are equal and no interval has a width, while
    the sign test does not reject. Raises ValueError without a common item.
    """
    common = sorted(a.keys() & b.keys())
    if not common:
        raise ValueError("the two have no item in common")
    differences = np.array([a[key] - b[key] for key in common], dtype=np.float64)
    if clusters is None:
        estimate = mean(differences, confidence=confidence)
    else:
        names = [clusters[key] for key in common]
        estimate = clustered_mean(differences, names, confidence=confidence)
    a_better, b_better = int((differences > 0).sum()), int((differences < 0).sum())
    p = sign_test(a_better, b_better)
    # Comparisons with nan are false: one item alone never shows a difference.
    clear = estimate.low > 0 or estimate.high < 0
    if estimate.se < 1e-12:
        clear = p < 1 - confidence
    return Comparison(
        n=len(common),
        difference=estimate.value,
        se=estimate.se,
        low=estimate.low,
        high=estimate.high,
        a_better=a_better,
        b_better=b_better,
        p=p,
        clear=clear,
        left_out=len(a.keys() ^ b.keys()),
    )


def sign_test(first: int, second: int) -> float:
    """Exact two-sided p of `first` against `second` discordant items under a fair coin."""
    n, smaller = first + second, min(first, second)
    tail = sum(comb(n, i) for i in range(smaller + 1))
    p: float = 2 * tail / 2**n
    return min(1.0, p)


def spearman(x: npt.ArrayLike, y: npt.ArrayLike, *, confidence: float = 0.95) -> Estimate:
    """Spearman's ρ of two scores of the same models; equal scores share their mean rank.

    Interval by Fisher's z with variance (1 + ρ²/2)/(n − 3): Bonett & Wright 2000, Psychometrika
    65, 23-28 (Fisher's own 1/(n − 3) is for Pearson's r and too narrow). A perfect order would
    give no width, so its open bound is that of the nearest order that is not perfect. nan below
    four models, or when one side does not vary. `se` is that of ρ by the delta method.
    """
    _check_confidence(confidence)
    one, two = _values(x), _values(y)
    if one.size != two.size:
        raise ValueError(f"{one.size} scores against {two.size}")
    n = one.size
    first, second = _ranks(one), _ranks(two)
    first, second = first - first.mean(), second - second.mean()
    scale = sqrt(float(first @ first) * float(second @ second))
    rho = max(-1.0, min(1.0, float(first @ second) / scale)) if scale else nan
    if n < 4 or isnan(rho):
        return Estimate(n, rho, nan, nan, nan, confidence, "fisher z, bonett-wright")
    nearest = 1 - 12 / (n * (n * n - 1))  # two neighbours exchanged
    inner = max(-nearest, min(nearest, rho))
    deviation = sqrt((1 + inner * inner / 2) / (n - 3))
    half = float(ndtri((1 + confidence) / 2)) * deviation
    low = -1.0 if rho <= -nearest else tanh(atanh(inner) - half)
    high = 1.0 if rho >= nearest else tanh(atanh(inner) + half)
    se = (1 - inner * inner) * deviation
    return Estimate(n, rho, se, low, high, confidence, "fisher z, bonett-wright")


def _ranks(values: FloatArray) -> FloatArray:
    """Ranks from 1, equal values sharing the mean of theirs."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: FloatArray = (last - (counts - 1) / 2)[index]
    return ranks


@dataclass(frozen=True, slots=True)
class Part:
    """A benchmark's place in a composite: its score, with its interval where that is asked for,
    and what guessing would score."""

    score: float | None
    baseline: float = 0.0
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.baseline < 1:
            raise ValueError("a baseline lies in [0, 1)")


def composite(parts: Mapping[str, Part]) -> float | None:
    """The mean of (score − baseline)/(1 − baseline), or None while a part is missing.

    Below the baseline counts as 0, as the Open LLM Leaderboard v2 did. A mean over what happens
    to be there would rank models by which benchmarks they skipped.
    """
    if not parts:
        return None
    total = 0.0
    for part in parts.values():
        if part.score is None or isnan(part.score):
            return None
        total += max(0.0, (part.score - part.baseline) / (1 - part.baseline))
    return total / len(parts)


def composite_interval(parts: Mapping[str, Part]) -> tuple[float, float] | None:
    """The interval of `composite`, or None while a part is missing or has no interval.

    The parts are of different items, so their errors are independent: the distances from score to
    bound add up as squares, each side of its own (method of variance estimates recovery, Zou &
    Donner 2008, Statistics in Medicine 27, 1693-1702). Below a part's baseline nothing varies.
    """
    value = composite(parts)
    if value is None:
        return None
    below = above = 0.0
    for part in parts.values():
        if part.low is None or part.high is None:
            return None
        point, low, high = (
            max(0.0, (bound - part.baseline) / (1 - part.baseline))
            for bound in (part.score or 0.0, part.low, part.high)
        )
        below += (point - low) ** 2
        above += (high - point) ** 2
    return value - sqrt(below) / len(parts), value + sqrt(above) / len(parts)
