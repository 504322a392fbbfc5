from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.ratings.rank import rank_by_point, rank_upper_bound

FINITE = st.floats(-5, 5, allow_nan=False).map(lambda x: round(x, 1))


def test_models_whose_intervals_overlap_share_a_rank() -> None:
    assert rank_upper_bound([5, 4, 1], [7, 6, 2]).tolist() == [1, 1, 3]


def test_an_interval_that_only_touches_is_not_wholly_above() -> None:
    assert rank_upper_bound([2, 1], [3, 2]).tolist() == [1, 1]


def test_a_model_without_an_interval_has_no_rank_and_pushes_nobody_down() -> None:
    assert rank_upper_bound([9, np.nan, 1], [10, np.nan, 2]).tolist() == [1, 0, 2]


@given(st.lists(st.tuples(FINITE, FINITE).map(sorted), max_size=12))
def test_the_rank_counts_the_intervals_above_as_its_definition_says(bounds: list) -> None:
    low, high = [b[0] for b in bounds], [b[1] for b in bounds]
    expected = [1 + sum(other > mine for other in low) for mine in high]
    assert rank_upper_bound(low, high).tolist() == expected


def test_equal_ratings_share_the_better_rank_and_missing_ones_have_none() -> None:
    table = [[3.0, 1.0, 3.0, np.nan], [1.0, 2.0, 3.0, 4.0]]
    assert rank_by_point(table).tolist() == [[1, 3, 1, 0], [4, 3, 2, 1]]
    assert rank_by_point([]).tolist() == []
