"""A run that should not have been published leaves the board at once, and says why."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import User

from evaluation.results.published import benchmarks
from evaluation.running import runs
from tests.evaluation import factories

pytestmark = pytest.mark.django_db
LIST = "/admin/evaluation/run/"


@pytest.fixture
def run():
    return factories.finished_run(
        primary_score=1.0, results={"none/exact_match": {"n": 1, "value": 1.0}}
    )


@pytest.fixture
def staff(client):
    client.force_login(User.objects.create_superuser("staff"))
    return client


def test_a_withdrawn_run_leaves_the_board_and_may_come_back(run):
    assert benchmarks().results
    runs.withdraw(run=run, reason="  The wrong template.  ")
    assert run.withdrawn_reason == "The wrong template."
    assert run.state == "completed"
    assert not benchmarks().results
    runs.restore(run=run)
    assert (run.withdrawn_at, run.withdrawn_reason) == (None, "")
    assert benchmarks().results


def test_it_takes_a_reason_and_a_run_that_has_scores(run):
    with pytest.raises(runs.Refused, match="say which"):
        runs.withdraw(run=run, reason=" ")
    with pytest.raises(runs.Refused, match="cannot be withdrawn"):
        runs.withdraw(run=factories.run(), reason="why not")
    with pytest.raises(runs.Refused, match="has not been withdrawn"):
        runs.restore(run=run)


def test_the_first_reason_stays(run):
    runs.withdraw(run=run, reason="first")
    with pytest.raises(runs.Refused, match="before: first"):
        runs.withdraw(run=run, reason="second")
    run.refresh_from_db()
    assert run.withdrawn_reason == "first"


def test_the_administration_asks_for_the_reason_first(run, staff):
    chosen = {"action": "withdraw", "_selected_action": run.pk}
    page = staff.post(LIST, chosen)
    assert "Their pages stay and give the reason" in page.content.decode()
    run.refresh_from_db()
    assert run.withdrawn_at is None
    page = staff.post(LIST, chosen | {"reason": " "})
    assert "This field is required" in page.content.decode()
    page = staff.post(LIST, chosen | {"reason": "The wrong template."}, follow=True)
    assert "Withdrawn:" in page.content.decode()
    run.refresh_from_db()
    assert run.withdrawn_reason == "The wrong template."
    staff.post(LIST, {"action": "restore", "_selected_action": run.pk})
    run.refresh_from_db()
    assert run.withdrawn_at is None
