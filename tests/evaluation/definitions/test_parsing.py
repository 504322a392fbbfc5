"""Task files that are taken, and what is said of those that are not."""

from __future__ import annotations

import json

import pytest

from evaluation.definitions.definition import (
    DatasetRef,
    Filter,
    Generation,
    Metric,
    Publish,
    as_json,
    from_json,
    spec_hash,
)
from evaluation.definitions.loading import MAX_FILE
from evaluation.definitions.parsing import parse
from evaluation.definitions.problems import InvalidTask

SMALL = """
task: sums
dataset: {name: sums, split: test}
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
"""
WHOLE = """
task: gsm8k_cot
dataset: {name: gsm8k, version: "sha256:37", split: test, fewshot_split: train, format: gsm8k}
output_type: generate_until
system_instruction: Think.
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
num_fewshot: 5
fewshot_config: {sampler: first_n, seed: 7, as_multiturn: false}
fewshot_delimiter: "\\n"
target_delimiter: ""
generation_kwargs: {temperature: 0.5, top_p: 1, max_gen_toks: 512, until: ["Question:"], seed: 42}
epochs: 4
epoch_reducer: pass@2
filter_list:
  - name: strict
    filter:
      - {function: regex, regex_pattern: "#### (\\\\-?[0-9\\\\.\\\\,]+)"}
      - function: take_first
metric_list:
  - {metric: exact_match, aggregation: mean, higher_is_better: true, regexes_to_ignore: [","]}
primary: strict/exact_match
max_error_rate: 0.01
publish: {column: GSM8K, baseline: 0.0}
metadata: {version: 3.0}
"""
HUB = """
task: gsm8k
dataset_path: openai/gsm8k
dataset_name: main
tag: [math_word_problems]
training_split: train
fewshot_split: train
test_split: test
doc_to_text: "Question: {{question}}\\nAnswer:"
doc_to_target: "{{answer}}"
repeats: 2
metadata: {version: 3.0}
"""


def problems(text, **options):
    with pytest.raises(InvalidTask) as refused:
        parse(text, **options)
    return [str(problem) for problem in refused.value.problems]


def test_what_is_not_said_is_as_in_lm_eval():
    task = parse(SMALL)
    assert (task.num_fewshot, task.fewshot_delimiter, task.target_delimiter) == (0, "\n\n", " ")
    assert task.generation == Generation(until=("\n\n",), max_gen_toks=256, temperature=0.0)
    assert task.filters == (Filter("none", ({"function": "take_first"},)),)
    assert task.metrics == (Metric("exact_match"),)
    assert task.primary == "none/exact_match"
    assert task.task_version == "1"
    assert task.fewshot.seed == 1234
    assert task.fewshot.as_multiturn


def test_what_is_said_is_taken():
    task = parse(WHOLE)
    assert task.dataset == DatasetRef("gsm8k", "test", "sha256:37", "train", "gsm8k")
    assert task.task_version == "3.0"
    assert task.generation.until == ("Question:",)
    assert (task.generation.temperature, task.generation.seed) == (0.5, 42)
    assert (task.epochs, task.epoch_reducer) == (4, "pass@2")
    assert task.filters[0].steps[0]["regex_pattern"] == r"#### (\-?[0-9\.\,]+)"
    assert task.metrics[0].options == {"regexes_to_ignore": [","]}
    assert task.publish == Publish("GSM8K", 0.0)
    assert (task.fewshot.sampler, task.fewshot.seed) == ("first_n", 7)


def test_a_definition_survives_being_stored_as_json():
    for text in (SMALL, WHOLE):
        task = parse(text)
        assert from_json(json.loads(json.dumps(as_json(task)))) == task


def test_the_hash_is_of_what_changes_a_score():
    spelled_out = SMALL + "num_fewshot: 0\ntarget_delimiter: ' '\nmetadata: {author: me}\n"
    assert spec_hash(parse(SMALL)) == spec_hash(parse(spelled_out))
    assert spec_hash(parse(SMALL)) != spec_hash(parse(SMALL + "target_delimiter: ''\n"))
    task = parse(WHOLE)
    assert spec_hash(from_json(json.loads(json.dumps(as_json(task))))) == spec_hash(task)


def test_a_file_that_names_a_hub_needs_the_data_to_be_uploaded():
    assert problems(HUB) == [
        "dataset_path: openai/gsm8k is on a hub, from which nothing is fetched: upload the file"
    ]
    ours = DatasetRef("gsm8k", "test", fewshot_split="train")
    task = parse(HUB, dataset=ours)
    assert task.dataset == ours
    assert task.epochs == 2


def test_a_file_that_names_local_files_says_its_splits():
    local = HUB.replace("openai/gsm8k", "json") + "dataset_kwargs: {data_files: {test: a.jsonl}}\n"
    assert parse(local).dataset == DatasetRef("main", "test", fewshot_split="train", format="json")
    without = local.replace("fewshot_split: train\n", "").replace("training_split: train\n", "")
    assert parse(without).dataset.fewshot_split == "test"


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "process_docs: !function utils.process",
            "process_docs: !function utils.process runs Python",
        ),
        (
            "metric_list: [{metric: !function m.f}]",
            "metric_list[0].metric: !function m.f runs Python",
        ),
        ("output_type: loglikelihood", "output_type: loglikelihood compares log-likelihoods,"),
        (
            "output_type: loglikelihood_rolling",
            "output_type: loglikelihood_rolling compares log-likelihoods,",
        ),
        ("custom_dataset: x", "custom_dataset: builds its data in Python,"),
        ("doc_to_image: x", "doc_to_image: images are not supported"),
        (
            "metric_list: [{metric: acc_norm}]",
            "metric_list[0].metric: acc_norm compares log-likelihoods,",
        ),
        ("output_type: guess", "output_type: 'guess' is none of generate_until, multiple"),
        ("num_fewshots: 3", "num_fewshots: not a key of a task file; did you mean num_fewshot?"),
        ("num_fewshot: three", "num_fewshot: not a whole number from 0 to 100"),
        ("num_fewshot: true", "num_fewshot: not a whole number from 0 to 100"),
        (
            "num_fewshot: 3",
            "num_fewshot: wants examples, and neither fewshot_split nor samples is given",
        ),
        (
            "num_fewshot: 3\nfewshot_config: {samples: [{question: a, answer: b}]}",
            "num_fewshot: there are only 1 samples to choose from",
        ),
        (
            "fewshot_config: {sampler: balanced}",
            "fewshot_config.sampler: 'balanced' is none of default, first_n",
        ),
        (
            "fewshot_config: {fewshot_indices: [1]}",
            "fewshot_config.fewshot_indices: lm-evaluation-harness reads this",
        ),
        ("fewshot_config: {samples: [3]}", "fewshot_config.samples: not a list of items"),
        (
            "fewshot_config: {samples: [{a: b}]}\nfewshot_split: train",
            "fewshot_config.samples: not with fewshot_split: only one can be meant",
        ),
        (
            "generation_kwargs: {temperatur: 1}",
            "generation_kwargs.temperatur: not a key of a task file; did you mean temperature?",
        ),
        (
            "generation_kwargs: {temperature: 9}",
            "generation_kwargs.temperature: not a number from 0 to 2",
        ),
        (
            "generation_kwargs: {temperature: .nan}",
            "generation_kwargs.temperature: float values are not used",
        ),
        ("generation_kwargs: {until: [3]}", "generation_kwargs.until: not a list of texts"),
        ("generation_kwargs: 3", "generation_kwargs: not a mapping"),
        (
            "filter_list: [{name: a, filter: [{function: custom}]}]",
            "filter_list[0].filter[0]: no filter 'custom'",
        ),
        (
            "filter_list: [{name: a, filter: [{function: regex, regex_pattern: '('}]}]",
            "filter_list[0].filter[0]: not a pattern: '('",
        ),
        (
            "filter_list: [{name: a, filter: [take_first]}]",
            "filter_list[0].filter: not a list of steps, each with a function",
        ),
        ("filter_list: [{filter: []}]", "filter_list[0].name: missing"),
        (
            "metric_list: [{metric: exact_match, ignore_cases: true}]",
            "metric_list[0].metric: exact_match knows no parameter ignore_cases",
        ),
        (
            "metric_list: [{metric: exact_match, aggregation: median}]",
            "metric_list[0].aggregation: 'median' is none of mean",
        ),
        (
            "metric_list: [{metric: exact_match}, {metric: exact_match}]",
            "metric_list: a metric occurs twice",
        ),
        (
            "primary: strict/exact_match",
            "primary: 'strict/exact_match' is none of none/exact_match",
        ),
        ("epoch_reducer: best", "epoch_reducer: 'best' is none of mean, majority, pass@k"),
        (
            "epochs: 2\nepoch_reducer: pass@3",
            "epoch_reducer: pass@3 needs at least 3 epochs, and 1 or more",
        ),
        ("max_error_rate: 2", "max_error_rate: not a number from 0 to 1"),
        ("publish: {baseline: 0.25}", "publish.column: missing"),
        ("publish: {column: X, baseline: 1}", "publish.baseline: not a number from 0 to 0.99"),
        ("output_type: multiple_choice", "doc_to_choice: missing: the answers to choose from"),
        ("judge: {turns: turns}", "judge: only in tasks of the kinds judge_single and judge_pairw"),
        (
            "output_type: judge_single\njudge: {policy: mt-bench}",
            "judge.policy: only in tasks of the kind judge_pairwise",
        ),
        (
            "output_type: judge_pairwise\njudge: {policy: median, turn: x}",
            "judge.policy: 'median' is none of mt-bench, arena-hard",
        ),
        (
            "output_type: judge_pairwise\njudge: {turn: x}",
            "judge.turn: not a key of a task file; did you mean turns?",
        ),
        (
            "output_type: judge_single\nmetric_list: [{metric: exact_match}]",
            "metric_list: a task of the kind judge_single is scored by judge_single alone",
        ),
        (
            "output_type: judge_single\nepochs: 2\nepoch_reducer: majority",
            "epoch_reducer: verdicts of several epochs are averaged: only mean",
        ),
        ("output_type: needle", "needle: missing: lengths, depths and seeds of the grid"),
        (
            "output_type: code\nmetric_list: [{metric: exact_match}]",
            "metric_list: a code task is scored by code alone",
        ),
        (
            "output_type: code\nfilter_list: [{name: a, filter: []}, {name: b, filter: []}]",
            "filter_list: a code task has one filter, which finds the code",
        ),
        (
            "output_type: code\nepochs: 2\n"
            "filter_list: [{name: a, filter: [{function: majority_vote}]}]",
            "filter_list: the filter of a code task reads one response at a time",
        ),
        ("description: '{{ a'", "description: not a template: unexpected end of template"),
        ("gen_prefix: '{% set a = 1 %}'", "gen_prefix: line 1: {% set %} is not supported"),
        ("metadata: {since: 2024-01-01}", "metadata.since: date values are not used"),
        ("metadata: {on: 1}", "metadata: the key True is not a text"),
        ("metadata: [1]", "metadata: not a mapping of texts, numbers and lists"),
    ],
)
def test_every_mistake_is_named_with_its_key(more, problem):
    assert any(said.startswith(problem) for said in problems(SMALL + more + "\n"))


@pytest.mark.parametrize("key", ["task", "dataset", "doc_to_text", "doc_to_target"])
def test_what_has_to_be_there_is_asked_for(key):
    rest = "\n".join(line for line in SMALL.splitlines() if not line.startswith(f"{key}:"))
    assert any(said.startswith(f"{key}: missing") for said in problems(rest))


def test_all_mistakes_are_told_at_once():
    assert len(problems(SMALL + "epochs: 0\nnum_fewshot: -1\nx: 1\ndescription: 3\n")) == 4


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("- a\n", "not a mapping of keys to values"),
        ("", "not a mapping of keys to values"),
        ("a: [1", "line 1: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\nb: 2\na: 3\n", "line 3: the key 'a' occurs twice"),
        ("a: &x [1]\nb: [*x, *x]\n", "line 2: aliases (*name) are not used"),
        ("a: !!python/object/apply:os.system [ls]\n", "line 1: could not determine a constructor"),
        ("a: " + "[" * 5000, "not YAML: nested too deeply"),
        ("a: \x01", "not YAML: unacceptable character"),
        ("#" * (MAX_FILE + 1), f"a task file has at most {MAX_FILE} characters"),
    ],
)
def test_what_is_no_task_file_is_refused_with_its_line(text, problem):
    (said,) = problems(text)
    assert said.startswith(problem)


def test_included_files_are_merged_and_the_file_itself_wins():
    files = {"base_yaml": "include: root\ntarget_delimiter: ''\nepochs: 3\n", "root": "epochs: 9\n"}
    task = parse(SMALL + "include: base_yaml\ntarget_delimiter: '|'\n", include=files.__getitem__)
    assert (task.target_delimiter, task.epochs) == ("|", 3)


@pytest.mark.parametrize(
    ("named", "problem"),
    [
        ("other", "include: other has to be given together with the task file"),
        ("../secret", "include: ../secret lies outside the folder of the task file"),
        ("/etc/passwd", "include: /etc/passwd lies outside the folder of the task file"),
        ("loop", "include: loop includes itself, or 8 files deep"),
        ("[3]", "include: not the name of a file"),
    ],
)
def test_an_include_that_cannot_be_followed_is_refused(named, problem):
    files = {"loop": "include: loop\n"}
    assert problems(SMALL + f"include: {named}\n", include=files.__getitem__) == [problem]
    assert problems(SMALL + f"include: {named}\n")[0].startswith("include: ")


def test_greedy_decoding_is_a_temperature_of_zero():
    task = parse(SMALL + "generation_kwargs: {do_sample: false, temperature: 1, max_tokens: 9}\n")
    assert (task.generation.temperature, task.generation.max_gen_toks) == (0.0, 9)


@pytest.mark.parametrize("kind", ["code", "judge_single", "judge_pairwise", "needle"])
def test_a_task_that_is_not_compared_with_a_target_needs_none(kind):
    text = SMALL.replace('doc_to_target: "{{answer}}"', f"output_type: {kind}")
    task = parse(text + "needle: {lengths: [1000]}\n")
    assert task.doc_to_target == ""
    assert task.metrics[0].metric == kind


def test_the_pool_may_be_named_where_lm_eval_names_it():
    for more in ("fewshot_split: train\n", "fewshot_config: {split: train}\n"):
        assert parse(SMALL + "num_fewshot: 1\n" + more).dataset.fewshot_split == "train"
    assert problems(SMALL + "fewshot_config: {split: 3}\n") == ["fewshot_config.split: not a text"]
