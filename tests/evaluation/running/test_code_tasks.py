"""Code tasks from the import to the score: run in the sandbox, each answer once, or not at all."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse
from django.utils import timezone

from evaluation import sandbox, tasks
from evaluation.models import Run, SandboxReport, TaskDefinition, Verdict
from evaluation.running import finishing, programs, runner, runs, sandboxes, verdicts
from tests import factories as arena_factories
from tests import scripted_backend
from tests.evaluation import factories
from tests.evaluation.processes import environment
from tests.evaluation.sandbox_attacks import READS_THE_NONCE

pytestmark = pytest.mark.django_db(transaction=True)

PROBLEMS = [
    {
        "task_id": f"own/{name}",
        "prompt": f'from math import *\n\n\ndef {name}(x):\n    """{says}"""\n',
        "canonical_solution": f"    {body}\n",
        "test": f"def check(candidate):\n{checks}",
        "entry_point": name,
    }
    for name, says, body, checks in [
        ("triple", "Three times x.", "return 3 * x", "    assert candidate(2) == 6\n"),
        ("vowels", "How many vowels are in x?", "return sum(c in 'aeiou' for c in x)",
         "    assert candidate('banana') == 3\n    assert candidate('') == 0\n"),
        ("middle", "The median of three numbers.", "return sorted(x)[1]",
         "    assert candidate([3, 1, 2]) == 2\n"),
        ("root", "The whole part of x's square root.", "return isqrt(x)",
         "    assert candidate(99) == 9\n"),
        ("last", "The last word of x.", "return x.split()[-1]",
         "    assert candidate('one two') == 'two'\n"),
        ("mirror", "x, back to front.", "return x[::-1]", "    assert candidate('ab') == 'ba'\n"),
    ]
]  # fmt: skip
ANSWERS = {
    "def triple": "    return 3 * x\n",  # as a completion model does
    "def vowels": "Sure!\n```python\ndef vowels(x):\n    return sum(map(x.count, 'aeiou'))\n```\n"
    "Try it:\n```python\nprint(vowels('banana'))\n```",
    "def middle": "```\ndef middle(x):\n    return x[1]\n```",  # wrong
    "def root": "```python\ndef root(x):\n    return isqrt(x)\n",  # cut, and needs the import
    "def last": "I do not know.",
    # Ends the program before the checks, and says that all is well.
    "def mirror": "```python\nimport os\nprint('passed', flush=True)\nos._exit(0)\n```",
}


@pytest.fixture
def humaneval(tmp_path):
    """A file in the official format, imported as people do it."""
    file = tmp_path / "HumanEval.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in PROBLEMS))
    call_command("import_benchmark", "humaneval", "--from", str(file))
    return TaskDefinition.objects.get(slug="humaneval")


@pytest.fixture
def contestant():
    with scripted_backend.in_a_thread() as backend:
        backend.solutions = ANSWERS
        endpoint = arena_factories.endpoint(base_url=backend.base_url)
        yield arena_factories.contestant(endpoint=endpoint, upstream_model="solves")


@pytest.fixture
def sandboxed(bubblewrap):
    return sandboxes.report()


@pytest.fixture
def answered(contestant):
    """A code run whose answers are all there, given as texts; no sandbox is asked for."""

    def make(completions, problem=PROBLEMS[0], **changes):
        factories.sandbox_report(worker="elsewhere")
        dataset = factories.dataset(["one"])
        dataset.items.update(fields=problem)
        task = factories.task(
            dataset,
            doc_to_text="{{prompt}}",
            doc_to_target="",
            output_type="code",
            metric_list=[{"metric": "code"}],
            epochs=len(completions),
            **changes,
        )
        run = runs.create_run(task=task, contestant=contestant)
        for sample, completion in zip(run.samples.order_by("epoch"), completions, strict=True):
            sample.state, sample.response = "done", completion
            sample.save()
        Run.objects.filter(pk=run.pk).update(state="running", started_at=timezone.now())
        SandboxReport.objects.all().delete()
        run.refresh_from_db()
        return run

    return make


def test_a_benchmark_in_humanevals_format_is_run_and_scored(humaneval, contestant, sandboxed):
    run = runs.create_run(task=humaneval, contestant=contestant)
    while runner.run_shard(run_id=run.pk).samples:
        pass
    assert not finishing.finish(run_id=run.pk)  # answers alone are no score
    assert verdicts.check(run_id=run.pk) == 6
    assert verdicts.check(run_id=run.pk) == 0
    assert finishing.finish(run_id=run.pk)
    run.refresh_from_db()
    assert (run.state, run.done, run.errors, run.primary_score) == ("completed", 6, 0, 0.5)
    assert run.results["code_block/code"]["n"] == 6
    found = Verdict.objects.order_by("sample__item__position").values_list("passed", "reason")
    assert list(found) == [
        (True, "passed"),
        (True, "passed"),
        (False, "failed: AssertionError"),
        (True, "passed"),
        (False, "failed: SyntaxError"),
        (False, "failed: no verdict"),
    ]
    assert Verdict.objects.get(sample__item__external_id="own/mirror").output == "passed\n"


def test_a_code_task_is_evaluated_from_the_command_line(humaneval, contestant, bubblewrap, capsys):
    call_command("evaluate", "--model", contestant.slug, "--task", "humaneval")
    out = capsys.readouterr().out
    assert "code_block/code: 50.00%" in out
    assert "answered 6 of 6, errors 0" in out


def test_messages_alone_bring_a_code_run_to_its_end(humaneval, contestant, sandboxed, monkeypatch):
    sent = []
    for task in (tasks.work_on, tasks.check_code):
        monkeypatch.setattr(task, "delay", lambda pk, task=task: sent.append((task, pk)))
        monkeypatch.setattr(
            task, "apply_async", lambda args, task=task, **_: sent.append((task, *args))
        )
    run = runs.create_run(task=humaneval, contestant=contestant)
    tasks.sweep()
    while sent:
        task, run_id = sent.pop()
        task(run_id)
        task(run_id)  # a message that comes twice does no harm
    run.refresh_from_db()
    assert (run.state, run.primary_score) == ("completed", 0.5)
    assert tasks.check_code.app.conf.task_routes["evaluation.tasks.check_code"] == {
        "queue": "sandbox"
    }


@pytest.mark.parametrize(
    ("completions", "reducer", "score"),
    [
        (["    return 3 * x", "    return x", "    return x"], "pass@1", 1 / 3),
        (["    return 3 * x", "    return x", "    return x"], "pass@2", 2 / 3),
        (["    return 3 * x", "    return x", "    return 3 * x"], "pass@2", 1.0),
        (["    return 3 * x", "    return x"], "mean", 0.5),
    ],
)
def test_pass_at_k_is_over_the_epochs_of_a_problem(
    answered, sandboxed, completions, reducer, score
):
    run = answered(completions, epoch_reducer=reducer)
    assert verdicts.check(run_id=run.pk) == len(completions)
    assert finishing.finish(run_id=run.pk)
    run.refresh_from_db()
    assert (run.state, run.results["none/code"]["n"]) == ("completed", 1)
    assert run.primary_score == pytest.approx(score)


def test_a_problem_with_fewer_answers_than_k_is_left_out(answered, sandboxed):
    run = answered(["    return 3 * x", "    return x"], epoch_reducer="pass@2", max_error_rate=1.0)
    run.samples.filter(epoch=2).update(state="error", error_kind="connect", response="")
    assert verdicts.check(run_id=run.pk) == 1
    assert finishing.finish(run_id=run.pk)
    run.refresh_from_db()
    assert (run.state, run.errors, run.primary_score) == ("completed", 1, None)


WORKER = """
import django; django.setup()
from evaluation.running import verdicts
verdicts.check(run_id={run}, on_verdict=lambda sample, outcome: print(outcome.reason, flush=True))
"""


def test_a_run_survives_kill_9_of_its_sandbox_worker(answered, sandboxed):
    """What was stored is not run again; what was claimed is, by whoever comes after."""
    run = answered([f"    import time\n    time.sleep(0.1)\n    return {n} * x" for n in range(12)])
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER.format(run=run.pk)],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert worker.stdout
    try:
        for _ in range(4):
            assert worker.stdout.readline() in ("passed\n", "failed: AssertionError\n")
    finally:
        worker.kill()
        worker.wait(10)
        worker.stdout.close()
    stored = dict(Verdict.objects.filter(passed__isnull=False).values_list("pk", "checked_at"))
    assert 4 <= len(stored) < 12
    assert verdicts.sweep() in ([], [run.pk])  # not while its claim lasts
    Verdict.objects.filter(passed=None).update(until=timezone.now() - timedelta(seconds=1))
    assert verdicts.sweep() == [run.pk]
    again = []
    verdicts.check(run_id=run.pk, on_verdict=lambda sample, outcome: again.append(sample.pk))
    assert len(again) == len(set(again)) == 12 - len(stored)
    assert dict(Verdict.objects.filter(pk__in=stored).values_list("pk", "checked_at")) == stored
    assert finishing.finish(run_id=run.pk)
    assert [one.epoch for one in run.samples.filter(verdict__passed=True)] == [4]


def test_an_answer_is_claimed_by_one_worker_at_a_time(answered, sandboxed):
    run = answered(["    return 3 * x"])
    soon = timezone.now() + timedelta(minutes=1)
    claim = factories.verdict(
        sample=run.samples.get(), passed=None, reason="", checked_at=None, owner="other", until=soon
    )
    assert verdicts.check(run_id=run.pk) == 0
    assert verdicts.sweep() == []
    Verdict.objects.update(until=timezone.now() - timedelta(seconds=1))
    assert verdicts.check(run_id=run.pk) == 1
    claim.refresh_from_db()
    assert (claim.passed, claim.owner, claim.until) == (True, "", None)


def test_a_worker_that_has_lost_its_claim_does_not_overwrite(answered, sandboxed, monkeypatch):
    run = answered(["    return 3 * x"])
    real = programs.check

    def slow(*arguments):
        Verdict.objects.update(owner="fast")
        return real(*arguments)

    monkeypatch.setattr(programs, "check", slow)
    assert verdicts.check(run_id=run.pk) == 0
    assert Verdict.objects.get().owner == "fast"


def test_a_paused_run_is_not_run_on(answered, sandboxed):
    run = answered(["    return 3 * x"])
    runs.pause(run=run)
    assert verdicts.check(run_id=run.pk) == 0
    runs.resume(run=run)
    assert verdicts.check(run_id=run.pk) == 1


def test_without_a_sandbox_a_code_run_cannot_be_created(humaneval, contestant, path_for_anyone):
    assert not sandboxes.report().ok
    with pytest.raises(runs.Refused, match="code tasks are disabled: bubblewrap is not installed"):
        runs.create_run(task=humaneval, contestant=contestant)
    with pytest.raises(CommandError, match="code tasks are disabled"):
        call_command("evaluate", "--model", contestant.slug, "--task", "humaneval")
    assert not Run.objects.exists()


def test_without_a_sandbox_a_run_that_is_going_pauses_and_runs_nothing(answered, path_for_anyone):
    run = answered(["    return 3 * x"])
    assert verdicts.check(run_id=run.pk) == 0
    run.refresh_from_db()
    assert run.state == Run.State.PAUSED
    assert run.reason.startswith("code cannot be run: bubblewrap is not installed (")
    assert not Verdict.objects.exists()
    assert not finishing.finish(run_id=run.pk)


def test_a_worker_without_a_sandbox_leaves_the_run_to_one_that_has_one(answered, path_for_anyone):
    run = answered(["    return 3 * x"])
    factories.sandbox_report()
    assert verdicts.check(run_id=run.pk) == 0
    run.refresh_from_db()
    assert run.state == Run.State.RUNNING
    assert verdicts.sweep() == [run.pk]


def test_when_no_worker_is_heard_of_any_more_the_sweep_pauses_the_run(answered):
    run = answered(["    return 3 * x"])
    factories.sandbox_report(checked_at=timezone.now() - timedelta(hours=1))
    assert verdicts.sweep() == []
    run.refresh_from_db()
    assert run.state == Run.State.PAUSED
    assert "no sandbox worker has been heard of since" in run.reason


def test_a_sandbox_that_starts_no_more_pauses_the_run(answered, sandboxed, monkeypatch):
    run = answered(["    return 3 * x"])
    tried = []

    def stuck(*arguments):
        tried.append(arguments)
        raise sandbox.Unavailable("Resource temporarily unavailable")

    monkeypatch.setattr(programs, "check", stuck)
    assert verdicts.check(run_id=run.pk) == 0
    run.refresh_from_db()
    assert (run.state, len(tried)) == ("paused", verdicts.STARTS)
    assert run.reason == "the sandbox does not start: Resource temporarily unavailable"
    assert not Verdict.objects.exists()


def test_items_of_another_kind_pause_the_run_with_the_reason(answered, sandboxed):
    run = answered(["    return 3 * x"], problem={"prompt": "Say yes."})
    assert verdicts.check(run_id=run.pk) == 0
    run.refresh_from_db()
    assert (run.state, run.reason) == (
        "paused",
        "the answers cannot be run: the item has no test",
    )


@pytest.mark.parametrize(
    ("reports", "reason"),
    [
        ([], "no sandbox worker has been started"),
        ([{"ok": False, "remark": "bubblewrap is not installed", "worker": "a@b"}],
         r"bubblewrap is not installed \(a@b\)"),
        ([{"ok": False, "remark": "x"}, {"ok": True}], "^$"),
        ([{"ok": True, "checked_at": timezone.now() - timedelta(hours=1)}], "heard of since"),
    ],
)  # fmt: skip
def test_whether_code_can_be_run_is_what_the_workers_said_lately(reports, reason):
    for report in reports:
        factories.sandbox_report(**report)
    assert re.search(reason, sandboxes.obstacle())


@pytest.mark.parametrize(
    ("minutes", "asked"), [(0, False), (2, True), (50, True), (70, False), (None, False)]
)
def test_a_worker_that_was_heard_of_lately_is_asked_to_try_its_sandbox_again(
    minutes, asked, monkeypatch
):
    """And one that is gone is not, as nobody would take the messages."""
    sent = []
    monkeypatch.setattr(tasks.report_sandbox, "apply_async", lambda **_: sent.append(True))
    if minutes is not None:
        factories.sandbox_report(checked_at=timezone.now() - timedelta(minutes=minutes))
    tasks.sweep()
    assert bool(sent) == asked


def test_the_staff_see_which_workers_can_run_code_and_why_not(admin_client, path_for_anyone):
    sandboxes.report()
    page = admin_client.get(reverse("admin:evaluation_sandboxreport_changelist"))
    assert "bubblewrap is not installed" in page.content.decode()


def test_a_worker_that_is_root_says_so(bubblewrap):
    report = sandboxes.report()
    assert report.worker.count("@") == 1
    assert ("runs as root" in report.remark) == (os.geteuid() == 0)


def test_a_known_way_to_cheat_is_a_known_limit(answered, sandboxed):
    """A program shares its process with the checks: the docs say so, and here it is seen."""
    run = answered([f"    return x\n{READS_THE_NONCE}"])
    assert verdicts.check(run_id=run.pk) == 1
    assert Verdict.objects.get().passed


def test_stored_completions_are_scored_by_the_sandbox(tmp_path, bubblewrap):
    dataset, responses = tmp_path / "HumanEval.jsonl", tmp_path / "responses.jsonl"
    dataset.write_text("".join(json.dumps(one) + "\n" for one in PROBLEMS))
    rows = [
        {"id": one["task_id"], "responses": [one["canonical_solution"], "    pass\n"]}
        for one in PROBLEMS
    ]
    responses.write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert rescored(tmp_path, dataset)["metrics"] == {"code_block/code": 0.5}


@pytest.mark.any_database
def test_humanevals_own_sample_scores_as_its_readme_says(tmp_path, shared_data, bubblewrap):
    folder = shared_data / "benchmarks" / "humaneval"
    rows = [
        json.loads(line) for line in (folder / "example_samples.jsonl").read_text().splitlines()
    ]
    completions = {"id": rows[0]["task_id"], "responses": [one["completion"] for one in rows]}
    (tmp_path / "responses.jsonl").write_text(json.dumps(completions))
    result = rescored(tmp_path, folder / "example_problem.jsonl")
    assert result["metrics"] == {"code_block/code": 0.5}


def test_stored_completions_are_not_scored_without_a_sandbox(tmp_path, path_for_anyone):
    dataset = tmp_path / "HumanEval.jsonl"
    dataset.write_text(json.dumps(PROBLEMS[0]))
    (tmp_path / "responses.jsonl").write_text('{"id": "own/triple", "response": "    return 1"}')
    with pytest.raises(CommandError, match="code cannot be run here: bubblewrap is not installed"):
        rescored(tmp_path, dataset)


def rescored(folder, dataset):
    out = folder / "result.json"
    options = {"task": "humaneval", "dataset": dataset, "responses": folder / "responses.jsonl"}
    arguments = [f"--{name}={value}" for name, value in options.items()]
    call_command("eval_rescore", *arguments, f"--out={out}")
    return json.loads(out.read_text())
