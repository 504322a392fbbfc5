from __future__ import annotations

import tracemalloc
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from leaderboard.ratings.bootstrap import bootstrap
from leaderboard.ratings.bradley_terry import fit_bt
from leaderboard.ratings.counts import aggregate
from leaderboard.ratings.evidence import Status
from leaderboard.ratings.fit import ELO_PER_LOG_ODDS, Anchor
from leaderboard.ratings.replicas import normal_replicas
from leaderboard.ratings.simulate import draw_population, simulate
from leaderboard.ratings.style import STYLES, StyleFit, fit_style, style_differences

from . import vote_files

# arena-rank 0.1.1 on llmfao_crowd_style with reg=1e-15, ftol=1e-15, gtol=1e-12: differences over
# their standard deviation, not centred; `make bench-ratings` compares every number afresh
ARENA_RANK_COEFFICIENTS = (0.10120270, -0.24002426, -0.06731746, -0.01045884)
ARENA_RANK_RATINGS = {
    "GPT 4": 1168.8650,
    "command": 1099.2803,
    "Vicuna v1.5 (13B)": 1011.8220,
    "Vicuna-FastChat-T5 (3B)": 845.3997,
}
MODELS = 8
EFFECTS = np.array([0.4, -0.2, 0.0])


@dataclass(frozen=True)
class Styled:
    first: np.ndarray
    second: np.ndarray
    outcome: np.ndarray
    features: np.ndarray
    voter: np.ndarray


@cache
def styled(seed: int = 0, votes: int = 20_000) -> Styled:
    """Votes without ties in which three styles of unit spread pull by EFFECTS."""
    population = draw_population(MODELS, seed=9, tie_share=0.0)
    v = simulate(population, votes, seed=seed)
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((votes, 3))
    strength = population.strengths
    logit = strength[v.first] - strength[v.second] + features @ EFFECTS
    outcome = (rng.random(votes) > 1 / (1 + np.exp(-logit))).astype(int)
    return Styled(v.first, v.second, outcome, features, v.voter)


def fitted(v: Styled, **options: object) -> StyleFit:
    return fit_style(v.first, v.second, v.outcome, v.features, MODELS, **options)


@cache
def crowd(shared_data: Path) -> tuple[Styled, list[str]]:
    rows = vote_files.rows(shared_data, "llmfao_crowd_style")
    models = sorted({row[side] for row in rows for side in ("model_a", "model_b")})
    at = {m: i for i, m in enumerate(models)}
    sides = (
        [[float(row[f"{s}_{side}"]) for s in ("len", "headers", "lists", "bold")] for row in rows]
        for side in "ab"
    )
    votes = Styled(
        np.array([at[row["model_a"]] for row in rows]),
        np.array([at[row["model_b"]] for row in rows]),
        np.array([vote_files.OUTCOMES[row["winner"]] for row in rows]),
        style_differences(*sides),
        np.unique([row["judge"] for row in rows], return_inverse=True)[1],
    )
    return votes, models


def test_a_difference_is_relative_and_turns_its_sign_with_the_sides() -> None:
    a, b = [[300, 0, 4, 0]], [[99, 0, 0, 1]]
    assert style_differences(a, b).tolist() == [[201 / 400, 0, 4 / 5, -1 / 2]]
    assert (style_differences(b, a) == -style_differences(a, b)).all()


@pytest.mark.parametrize(
    ("a", "b"), [([[1, 2]], [[1]]), ([1], [2]), ([[-1]], [[0]]), ([[np.nan]], [[0]])]
)
def test_counts_that_make_no_sense_are_refused(a: list, b: list) -> None:
    with pytest.raises(ValueError, match="count"):
        style_differences(a, b)


def test_effects_that_were_put_in_are_found() -> None:
    effects = fitted(styled(), styles=("length", "lists", "bold")).effects()
    for effect, true in zip(effects, EFFECTS, strict=True):
        assert abs(effect.coefficient / effect.scale - true) < 4 * effect.standard_error
        assert effect.elo == pytest.approx(effect.coefficient * ELO_PER_LOG_ODDS)
        assert effect.lower < effect.coefficient < effect.upper
        assert effect.elo_upper - effect.elo_lower == pytest.approx(
            ELO_PER_LOG_ODDS * (effect.upper - effect.lower)
        )
    assert [e.style for e in effects] == ["length", "lists", "bold"]


def test_a_wordy_models_advantage_is_taken_from_its_rating() -> None:
    v = styled()
    strong = draw_population(MODELS, seed=9).ratings
    # model 0 always writes more; voters like that, and a plain rating thinks it is better
    more = v.features.copy()
    more[:, 0] += 1.5 * (v.first == 0).astype(float) - 1.5 * (v.second == 0)
    logit = (strong[v.first] - strong[v.second]) / ELO_PER_LOG_ODDS + more @ EFFECTS
    outcome = (np.random.default_rng(1).random(logit.size) > 1 / (1 + np.exp(-logit))).astype(int)
    plain = fit_bt(aggregate(v.first, v.second, outcome, MODELS))
    controlled = fit_style(v.first, v.second, outcome, more, MODELS)
    assert plain.ratings[0] - strong[0] > 60
    errors = controlled.fit.standard_errors()
    assert (np.abs(controlled.fit.ratings - strong) < 4 * errors).all()


def test_real_votes_give_arena_ranks_numbers_without_its_penalty(shared_data: Path) -> None:
    v, models = crowd(shared_data)
    result = fit_style(v.first, v.second, v.outcome, v.features, len(models), styles=STYLES)
    assert result.fit.converged
    assert np.abs(result.coefficients - ARENA_RANK_COEFFICIENTS).max() < 1e-5
    by_name = dict(zip(models, result.fit.ratings, strict=True))
    for model, rating in ARENA_RANK_RATINGS.items():
        assert by_name[model] == pytest.approx(rating, abs=0.01)


def test_the_length_of_real_answers_pulls_more_than_its_error(shared_data: Path) -> None:
    v, models = crowd(shared_data)
    result = fit_style(v.first, v.second, v.outcome, v.features, len(models), styles=STYLES)
    length = result.effects()[0]
    assert length.coefficient == pytest.approx(0.101, abs=0.001)
    assert length.standard_error == pytest.approx(0.038, abs=0.001)


def test_without_styles_it_is_bradley_terry() -> None:
    v = styled()
    plain = fit_bt(aggregate(v.first, v.second, v.outcome, MODELS))
    none = fit_style(v.first, v.second, v.outcome, np.empty((v.first.size, 0)), MODELS)
    assert np.abs(none.fit.ratings - plain.ratings).max() < 1e-8
    assert np.allclose(none.fit.cov(), plain.cov(), rtol=1e-8, atol=1e-9)
    assert none.effects() == ()


def test_a_style_that_never_differs_changes_nothing_and_has_no_number() -> None:
    v = styled()
    constant = np.column_stack([v.features, np.zeros(v.first.size)])
    with_it = fit_style(v.first, v.second, v.outcome, constant, MODELS)
    assert np.isnan(with_it.coefficients[3])
    assert np.isnan(with_it.effects()[3].elo)
    assert with_it.fit.ratings.tolist() == fitted(v).fit.ratings.tolist()


def test_the_unit_of_a_style_does_not_matter() -> None:
    v = styled()
    scaled = Styled(v.first, v.second, v.outcome, v.features * [1000, 0.01, 3], v.voter)
    assert np.allclose(fitted(v).coefficients, fitted(scaled).coefficients, atol=1e-9)


def test_features_are_not_centred_so_a_lead_of_one_side_stays_an_effect() -> None:
    # one style only, in which the first side always leads by the same: it is that side's bonus
    population = draw_population(5, seed=2, tie_share=0.0)
    v = simulate(population, 30_000)
    strength = population.strengths
    logit = strength[v.first] - strength[v.second] + 0.3
    outcome = (np.random.default_rng(0).random(logit.size) > 1 / (1 + np.exp(-logit))).astype(int)
    result = fit_style(v.first, v.second, outcome, np.full((logit.size, 1), 2.0), 5)
    effect = result.effects()[0]
    assert effect.coefficient == pytest.approx(0.3, abs=4 * effect.standard_error)
    apart = np.abs(result.fit.ratings - population.ratings) / result.fit.standard_errors()
    assert apart.max() < 4


def test_swapping_the_sides_of_every_battle_changes_nothing() -> None:
    v = styled(votes=4000)
    mirrored = Styled(v.second, v.first, 1 - v.outcome, -v.features, v.voter)
    one, other = fitted(v), fitted(mirrored)
    assert np.allclose(one.fit.ratings, other.fit.ratings, atol=1e-8)
    assert np.allclose(one.coefficients, other.coefficients, atol=1e-10)


def test_intervals_of_ratings_and_effects_match_a_resampling_of_the_votes() -> None:
    v = styled(seed=3, votes=3000)
    result = fitted(v)
    rng = np.random.default_rng(0)
    ratings, coefficients = [], []
    for _ in range(200):
        at = rng.integers(v.first.size, size=v.first.size)
        replica = fit_style(v.first[at], v.second[at], v.outcome[at], v.features[at], MODELS)
        ratings.append(replica.fit.ratings)
        coefficients.append(replica.coefficients / replica.scale * result.scale)
    spread = np.std(ratings, axis=0, ddof=1) / result.fit.standard_errors()
    assert spread.mean() == pytest.approx(1, abs=0.08)
    errors = np.array([e.standard_error for e in result.effects()])
    assert (np.std(coefficients, axis=0, ddof=1) / errors).mean() == pytest.approx(1, abs=0.1)


def test_reweighting_weighs_each_vote_by_its_pair() -> None:
    v = styled()
    options = {"weighting": "uniform_pairs", "min_pair_count": 100}
    none = fit_style(v.first, v.second, v.outcome, np.empty((v.first.size, 0)), MODELS, **options)
    plain = fit_bt(aggregate(v.first, v.second, v.outcome, MODELS), **options)
    assert np.abs(none.fit.ratings - plain.ratings).max() < 1e-8
    assert np.allclose(none.fit.standard_errors(), plain.standard_errors(), rtol=1e-8)


@pytest.mark.parametrize("ties", ["half", "drop", "drop_bothbad"])
def test_tie_policies_are_those_of_the_plain_fit(ties: str) -> None:
    v = simulate(draw_population(6, seed=5), 5000)
    none = np.empty((5000, 0))
    styled_fit = fit_style(v.first, v.second, v.outcome, none, 6, ties=ties).fit
    plain = fit_bt(aggregate(v.first, v.second, v.outcome, 6), ties=ties)
    assert np.abs(styled_fit.ratings - plain.ratings).max() < 1e-8
    assert styled_fit.votes.tolist() == plain.votes.tolist()


def test_votes_alone_in_their_clusters_have_the_plain_intervals() -> None:
    v = styled()
    plain, alone = fitted(v), fitted(v, clusters=np.arange(v.first.size))
    assert np.allclose(alone.fit.cov(), plain.fit.cov(), rtol=1e-9, atol=1e-10)
    assert np.allclose(alone.covariance, plain.covariance, rtol=1e-9)


def test_judges_with_tastes_in_style_widen_its_interval(shared_data: Path) -> None:
    v, models = crowd(shared_data)
    arguments = v.first, v.second, v.outcome, v.features, len(models)
    plain, clustered = fit_style(*arguments), fit_style(*arguments, clusters=v.voter)
    assert clustered.effects()[0].standard_error > 1.3 * plain.effects()[0].standard_error


def test_a_model_that_cannot_be_rated_has_no_number_here_either() -> None:
    v = styled(votes=2000)
    first = np.append(v.first, [MODELS] * 3)
    second = np.append(v.second, [0, 1, 2])
    outcome = np.append(v.outcome, [0, 0, 0])
    features = np.vstack([v.features, np.ones((3, 3))])
    result = fit_style(first, second, outcome, features, MODELS + 1).fit
    assert result.status[-1] is Status.PROVISIONAL
    assert np.isnan(result.ratings[-1])
    assert result.ratings[:-1].tolist() == fitted(v).fit.ratings.tolist()


def test_a_style_that_tells_every_vote_in_advance_is_not_claimed_to_be_fitted() -> None:
    v = styled(votes=2000)
    oracle = np.where(v.outcome == 0, 1.0, -1.0)[:, np.newaxis]
    result = fit_style(v.first, v.second, v.outcome, oracle, MODELS)
    assert not result.fit.converged
    assert np.isnan(result.effects()[0].standard_error)


def test_styles_that_cannot_be_told_apart_are_refused_by_name() -> None:
    v = styled(votes=2000)
    twice = np.column_stack([v.features[:, 0], v.features[:, 1], 2 * v.features[:, 0]])
    with pytest.raises(ValueError, match="length, bold"):
        fit_style(v.first, v.second, v.outcome, twice, MODELS, styles=("length", "lists", "bold"))
    # nor from the models: this "style" is a number that each model always has
    own = np.arange(MODELS) ** 2.0
    with pytest.raises(ValueError, match="length"):
        fit_style(
            v.first,
            v.second,
            v.outcome,
            (own[v.first] - own[v.second])[:, np.newaxis],
            MODELS,
            styles=("length",),
        )


def test_gauges_hold_and_ranks_can_be_drawn() -> None:
    v = styled()
    result = fitted(v, gauge=Anchor(2, 1300)).fit
    assert result.ratings[2] == 1300
    replicas = normal_replicas(result, 4000)
    drawn, stated = (np.delete(x.standard_errors(), 2) for x in (replicas, result))
    assert np.allclose(drawn / stated, 1, atol=0.06)
    assert (replicas.ratings[:, 2] == 1300).all()
    ranks = replicas.rank_interval()
    assert (ranks.best <= ranks.worst).all()
    assert normal_replicas(result, 5).ratings.tobytes() == (
        normal_replicas(result, 5).ratings.tobytes()
    )
    with pytest.raises(ValueError, match="round"):
        normal_replicas(result, 0)


def test_counts_cannot_resample_what_they_do_not_determine() -> None:
    with pytest.raises(ValueError, match="resampled"):
        bootstrap(fitted(styled()).fit)


def test_without_votes_there_is_nothing_to_say() -> None:
    result = fit_style([], [], [], np.empty((0, 2)), 3)
    assert np.isnan(result.fit.ratings).all()
    assert np.isnan(result.coefficients).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"features": [[1.0], [2.0], [3.0]]},
        {"features": [1.0, 2.0]},
        {"features": [[1.0], [np.inf]]},
        {"styles": ("length", "bold")},
        {"ties": "davidson"},
        {"clusters": [1]},
    ],
)
def test_what_makes_no_sense_is_refused(wrong: dict) -> None:
    options = {"features": [[1.0], [-2.0]]} | wrong
    with pytest.raises(ValueError):
        fit_style([0, 1], [1, 0], [0, 0], options.pop("features"), 2, **options)


def test_a_fit_takes_little_more_memory_than_the_features_it_is_given() -> None:
    v = simulate(draw_population(50, seed=16), 300_000)
    features = np.random.default_rng(0).uniform(-1, 1, (300_000, 4))
    tracemalloc.start()
    try:
        fit_style(v.first, v.second, v.outcome, features, 50)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * features.nbytes


def test_votes_come_in_parts_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    v = styled()
    whole = fitted(v)
    monkeypatch.setattr("leaderboard.ratings.style.AT_ONCE", 777)
    parts = fitted(v)
    assert np.abs(parts.fit.ratings - whole.fit.ratings).max() < 1e-9
    assert np.abs(parts.covariance - whole.covariance).max() < 1e-12
