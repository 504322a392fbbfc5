from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from leaderboard.ratings.elo import bootstrap_elo, online_elo

from . import vote_files


def arrays(shared_data: Path, name: str) -> tuple[tuple[str, ...], list[int], list[int], list[int]]:
    votes = vote_files.votes(shared_data, name)
    models = tuple(sorted({m for a, b, _ in votes for m in (a, b)}))
    at = {m: i for i, m in enumerate(models)}
    return (
        models,
        [at[a] for a, _, _ in votes],
        [at[b] for _, b, _ in votes],
        [o for *_, o in votes],
    )


@pytest.mark.parametrize("name", vote_files.GOLDEN)
def test_ratings_in_file_order_agree_with_fastchat_to_its_last_printed_digit(
    shared_data: Path, name: str
) -> None:
    models, a, b, outcomes = arrays(shared_data, name)
    expected = vote_files.golden(shared_data, name, "elo_online", models)
    # the reference file holds five decimals
    assert np.abs(online_elo(a, b, outcomes, len(models)) - expected).max() < 5.01e-6


def test_each_vote_moves_both_by_k_times_the_surprise() -> None:
    assert online_elo([0], [1], [0], 2).tolist() == [1002, 998]
    assert online_elo([0], [1], [1], 2, k=32, init=0).tolist() == [-16, 16]
    assert online_elo([0, 1], [1, 0], [2, 3], 2).tolist() == [1000, 1000]
    expected = 1 / (1 + 10 ** ((998 - 1002) / 400))
    twice = online_elo([0, 0], [1, 1], [0, 0], 2)
    assert twice == pytest.approx([1002 + 4 * (1 - expected), 998 - 4 * (1 - expected)], abs=1e-9)


def test_base_and_scale_set_how_steep_the_expectation_is() -> None:
    twice = online_elo([0, 0], [1, 1], [0, 0], 2, base=2, scale=10)
    expected = 1 / (1 + 2 ** (-4 / 10))
    assert twice[0] == pytest.approx(1002 + 4 * (1 - expected), abs=1e-9)


def test_points_are_only_ever_passed_on() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(6, size=(2, 500))
    ratings = online_elo(a, b, rng.integers(4, size=500), 6)
    assert ratings.mean() == pytest.approx(1000, abs=1e-9)


def test_a_model_without_votes_or_only_against_itself_has_no_rating() -> None:
    ratings = online_elo([0, 2], [1, 2], [0, 0], 4)
    assert np.isnan(ratings).tolist() == [False, False, True, True]
    assert online_elo([], [], [], 0).size == 0
    replicas = bootstrap_elo([0, 2], [1, 2], [0, 0], 4, rounds=5)
    assert replicas.ranked.tolist() == [True, True, False, False]
    assert np.isnan(replicas.interval().lower).tolist() == [False, False, True, True]


def test_votes_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError):
        online_elo([0], [5], [0], 2)
    with pytest.raises(ValueError, match="round"):
        bootstrap_elo([0], [1], [0], 2, rounds=0)


def test_a_replica_is_online_elo_over_some_sequence_of_the_votes() -> None:
    # one vote, drawn once in each replica: every replica must be the plain rating
    replicas = bootstrap_elo([0], [1], [0], 2, rounds=7)
    assert replicas.ratings.tolist() == [[1002, 998]] * 7
    # equal votes: every sequence is the same one
    a, b, outcomes = [0] * 30, [1] * 30, [0] * 30
    plain = online_elo(a, b, outcomes, 2)
    assert np.allclose(bootstrap_elo(a, b, outcomes, 2, rounds=3).ratings, plain, atol=1e-9)


def test_the_bootstrap_is_repeatable_and_spreads_around_the_rating(shared_data: Path) -> None:
    models, a, b, outcomes = arrays(shared_data, "llmfao_gpt4")
    one, two = (bootstrap_elo(a, b, outcomes, len(models), seed=4) for _ in range(2))
    assert one.ratings.tobytes() == two.ratings.tobytes()
    rating = online_elo(a, b, outcomes, len(models))
    assert np.corrcoef(one.median(), rating)[0, 1] > 0.98
    assert (one.standard_errors() > 2).all()
    bounds = one.interval()
    inside = (bounds.lower <= rating) & (rating <= bounds.upper)
    assert inside.mean() > 0.85
    assert np.allclose(one.ratings.mean(axis=1), 1000)


def test_the_published_bootstrap_elo_ranks_as_ours(shared_data: Path) -> None:
    models, a, b, outcomes = arrays(shared_data, "quora100_gpt4")
    path = shared_data / "votes" / "quora100_gpt4.published_elo.csv"
    published = dict(line.rsplit(",", 1) for line in path.read_text().splitlines()[1:])
    theirs = np.array([float(published[m]) for m in models])
    ours = bootstrap_elo(a, b, outcomes, len(models), rounds=200)
    ranks = [np.argsort(np.argsort(x)) for x in (ours.median(), theirs)]
    assert np.corrcoef(*ranks)[0, 1] > 0.99
    bounds = ours.interval()
    assert ((bounds.lower < theirs) & (theirs < bounds.upper)).all()
