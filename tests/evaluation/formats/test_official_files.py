"""The official files of eleven benchmarks: every row counted, read, and named."""

from __future__ import annotations

from collections import Counter

import pytest

from evaluation.formats.catalogue import benchmark_format
from evaluation.formats.items import BadRow, Duplicate, Item, distinct


@pytest.fixture
def read(shared_data):
    def reader(name, place, split=None):
        return list(benchmark_format(name).read(shared_data / "benchmarks" / place, split=split))

    return reader


@pytest.mark.parametrize(
    ("name", "place", "split", "count"),
    [
        ("gsm8k", "gsm8k", "test", 1319),
        ("gsm8k", "gsm8k", "train", 7473),
        ("mmlu", "mmlu", "test", 14042),
        ("mmlu", "mmlu", "dev", 285),
        ("arc", "arc", "test", 1150),
        ("arc", "arc", "validation", 294),
        ("truthfulqa", "truthfulqa", None, 817),
        ("bbh", "bbh/bbh", None, 6511),
        ("humaneval", "humaneval", None, 164),
        ("ifeval", "ifeval", None, 541),
        ("mt_bench", "mt_bench", None, 80),
        ("arena_hard", "arena_hard/arena-hard-v0.1", None, 500),
        ("arena_hard_v2", "arena_hard/arena-hard-v2.0", None, 750),
        ("alpaca_eval", "alpaca_eval/example_outputs.json", None, 805),
        ("alpaca_eval", "alpaca_eval/gpt4_1106_preview_model_outputs.json", None, 805),
    ],
)
def test_every_row_is_an_item_of_its_own_name(read, name, place, split, count):
    items = read(name, place, split)
    assert [one for one in items if isinstance(one, BadRow)] == []
    assert len(items) == len({one.id for one in items}) == count


@pytest.mark.parametrize(
    ("name", "place", "split"),
    [("gsm8k", "gsm8k", "test"), ("mmlu", "mmlu", "test"), ("bbh", "bbh/bbh", "test")],
)
def test_the_counts_are_the_official_ones(read, name, place, split):
    assert len(read(name, place, split)) == benchmark_format(name).counts[split]


def test_mmlu_and_bbh_repeat_questions_as_they_are_published(read):
    def duplicates(*place):
        return sum(isinstance(one, Duplicate) for one in distinct(read(*place)))

    assert duplicates("mmlu", "mmlu", "test") == 27
    assert duplicates("bbh", "bbh/bbh") == 2
    assert duplicates("gsm8k", "gsm8k", "test") == 0


def test_mmlu_has_57_subjects_and_answers_counted_from_zero(read):
    items = read("mmlu", "mmlu", "test")
    assert len({one.fields["subject"] for one in items}) == 57
    assert {one.fields["answer"] for one in items} == {0, 1, 2, 3}
    first = next(one for one in items if one.id == "abstract_algebra/0")
    assert first.file == "abstract_algebra_test.csv"
    assert len(first.fields["choices"]) == 4


def test_arc_keeps_items_with_three_and_five_choices(read):
    sizes = Counter(len(one.fields["choices"]["text"]) for one in read("arc", "arc", "test"))
    assert sizes[3] + sizes[5] == 6


def test_every_item_of_bbh_carries_the_canary(read):
    items = read("bbh", "bbh/bbh")
    assert len({one.fields["task"] for one in items}) == 27
    assert all("canary GUID" in one.fields["canary"] for one in items)


def test_truthfulqa_lists_are_taken_apart(read):
    first = read("truthfulqa", "truthfulqa")[0]
    assert len(first.fields["correct_answers"]) == 5
    assert len(first.fields["incorrect_answers"]) == 7


def test_ifeval_has_834_instructions_of_25_kinds(read):
    kinds = Counter(
        kind for one in read("ifeval", "ifeval") for kind in one.fields["instruction_id_list"]
    )
    assert sum(kinds.values()) == 834
    assert len(kinds) == 25


def test_thirty_nine_questions_of_mt_bench_have_references_of_their_authors(read):
    items = read("mt_bench", "mt_bench")
    assert all(len(one.fields["turns"]) == 2 for one in items)
    assert sum("reference" in one.fields for one in items) == 39


def test_humaneval_is_named_by_its_authors(read):
    items = read("humaneval", "humaneval")
    assert items[0].id == "HumanEval/0"
    assert all(isinstance(one, Item) for one in items)
