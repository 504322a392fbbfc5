"""From stored responses to scores and estimates: pure, repeatable, without a model call.

The runner and `eval_rescore` both come here, so that a score on the board can be had again from
files alone.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from evaluation import statistics
from evaluation.definitions.definition import Filter, Metric, TaskDefinition
from evaluation.definitions.prompts import scored_item
from evaluation.scorers import Flag, PatternTimedOut, Response, Score, scorer
from evaluation.scorers.filters import FALLBACK, apply, reads_several


@dataclass(frozen=True, slots=True)
class MetricScore:
    """One response by one metric; `metric` is "<filter>/<metric>", `scorer` "id@version"."""

    metric: str
    scorer: str
    score: Score


@dataclass(frozen=True, slots=True)
class ScoredResponse:
    """`item` is the item's hash: what two runs are compared by. `cluster` None: independent.

    `part` is which of an item's rows it is, in tasks that have several.
    """

    item: str
    scores: Sequence[MetricScore]
    cluster: Hashable | None = None
    epoch: int = 1
    part: str = "answer"


@dataclass(frozen=True, slots=True)
class MetricResult:
    """`estimate` is None where nothing has a verdict. Counts are of responses, not of items.

    `details` is JSON that only some kinds of task have: a judge's bias, a score by turn.
    """

    estimate: statistics.Estimate | None
    scored: int
    unparsed: int
    truncated: int
    details: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """NaN, a standard error of one item, is no JSON: it becomes None."""
        known = asdict(self.estimate) if self.estimate else {}
        known = {k: None if v != v else v for k, v in known.items()}
        counts = {"scored": self.scored, "unparsed": self.unparsed, "truncated": self.truncated}
        return {**known, **counts, **({"details": dict(self.details)} if self.details else {})}


def scorer_keys(definition: TaskDefinition) -> list[str]:
    """The scorers of a task as "id@version", for its fingerprint."""
    return sorted({scorer(metric.metric).key for metric in definition.metrics})


def score_response(
    definition: TaskDefinition, fields: Mapping[str, Any], response: Response
) -> list[MetricScore]:
    """Every filter by every metric. Raises ValueError where task and item do not fit."""
    return score_responses(definition, fields, [response])[0]


def score_responses(
    definition: TaskDefinition, fields: Mapping[str, Any], responses: Sequence[Response]
) -> list[list[MetricScore]]:
    """The scores of each of the responses to one item, every filter by every metric.

    A filter that reads several responses, as a majority vote does, gives one score to the item: it
    stands with the first response. Where there are too few for it, it gives none. Raises ValueError
    where task and item do not fit.
    """
    item = scored_item(definition, fields)
    scores: list[list[MetricScore]] = [[] for _ in responses]
    for one in definition.filters:
        together = reads_several(one.steps)
        if together and len(responses) < together:
            continue
        for metric in definition.metrics:
            if together:
                scores[0].append(_score_together(one, metric, item, responses))
            else:
                for known, response in zip(scores, responses, strict=True):
                    known.append(_score(one, metric, item, response))
    return scores


def _score_together(
    one: Filter, metric: Metric, item: Mapping[str, Any], responses: Sequence[Response]
) -> MetricScore:
    """What a filter leaves of all responses; of several texts the first, as lm-eval does."""
    chosen = scorer(metric.metric)
    try:
        texts = apply(one.steps, [each.text for each in responses], item.get("choices") or ())
    except PatternTimedOut as late:
        unread = frozenset({Flag.UNPARSED})
        score = Score(0.0, None, unread, {"pattern_timed_out": str(late)})
    else:
        fallbacks = {FALLBACK, *(step["fallback"] for step in one.steps if "fallback" in step)}
        if texts[0] in fallbacks and chosen.id == "exact_match":
            score = Score(0.0, None, frozenset({Flag.UNPARSED}))
        else:
            score = chosen(Response(texts[0]), item, metric.options)
    return MetricScore(f"{one.name}/{metric.metric}", chosen.key, score)


def _score(one: Filter, metric: Metric, item: Mapping[str, Any], response: Response) -> MetricScore:
    chosen = scorer(metric.metric)
    params = dict(metric.options)
    if chosen.id == "exact_match":
        params["filter"] = one.steps  # it counts as unparsed what a filter does not find
        score = chosen(response, item, params)
    else:
        try:
            texts = apply(one.steps, [response.text], item.get("choices") or ())
        except PatternTimedOut as late:
            unread = frozenset({Flag.UNPARSED})
            score = Score(0.0, None, unread, {"pattern_timed_out": str(late)})
        else:
            read = Response(texts[0] if texts else "", response.finish_reason, response.passed)
            score = chosen(read, item, params)
    return MetricScore(f"{one.name}/{metric.metric}", chosen.key, score)


def summarise(
    definition: TaskDefinition, responses: Iterable[ScoredResponse], *, seed: int = 0
) -> dict[str, MetricResult]:
    """The estimate of each metric, epochs reduced to one score an item first.

    Wilson's interval for right and wrong, a clustered one where the task names clusters, else the
    bootstrap.
    """
    by_metric: dict[str, dict[str, list[Score]]] = {}
    clusters: dict[str, Hashable] = {}
    for response in responses:
        if response.cluster is not None:
            clusters[response.item] = response.cluster
        for one in response.scores:
            by_metric.setdefault(one.metric, {}).setdefault(response.item, []).append(one.score)
    return {
        metric: _result(definition, items, clusters, seed) for metric, items in by_metric.items()
    }


def _result(
    definition: TaskDefinition,
    items: Mapping[str, list[Score]],
    clusters: Mapping[str, Hashable],
    seed: int,
) -> MetricResult:
    everything = [score for scores in items.values() for score in scores]
    # Fewer than k responses, because others are errors, say nothing of pass@k.
    least = int(definition.epoch_reducer.partition("@")[2] or 1)
    values = {
        item: known
        for item, scores in items.items()
        if len(known := [score.value for score in scores if score.value is not None]) >= least
    }
    estimate = None
    if values:
        reduced = statistics.reduce_epochs(list(values.values()), definition.epoch_reducer)
        if definition.dataset.cluster_key and len(clusters) == len(items):
            estimate = statistics.clustered_mean(reduced, [clusters[item] for item in values])
        elif set(reduced) <= {0.0, 1.0}:
            estimate = statistics.accuracy(reduced)
        else:
            estimate = statistics.bootstrap(reduced, seed=seed)
    return MetricResult(
        estimate,
        scored=sum(score.value is not None for score in everything),
        unparsed=sum(score.unparsed for score in everything),
        truncated=sum(Flag.TRUNCATED in score.flags for score in everything),
    )
