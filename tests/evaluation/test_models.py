"""The database refuses what the code should never do: each constraint, by trying."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import IntegrityError, models, transaction
from django.utils import timezone

from evaluation.models import Immutable
from tests.evaluation import factories
from tests.impossible import change, declared, each, twice

pytestmark = pytest.mark.django_db


def item():
    return factories.dataset().items.get()


def leased_sample():
    return factories.sample(state="leased", lease_owner="me", lease_until=timezone.now())


def claimed_verdict():
    return factories.verdict(passed=None, checked_at=None, owner="me", until=timezone.now())


def running_run():
    return factories.run(state="running", started_at=timezone.now())


IMPOSSIBLE = {
    "dataset_once": [twice(factories.dataset, "name", "split", "version")],
    "dataset_version_is_sha": [
        change(factories.dataset, version="1"),
        change(factories.dataset, version="sha256:" + "g" * 64),
    ],
    "item_position_once": [twice(item, "dataset", "position")],
    "item_hash_once": [twice(item, "dataset", "hash")],
    "item_id_once": [twice(item, "dataset", "external_id")],
    "task_version_once": [twice(factories.task, "slug", "task_version")],
    "run_state_known": [change(factories.run, state="lost")],
    "run_limit_from_one": [change(factories.run, limit=0)],
    "run_finished_when_it_is_over": [
        change(factories.finished_run, finished_at=None),
        change(factories.run, finished_at=timezone.now()),
        change(factories.run, state="cancelled"),
    ],
    "run_started_before_it_ran": [
        change(factories.run, state="running"),
        change(factories.finished_run, started_at=None),
    ],
    "run_score_only_at_the_end": [
        change(running_run, primary_score=0.5),
        change(factories.finished_run, state="failed", primary_score=0.5),
    ],
    "run_scoring_has_a_claim": [
        change(running_run, state="scoring"),
        change(running_run, scoring_until=timezone.now()),
    ],
    "run_cap_positive": [change(factories.run, cost_cap=0)],
    "run_withdrawn_with_a_reason": [
        change(factories.run, withdrawn_at=timezone.now()),
        change(factories.run, withdrawn_reason="Wrong prompts"),
    ],
    "sample_state_known": [change(factories.sample, state="lost")],
    "sample_once": [twice(factories.sample, "run", "item", "epoch", "part")],
    "sample_epoch_from_one": [change(factories.sample, epoch=0)],
    "sample_lease_has_an_owner_and_an_end": [
        change(leased_sample, lease_owner=""),
        change(leased_sample, lease_until=None),
        change(leased_sample, state="pending"),
        change(factories.sample, state="leased"),
        change(factories.sample, lease_owner="me"),
    ],
    "sample_error_has_a_kind": [
        change(factories.sample, state="error"),
        change(factories.sample, error_kind="context"),
    ],
    "sample_response_when_done": [change(factories.sample, response="Yes")],
    "pace_at_once_from_one": [change(factories.endpoint_pace, at_once=0.5)],
    "cached_response_once": [twice(factories.cached_response, "key")],
    "score_once": [twice(factories.score, "sample", "scorer", "metric")],
    "Verdict.sample": [twice(factories.verdict, "sample_id")],
    "verdict_claimed_or_known": [
        change(factories.verdict, passed=None),
        change(factories.verdict, owner="me"),
        change(factories.verdict, until=timezone.now()),
        change(factories.verdict, checked_at=None),
        change(claimed_verdict, until=None),
        change(claimed_verdict, owner=""),
        change(claimed_verdict, passed=True),
    ],
    "SandboxReport.worker": [twice(factories.sandbox_report, "worker")],
    "sandbox_refused_for_a_reason": [change(factories.sandbox_report, ok=False)],
}


@each(IMPOSSIBLE)
def test_the_database_refuses(attempt):
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt()


def test_every_constraint_has_been_tried():
    assert set(IMPOSSIBLE) == declared("evaluation")


def test_a_valid_row_of_every_kind_is_accepted():
    leased_sample()
    running_run()
    factories.finished_run(primary_score=0.5)
    factories.score()
    factories.cached_response()
    factories.verdict()
    claimed_verdict()
    factories.sandbox_report()
    factories.endpoint_pace()
    assert all(model.objects.exists() for model in apps.get_app_config("evaluation").get_models())


def test_what_was_run_cannot_be_deleted():
    run = factories.sample().run
    for row in (run.task, run.dataset, run.contestant):
        with pytest.raises(models.ProtectedError):
            row.delete()


def test_a_task_that_has_been_run_does_not_change():
    task = factories.run().task
    task.spec_sha256 = "f" * 64
    with pytest.raises(Immutable, match="another task_version"):
        task.save()
