"""What a watch-dog sees of benchmarks: work that waits, and whether somebody is at it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from evaluation.running import liveness
from tests.evaluation import factories

pytestmark = pytest.mark.django_db


def test_samples_wait_and_the_worker_at_them_shows_by_its_leases():
    assert liveness.waiting_samples() is None
    run = factories.run(state="queued", dataset=factories.dataset(["a", "b"]))
    first, second = (factories.sample(run=run, item=item) for item in run.dataset.items.all())
    nobody = liveness.waiting_samples()
    assert nobody is not None
    now = timezone.now()
    first.state, first.lease_owner, first.lease_until = "leased", "worker", now
    first.save()
    at_work = liveness.waiting_samples()
    first.lease_until = now + timedelta(seconds=20)
    first.save()
    assert len({nobody, at_work, liveness.waiting_samples()}) == 3
    second.state = "done"
    second.save()
    assert liveness.waiting_samples() is None  # what is leased does not wait


@pytest.mark.parametrize("state", ["paused", "cancelled"])
def test_a_run_that_nobody_should_be_at_does_not_wait(state):
    over = {"finished_at": timezone.now()} if state == "cancelled" else {}
    factories.sample(run=factories.run(state=state, **over))
    assert liveness.waiting_samples() is None


def test_nobody_can_say_how_long_scoring_takes():
    factories.sample(run=factories.run(state="queued"))
    now = timezone.now()
    factories.run(state="scoring", started_at=now, scoring_until=now + timedelta(minutes=1))
    assert liveness.waiting_samples() is None


def test_answers_to_code_tasks_wait_for_their_verdicts():
    task = factories.task(output_type="code", doc_to_target="", metric_list=[{"metric": "code"}])
    run = factories.run(task=task, state="queued", dataset=factories.dataset(["a", "b"]))
    first, second = (
        factories.sample(run=run, item=item, state="done") for item in run.dataset.items.all()
    )
    factories.sample(run=factories.run(state="queued"), state="done")  # of another kind
    seen = [liveness.waiting_code()]
    factories.verdict(sample=first)
    seen.append(liveness.waiting_code())
    claim = {"passed": None, "checked_at": None, "owner": "me", "until": timezone.now()}
    verdict = factories.verdict(sample=second, **claim)
    seen.append(liveness.waiting_code())
    assert None not in seen
    assert len(set(seen)) == 3
    verdict.passed, verdict.checked_at = True, timezone.now()
    verdict.owner, verdict.until = "", None
    verdict.save()
    assert liveness.waiting_code() is None
