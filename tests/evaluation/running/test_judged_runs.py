"""Judged runs against a scripted model server: turns, judgements, both orders, from end to end."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from evaluation import judging
from evaluation.formats.items import item_hash
from evaluation.judging import prompts
from evaluation.models import Item, Run, Sample, Score, TaskDefinition
from evaluation.running import finishing, leases, runner, runs
from tests import factories as arena_factories
from tests.evaluation import factories
from tests.evaluation.processes import Noticing, environment
from tests.evaluation.working import work

# Shards reach the database from another thread, which sees only what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

TALKS = [
    {"turns": [f"first {number}", f"second {number}"], "category": "writing"} for number in range(4)
]
TALKS[0]["reference"] = ["right one", "right two"]
TURNS = {"turns": "turns", "reference": "reference"}


@pytest.fixture
def model(backend):
    def make(script, **fields):
        endpoint = arena_factories.endpoint(base_url=backend.base_url)
        return arena_factories.contestant(endpoint=endpoint, upstream_model=script, **fields)

    return make


def dataset(items):
    made = factories.dataset([])
    made.items.all().delete()
    for position, fields in enumerate(items):
        Item.objects.create(
            dataset=made,
            position=position,
            external_id=f"q{position}",
            hash=item_hash(fields),
            fields=fields,
        )
    return made


def task(items=TALKS, kind="judge_single", judge=TURNS, of=None, **changes):
    return factories.task(
        of or dataset(items),
        output_type=kind,
        judge=judge,
        metric_list=[{"metric": kind}],
        **{"doc_to_text": "{{turns[0]}}", "doc_to_target": "", **changes},
    )


def result(run):
    return run.results[run.task.spec["primary"]]


def rows(run, **where):
    return run.samples.filter(**where).order_by("item__position", "epoch", "part")


# One answer by itself ------------------------------------------------------------------------


def test_two_turns_are_asked_and_each_is_judged(model, backend):
    judge = model("says:Good. Rating: [[7]]")
    run = runs.create_run(task=task(), contestant=model("echo"), judge=judge)
    assert run.total == 16
    work(run)
    assert (run.state, run.done, run.errors, run.unparsed) == (Run.State.COMPLETED, 16, 0, 0)
    assert (run.primary_score, result(run)["n"], result(run)["clusters"]) == (7, 8, 4)
    assert result(run)["details"]["turns"] == {"1": 7, "2": 7}
    asked = [request for request in backend.requests if request["model"] == "echo"]
    second = next(r for r in asked if r["messages"][-1]["content"] == "second 0")
    assert second["messages"] == [
        {"role": "user", "content": "first 0"},
        {"role": "assistant", "content": "first 0 "},
        {"role": "user", "content": "second 0"},
    ]
    assert Score.objects.filter(sample__run=run, scorer="judge_single@1.0.0").count() == 8


def test_the_judge_is_asked_coolly_and_without_names(model, backend):
    contestant = model("echo", name="Secret Model")
    run = runs.create_run(
        task=task(generation_kwargs={"temperature": 1, "until": ["first"]}),
        contestant=contestant,
        judge=model("says:[[7]]", name="The Judge"),
    )
    work(run)
    judged = [r for r in backend.requests if r["model"].startswith("says")]
    assert len(judged) == 8
    assert {(r["temperature"], r["max_tokens"], "stop" in r) for r in judged} == {(0, 2048, False)}
    for told in (json.dumps(r) for r in judged):
        assert "ecret" not in told
        assert "echo" not in told
    with_reference = [r for r in judged if "right one" in json.dumps(r)]
    assert len(with_reference) == 2  # both turns of the one item that has it


def test_a_judge_without_a_verdict_is_asked_once_more_and_then_left_out(model):
    run = runs.create_run(task=task(), contestant=model("echo"), judge=model("says:Nice. [[70]]"))
    work(run)
    assert (run.state, run.primary_score, run.unparsed) == (Run.State.COMPLETED, None, 8)
    assert (run.total, run.done) == (24, 24)
    assert rows(run, part="judge2-again").count() == 4
    sent = rows(run, part="judge2-again").first().messages[-1]["content"]
    assert "must not be missing" in sent
    assert "value" not in result(run)


def test_an_answer_that_failed_leaves_the_run_incomplete(model):
    run = runs.create_run(task=task(), contestant=model("echo"), judge=model("says:[[7]]"))
    rows(run, item__position=0).update(state="error", error_kind="connect", attempts=8)
    work(run)
    assert (run.state, run.done, run.errors) == (Run.State.INCOMPLETE, 12, 1)
    assert run.reason == "1 of 16 samples are errors, 3 more were not asked because of them"
    assert runs.retry_errors(run=run) == 1
    work(run)
    assert (run.state, run.done, run.errors) == (Run.State.COMPLETED, 16, 0)


def test_a_run_that_cannot_be_scored_has_failed_for_a_reason(model):
    """And no worker stumbles over it again and again."""
    registered = task(TALKS[:1], doc_to_target="{{nowhere}}")
    judge = model("says:[[7]]")
    run = work(runs.create_run(task=registered, contestant=model("echo"), judge=judge))
    assert run.state == Run.State.FAILED
    assert "doc_to_target" in run.reason


def test_the_judges_failures_trip_the_breaker_and_are_retried(model, backend, settings):
    settings.EVALUATION_CONCURRENCY = 1
    settings.EVALUATION_BREAKER = 3
    judge = model("status:401")
    run = work(runs.create_run(task=task(), contestant=model("echo"), judge=judge))
    assert (run.state, run.primary_score) == (Run.State.PAUSED, None)
    assert run.reason.startswith("the judge: 3 samples failed in a row")
    judge.upstream_model = "says:[[7]]"
    judge.save()
    runs.resume(run=run)
    runs.retry_errors(run=run)
    work(run)
    assert (run.state, run.primary_score, run.done) == (Run.State.COMPLETED, 7, 16)
    assert sum(request["model"] == "echo" for request in backend.requests) == 8


def test_the_judge_costs_what_the_judge_costs(model):
    judge = model("says:[[7]]", price_input=Decimal(10), price_output=Decimal(20))
    run = runs.create_run(task=task(), contestant=model("echo"), judge=judge)
    work(run)
    assert run.cost == Decimal("0.001040")  # 8 × (7 × 10 + 3 × 20) USD per million tokens
    paid = model("says:x", price_input=Decimal(1), price_output=Decimal(2))
    run = work(runs.create_run(task=task(), contestant=paid, judge=judge))
    assert run.cost == Decimal("0.001040") + Decimal("0.000104")


def test_a_judged_run_stops_at_its_cost_cap(model):
    judge = model("says:[[7]]", price_input=Decimal(10), price_output=Decimal(20))
    run = runs.create_run(
        task=task(), contestant=model("echo"), judge=judge, cost_cap=Decimal("0.0003")
    )
    work(run)
    assert run.state == Run.State.PAUSED
    assert "cost cap" in run.reason


def test_a_busy_judge_does_not_keep_the_contestant_waiting(model):
    judge = model("says:[[7]]")
    first = runs.create_run(task=task(), contestant=model("echo"), judge=judge)
    other = runs.create_run(task=task(), contestant=model("echo"), judge=judge)
    for run in (first, other):
        runner.run_shard(run_id=run.pk, seconds=0, size=4)
    assert leases.lease(run_id=first.pk, owner="one", of_judge=True)
    assert not leases.lease(run_id=other.pk, owner="two", of_judge=True)
    leased = leases.lease(run_id=other.pk, owner="two")
    assert {sample.part for sample in leased} == {"turn2"}


def test_a_cancelled_run_gets_no_further_rows(model, backend):
    run = runs.create_run(
        task=task(TALKS[:1]), contestant=model("gated"), judge=model("says:[[7]]")
    )
    worker = threading.Thread(target=shard_in_a_thread, args=(run,))
    started = threading.Event()
    backend.requests = Noticing(started)
    worker.start()
    assert started.wait(10)
    runs.cancel(run=run)
    backend.gate._loop.call_soon_threadsafe(backend.gate.set)
    worker.join(20)
    assert not worker.is_alive()
    assert Counter(run.samples.values_list("state", flat=True)) == {"skipped": 1}


def shard_in_a_thread(run):
    try:
        runner.run_shard(run_id=run.pk)
    finally:
        connection.close()


WORKER = """
import django; django.setup()
from evaluation.running import runner
while runner.run_shard(run_id={run}).samples:
    pass
"""


@pytest.mark.parametrize("asked_before", [4, 30])
def test_a_judged_run_survives_kill_9_of_its_worker(model, backend, asked_before):
    """Among answers, among judgements: nothing is lost, stored twice or judged twice."""
    talks = [{"turns": [f"a{n}", f"b{n}"]} for n in range(10)]
    judge = model("count:5@50")  # 0.1 s each and no verdict, so that it is asked again
    run = runs.create_run(task=task(talks), contestant=model("count:3@50"), judge=judge)
    enough = threading.Event()
    backend.requests = Noticing(enough, asked_before)
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER.format(run=run.pk)],
        env=environment(EVALUATION_CONCURRENCY="4"),
    )
    try:
        assert enough.wait(30)
    finally:
        worker.kill()
        worker.wait(10)
    run.samples.filter(state="leased").update(lease_until=timezone.now() - timedelta(seconds=1))
    assert leases.sweep() == [run.pk]
    work(run)
    assert (run.state, run.done, run.errors, run.unparsed) == ("completed", 60, 0, 20)
    assert (run.total, run.samples.count()) == (60, 60)
    assert 60 <= len(backend.requests) <= 64


def test_two_workers_share_a_judged_run(model, backend):
    """One among the answers, the other among the judgements that they bring forth."""
    talks = [{"turns": [f"a{n}", f"b{n}"]} for n in range(10)]
    run = runs.create_run(
        task=task(talks), contestant=model("count:2@40"), judge=model("says:[[7]]")
    )

    def until_it_is_over():
        try:
            while run.samples.filter(state="done").count() < run.total:
                if not runner.run_shard(run_id=run.pk, size=3, seconds=0.05).samples:
                    time.sleep(0.02)  # the other is at the endpoint
        finally:
            connection.close()

    workers = [threading.Thread(target=until_it_is_over) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(30)
    assert not any(worker.is_alive() for worker in workers)
    work(run)
    assert (run.state, run.done, run.primary_score) == (Run.State.COMPLETED, 40, 7)
    assert len(backend.requests) == 40


# Two answers ---------------------------------------------------------------------------------

PAIR = {"turns": "turns"}


def pairwise(of, policy="mt-bench", **changes):
    return task(kind="judge_pairwise", judge={**PAIR, "policy": policy}, of=of, **changes)


@pytest.fixture
def opponent(model):
    """A completed run whose answers are longer and say "theirs"."""
    of = dataset(TALKS)
    single = task(of=of)
    contestant = model("says:theirs, and more of it")
    run = work(runs.create_run(task=single, contestant=contestant, judge=model("says:[[5]]")))
    assert run.state == Run.State.COMPLETED
    return run


@pytest.mark.parametrize(
    ("wanted", "score", "longer"), [("ours", 1.0, 0.0), ("theirs", 0.0, 1.0), ("nobody", 0.5, None)]
)
def test_both_orders_are_judged_and_the_better_answer_wins(
    model, backend, opponent, wanted, score, longer
):
    run = runs.create_run(
        task=pairwise(opponent.dataset),
        contestant=model("says:ours"),
        judge=model(f"prefers:{wanted}"),
        opponent=opponent,
    )
    assert run.total == 4 * (2 + 2 * 2)
    work(run)
    assert (run.state, run.done, run.primary_score) == (Run.State.COMPLETED, 24, score)
    details = result(run)["details"]
    assert (details["both_orders"], details["consistent"]) == (8, 8)
    assert (details["position_bias_rate"], details["longer_wins"]) == (0, longer)
    assert details["mean_length_difference"] == len("ours") - len("theirs, and more of it")
    for order, shown in (("first", ["ours", "theirs"]), ("second", ["theirs", "ours"])):
        for row in rows(run, part=f"judge2-{order}"):
            told = judging.quoted(row.messages)
            answers = [text for name, text in told.items() if name.startswith("ANSWER")]
            assert [answer.split(",")[0] for answer in answers] == shown * 2


@pytest.mark.parametrize("policy", ["mt-bench", "arena-hard"])
def test_a_judge_that_always_likes_the_first_decides_nothing(model, opponent, policy):
    run = runs.create_run(
        task=pairwise(opponent.dataset, policy),
        contestant=model("says:ours"),
        judge=model("says:My verdict: [[A>>B]]"),
        opponent=opponent,
    )
    work(run)
    details = result(run)["details"]
    assert (run.primary_score, details["position_bias_rate"]) == (0.5, 1)
    assert (details["favours_first"], details["favours_second"]) == (8, 0)


def test_without_an_opponent_the_datasets_own_answers_are_compared_with(model):
    items = [{"question": f"q{n}", "output": f"baseline {n}"} for n in range(3)]
    run = runs.create_run(
        task=task(items, "judge_pairwise", {"baseline": "output"}, doc_to_text="{{question}}"),
        contestant=model("says:ours"),
        judge=model("prefers:baseline"),
    )
    work(run)
    assert (run.total, run.done, run.primary_score) == (9, 9, 0.0)


# Who may judge, and against whom -------------------------------------------------------------


def test_a_judge_of_its_own_answers_has_to_be_allowed_and_the_run_says_so(model, opponent):
    contestant = model("says:ours")
    single = {"task": task(), "contestant": contestant}
    with pytest.raises(runs.Refused, match="would judge its own answers"):
        runs.create_run(**single, judge=contestant)
    twin = arena_factories.contestant(
        endpoint=contestant.endpoint, upstream_model=contestant.upstream_model
    )
    with pytest.raises(runs.Refused, match="would judge its own answers"):
        runs.create_run(**single, judge=twin)
    pair = {
        "task": pairwise(opponent.dataset),
        "contestant": contestant,
        "judge": opponent.contestant,
        "opponent": opponent,
    }
    with pytest.raises(runs.Refused, match="would judge its own answers"):
        runs.create_run(**pair)
    assert runs.create_run(**pair, allow_self_judge=True).judges_itself
    assert runs.create_run(**single, judge=twin, allow_self_judge=True).judges_itself
    assert not runs.create_run(**single, judge=model("says:[[7]]")).judges_itself


def test_what_a_judged_task_needs_is_asked_for(model, opponent):
    contestant, judge = model("says:ours"), model("says:[[7]]")
    with pytest.raises(runs.Refused, match="needs a judge"):
        runs.create_run(task=task(), contestant=contestant)
    silent = arena_factories.contestant(endpoint=None, upstream_model="", status="imported")
    with pytest.raises(runs.Refused, match="no endpoint to ask"):
        runs.create_run(task=task(), contestant=contestant, judge=silent)
    with pytest.raises(runs.Refused, match="no opponent"):
        runs.create_run(task=task(), contestant=contestant, judge=judge, opponent=opponent)
    with pytest.raises(runs.Refused, match="without a judge"):
        runs.create_run(task=factories.task(), contestant=contestant, judge=judge)
    with pytest.raises(runs.Refused, match="name a run to compare with"):
        runs.create_run(task=pairwise(opponent.dataset), contestant=contestant, judge=judge)


def test_an_opponents_run_has_to_fit(model, opponent):
    own = {"contestant": model("says:ours"), "judge": model("says:[[A>B]]"), "opponent": opponent}
    with pytest.raises(runs.Refused, match="another dataset"):
        runs.create_run(task=pairwise(dataset(TALKS[:2])), **own)
    other = pairwise(opponent.dataset, doc_to_text="Please: {{turns[0]}}")
    with pytest.raises(runs.Refused, match="asked otherwise, first in item q0"):
        runs.create_run(task=other, **own)
    rows(opponent, part="turn2", item__position=3).update(
        state="error", error_kind="connect", response=""
    )
    with pytest.raises(runs.Refused, match="no answer to 1 of 8"):
        runs.create_run(task=pairwise(opponent.dataset), **own)
    assert runs.create_run(task=pairwise(opponent.dataset), limit=3, **own).total == 18
    Run.objects.filter(pk=opponent.pk).update(state="incomplete")
    opponent.refresh_from_db()
    with pytest.raises(runs.Refused, match="is incomplete"):
        runs.create_run(task=pairwise(opponent.dataset), **own)


def test_judge_opponent_and_template_are_in_the_fingerprint(model, opponent, monkeypatch):
    contestant, judge = model("says:ours"), model("says:[[A>B]]")
    registered = pairwise(opponent.dataset)

    def fingerprint(judge=judge, opponent=opponent):
        return runs.create_run(
            task=registered, contestant=contestant, judge=judge, opponent=opponent
        ).fingerprint

    known = fingerprint()
    assert fingerprint() == known
    assert fingerprint(judge=model("says:[[A=B]]")) != known
    rows(opponent, part="answer", item__position=0).update(response="something else")
    changed = fingerprint()
    assert changed != known
    monkeypatch.setattr(prompts, "TEMPLATES", ("another",))
    assert fingerprint() not in (known, changed)


# What the judged write -----------------------------------------------------------------------


@pytest.mark.any_database
def test_hostile_answers_decide_nothing_on_the_whole_path(shared_data, model):
    """The contestant's answer is the hostile one; an honest judge repeats the whole prompt."""
    lines = (shared_data / "hostile/judge_injection.jsonl").read_text().splitlines()
    items = []
    for case in map(json.loads, lines):
        if case not in items:
            items.append(case)
    hostile = {
        "items": items,
        "kind": "judge_pairwise",
        "judge": {"baseline": "response_a"},
        "doc_to_text": "{{response_b}}",
    }
    registered, contestant = task(**hostile), model("echo")
    honest = model("says-then-repeats:My verdict: [[A=B]]")
    run = work(runs.create_run(task=registered, contestant=contestant, judge=honest))
    assert (run.state, run.primary_score, run.unparsed) == (Run.State.COMPLETED, 0.5, 0)
    assert result(run)["details"]["tied"] == len(items)
    for row in rows(run, part="judge1-first"):
        shown = judging.quoted(row.messages)
        assert shown["ANSWER OF A"].split() == row.item.fields["response_b"].split()
        assert shown["ANSWER OF B"] == row.item.fields["response_a"]
    gullible = model("says-then-repeats:Hm.")
    run = work(runs.create_run(task=registered, contestant=contestant, judge=gullible))
    assert (run.state, run.primary_score) == (Run.State.COMPLETED, None)
    assert run.unparsed == 2 * len(items)


# Epochs --------------------------------------------------------------------------------------


def answer_with(run, answers):
    """Stored as if the model had said them: {word: its responses, one an epoch}."""
    for sample in run.samples.select_related("item"):
        sample.response = answers[sample.item.fields["word"]][sample.epoch - 1]
        sample.state = Sample.State.DONE
        sample.save()
    finishing.finish(run_id=run.pk)
    run.refresh_from_db()
    return run


RESPONSES = {"a": ["a", "x", "a", "a"], "b": ["x", "b", "x", "y"], "c": ["c"] * 4, "d": ["x"] * 4}


@pytest.mark.parametrize(
    ("reducer", "score"),
    [
        ("mean", (0.75 + 0.25 + 1 + 0) / 4),
        ("majority", (1 + 0 + 1 + 0) / 4),
        ("pass@1", (0.75 + 0.25 + 1 + 0) / 4),
        ("pass@2", (1 + 0.5 + 1 + 0) / 4),  # 1 − C(1,2)/C(4,2); 1 − C(3,2)/C(4,2)
        ("pass@4", (1 + 1 + 1 + 0) / 4),
    ],
)
def test_epochs_become_one_score_an_item(model, reducer, score):
    registered = factories.task(factories.dataset(list(RESPONSES)), epochs=4, epoch_reducer=reducer)
    run = answer_with(runs.create_run(task=registered, contestant=model("echo")), RESPONSES)
    assert (run.state, run.primary_score) == (Run.State.COMPLETED, pytest.approx(score))
    assert result(run)["n"] == 4


@pytest.mark.parametrize(
    ("steps", "score"),
    [
        ([{"function": "take_first"}], (0.75 + 0.25 + 1 + 0) / 4),
        ([{"function": "majority_vote"}, {"function": "take_first"}], 2 / 4),
        # Of the first two the earlier one, as neither is more frequent: a, x, c, x.
        ([{"function": "take_first_k", "k": 2}, {"function": "majority_vote"}], 2 / 4),
    ],
)
def test_a_filter_may_read_all_epochs_of_an_item(model, steps, score):
    registered = factories.task(
        factories.dataset(list(RESPONSES)),
        epochs=4,
        filter_list=[{"name": "vote", "filter": steps}],
    )
    run = answer_with(runs.create_run(task=registered, contestant=model("echo")), RESPONSES)
    assert (run.state, run.primary_score) == (Run.State.COMPLETED, score)
    assert run.results["vote/exact_match"]["n"] == 4


def test_a_vote_finds_the_most_frequent_answer_and_not_the_most_frequent_score(model):
    """Two different wrong answers are not a majority over one right one given twice."""
    answers = {"a": ["x", "a", "y", "a", "z"]}
    of = factories.dataset(["a"])
    by_score = factories.task(of, epochs=5, epoch_reducer="majority")
    vote = [{"name": "vote", "filter": [{"function": "majority_vote"}]}]
    by_answer = factories.task(of, epochs=5, filter_list=vote)
    scores = [
        answer_with(runs.create_run(task=one, contestant=model("echo")), answers).primary_score
        for one in (by_score, by_answer)
    ]
    assert scores == [0.0, 1.0]


# As people run it ----------------------------------------------------------------------------


@pytest.fixture
def said(capsys):
    def run(*arguments):
        call_command("evaluate", *map(str, arguments))
        return capsys.readouterr().out

    return run


def test_a_judged_task_is_run_and_reported_by_the_command(said, model):
    contestant, judge = model("says:theirs"), model("says:Fine. [[6]]")
    registered = task()
    asked = ("--model", contestant.slug, "--task", registered.slug)
    with pytest.raises(CommandError, match="needs a judge"):
        said(*asked)
    out = said(*asked, "--judge", judge.slug)
    assert "judge_single: 6.00, 95 % interval 6.00 to 6.00 (clustered t), n = 8" in out
    assert "turn 1: 6.00, turn 2: 6.00" in out
    assert f"judge: {judge}\n" in out
    with pytest.raises(CommandError, match="would judge its own answers"):
        said(*asked, "--judge", contestant.slug)
    contestant.upstream_model = "says:[[9]]"
    contestant.save()
    out = said(*asked, "--judge", contestant.slug, "--allow-self-judge")
    assert f"judge: {contestant}, which judges its own answers\n" in out


def test_a_comparison_is_run_and_reported_by_the_command(said, model, opponent):
    contestant, judge = model("says:ours"), model("prefers:theirs")
    registered = pairwise(opponent.dataset)
    asked = ("--model", contestant.slug, "--task", registered.slug, "--judge", judge.slug)
    out = said(*asked, "--opponent", opponent.contestant.slug)
    assert "judge_pairwise: 0.00%" in out
    assert "won 0, tied 0, lost 8, without a verdict 0 (by mt-bench)" in out
    assert "position bias 0.0% of 8 judged in both orders: 0 for the first shown, 0 for" in out
    assert "-18 characters than the other; where one won, it was the longer in 100.0%" in out
    assert f"opponent: {opponent.contestant}, run {opponent.pk}" in out
    assert "answered 24 of 24" in said(*asked, "--opponent", opponent.pk)
    with pytest.raises(CommandError, match="there is no run 0"):
        said(*asked, "--opponent", 0)
    with pytest.raises(CommandError, match="has no completed run on"):
        said(*asked, "--opponent", judge.slug)


@pytest.mark.parametrize(
    ("folder", "counts"),
    [
        ("mt_bench", {"mt_bench": 80 * 4, "mt_bench_pairwise": 80 * 6}),
        ("arena_hard_v2", {"arena_hard_v2": 750 * 3}),
        ("alpaca_eval", {"alpaca_eval": 805 * 3}),
    ],
)
def test_the_official_files_come_with_tasks_that_can_be_run(
    shared_data, model, capsys, folder, counts
):
    """As far as they need no other run to compare with."""
    source = shared_data / "benchmarks" / folder
    if folder == "arena_hard_v2":
        source = shared_data / "benchmarks/arena_hard/arena-hard-v2.0"
    if folder == "alpaca_eval":
        source = source / "gpt4_1106_preview_model_outputs.json"
    call_command("import_benchmark", folder, "--from", str(source))
    out = capsys.readouterr().out
    contestant, judge = model("echo"), model("says:[[A>B]] [[7]]")
    for name, total in counts.items():
        assert f"Task {name} 1 is registered." in out
        asked = {
            "task": TaskDefinition.objects.get(slug=name),
            "contestant": contestant,
            "judge": judge,
        }
        if name in ("mt_bench", "alpaca_eval"):
            assert runs.create_run(**asked).total == total
        else:
            with pytest.raises(runs.Refused, match="name a run to compare with"):
                runs.create_run(**asked)
