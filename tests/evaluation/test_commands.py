"""The commands as people run them."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading

import pytest
from django.core.management import CommandError, call_command

from evaluation.benchmarks import shipped
from evaluation.models import Dataset, Item, Run, TaskDefinition
from evaluation.running import runs
from tests import factories as arena_factories
from tests import scripted_backend
from tests.evaluation.processes import Noticing, environment

TASK = """
task: words
dataset_path: somebody/words
doc_to_text: "{{word}}"
doc_to_target: "{{word}}"
num_fewshot: 1
fewshot_config: {sampler: first_n}
metric_list: [{metric: exact_match, strip: true}]
"""


@pytest.fixture
def contestant():
    with scripted_backend.in_a_thread() as backend:
        endpoint = arena_factories.endpoint(base_url=backend.base_url)
        made = arena_factories.contestant(endpoint=endpoint, upstream_model="echo")
        made.backend = backend
        yield made


@pytest.fixture
def words(tmp_path):
    """A folder with both splits of a benchmark and its public task file."""
    (tmp_path / "train.jsonl").write_text('{"word": "shown"}\n')
    rows = [{"word": f"w{number}"} for number in range(5)]
    (tmp_path / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "words.yaml").write_text(TASK)
    return tmp_path


@pytest.mark.django_db
def test_the_shipped_benchmark_is_imported_once(said):
    assert "first_steps/test: 60 items, sha256:" in said("import_benchmark", "first_steps")
    assert "already there" in said("import_benchmark", "first_steps")
    assert (Dataset.objects.count(), Item.objects.count()) == (1, 60)
    assert TaskDefinition.objects.get().slug == "first_steps"


@pytest.mark.django_db
def test_a_benchmark_of_ones_own_is_imported_with_its_task(said, words):
    own = ("import_benchmark", "words", "--format", "json")
    said(*own, "--from", words / "train.jsonl", "--split", "train")
    out = said(*own, "--from", words / "test.jsonl", "--private", "--licence", "MIT")
    assert "words/test: 5 items" in out
    dataset = Dataset.objects.get(split="test")
    assert (dataset.public, dataset.licence) == (False, "MIT")
    task = ("--task", words / "words.yaml", "--fewshot-split", "train")
    assert "Task words 1 is registered." in said(*own, "--from", words / "test.jsonl", *task)
    run = runs.create_run(
        task=TaskDefinition.objects.get(), contestant=arena_factories.contestant()
    )
    assert [m["content"] for m in run.samples.first().messages] == ["shown", "shown", "w0"]


@pytest.mark.django_db
def test_a_file_with_bad_rows_is_refused_whole_unless_told_otherwise(said, tmp_path):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"word": "a"}\nnot JSON\n{"word": "a"}\n')
    own = ("import_benchmark", "own", "--format", "json", "--from", file)
    with pytest.raises(CommandError, match="line 2"):
        said(*own)
    assert not Dataset.objects.exists()
    out = said(*own, "--skip-bad")
    assert "1 items" in out
    assert "Left out 1" in out
    assert "line 2" in out


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("gsm8k",), "--from"),
        (("gsm8k", "--from", "/nowhere"), "no test.jsonl in nowhere"),
        (("unheard", "--from", "."), "no format"),
    ],
)
def test_an_import_that_cannot_be_is_refused_for_a_reason(said, arguments, reason):
    with pytest.raises(CommandError, match=reason):
        said("import_benchmark", *arguments)


@pytest.mark.django_db
def test_an_official_benchmark_is_imported(said, shared_data):
    out = said("import_benchmark", "gsm8k", "--from", shared_data / "benchmarks" / "gsm8k")
    assert "1,319 items" in out
    assert Dataset.objects.get().licence == "MIT"


@pytest.mark.django_db(transaction=True)
def test_a_contestant_is_evaluated(said, contestant):
    out = said("evaluate", "--model", contestant.slug, "--task", "first_steps", "--limit", "6")
    assert re.search(r"first_line/exact_match: \d+\.\d\d%, 95 % interval .* \(wilson\), n = 6", out)
    assert "answered 6 of 6, errors 0, the first 6 items only: not ranked" in out
    assert len(contestant.backend.requests) == 6


@pytest.fixture
def priced(contestant):
    contestant.price_input, contestant.price_output = 1, 2
    contestant.upstream_model = "says:x"
    contestant.save()
    return contestant


@pytest.mark.django_db(transaction=True)
def test_a_run_says_before_what_it_may_cost_and_pauses_at_its_cap(said, priced, capsys):
    command = ("evaluate", "--model", priced.slug, "--task", "first_steps")
    with pytest.raises(CommandError, match=r"paused: the cost cap of 0\.000300 USD is reached"):
        said(*command, "--cost-cap", "0.0003")
    out = capsys.readouterr().out
    assert re.search(r"60 requests, about \d+ tokens of prompts, \d+ to \d+ of answers: ", out)
    assert re.search(r"0\.\d{4} to 0\.\d{4} USD, at most 0\.0003 USD\.", out)
    run = Run.objects.get()
    assert 0 < runs.cost_so_far(run) <= run.cost_cap
    out = said(*command, "--cost-cap", "1")  # the same run goes on, with the new cap
    assert "answered 60 of 60" in out
    assert len(priced.backend.requests) == 60
    for wrong in ("0", "-1", "much", "NaN"):
        with pytest.raises(CommandError, match="USD above 0"):
            said(*command, f"--cost-cap={wrong}")


@pytest.mark.django_db(transaction=True)
def test_a_person_at_a_terminal_is_asked_before_a_run_that_costs(said, priced, monkeypatch):
    command = ("evaluate", "--model", priced.slug, "--task", "first_steps", "--limit", "1")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: "")
    with pytest.raises(CommandError, match="Not started"):
        said(*command)
    assert not Run.objects.exists()
    assert "answered 1 of 1" in said(*command, "--no-input")
    monkeypatch.setattr("builtins.input", lambda _: "y")
    assert "answered 1 of 1" in said(*command)


@pytest.mark.django_db(transaction=True)
def test_stored_answers_are_taken_where_the_command_says_so(said, priced):
    command = ("evaluate", "--model", priced.slug, "--task", "first_steps", "--limit", "4")
    said(*command, "--cache")
    assert "0.0000 USD" in said(*command, "--cache")
    assert len(priced.backend.requests) == 4


@pytest.mark.django_db(transaction=True)
def test_ctrl_c_pauses_and_the_same_command_goes_on(said, contestant):
    contestant.upstream_model = "count:3@20"  # 0.1 s each, so that it is stopped in the middle
    contestant.save()
    contestant.backend.requests = Noticing(enough := threading.Event(), 5)
    command = ("evaluate", "--model", contestant.name, "--task", "first_steps")
    process = subprocess.Popen(
        [sys.executable, "manage.py", *command],
        env=environment(EVALUATION_CONCURRENCY="1"),
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert enough.wait(30)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
    run = Run.objects.get()
    done = run.samples.filter(state="done").count()
    assert f"Paused run {run.pk} at {done} of 60" in out
    assert (process.returncode, run.state) == (0, Run.State.PAUSED)
    assert 4 <= done < 60
    contestant.upstream_model = "echo"
    contestant.save()
    out = said(*command)
    assert f"Going on with run {run.pk}" in out
    assert "answered 60 of 60" in out
    assert 60 <= len(contestant.backend.requests) <= 61  # the one under way is asked again


@pytest.mark.django_db(transaction=True)
def test_a_run_that_the_breaker_paused_gives_no_score(said, contestant, settings):
    settings.EVALUATION_BREAKER = 3
    settings.EVALUATION_CONCURRENCY = 1
    contestant.upstream_model = "status:401"
    contestant.save()
    command = ("evaluate", "--model", contestant.name, "--task", "first_steps")
    with pytest.raises(CommandError, match="paused: 3 samples failed in a row"):
        said(*command)
    contestant.upstream_model = "says:cat"
    contestant.save()
    assert "answered 60 of 60, errors 0" in said(*command, "--retry-errors")


@pytest.mark.django_db
def test_unknown_models_and_tasks_are_named(said):
    with pytest.raises(CommandError, match="no contestant 'nobody'"):
        said("evaluate", "--model", "nobody", "--task", "first_steps")
    known = arena_factories.contestant()
    with pytest.raises(CommandError, match="no task 'nothing'"):
        said("evaluate", "--model", known.name, "--task", "nothing")
    with pytest.raises(CommandError, match="from 1"):
        said("evaluate", "--model", known.name, "--task", "first_steps", "--limit", "0")


@pytest.fixture
def rescore(tmp_path):
    def run(rows, task="first_steps", dataset=None):
        responses, out = tmp_path / "responses.jsonl", tmp_path / "result.json"
        responses.write_text("".join(json.dumps(row) + "\n" for row in rows))
        options = {
            "--task": task,
            "--dataset": dataset or shipped()["first_steps"].items,
            "--responses": responses,
            "--out": out,
        }
        call_command("eval_rescore", *(str(one) for pair in options.items() for one in pair))
        return json.loads(out.read_text())

    return run


def test_stored_responses_are_scored_without_a_database(rescore):
    result = rescore(
        [
            {"id": "facts-01", "response": "The answer is Paris."},
            {"id": "facts-02", "response": "purple"},
            {"id": "facts-03", "responses": ["seven", "six"]},
        ]
    )
    assert result["samples"] == {"facts-01": 1.0, "facts-02": 0.0, "facts-03": 0.5}
    assert result["metrics"] == {"first_line/exact_match": 0.5}
    assert result["estimates"]["first_line/exact_match"]["n"] == 3


@pytest.mark.parametrize(
    ("rows", "reason"),
    [
        ([{"id": "nowhere", "response": "x"}], "to no item"),
        ([{"id": "facts-01"}], "not a text"),
        ([{"response": "x"}], "no id"),
        ([{"id": "facts-01", "response": "x"}] * 2, "second row"),
        ([], "no response"),
    ],
)
def test_responses_that_do_not_fit_are_refused(rescore, rows, reason):
    with pytest.raises(CommandError, match=reason):
        rescore(rows)
