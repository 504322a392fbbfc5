"""Runs out as lm-evaluation-harness's files, and in again."""

from __future__ import annotations

import hashlib
import json

import pytest
from django.core.management import CommandError, call_command

from evaluation.exchange.exporting import export_results, results_document, sample_lines
from evaluation.exchange.importing import import_results
from evaluation.formats import lm_eval, rows
from evaluation.models import Dataset, Run, Sample
from evaluation.refusals import Refused
from evaluation.running import finishing, runs
from tests import factories as arena_factories
from tests.evaluation import factories

pytestmark = pytest.mark.django_db

FILTERS = [
    {
        "name": "first_word",
        "filter": [{"function": "regex", "regex_pattern": "^(\\w+)"}, {"function": "take_first"}],
    },
    {"name": "whole", "filter": [{"function": "take_first"}]},
]


def run_here(answers, **changes):
    """A scored run of this site; `answers` has, for each word, the response of each epoch."""
    dataset = factories.dataset(list(answers))
    task = factories.task(
        dataset,
        system_instruction="Say it.",
        filter_list=FILTERS,
        epochs=len(next(iter(answers.values()))),
        **changes,
    )
    run = runs.create_run(task=task, contestant=arena_factories.contestant())
    for sample in run.samples.select_related("item"):
        sample.state = Sample.State.DONE
        sample.response = answers[sample.item.fields["word"]][sample.epoch - 1]
        sample.finish_reason = "length" if sample.response == "cut" else "stop"
        sample.save()
    assert finishing.finish(run_id=run.pk)
    run.refresh_from_db()
    return run


@pytest.fixture
def run():
    return run_here({"yes": ["yes sir", "no"], "no": ["no", "no"], "“ö”": ["cut", "--"]})


def stored(run):
    """What has to be equal on both sides."""
    scores = {}
    for sample in run.samples.prefetch_related("scores").select_related("item"):
        for score in sample.scores.all():
            scores.setdefault((sample.item.hash, score.metric), []).append(score.value)
    return {
        "samples": sorted(
            (s.item.hash, s.epoch, json.dumps(s.messages), s.response, s.finish_reason)
            for s in run.samples.select_related("item")
        ),
        "scores": {key: sum(values) / len(values) for key, values in scores.items()},
        "estimates": {
            metric: {key: one[key] for key in ("n", "value", "se", "low", "high", "method")}
            for metric, one in run.results.items()
        },
        "primary": run.primary_score,
        "counts": (run.total, run.done, run.errors),
        "times": (run.started_at, run.finished_at),
        "items": [item.fields for item in run.dataset.items.all()],
        "dataset": (run.dataset.name, run.dataset.split, run.dataset.version),
        "spec": {
            key: value
            for key, value in run.task.spec.items()
            if key not in ("task_version", "metadata")
        },
    }


def forget(run):
    """As if it had been run on another site."""
    task, dataset = run.task, run.dataset
    run.delete()
    task.delete()
    dataset.delete()


def test_what_is_exported_is_imported_equal(run, tmp_path):
    dataset = run.dataset
    Dataset.objects.filter(pk=dataset.pk).update(version=f"sha256:{'0' * 64}")
    before = stored(run)
    paths = export_results(run=run, folder=tmp_path)
    name, contestant = run.fingerprint, run.contestant
    forget(run)
    (one,) = import_results(path=paths[0], model=contestant.slug)
    after = stored(Run.objects.get(pk=one.run.pk))  # with its JSON as it was stored
    assert after.pop("dataset")[:2] == before.pop("dataset")[:2]
    assert after == before
    assert one.run.source == "arena 0.1.0"
    assert one.run.fingerprint == name
    assert one.run.truncated == 1


def test_a_run_that_comes_home_is_already_there(run, tmp_path):
    paths = export_results(run=run, folder=tmp_path)
    (one,) = import_results(path=paths[0])
    assert (one.run, one.created) == (run, False)
    assert Run.objects.count() == 1


def test_an_imported_run_is_exported_as_what_it_was(chat, chat_samples, tmp_path):
    (one,) = import_results(path=chat, create=True)
    paths = export_results(run=one.run, folder=tmp_path / "out")
    document, given = (json.loads(path.read_text()) for path in (paths[0], chat))
    assert document["lm_eval_version"] == "0.4.13"
    for key in ("results", "n-shot", "n-samples", "higher_is_better", "model_name"):
        assert document[key] == given[key]
    ours, theirs = (
        [json.loads(line) for line in path.read_text().splitlines()]
        for path in (paths[1], chat_samples)
    )
    same = ("doc_id", "doc", "target", "resps", "filtered_resps", "filter", "metrics")
    hashes = ("prompt_hash", "target_hash", "exact_match")
    assert [[line[key] for key in same + hashes] for line in ours] == [
        [line[key] for key in same + hashes] for line in theirs
    ]
    prompts = [
        [line["arguments"]["gen_args_0"]["arg_0"] for line in lines] for lines in (ours, theirs)
    ]
    assert prompts[0] == prompts[1]


def test_a_text_for_a_completion_endpoint_stays_a_text(chat, chat_samples, change, tmp_path):
    def plain(line):
        line["arguments"]["gen_args_0"]["arg_0"] = line["doc"]["question"]

    change(chat_samples, plain)
    (one,) = import_results(path=chat, create=True)
    line = json.loads(next(sample_lines(run=one.run)))
    question = line["doc"]["question"]
    assert line["arguments"]["gen_args_0"]["arg_0"] == question
    assert line["prompt_hash"] == hashlib.sha256(question.encode()).hexdigest()


def test_a_log_of_inspect_goes_through_these_files_too(log, tmp_path):
    (one,) = import_results(path=log, create=True)
    paths = export_results(run=one.run, folder=tmp_path)
    (again,) = import_results(path=paths[0])
    assert (again.run, again.created) == (one.run, False)


def test_an_aggregate_has_no_file_of_samples(chat, chat_samples, tmp_path):
    chat_samples.unlink()
    (one,) = import_results(path=chat, create=True)
    (path,) = export_results(run=one.run, folder=tmp_path / "out")
    assert lm_eval.results_of(rows.json_document(path)).tasks[0].items == 4
    (again,) = import_results(path=path)
    assert again.run == one.run


def test_a_partial_run_stays_partial(chat, change, tmp_path):
    change(chat, lambda d: d["n-samples"]["sums"].update(original=1319))
    (one,) = import_results(path=chat, create=True)
    paths = export_results(run=one.run, folder=tmp_path / "out")
    (again,) = import_results(path=paths[0], model="another", create=True)
    assert again.run.limit == one.run.limit == 4


def test_a_sample_that_failed_is_missed_and_counted(run, tmp_path):
    item = run.dataset.items.first()
    run.samples.filter(item=item).update(state="error", error_kind="timeout", response="")
    Run.objects.filter(pk=run.pk).update(state="queued", finished_at=None, primary_score=None)
    assert finishing.finish(run_id=run.pk)
    run.refresh_from_db()
    paths = export_results(run=run, folder=tmp_path)
    contestant = run.contestant
    forget(run)
    (one,) = import_results(path=paths[0], model=contestant.slug)
    assert (one.run.state, one.run.errors) == ("incomplete", 1)
    assert one.items == 2


def test_many_items_are_written_in_their_order(monkeypatch):
    monkeypatch.setattr("evaluation.exchange.exporting.ITEMS_AT_ONCE", 2)
    run = run_here({f"w{number}": [f"w{number}"] for number in range(5)})
    lines = [json.loads(line) for line in sample_lines(run=run)]
    assert [line["doc_id"] for line in lines] == [0, 1, 2, 3, 4] * 2
    assert [line["filter"] for line in lines] == ["first_word"] * 5 + ["whole"] * 5


def test_neither_endpoint_nor_error_of_a_model_is_told(run):
    text = json.dumps(results_document(run=run)) + "".join(sample_lines(run=run))
    assert run.contestant.endpoint.base_url not in text
    assert run.contestant.upstream_model not in text


def test_a_run_without_results_is_not_exported(tmp_path):
    running = factories.run()
    with pytest.raises(Refused, match="has no results"):
        export_results(run=running, folder=tmp_path)
    with pytest.raises(CommandError, match="there is no run 0"):
        call_command("export_results", "0", "--to", str(tmp_path))


def test_the_command_writes_both_files_and_warns_of_private_items(run, tmp_path, capsys):
    Dataset.objects.update(public=False)
    call_command("export_results", str(run.pk), "--to", str(tmp_path / "new"))
    out = capsys.readouterr().out
    assert "are private: do not publish them" in out
    (results,) = (tmp_path / "new").glob("results_*.json")
    contestant = run.contestant
    forget(run)
    import_results(path=results, model=contestant.slug)
    assert not Dataset.objects.get().public
