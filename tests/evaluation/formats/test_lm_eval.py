"""lm-evaluation-harness's result files. The samples below are in the form that 0.4.13 wrote."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime

import pytest

from evaluation.formats import rows
from evaluation.formats.items import BadRow, Unreadable
from evaluation.formats.lm_eval import (
    Results,
    Sample,
    TaskResult,
    Value,
    read_samples,
    results_document,
    results_of,
    sample_lines,
)

RESULTS = {
    "results": {
        "sums": {
            "name": "sums",
            "alias": "sums",
            "sample_len": 12,
            "exact_match,strict-match": 0.25,
            "exact_match_stderr,strict-match": 0.125,
            "exact_match,flexible-extract": 0.5,
            "exact_match_stderr,flexible-extract": "N/A",
        },
        "all": {"alias": "all", "acc,none": 0.3},
    },
    "groups": {"all": {"alias": "all", "acc,none": 0.3}},
    "configs": {"sums": {"task": "sums", "num_fewshot": 5}},
    "versions": {"sums": 3.0},
    "n-shot": {"sums": 5},
    "higher_is_better": {"sums": {"exact_match": True}},
    "n-samples": {"sums": {"original": 1319, "effective": 12}},
    "config": {"model": "local-chat-completions", "limit": 12.0, "fewshot_seed": 1234},
    "date": 1795626465.5,
    "lm_eval_version": "0.4.13",
    "model_name": "some/model",
    "fewshot_as_multiturn": True,
}
SAMPLE = {
    "doc_id": 3,
    "doc": {"question": "1 + 1?", "answer": "#### 2"},
    "target": "#### 2",
    "arguments": {"gen_args_0": {"arg_0": "Question: 1 + 1?\nAnswer:", "arg_1": {"until": ["\n"]}}},
    "resps": [["2", "It is 2."]],
    "filtered_resps": ["2"],
    "filter": "strict-match",
    "metrics": ["exact_match"],
    "doc_hash": "f6e96d3a2a0ac42bb9b7bbf5b3a2ff0ba7d68d7d4bb20a2ab7ab8a2a7c7c3b52",
    "exact_match": 1.0,
}


@pytest.fixture
def results_file(tmp_path):
    def write(document):
        path = tmp_path / "results_2026.json"
        path.write_text(json.dumps(document))
        return path

    return write


@pytest.fixture
def samples_file(tmp_path):
    def write(*lines):
        path = tmp_path / "samples_sums_2026.jsonl"
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


def test_a_results_file_says_what_was_measured_and_on_how_many_items(results_file):
    results = results_of(rows.json_document(results_file(RESULTS)))
    assert results.model == "some/model"
    assert results.date == datetime(2026, 11, 25, 17, 7, 45, 500000, UTC)
    assert results.limit == 12
    (task,) = results.tasks  # the group is left out
    assert task.values == (
        Value("exact_match", "strict-match", 0.25, 0.125),
        Value("exact_match", "flexible-extract", 0.5, None),
    )
    assert (task.version, task.num_fewshot) == ("3.0", 5)
    assert task.partial


def test_a_run_over_everything_is_not_partial(results_file):
    whole = RESULTS | {"n-samples": {"sums": {"original": 12, "effective": 12}}}
    assert not results_of(rows.json_document(results_file(whole))).tasks[0].partial


@pytest.mark.parametrize(
    "arguments", ["pretrained=some/model,dtype=float16", {"pretrained": "some/model"}]
)
def test_the_model_of_an_older_file_is_among_its_arguments(results_file, arguments):
    older = {k: v for k, v in RESULTS.items() if k not in ("model_name", "n-samples")}
    older["config"] = {"model": "hf", "model_args": arguments}
    results = results_of(rows.json_document(results_file(older)))
    assert results.model == "some/model"
    assert results.tasks[0].items == 12
    assert not results.tasks[0].partial


@pytest.mark.parametrize("document", [[], {}, {"results": 3}])
def test_another_file_is_not_taken_for_results(results_file, document):
    with pytest.raises(Unreadable, match="not a results file"):
        results_of(rows.json_document(results_file(document)))


def test_a_file_full_of_wrong_kinds_does_not_break_the_reader(results_file):
    wrong = dict.fromkeys(RESULTS, 3) | {"results": {"t": {"acc,none": "x"}, "u": 1}}
    results = results_of(rows.json_document(results_file(wrong)))
    assert results.tasks == (TaskResult("t", ()),)
    assert results.model == ""


def test_what_we_write_is_what_we_read(results_file):
    results = results_of(rows.json_document(results_file(RESULTS)))
    again = results_of(rows.json_document(results_file(results_document(results))))
    assert dataclasses.replace(again, config={}) == dataclasses.replace(results, config={})


def test_a_models_name_becomes_a_folders_name():
    document = results_document(Results(model='a/b:c"d', tasks=()))
    assert document["model_name_sanitized"] == "a__b__c__d"


def test_a_sample_has_the_responses_of_every_epoch(samples_file):
    (sample,) = read_samples(samples_file(SAMPLE))
    assert sample == Sample(
        doc_id=3,
        doc=SAMPLE["doc"],
        target="#### 2",
        prompt="Question: 1 + 1?\nAnswer:",
        responses=("2", "It is 2."),
        filtered=("2",),
        filter="strict-match",
        scores={"exact_match": 1.0},
        generation_kwargs={"until": ["\n"]},
    )


@pytest.mark.parametrize(
    ("arguments", "prompt"),
    [
        ([["Ask", {"until": []}]], "Ask"),
        ({"gen_args_0": {"arg_0": [{"role": "user"}]}}, '[{"role": "user"}]'),
    ],
)
def test_requests_of_other_versions_are_read(samples_file, arguments, prompt):
    (sample,) = read_samples(samples_file(SAMPLE | {"arguments": arguments}))
    assert sample.prompt == prompt


CHAT = '[{"role": "user", "content": "Ask"}]'


def test_a_chat_is_kept_as_its_messages_and_written_as_it_was(samples_file):
    arguments = {"gen_args_0": {"arg_0": [CHAT], "arg_1": {"until": []}}}
    (sample,) = read_samples(samples_file(SAMPLE | {"arguments": arguments}))
    assert (sample.prompt, sample.chat) == (CHAT, True)
    assert sample.messages == [{"role": "user", "content": "Ask"}]
    (line,) = sample_lines([sample])
    assert json.loads(line)["arguments"] == arguments


@pytest.mark.parametrize("prompt", ["Ask", '["a"]', '[{"content": "no role"}]', "[1"])
def test_any_other_text_is_one_message(samples_file, prompt):
    (sample,) = read_samples(samples_file(SAMPLE | {"arguments": [[[prompt], {}]]}))
    assert sample.messages == [{"role": "user", "content": prompt}]


def likelihood(*values, greedy="False"):
    return SAMPLE | {
        "arguments": {
            f"gen_args_{place}": {"arg_0": "Grass is", "arg_1": f" {place}"}
            for place in range(len(values))
        },
        "resps": [[[value, greedy]] for value in values],
        "filtered_resps": [[value, greedy] for value in values],
    }


def test_of_log_likelihoods_the_highest_is_the_answer(samples_file):
    (sample,) = read_samples(samples_file(likelihood("-2.5", "-0.5", "-inf")))
    assert (sample.responses, sample.filtered) == ((" 1",), (" 1",))
    assert sample.likelihoods[:2] == (-2.5, -0.5)


@pytest.mark.parametrize(("greedy", "answer"), [("True", " 0"), ("False", "")])
def test_a_continuation_asked_for_alone_is_the_answer_if_it_would_be_written(
    samples_file, greedy, answer
):
    (sample,) = read_samples(samples_file(likelihood("-2.5", greedy=greedy)))
    assert sample.responses == (answer,)


@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ({"doc_id": None}, "no 'doc_id' or no 'doc'"),
        ({"arguments": []}, "'arguments' hold no request"),
        ({"resps": [[["-1.5", "True"]], [["-2.5", "False"]]]}, "'resps' are not the responses"),
        ({"resps": [[["-1.5", "True"]]]}, "'resps' are not texts"),
        ({"resps": [[]]}, "'resps' are not texts"),
        (likelihood("much", "little"), "'resps' are not log-likelihoods"),
        (likelihood("-1") | {"resps": []}, "'resps' are not the responses to the requests"),
    ],
)
def test_a_sample_that_is_no_response_is_refused_with_its_line(samples_file, broken, reason):
    good, bad = read_samples(samples_file(SAMPLE, SAMPLE | broken))
    assert isinstance(good, Sample)
    assert isinstance(bad, BadRow)
    assert bad.line == 2
    assert bad.reason.startswith(reason)


def test_samples_are_written_as_lm_eval_writes_them(samples_file):
    sample = Sample(0, {"q": "é"}, "2", "Ask", ("2",), ("2",), "none", {"exact_match": 1.0})
    (line,) = sample_lines([sample])
    written = json.loads(line)
    # sha256 of json.dumps(doc, indent=2, ensure_ascii=False), of the prompt and of the target
    assert written["doc_hash"] == DOC_HASH
    assert written["target_hash"] == TARGET_HASH
    assert list(written)[:8] == list(SAMPLE)[:8]
    assert list(read_samples(samples_file(written))) == [sample]


DOC_HASH = "42d4b8282535d97d12be7ae24274c87b51032fd2766ea66dc405f20620252a86"
TARGET_HASH = "d4735e3a265e16eee03f59718b9b5d03019c07d8b6c51f90da3a666eec13ab35"
