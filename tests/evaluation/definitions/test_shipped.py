"""The benchmarks that come with the project are whole and can be answered."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from evaluation.benchmarks import official_tasks, shipped
from evaluation.definitions.parsing import parse
from evaluation.definitions.prompts import preview, scored_item
from evaluation.formats.catalogue import benchmark_format
from evaluation.formats.items import BadRow, distinct
from evaluation.scorers import Response, scorer
from evaluation.scoring import score_response


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
        *(
            (name, [name])
            for name in ("arc_challenge", "arc_easy", "bbh", "gsm8k", "hellaswag", "ifeval", "mmlu")
        ),
        ("truthfulqa", ["truthfulqa"]),
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


@pytest.mark.parametrize(
    ("name", "folder", "right", "wrong"),
    [
        ("gsm8k", "gsm8k", "16 - 7 = 9\nAnswer: $18", "Answer: 9"),
        ("mmlu", "mmlu", "B", "A"),
        ("arc_challenge", "arc", "The answer is (C).", "Answer: D"),
        ("truthfulqa", "truthfulqa", "Answer: A", "B"),
        ("bbh", "bbh", "not True is False.\n**Answer:** False.", "Answer: True"),
    ],
)
def test_official_items_can_be_asked_and_scored(shared_data, name, folder, right, wrong):
    (file,) = official_tasks(name)
    task = parse(file.read_text())
    read = benchmark_format(name).read(shared_data / "benchmarks" / folder)
    items = list(itertools.islice(read, 400))
    shown = preview(task, [item.fields for item in items], count=400)
    assert len(shown) == len(items)
    for text, expected in ((right, 1), (wrong, 0)):
        scores = score_response(task, items[0].fields, Response(text))
        assert [one.score.value for one in scores] == [expected]


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
