"""What all verdicts of a run come to: its score, and how far the judge can be trusted."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from evaluation import statistics
from evaluation.definitions.definition import TaskDefinition
from evaluation.judging.parts import judgement, rules
from evaluation.scorers import Flag, Score
from evaluation.scorers.judge import Pairing, Verdict, judge_bias, outcome
from evaluation.scoring import MetricResult, ScoredResponse

_Key = tuple[str, int]  # an item's hash and a turn: what one verdict is about


def summarise(
    definition: TaskDefinition,
    responses: Iterable[ScoredResponse],
    *,
    truncated: int = 0,
    seed: int = 0,
) -> dict[str, MetricResult]:
    """The estimate of each metric over all judgements.

    The turns of one question hang together, so that their interval is clustered. Of a judgement
    that was asked for again the second counts. `truncated` is of the contestant's answers.
    """
    clusters: dict[str, str] = {}
    by_metric: dict[str, dict[tuple[_Key, int, str], tuple[bool, Score]]] = {}
    for response in responses:
        judged = judgement(response.part)
        if judged is None:
            continue
        cluster = response.cluster if response.cluster is not None else response.item
        clusters[response.item] = str(cluster)
        about = (response.item, judged.turn), response.epoch, judged.order
        for one in response.scores:
            known = by_metric.setdefault(one.metric, {})
            if judged.again or about not in known:
                known[about] = judged.again, one.score
    compute = _ratings if definition.output_type == "judge_single" else _comparisons
    return {
        metric: compute(
            definition,
            {about: score for about, (_, score) in known.items()},
            clusters,
            truncated,
            seed,
        )
        for metric, known in by_metric.items()
    }


_Judged = Mapping[tuple[_Key, int, str], Score]


def _ratings(
    definition: TaskDefinition,
    judged: _Judged,
    clusters: Mapping[str, str],
    truncated: int,
    seed: int,
) -> MetricResult:
    values: dict[_Key, list[float]] = {}
    for (key, _, _), score in judged.items():
        if score.value is not None:
            values.setdefault(key, []).append(score.value)
    return _result(judged, _estimate(values, clusters, seed), truncated, _by_turn(values))


def _comparisons(
    definition: TaskDefinition,
    judged: _Judged,
    clusters: Mapping[str, str],
    truncated: int,
    seed: int,
) -> MetricResult:
    policy = rules(definition).policy
    games: dict[tuple[_Key, int], dict[str, Score]] = {}
    for (key, epoch, order), score in judged.items():
        games.setdefault((key, epoch), {})[order] = score
    pairings = {about: _pairing(both) for about, both in games.items()}
    values: dict[_Key, list[float]] = {}
    for (key, _), pairing in pairings.items():
        share = outcome(pairing, policy=policy)
        if share is not None:
            values.setdefault(key, []).append(share)
    if policy == "arena-hard":
        estimate = _share_of_games(pairings, clusters, seed)
    else:
        estimate = _estimate(values, clusters, seed, shares=True)
    bias = judge_bias(pairings.values())
    shares = [share for several in values.values() for share in several]
    details = {
        "policy": policy,
        "won": sum(share > 0.5 for share in shares),
        "tied": sum(share == 0.5 for share in shares),
        "lost": sum(share < 0.5 for share in shares),
        "without_verdict": len(pairings) - len(shares),
        "both_orders": bias.questions,
        "consistent": bias.consistent,
        "favours_first": bias.favours_first,
        "favours_second": bias.favours_second,
        "position_bias_rate": bias.position_bias_rate,
        "longer_wins": bias.longer_wins,
        "mean_length_difference": bias.mean_length_difference,
    }
    return _result(judged, estimate, truncated, details | _by_turn(values))


def _pairing(games: Mapping[str, Score]) -> Pairing:
    def verdict(order: str) -> Verdict | None:
        told = games[order].details.get("first") if order in games else None
        return None if told is None else Verdict(told)

    lengths = next((one.details["lengths"] for one in games.values()), (0, 0))
    return Pairing(verdict("first"), verdict("second"), *lengths)


def _estimate(
    values: Mapping[_Key, Sequence[float]],
    clusters: Mapping[str, str],
    seed: int,
    *,
    shares: bool = False,
) -> statistics.Estimate | None:
    if not values:
        return None
    reduced = statistics.reduce_epochs(list(values.values()))
    names = [clusters[item] for item, _ in values]
    if len(set(names)) < len(names):
        return statistics.clustered_mean(reduced, names)
    if shares and set(reduced) <= {0.0, 1.0}:
        return statistics.accuracy(reduced)
    return statistics.bootstrap(reduced, seed=seed)


def _share_of_games(
    pairings: Mapping[tuple[_Key, int], Pairing], clusters: Mapping[str, str], seed: int
) -> statistics.Estimate | None:
    """The share of all games that the contestant won, a clear game counting as three.

    Two models alone have no other Bradley-Terry solution, so this is Arena-Hard's win rate. The
    bootstrap draws questions, with both their games.
    """
    won: dict[str, float] = {}
    played: dict[str, float] = {}
    questions = set()
    for ((item, turn), _), pairing in pairings.items():
        for game in pairing.for_model:
            if game is not None:
                weight, name = 3 if abs(game) == 2 else 1, clusters[item]
                won[name] = won.get(name, 0) + weight * (1 + (game > 0) - (game < 0)) / 2
                played[name] = played.get(name, 0) + weight
                questions.add((item, turn))
    if not played:
        return None
    wins = np.array([won[name] for name in played])
    games = np.array([played[name] for name in played])

    def share(drawn: statistics.FloatArray) -> statistics.FloatArray:
        places = drawn.astype(np.intp)
        shares: statistics.FloatArray = wins[places].sum(axis=-1) / games[places].sum(axis=-1)
        return shares

    if set(wins / games) <= {0.0} or set(wins / games) <= {1.0}:
        # Draws from nothing but victories know no other outcome: an interval without a width.
        estimate = statistics.accuracy(wins / games)
    else:
        estimate = statistics.bootstrap(np.arange(games.size), share, seed=seed)
    grouped = estimate.n if estimate.n < len(questions) else None
    return dataclasses.replace(estimate, n=len(questions), clusters=grouped)


def _by_turn(values: Mapping[_Key, Sequence[float]]) -> dict[str, Any]:
    """The mean of each turn, where there are several."""
    turns: dict[int, list[float]] = {}
    for (_, turn), several in values.items():
        turns.setdefault(turn, []).append(sum(several) / len(several))
    if len(turns) < 2:
        return {}
    return {"turns": {str(turn): sum(of) / len(of) for turn, of in sorted(turns.items())}}


def _result(
    judged: _Judged,
    estimate: statistics.Estimate | None,
    truncated: int,
    details: Mapping[str, Any],
) -> MetricResult:
    scores = judged.values()
    cut = sum(Flag.TRUNCATED in score.flags for score in scores)
    return MetricResult(
        estimate,
        scored=sum(score.value is not None for score in scores),
        unparsed=sum(score.value is None for score in scores),
        truncated=truncated,
        details={**details, "judgements_truncated": cut},
    )
