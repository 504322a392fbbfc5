"""The benchmarks that come with the project are whole and can be answered."""

from __future__ import annotations

from collections import Counter

import pytest

from evaluation.benchmarks import official_tasks, shipped
from evaluation.definitions.parsing import parse
from evaluation.definitions.prompts import preview, scored_item
from evaluation.formats.catalogue import benchmark_format
from evaluation.formats.items import BadRow, distinct
from evaluation.scorers import Response, scorer


@pytest.fixture(scope="module")
def first_steps():
    files = shipped()["first_steps"]
    return parse(files.task.read_text()), list(benchmark_format("json").read(files.items))


def value(task, item, text):
    metric = task.metrics[0]
    params = {**metric.options, "filter": task.filters[0].steps}
    return scorer(metric.metric)(Response(text), scored_item(task, item.fields), params).value


def test_every_task_file_has_its_items_and_a_licence():
    for files in shipped().values():
        task = parse(files.task.read_text())
        items = list(distinct(benchmark_format("json").read(files.items)))
        assert not [one for one in items if isinstance(one, BadRow)]
        assert task.metadata["licence"] == "CC0-1.0"
        assert preview(task, [one.fields for one in items])


@pytest.mark.parametrize(
    ("name", "tasks"),
    [
        ("humaneval", ["humaneval"]),
        ("mt_bench", ["mt_bench", "mt_bench_pairwise"]),
        ("arena_hard_v2", ["arena_hard_v2"]),
        ("alpaca_eval", ["alpaca_eval"]),
    ],
)
def test_official_files_have_tasks_of_their_own(name, tasks):
    definitions = [parse(file.read_text()) for file in official_tasks(name)]
    assert [one.task for one in definitions if one.dataset.name == name] == tasks
    known = benchmark_format(name)
    assert {one.dataset.split for one in definitions} == {known.default_split}


def test_first_steps_has_sixty_questions_of_three_kinds_and_difficulties(first_steps):
    _, items = first_steps
    assert len({one.fields["question"] for one in items}) == 60
    assert Counter(one.fields["category"] for one in items) == {
        "facts": 20,
        "arithmetic": 20,
        "instructions": 20,
    }
    assert min(Counter(one.fields["difficulty"] for one in items).values()) >= 14


def test_every_accepted_answer_scores_and_another_items_does_not(first_steps):
    task, items = first_steps
    for item in items:
        assert all(value(task, item, answer) == 1 for answer in item.fields["answers"])
        assert value(task, item, "I do not know") == 0


@pytest.mark.parametrize(
    "text", ["Paris", " paris.", "**Paris**", "\nParis\n", "The answer is Paris.", "Answer: Paris"]
)
def test_an_answer_may_be_dressed_up(first_steps, text):
    task, items = first_steps
    assert value(task, items[0], text) == 1


def test_no_question_is_among_the_examples(first_steps):
    task, items = first_steps
    examples = {sample["question"] for sample in task.fewshot.samples}
    assert not examples & {one.fields["question"] for one in items}
