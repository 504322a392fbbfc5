"""How far two scores agree, against figures worked out elsewhere."""

from __future__ import annotations

from math import isnan

import numpy as np
import pytest
from scipy import stats

from leaderboard.board.agreement import FEWEST, agreement


def test_the_line_and_the_correlation_are_those_of_scipy():
    rng = np.random.default_rng(3)
    x = rng.random(40)
    y = 900 + 300 * x + rng.normal(0, 40, 40)
    found = agreement(list(x), list(y))
    line = stats.linregress(x, y)
    assert found.slope == pytest.approx(line.slope)
    assert found.intercept == pytest.approx(line.intercept)
    assert found.residuals == pytest.approx(y - (line.intercept + line.slope * x))
    assert found.rho.value == pytest.approx(stats.spearmanr(x, y).statistic)
    assert found.rho.low < found.rho.value < found.rho.high
    assert found.rho.n == 40


def test_too_few_models_agree_by_chance():
    numbers = list(range(FEWEST))
    assert agreement(numbers[1:], numbers[1:]) is None
    assert agreement(numbers, numbers) is not None


def test_scores_that_are_all_equal_have_a_flat_line_and_no_correlation():
    found = agreement([0.5] * 6, [1000, 1010, 1020, 1030, 1040, 1050])
    assert (found.slope, found.intercept) == (0.0, 1025)
    assert isnan(found.rho.value)
    assert sum(found.residuals) == pytest.approx(0)
