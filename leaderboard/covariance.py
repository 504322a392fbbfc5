"""How the ratings of a snapshot vary together, packed small: for differences of two models.

No Django. The interval of a difference needs the covariance of the two ratings, which the
intervals of each do not tell; half a matrix of float32 keeps it to seven digits.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from math import sqrt

import numpy as np

from leaderboard.ratings.evidence import FloatArray


def pack(models: Sequence[str], covariance: FloatArray) -> bytes:
    """`covariance` [M, M] in Elo squared of the M models, in their order."""
    upper = covariance[np.triu_indices(len(models))].astype("<f4").tobytes()
    return zlib.compress(json.dumps(list(models)).encode() + b"\0" + upper)


def standard_error(packed: bytes, a: str, b: str) -> float | None:
    """In Elo, of the rating of `a` minus that of `b`; None if one of them is not in there."""
    if not packed:
        return None
    names, _, upper = zlib.decompress(packed).partition(b"\0")
    models: list[str] = json.loads(names)
    if a not in models or b not in models:
        return None
    i, j = sorted((models.index(a), models.index(b)))
    size = len(models)
    values = np.frombuffer(upper, dtype="<f4")

    def at(row: int, column: int) -> float:
        return float(values[row * size - row * (row - 1) // 2 + column - row])

    return sqrt(max(at(i, i) + at(j, j) - 2 * at(i, j), 0.0))
