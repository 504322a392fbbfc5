"""Results of other programs, as runs that name them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from django.core.management import CommandError, call_command

from arena.models import Contestant
from evaluation.exchange.importing import import_results
from evaluation.formats.items import item_hash
from evaluation.importing import ImportRefused, import_dataset
from evaluation.models import Dataset, Item, Run, Sample, Score, TaskDefinition
from evaluation.results.comparing import item_scores
from evaluation.results.published import benchmarks
from evaluation.running import runs
from tests import factories as arena_factories
from tests.evaluation import factories

pytestmark = pytest.mark.django_db


def imported(path, **options):
    return [one.run for one in import_results(path=path, **{"create": True, **options})]


def nothing_is_stored():
    return not any(
        model.objects.exists()
        for model in (Run, Sample, Score, Dataset, Item, TaskDefinition, Contestant)
    )


def test_a_run_of_lm_eval_is_completed_and_names_its_program(chat):
    (run,) = imported(chat)
    assert (run.state, run.source, run.limit) == ("completed", "lm-eval 0.4.13", None)
    assert (run.contestant.name, run.contestant.status) == ("tiny/chat", "imported")
    assert (run.total, run.done, run.errors, run.unparsed) == (4, 4, 0, 2)
    assert run.truncated is None  # the files do not say
    assert run.started_at == datetime(2026, 11, 25, 18, 25, 52, 231858, UTC)
    assert (run.finished_at - run.started_at).seconds == 7
    assert str(run.task) == "sums 3.0 (lm-eval 0.4.13)"


def test_its_estimates_are_ours_and_agree_with_its_own(chat):
    (run,) = imported(chat)
    given = json.loads(chat.read_text())["results"]["sums"]
    strict = run.results["strict-match/exact_match"]
    assert run.primary_score == strict["value"] == given["exact_match,strict-match"]
    assert strict["se"] == pytest.approx(given["exact_match_stderr,strict-match"], abs=1e-12)
    assert (strict["method"], strict["n"]) == ("wilson", 4)
    assert strict["low"] < 0.5 < strict["high"]
    assert run.results["flexible-extract/exact_match"]["value"] == 0.75


def test_a_sample_has_what_was_sent_the_answer_and_a_score_by_each_filter(chat):
    (run,) = imported(chat)
    sample = run.samples.get(item__external_id="1")
    assert sample.messages[-1] == {"role": "user", "content": "Question: What is 4 + 4?\nAnswer:"}
    assert sample.response == "Perhaps 8"
    scores = {one.metric: (one.value, one.answer, one.flags) for one in sample.scores.all()}
    assert scores == {
        "strict-match/exact_match": (0.0, None, ["unparsed"]),
        "flexible-extract/exact_match": (1.0, "8", []),
    }
    assert {one.scorer for one in sample.scores.all()} == {"lm-eval@0.4.13"}
    assert run.samples.count() == 4


def test_the_choice_that_was_likeliest_is_the_answer(likelihood):
    (run,) = imported(likelihood)
    chosen = dict(run.samples.values_list("item__external_id", "response"))
    right = [item.fields["options"][item.fields["gold"]] for item in run.dataset.items.all()]
    agreed = [chosen[str(place)].strip() == answer for place, answer in enumerate(right)]
    assert run.results["none/acc"]["value"] == pytest.approx(sum(agreed) / 3)


def test_a_log_of_inspect_has_a_row_for_each_epoch(log):
    (run,) = imported(log)
    assert (run.source, run.total, run.done) == ("inspect-ai 0.3.285", 6, 6)
    assert run.results["none/match"]["value"] == pytest.approx(2 / 3)
    assert run.results["none/match"]["n"] == 3
    again = run.samples.get(item__external_id="s3", epoch=2)
    assert (again.response, again.finish_reason) == ("42 it is, 42", "stop")
    assert (again.prompt_tokens, again.completion_tokens) == (9, 4)
    assert [one["role"] for one in again.messages] == ["system", "user"]
    assert again.scores.get(metric="none/match").value == 1.0


def test_the_same_file_again_changes_nothing(chat, log):
    for path in (chat, log):
        (first,) = import_results(path=path, create=True)
        counts = [m.objects.count() for m in (Run, Sample, Score, Item, TaskDefinition, Dataset)]
        (second,) = import_results(path=path, create=True)
        assert (second.run, first.created, second.created) == (first.run, True, False)
        assert counts == [
            m.objects.count() for m in (Run, Sample, Score, Item, TaskDefinition, Dataset)
        ]


def test_the_same_run_with_other_scores_is_refused(chat, chat_samples, change):
    imported(chat)
    change(chat, lambda d: d["results"]["sums"].update({"exact_match,strict-match": 0.25}))
    number = iter(range(8))
    change(chat_samples, lambda line: line.update(exact_match=float(next(number) in (0, 4, 5, 6))))
    with pytest.raises(ImportRefused, match="of the same moment has other scores"):
        imported(chat)
    assert Run.objects.count() == 1


def test_items_that_are_here_are_used_so_that_models_compare_on_them(chat, chat_samples, tmp_path):
    docs = {line["doc_id"]: line["doc"] for line in map(json.loads, chat_samples.open())}
    file = tmp_path / "test.jsonl"
    rows = [*docs.values(), {"question": "More?", "answer": "#### 1"}]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    dataset = import_dataset(name="ours", source=file, format="json").dataset
    (run,) = imported(chat)
    assert run.dataset == dataset
    assert run.limit is None  # it was all of what that task asks
    own = factories.finished_run(dataset=dataset, task=run.task)
    item = dataset.items.get(hash=item_hash(docs[0]))
    factories.score(
        sample=factories.sample(run=own, item=item, state="done"), metric="strict-match/exact_match"
    )
    scores = item_scores([own, run])
    assert scores[own.pk].keys() <= scores[run.pk].keys()


def test_two_models_with_the_same_task_stand_in_one_column(chat, change):
    (first,) = imported(chat)
    change(chat, lambda d: d.update(date=d["date"] + 60))
    (second,) = imported(chat, model="another")
    assert first.fingerprint == second.fingerprint
    (column,) = benchmarks().columns
    assert column.source == "lm-eval 0.4.13"
    assert {first.contestant_id, second.contestant_id} == set(benchmarks().results)


@pytest.mark.parametrize(
    "edit",
    [
        lambda d: d.update(lm_eval_version="0.4.12"),
        lambda d: d["config"].update(fewshot_seed=1),
        lambda d: d["configs"]["sums"].update(num_fewshot=0),
        lambda d: d.update(system_instruction="Be brief."),
    ],
)
def test_what_changes_the_scores_changes_the_column(chat, change, edit):
    (first,) = imported(chat)
    change(chat, edit)
    (second,) = imported(chat, model="another")
    assert (first.source, first.fingerprint) != (second.source, second.fingerprint)
    assert len(benchmarks().columns) == 2


def test_a_template_of_the_model_does_not_part_it_from_others(chat, chat_samples, change):
    change(chat, lambda d: d.update(chat_template="{{ messages }}"))
    (first,) = imported(chat)

    def render(line):
        line["arguments"]["gen_args_0"]["arg_0"] = "<s>" + line["doc"]["question"]

    change(chat_samples, render)
    (second,) = imported(chat, model="another")
    assert first.fingerprint == second.fingerprint


def test_without_samples_it_is_an_aggregate_by_the_files_own_error(chat, chat_samples):
    chat_samples.unlink()
    (run,) = imported(chat)
    assert not run.samples.exists()
    assert (run.total, run.done, run.primary_score) == (4, 4, 0.5)
    strict = run.results["strict-match/exact_match"]
    assert (strict["method"], strict["n"], strict["unparsed"]) == ("as given", 4, None)
    assert strict["se"] == pytest.approx(0.288675, abs=1e-6)
    assert 0 <= strict["low"] < 0.5 < strict["high"] <= 1
    assert imported(chat) == [run]


def test_fewer_items_than_there_are_is_a_partial_run(chat, change):
    change(chat, lambda d: d["n-samples"]["sums"].update(original=1319))
    (run,) = imported(chat)
    assert run.limit == 4
    assert not benchmarks().columns


def test_an_item_that_is_asked_twice_counts_once(chat, chat_samples, change):
    first = json.loads(chat_samples.read_text().splitlines()[0])["doc"]

    def repeat(line):
        if line["doc_id"] == 3:  # which was right, as the first is
            line["doc"] = first

    change(chat_samples, repeat)
    (one,) = import_results(path=chat, create=True)
    assert (one.items, one.repeated) == (3, 2)
    assert one.run.results["strict-match/exact_match"]["n"] == 3
    assert one.run.primary_score == pytest.approx(1 / 3)
    assert one.run.samples.count() == 3


def test_samples_that_do_not_give_the_score_are_refused(chat, change):
    change(chat, lambda d: d["results"]["sums"].update({"exact_match,strict-match": 0.9}))
    with pytest.raises(ImportRefused, match=r"the samples give 0\.5 for strict-match/exact_match"):
        imported(chat)
    assert nothing_is_stored()


def test_a_score_put_together_in_another_way_stays_as_it_was_given(chat, change):
    def edit(document):
        document["configs"]["sums"]["metric_list"][0]["aggregation"] = "weighted"
        document["results"]["sums"]["exact_match,strict-match"] = 0.4

    change(chat, edit)
    (run,) = imported(chat)
    assert run.results["strict-match/exact_match"]["method"] == "as given"
    assert run.primary_score == 0.4


@pytest.mark.parametrize(
    ("line", "text", "reason"),
    [
        (1, "not JSON", "line 2: not JSON"),
        (2, '{"doc_id": 2}', "line 3: no 'doc_id' or no 'doc'"),
        (1, None, "line 2: the item 0 occurs twice"),
        (7, "", "flexible-extract"),
    ],
)
def test_samples_that_cannot_be_read_leave_nothing_and_name_the_line(
    chat, chat_samples, line, text, reason
):
    lines = chat_samples.read_text().splitlines()
    lines[line] = lines[0] if text is None else text
    chat_samples.write_text("\n".join(lines) + "\n")
    with pytest.raises(ImportRefused, match=reason) as refusal:
        imported(chat)
    assert chat_samples.name in str(refusal.value)
    assert nothing_is_stored()


def test_a_number_that_cannot_be_a_score_is_refused(chat, chat_samples, log, change):
    change(chat_samples, lambda line: line.update(exact_match=1e300))
    with pytest.raises(ImportRefused, match=r"line 1: 1e\+300 is no score of strict-match"):
        imported(chat)
    change(log, lambda d: d["results"]["scores"][0]["metrics"]["accuracy"].update(value=1e300))
    with pytest.raises(ImportRefused, match="is no score of none/match"):
        imported(log)


def test_a_log_without_a_score_is_refused(log, change):
    change(log, lambda d: d.update(results={}))
    with pytest.raises(ImportRefused, match=r"sums\.json holds no score"):
        imported(log)


def test_samples_of_some_items_only_are_refused(chat, chat_samples):
    kept = [line for line in chat_samples.open() if json.loads(line)["doc_id"] != 1]
    chat_samples.write_text("".join(kept))
    with pytest.raises(ImportRefused, match="3 of the 4 items"):
        imported(chat)


def test_two_items_of_one_number_are_refused(chat, chat_samples, change):
    change(chat_samples, lambda line: line.update(doc_id=0))
    with pytest.raises(ImportRefused, match="line 2: the item 0 has been another one before"):
        imported(chat)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda d: d.update(status="error"), "not of a whole run"),
        (lambda d: d.update(invalidated=True), "marked as invalid"),
        (lambda d: d["eval"].pop("model"), "names no task or no model"),
        (lambda d: d["samples"][3].pop("id"), "sums.json line 4: a sample without an id"),
        (lambda d: d["samples"].pop(), "the samples give"),
        (
            lambda d: d["results"]["scores"][0]["metrics"]["accuracy"].update(value=0.9),
            "the results say 0.9",
        ),
    ],
)
def test_a_log_that_is_not_whole_is_refused(log, change, edit, reason):
    change(log, edit)
    with pytest.raises(ImportRefused, match=reason):
        imported(log)
    assert nothing_is_stored()


def test_errors_of_a_log_make_the_run_incomplete(log, change):
    def fail(document):
        document["samples"][0] |= {"error": {"message": "it broke"}, "scores": {}}

    change(log, fail)
    (run,) = imported(log)
    assert (run.state, run.errors, run.done) == ("incomplete", 1, 5)
    failed = run.samples.get(state="error")
    assert (failed.error_kind, failed.error_detail, failed.response) == (
        "elsewhere",
        "it broke",
        "",
    )
    assert not benchmarks().columns


def test_other_files_are_not_taken_for_results(tmp_path):
    other = tmp_path / "other.json"
    other.write_text("[]")
    with pytest.raises(ImportRefused, match=r"other\.json: neither a results file"):
        imported(other)
    with pytest.raises(ImportRefused, match="cannot be opened"):
        imported(tmp_path / "nowhere.json")


def test_the_contestant_is_the_one_that_is_said(chat):
    known = arena_factories.contestant(name="Known")
    (run,) = imported(chat, model="known", create=False)
    assert run.contestant == known
    with pytest.raises(ImportRefused, match="no contestant 'tiny/chat': say which it is"):
        imported(chat, create=False)


def test_an_imported_task_is_not_run_here(chat):
    (run,) = imported(chat)
    with pytest.raises(runs.Refused, match="known from results of lm-eval"):
        runs.create_run(task=run.task, contestant=arena_factories.contestant())
    with pytest.raises(runs.Refused, match="was run elsewhere"):
        runs.retry_errors(run=run)
    with pytest.raises(CommandError, match="no task 'sums'"):
        call_command("evaluate", "--model", "tiny/chat", "--task", "sums")


def test_a_task_of_ones_own_with_that_name_lends_its_column(chat):
    factories.task(
        task="sums",
        publish={"column": "Sums", "baseline": 0.1},
        filter_list=[{"name": "flexible-extract", "filter": [{"function": "take_first"}]}],
    )
    (run,) = imported(chat)
    assert run.primary_score == 0.75  # by the score that is primary here
    (column,) = benchmarks().columns
    assert (column.title, column.baseline) == ("Sums (lm-eval 0.4.13)", 0.1)


def test_the_command_reads_a_folder_and_says_what_it_did(folder, chat_samples, capsys):
    chat_samples.unlink()
    call_command("import_results", str(folder), "--create")
    out = capsys.readouterr().out
    assert "sums × mockllm/model (inspect-ai 0.3.285): run" in out
    assert "3 items, new here, in colours/test" in out
    assert "an aggregate, which cannot be compared item by item" in out
    call_command("import_results", str(folder), "--create")
    assert capsys.readouterr().out.count("already there") == 3


def test_one_refused_file_of_a_folder_does_not_keep_the_others_back(folder, log, change, capsys):
    change(log, lambda d: d.update(status="started"))
    with pytest.raises(CommandError, match=r"sums\.json: the log's status is 'started'"):
        call_command("import_results", str(folder), "--create")
    assert Run.objects.count() == 2


def test_only_the_tasks_that_are_asked_for(chat):
    with pytest.raises(ImportRefused, match="has no task words; it has sums"):
        imported(chat, tasks=["words"])
    assert len(imported(chat, tasks=["sums"])) == 1


def test_new_items_may_be_private(chat):
    call_command("import_results", str(chat), "--create", "--private")
    assert not Dataset.objects.get().public


def rescored(tmp_path, *arguments):
    out = tmp_path / "rescored.json"
    call_command("eval_rescore", *map(str, arguments), "--out", str(out))
    return json.loads(out.read_text())


def test_our_scorers_give_an_imported_run_the_same_scores(chat, tmp_path):
    (run,) = imported(chat)
    result = rescored(tmp_path, "--run", run.pk)
    assert result["metrics"] == {name: one["value"] for name, one in run.results.items()}
    assert result["samples"] == {"0": 1.0, "1": 0.0, "2": 0.0, "3": 1.0}


def test_a_run_whose_scoring_is_not_told_needs_a_task_file(log, tmp_path):
    (run,) = imported(log)
    with pytest.raises(CommandError, match="name a task file with --task"):
        rescored(tmp_path, "--run", run.pk)
    task = tmp_path / "sums.yaml"
    task.write_text(
        'task: sums\ndoc_to_text: "{{input}}"\ndoc_to_target: "{{target}}"\nepochs: 2\n'
        "metric_list: [{metric: numeric}]\n"
    )
    result = rescored(tmp_path, "--run", run.pk, "--task", task)
    assert result["samples"] == {"s1": 1.0, "s2": 0.5, "s3": 0.5}
