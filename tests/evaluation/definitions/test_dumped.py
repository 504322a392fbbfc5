"""Task definitions out of result files and into them."""

from __future__ import annotations

import json

import pytest

from evaluation.benchmarks import shipped
from evaluation.definitions import dumped, parsing
from evaluation.definitions.definition import DatasetRef

FULL = """
task: full
task_version: "2"
dataset: {name: words, split: test, fewshot_split: train, version: "sha256:00", cluster_key: group}
output_type: multiple_choice
description: "Choose.\\n"
system_instruction: Be brief.
doc_to_text: "{{word}} {{choices}}"
doc_to_choice: ["yes", "no"]
doc_to_target: 1
gen_prefix: "Answer:"
num_fewshot: 2
fewshot_config: {sampler: first_n, seed: 7, as_multiturn: false, doc_to_text: "{{word}}"}
generation_kwargs: {temperature: 0.5, top_p: 0.9, max_gen_toks: 9, until: ["x"], seed: 1}
epochs: 3
epoch_reducer: pass@2
filter_list:
  - {name: strict, filter: [{function: regex, regex_pattern: "(a)"}, {function: take_first}]}
metric_list: [{metric: exact_match, ignore_case: true, regexes_to_ignore: [","]}]
max_error_rate: 0.1
publish: {column: Full, baseline: 0.25}
metadata: {version: 2, licence: MIT}
"""
SINGLE = """
task: judged
dataset: {name: words, split: test}
output_type: judge_single
doc_to_text: "{{word}}"
judge: {criteria: Be strict.}
"""
PAIRWISE = SINGLE.replace("judge_single", "judge_pairwise").replace(
    "Be strict.", "Be strict., baseline: answer, policy: arena-hard"
)


@pytest.mark.parametrize(
    "text",
    [FULL, SINGLE, PAIRWISE, *(files.task.read_text() for files in shipped().values())],
)
def test_a_definition_comes_back_equal(text):
    definition = parsing.parse(text)
    through_json = json.loads(json.dumps(dumped.as_task_file(definition)))
    assert parsing.build(through_json) == definition


def dump(**changes):
    """As lm-evaluation-harness 0.4.13 writes a task's configuration."""
    return {
        "task": "words",
        "dataset_path": "somebody/words",
        "test_split": "test",
        "training_split": "train",
        "doc_to_text": "{{word}}",
        "doc_to_target": "{{word}}",
        "unsafe_code": False,
        "description": "",
        "target_delimiter": " ",
        "fewshot_delimiter": "\n\n",
        "fewshot_config": {"sampler": "default", "split": None, "process_docs": None},
        "num_fewshot": 2,
        "metric_list": [{"metric": "exact_match", "aggregation": "mean"}],
        "output_type": "generate_until",
        "generation_kwargs": {"until": ["\n"], "do_sample": False},
        "repeats": 1,
        "should_decontaminate": False,
        "metadata": {"version": 1.0, "model": "some/model", "base_url": "http://127.0.0.1/v1"},
        **changes,
    }


def read(config):
    return dumped.from_dump(
        config, task="words", version="1.0", dataset=DatasetRef("ours", "validation")
    )


def test_what_lm_eval_dumped_is_a_task_on_the_items_that_are_here():
    definition = read(dump())
    assert definition.dataset == DatasetRef("ours", "validation", fewshot_split="train")
    assert (definition.num_fewshot, definition.primary) == (2, "none/exact_match")
    assert definition.metadata == {"version": "1.0"}  # not the model's arguments


@pytest.mark.parametrize(
    "changes",
    [
        {"output_type": "multiple_choice", "doc_to_choice": None},
        {"output_type": "loglikelihood"},
        {"process_results": "def process_results(doc, results): ..."},
        {"doc_to_text": "{{ open( }}"},
        {"metric_list": [{"metric": "of their own"}]},
        {"num_fewshot": "two"},
    ],
)
def test_what_cannot_be_scored_here_is_no_definition(changes):
    assert read(dump(**changes)) is None


def test_nothing_told_is_no_definition():
    assert read({}) is None
