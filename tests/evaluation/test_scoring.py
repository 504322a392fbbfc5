"""From the responses to one item to its scores, filter by filter."""

from __future__ import annotations

import pytest

from evaluation.definitions import parsing
from evaluation.definitions.problems import InvalidTask
from evaluation.scorers import Response
from evaluation.scoring import score_responses

NUMBER = {"function": "regex", "regex_pattern": r"(\d+)"}
VOTE = {"function": "majority_vote"}


def task(steps, epochs=3, **changes):
    return parsing.build(
        {
            "task": "sums",
            "dataset": {"name": "sums", "split": "test"},
            "doc_to_text": "{{question}}",
            "doc_to_target": "{{answer}}",
            "epochs": epochs,
            "filter_list": [{"name": "number", "filter": steps}],
            **changes,
        }
    )


def scores(definition, *texts):
    item = {"question": "2 + 2?", "answer": "4"}
    found = score_responses(definition, item, [Response(text) for text in texts])
    return [[(one.score.value, one.score.answer) for one in each] for each in found]


def test_each_response_is_read_alone_unless_a_filter_reads_all():
    alone = scores(task([NUMBER, {"function": "take_first"}]), "It is 4", "5", "4!")
    assert alone == [[(1.0, "4")], [(0.0, "5")], [(1.0, "4")]]


@pytest.mark.parametrize(
    ("texts", "verdict"),
    [
        (("4", "5", "so 4"), (1.0, "4")),
        (("5", "5", "4"), (0.0, "5")),
        (("5", "4", "6"), (0.0, "5")),  # none is more frequent: the one that came first
        (("no", "idea", "4"), (0.0, None)),  # most responses hold no number
    ],
)
def test_a_vote_gives_one_score_which_stands_with_the_first_response(texts, verdict):
    assert scores(task([NUMBER, VOTE]), *texts) == [[verdict], [], []]


def test_a_vote_over_the_first_k_needs_k():
    definition = task([NUMBER, {"function": "take_first_k", "k": 3}, VOTE])
    assert scores(definition, "4", "4", "5")[0] == [(1.0, "4")]
    assert scores(definition, "4", "4") == [[], []]  # one ended in an error: no score


def test_a_vote_goes_with_other_metrics_too():
    definition = task([VOTE], metric_list=[{"metric": "numeric"}])
    assert scores(definition, "4", "4.0", "4")[0] == [(1.0, "4")]


@pytest.mark.parametrize(
    ("steps", "changes", "problem"),
    [
        ([{"function": "take_first_k", "k": 8}, VOTE], {}, "the filter number reads 8 responses"),
        ([{"function": "take_first_k", "k": "x"}], {}, "filter_list"),
        ([{"function": "take_first_k"}], {}, "filter_list"),
        ([VOTE], {"epoch_reducer": "pass@2"}, "pass@2 needs all responses; number leaves one"),
    ],
)
def test_a_vote_that_cannot_be_held_is_refused_with_the_task(steps, changes, problem):
    with pytest.raises(InvalidTask, match=problem):
        task(steps, **changes)
