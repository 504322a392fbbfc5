"""Two models on the same items."""

from __future__ import annotations

import pytest

from evaluation import statistics
from evaluation.results import comparing
from tests.evaluation import factories

pytestmark = pytest.mark.django_db

WORDS = ["ant", "bee", "cat", "dog", "elk", "fox"]


def test_the_difference_is_taken_item_by_item():
    task = factories.task(factories.dataset(WORDS))
    a = factories.answered_run(["ant", "bee", "cat", "dog", "x", "x"], task=task)
    b = factories.answered_run(["ant", "x", "x", "dog", "elk", "x"], task=task)
    found = comparing.compare(a, b)
    assert (found.n, found.a_better, found.b_better, found.left_out) == (6, 2, 1, 0)
    expected = statistics.mean([0, 1, 1, 0, -1, 0])
    assert (found.difference, found.se) == pytest.approx((expected.value, expected.se))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert not found.clear


def test_an_error_is_left_out_and_said():
    task = factories.task(factories.dataset(WORDS), max_error_rate=0.5)
    a = factories.answered_run(WORDS, task=task)
    b = factories.answered_run([*WORDS[:5], None], task=task)
    found = comparing.compare(a, b)
    assert (found.n, found.left_out) == (5, 1)


def test_items_of_one_cluster_are_not_independent():
    words = ["ant", "bee", "cat", "dog"]
    dataset = factories.dataset(words)
    for item in dataset.items.all():
        item.fields["passage"] = item.position // 2
        item.save()
    task = factories.task(
        dataset, dataset={"name": dataset.name, "split": "test", "cluster_key": "passage"}
    )
    a = factories.answered_run(words, task=task)
    b = factories.answered_run(["ant", "bee", "x", "x"], task=task)
    assert comparing.compare(a, b).se == pytest.approx(
        statistics.clustered_mean([0, 0, 1, 1], [0, 0, 1, 1]).se
    )


def test_without_a_common_item_there_is_no_comparison():
    a = factories.answered_run(["yes"], task=factories.task())
    b = factories.answered_run(["ant"], task=factories.task(factories.dataset(["ant"])))
    assert comparing.compare(a, b) is None


def test_a_pair_is_compared_once(django_assert_num_queries):
    task = factories.task(factories.dataset(WORDS))
    a = factories.answered_run(WORDS, task=task)
    others = [factories.answered_run(["ant", *"xxxxx"], task=task) for _ in range(3)]
    first = comparing.against(a, others)
    with django_assert_num_queries(0):
        assert comparing.against(a, others) == first
    assert len(first) == 3


def test_the_newest_scorer_counts():
    task = factories.task(factories.dataset(["ant"]))
    run = factories.answered_run(["x"], task=task)
    primary = task.spec["primary"]
    sample = run.samples.get()
    factories.score(sample=sample, scorer="exact_match@99.0.0", metric=primary, value=1.0)
    assert list(comparing.item_scores([run])[run.pk].values()) == [1.0]
