"""Which examples are drawn. The draws of the default sampler were recorded from lm-eval 0.4.13."""

from __future__ import annotations

import dataclasses
from collections import Counter

import pytest

from evaluation.definitions.definition import FewshotConfig
from evaluation.definitions.fewshot import draw_examples
from evaluation.definitions.parsing import parse
from evaluation.definitions.problems import Unrenderable

TASK = parse("""
task: t
dataset: {name: d, split: test, fewshot_split: train}
doc_to_text: q
doc_to_target: a
num_fewshot: 2
""")
POOL = [{"q": f"q{n}", "a": "x", "subject": "even" if n % 2 == 0 else "odd"} for n in range(20)]
ITEMS = [{"q": f"i{n}", "a": "y", "subject": "odd" if n % 3 else "even"} for n in range(12)]


def drawn(items=ITEMS, pool=POOL, *, split="train", num_fewshot=2, **config):
    task = dataclasses.replace(
        TASK,
        num_fewshot=num_fewshot,
        fewshot=FewshotConfig(**config),
        dataset=dataclasses.replace(TASK.dataset, fewshot_split=split),
    )
    return list(draw_examples(task, items, pool))


def test_without_examples_nothing_is_drawn():
    assert drawn(num_fewshot=0, pool=[]) == [()] * 12


def test_a_seed_gives_the_same_draw_again_and_another_seed_another():
    assert drawn(seed=1) == drawn(seed=1)
    assert drawn(seed=1) != drawn(seed=2)


def test_an_items_examples_depend_on_its_place_and_not_on_how_many_follow():
    assert drawn(ITEMS[:5]) == drawn()[:5]
    assert len({tuple(one["q"] for one in examples) for examples in drawn()}) > 1


def test_no_item_is_an_example_for_itself_or_for_its_copy():
    items = [{"q": f"q{n % 4}", "a": "x"} for n in range(16)]
    for item, examples in zip(items, drawn(items, items, split="test"), strict=True):
        assert item not in examples
        assert len(examples) == 2


def test_first_n_takes_the_first_of_the_pool():
    assert drawn(sampler="first_n") == [tuple(POOL[:2])] * 12
    own = drawn(POOL[:3], POOL, sampler="first_n", split="test")
    assert [[one["q"] for one in examples] for examples in own] == [
        ["q1", "q2"],
        ["q0", "q2"],
        ["q0", "q1"],
    ]


def test_examples_can_be_kept_within_the_items_subject():
    for item, examples in zip(ITEMS, drawn(within="subject"), strict=True):
        assert {one["subject"] for one in examples} == {item["subject"]}


def test_each_subject_is_drawn_as_if_it_were_a_task_of_its_own():
    together = [
        e for i, e in zip(ITEMS, drawn(within="subject"), strict=True) if i["subject"] == "odd"
    ]
    alone = drawn(
        [item for item in ITEMS if item["subject"] == "odd"],
        [one for one in POOL if one["subject"] == "odd"],
    )
    assert together == alone


def test_every_item_of_the_pool_is_drawn_about_equally_often():
    counts = Counter(one["q"] for examples in drawn(ITEMS * 100) for one in examples)
    assert len(counts) == 20
    # 2,400 draws over 20: 120 each with a standard deviation of about 10.6
    assert max(counts.values()) < 120 + 5 * 10.6
    assert min(counts.values()) > 120 - 5 * 10.6


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"pool": POOL[:1]}, "2 examples are needed and the pool has 1"),
        ({"pool": POOL[:2], "split": "test"}, "3 examples are needed and the pool has 2"),
        ({"sampler": "first_n", "pool": []}, "2 examples are needed and the pool has 0"),
        ({"within": "topic"}, "fewshot_config.within: an item has no field 'topic'"),
    ],
)
def test_too_small_a_pool_is_refused(options, reason):
    with pytest.raises(Unrenderable) as refused:
        drawn(**options)
    assert str(refused.value) == reason


def test_a_pool_of_copies_of_the_item_is_too_small():
    items = [{"q": "same", "a": "x"}] * 4
    with pytest.raises(Unrenderable, match="2 examples are needed and the pool has 0"):
        drawn(items, items, split="test")
