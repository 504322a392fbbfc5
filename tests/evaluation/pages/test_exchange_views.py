"""A run's files to download: of public runs for everybody, items only where they are public."""

from __future__ import annotations

import json

import pytest
from django.contrib.auth.models import User

from arena.models import Contestant
from evaluation.models import Dataset
from evaluation.running import runs
from tests.evaluation import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def run():
    task = factories.task(fewshot_config={"samples": [{"word": "secret example"}]})
    made = factories.finished_run(
        task=task,
        primary_score=1.0,
        results={"none/exact_match": {"n": 1, "value": 1.0, "se": None}},
        total=1,
    )
    sample = factories.sample(run=made, state="done", response="yes", messages=[])
    factories.score(sample=sample, answer="yes")
    return made


@pytest.fixture
def get(client):
    return lambda run, file: client.get(f"/benchmarks/runs/{run.pk}/{file}")


def content(response):
    return b"".join(response.streaming_content).decode()


def test_a_public_run_can_be_had_as_files(run, get):
    response = get(run, "results.json")
    assert response.status_code == 200
    assert response["Content-Disposition"].startswith('attachment; filename="results_')
    document = response.json()
    assert document["results"][run.task.slug]["exact_match,none"] == 1.0
    assert document["model_name"] == run.contestant.name
    (line,) = content(get(run, "samples.jsonl")).splitlines()
    assert json.loads(line)["resps"] == [["yes"]]


def test_private_items_are_for_the_staff_alone(run, get, client):
    Dataset.objects.filter(pk=run.dataset_id).update(public=False)
    assert get(run, "samples.jsonl").status_code == 404
    assert "secret example" not in get(run, "results.json").content.decode()
    client.force_login(User.objects.create_superuser("staff"))
    assert "secret example" in get(run, "results.json").content.decode()
    assert "yes" in content(get(run, "samples.jsonl"))


def test_a_private_split_keeps_the_items_of_its_dataset_back(run, get):
    factories.dataset(name=run.dataset.name, split="train", public=False)
    assert get(run, "samples.jsonl").status_code == 404


@pytest.mark.parametrize("file", ["results.json", "samples.jsonl"])
def test_what_is_not_public_cannot_be_had(run, get, client, file):
    def found():
        return get(run, file).status_code == 200

    Contestant.objects.filter(pk=run.contestant_id).update(status="preview")
    assert not found()
    Contestant.objects.filter(pk=run.contestant_id).update(status="active")
    run.limit = 1
    run.save()
    assert not found()
    run.limit = None
    run.save()
    assert found()
    runs.withdraw(run=run, reason="the wrong template")
    assert not found()
    client.force_login(User.objects.create_user("nobody", is_staff=True))  # without permission
    assert not found()
    client.force_login(User.objects.create_superuser("staff"))
    assert found()


def test_a_run_under_way_has_no_files_even_for_the_staff(get, client):
    client.force_login(User.objects.create_superuser("staff"))
    assert get(factories.run(), "results.json").status_code == 404


async def test_samples_stream_from_an_asynchronous_server(transactional_db, async_client):
    from asgiref.sync import sync_to_async

    def make():
        made = factories.finished_run(
            primary_score=1.0, results={"none/exact_match": {"n": 1, "value": 1.0}}
        )
        factories.score(sample=factories.sample(run=made, state="done", response="yes"))
        return made

    run = await sync_to_async(make)()
    response = await async_client.get(f"/benchmarks/runs/{run.pk}/samples.jsonl")
    text = b"".join([piece async for piece in response.streaming_content])
    assert json.loads(text)["resps"] == [["yes"]]
