"""inspect-ai's logs as JSON. The fixture beside the tests of the import is a whole one."""

from __future__ import annotations

import pytest

from evaluation.formats import inspect_log
from evaluation.formats.items import BadRow, Unreadable
from evaluation.formats.measured import MeasuredSample


def log(**changes):
    return {
        "version": 2,
        "status": "success",
        "eval": {
            "task": "inspect_evals/gsm8k",
            "model": "openai/some-model",
            "dataset": {"name": "gsm8k", "samples": 1},
            "packages": {"inspect_ai": "0.3.285"},
            "config": {},
        },
        "results": {"scores": [{"name": "match", "metrics": {"accuracy": {"value": 1.0}}}]},
        "samples": [sample()],
        **changes,
    }


def sample(**changes):
    return {
        "id": 1,
        "epoch": 1,
        "input": "1 + 1?",
        "target": "2",
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "1 + 1?"}]},
            {"role": "assistant", "content": "2"},
        ],
        "output": {
            "choices": [{"message": {"content": "2"}, "stop_reason": "max_tokens"}],
            "usage": {"input_tokens": 4, "output_tokens": 1},
        },
        "scores": {"match": {"value": "C", "answer": "2"}},
        **changes,
    }


def read_sample(**changes):
    (one,) = inspect_log.read(log(samples=[sample(**changes)])).samples()
    return one


def test_the_task_is_known_by_its_name_without_its_package():
    task = inspect_log.read(log())
    assert (task.task, task.model, task.source) == (
        "gsm8k",
        "openai/some-model",
        "inspect-ai 0.3.285",
    )
    assert not task.limited


def test_parts_of_a_message_become_a_text_and_the_answer_is_apart():
    one = read_sample()
    assert one.messages == [{"role": "user", "content": "1 + 1?"}]
    assert one.responses == ("2",)
    assert one.finish_reasons == ("length",)
    assert (one.prompt_tokens, one.completion_tokens) == (4, 1)


def test_the_item_is_its_question_its_target_and_what_is_beside_them():
    assert read_sample().fields == {"input": "1 + 1?", "target": "2"}
    assert read_sample(choices=["2", "3"], metadata={"level": 1}).fields == {
        "input": "1 + 1?",
        "target": "2",
        "choices": ["2", "3"],
        "metadata": {"level": 1},
    }


@pytest.mark.parametrize(
    ("value", "number"),
    [
        ("C", 1.0),
        ("P", 0.5),
        ("I", 0.0),
        ("N", 0.0),
        (True, 1.0),
        (7, 7.0),
        ("0.25", 0.25),
        ("Yes", 1.0),
        ("nan", None),
        ("perhaps", None),
        ({"a": 1}, None),
        (None, None),
    ],
)
def test_a_verdict_becomes_a_number_as_inspect_makes_it_one(value, number):
    (verdict,) = read_sample(scores={"match": {"value": value}}).verdicts
    assert (verdict.metric, verdict.value) == ("none/match", number)


def test_a_sample_that_failed_has_no_response():
    one = read_sample(error={"message": "timed out"})
    assert (one.error, one.responses, one.verdicts) == ("timed out", (), ())


@pytest.mark.parametrize(
    "config", [{"limit": 10}, {"sample_id": ["a"]}], ids=["a limit", "chosen samples"]
)
def test_a_part_of_the_dataset_is_a_partial_run(config):
    changed = log()
    changed["eval"]["config"] = config
    assert inspect_log.read(changed).limited
    fewer = log()
    fewer["eval"]["dataset"]["samples"] = 2
    assert inspect_log.read(fewer).limited


def test_a_log_without_samples_has_scores_only():
    task = inspect_log.read(log(samples=None))
    assert task.samples is None
    assert [(one.metric, one.value) for one in task.values] == [("none/match", 1.0)]


@pytest.mark.parametrize("broken", [None, "text", {}, {"id": []}, {"id": 1}])
def test_a_broken_sample_costs_itself_only(broken):
    good, bad = inspect_log.read(log(samples=[sample(), broken])).samples()
    assert isinstance(good, MeasuredSample)
    assert isinstance(bad, BadRow)
    assert bad.line == 2


def test_a_log_full_of_wrong_kinds_does_not_break_the_reader():
    wrong = log(results=3, stats=[], plan="x", samples=[sample(messages=3, output=[], scores="x")])
    wrong["eval"] |= {"config": 1, "dataset": None, "packages": [], "scorers": {}}
    task = inspect_log.read(wrong)
    (one,) = task.samples()
    assert (task.values, one.responses, one.verdicts) == ((), ("",), ())
    with pytest.raises(Unreadable):
        inspect_log.read({"eval": {}})
