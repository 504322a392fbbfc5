from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from leaderboard.ratings.counts import Outcome, PairCounts, aggregate

MODELS = ("a", "b", "c", "d")
VOTES = st.lists(
    st.tuples(st.sampled_from(MODELS), st.sampled_from(MODELS), st.sampled_from(Outcome)),
    max_size=40,
)
SWAPPED = {
    Outcome.FIRST: Outcome.SECOND,
    Outcome.SECOND: Outcome.FIRST,
    Outcome.TIE: Outcome.TIE,
    Outcome.BOTH_BAD: Outcome.BOTH_BAD,
}


def test_each_outcome_lands_in_its_own_matrix() -> None:
    counts = PairCounts("xyz")
    counts.add("x", "y", Outcome.FIRST, 3)
    counts.add("x", "y", Outcome.SECOND, 2)
    counts.add("y", "z", Outcome.TIE, 4)
    counts.add("z", "x", Outcome.BOTH_BAD)
    assert counts.wins.tolist() == [[0, 3, 0], [2, 0, 0], [0, 0, 0]]
    assert counts.ties.tolist() == [[0, 0, 0], [0, 0, 4], [0, 4, 0]]
    assert counts.both_bad.tolist() == [[0, 0, 1], [0, 0, 0], [1, 0, 0]]
    assert counts.total == 10
    assert counts.per_model().tolist() == [6, 9, 5]
    assert counts.per_pair().tolist() == [[0, 5, 1], [5, 0, 4], [1, 4, 0]]


def test_rows_of_the_pair_table_become_counts() -> None:
    counts = PairCounts.from_cells(
        [(7, 9, "hi", 5), (3, 9, "lo", 1), (3, 7, "tie", 2), (3, 7, "both_bad", 4)]
    )
    assert counts.models == (3, 7, 9)
    assert counts.wins.tolist() == [[0, 0, 1], [0, 0, 0], [0, 5, 0]]
    assert counts.ties[0, 1] == counts.ties[1, 0] == 2
    assert counts.both_bad[0, 1] == counts.both_bad[1, 0] == 4


def test_a_pair_written_in_either_order_is_one_pair() -> None:
    one = PairCounts.from_cells([(1, 2, "lo", 3), (1, 2, "tie", 2)])
    other = PairCounts.from_cells([(2, 1, "hi", 3), (2, 1, "tie", 1), (1, 2, "tie", 1)])
    assert one == other


def test_a_model_without_votes_keeps_its_place_when_it_is_named() -> None:
    counts = PairCounts.from_cells([(1, 2, "lo", 3)], models=[2, 5, 1])
    assert counts.models == (2, 5, 1)
    assert counts.per_model().tolist() == [3, 0, 3]


def test_a_battle_of_a_model_with_itself_is_dropped_everywhere() -> None:
    counts = PairCounts("ab")
    counts.add("a", "a", Outcome.FIRST, 9)
    assert counts.total == 0
    assert PairCounts.from_cells([(1, 1, "lo", 4), (1, 2, "hi", 1)]).total == 1
    assert PairCounts.from_votes([("a", "a", Outcome.TIE), ("a", "b", Outcome.TIE)]).total == 1
    assert aggregate([0, 0], [0, 1], [2, 2], 2).total == 1


@pytest.mark.parametrize("outcome", Outcome)
def test_more_votes_than_are_there_cannot_be_taken_back(outcome: Outcome) -> None:
    counts = PairCounts("ab")
    counts.add("a", "b", outcome, 2)
    before = PairCounts("ab") + counts
    with pytest.raises(ValueError, match="cannot take 3 votes from 2"):
        counts.subtract("a", "b", outcome, 3)
    assert counts == before


@pytest.mark.parametrize(
    ("cells", "models"),
    [
        ([(1, 2, "draw", 1)], None),
        ([(1, 2, "lo", -1)], None),
        ([(1, 2, "lo", 1.5)], None),
        ([(1, 2, "lo", 1)], [1, 3]),
        ([(1, 2, "lo", 1)], [1, 2, 1]),
    ],
)
def test_rows_that_make_no_sense_are_refused(cells: list, models: list | None) -> None:
    with pytest.raises(ValueError):
        PairCounts.from_cells(cells, models)


@pytest.mark.parametrize(
    ("wins", "ties"),
    [
        ([[0, -1], [0, 0]], None),
        ([[1, 0], [0, 0]], None),
        ([[0, 0.5], [0, 0]], None),
        ([[0, 1, 2]], None),
        (None, [[0, 2], [1, 0]]),
    ],
)
def test_matrices_that_make_no_sense_are_refused(wins: list | None, ties: list | None) -> None:
    with pytest.raises(ValueError):
        PairCounts("ab", wins, ties)


@pytest.mark.parametrize(
    ("a", "b", "outcomes"),
    [
        ([0, 1], [1], [0, 0]),
        ([0], [2], [0]),
        ([-1], [1], [0]),
        ([0], [1], [4]),
        ([0.0], [1.0], [0]),
        ([[0]], [[1]], [[0]]),
    ],
)
def test_vote_arrays_that_make_no_sense_are_refused(a: list, b: list, outcomes: list) -> None:
    with pytest.raises(ValueError):
        aggregate(a, b, outcomes, 2)


def test_no_votes_at_all_is_a_valid_count() -> None:
    assert aggregate([], [], [], 0).total == 0
    assert aggregate([], [], [], 3).per_model().tolist() == [0, 0, 0]
    assert PairCounts.from_cells([]).models == ()


@pytest.mark.parametrize("kind", [np.uint8, np.int16, np.uint64])
def test_integers_of_any_size_are_added_up_without_overflow(kind: type) -> None:
    models = 200
    first, second = np.full(3, 198, dtype=kind), np.full(3, 199, dtype=kind)
    counts = aggregate(first, second, np.array([0, 0, 3], dtype=kind), models)
    assert counts.wins[198, 199] == 2
    assert counts.both_bad[199, 198] == 1


@given(VOTES)
def test_arrays_of_votes_and_single_votes_add_up_to_the_same(
    votes: list[tuple[str, str, Outcome]],
) -> None:
    at = {m: i for i, m in enumerate(MODELS)}
    by_array = aggregate(
        [at[a] for a, _, _ in votes], [at[b] for _, b, _ in votes], [o for _, _, o in votes], 4
    )
    one_by_one = PairCounts.from_votes(votes, MODELS)
    assert np.array_equal(by_array.wins, one_by_one.wins)
    assert np.array_equal(by_array.ties, one_by_one.ties)
    assert np.array_equal(by_array.both_bad, one_by_one.both_bad)


@given(VOTES)
def test_it_does_not_matter_which_side_a_model_stood_on(
    votes: list[tuple[str, str, Outcome]],
) -> None:
    mirrored = [(b, a, SWAPPED[outcome]) for a, b, outcome in votes]
    assert PairCounts.from_votes(votes, MODELS) == PairCounts.from_votes(mirrored, MODELS)


@given(VOTES, VOTES)
def test_adding_then_subtracting_leaves_no_trace(
    kept: list[tuple[str, str, Outcome]], removed: list[tuple[str, str, Outcome]]
) -> None:
    counts = PairCounts.from_votes(kept, MODELS)
    for vote in removed:
        counts.add(*vote)
    for vote in reversed(removed):
        counts.subtract(*vote)
    assert counts == PairCounts.from_votes(kept, MODELS)


@given(VOTES, VOTES)
def test_the_sum_of_two_categories_is_the_count_of_all_their_votes(
    one: list[tuple[str, str, Outcome]], other: list[tuple[str, str, Outcome]]
) -> None:
    together = PairCounts.from_votes(one) + PairCounts.from_votes(other)
    expected = PairCounts.from_votes(one + other)
    assert together.restricted_to(expected.models) == expected
    assert together.total == expected.total


@given(VOTES)
def test_the_cells_give_the_counts_back(votes: list[tuple[str, str, Outcome]]) -> None:
    counts = PairCounts.from_votes(votes, MODELS)
    cells = list(counts.cells())
    assert PairCounts.from_cells(cells, MODELS) == counts
    assert sum(n for *_, n in cells) == counts.total


def test_a_sum_does_not_share_its_matrices_with_its_parts() -> None:
    part = PairCounts.from_cells([(1, 2, "lo", 1)])
    total = part + part
    total.add(1, 2, Outcome.FIRST)
    assert part.total == 1
    assert total.total == 3
