"""Benchmarks started, watched and changed by the staff."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from evaluation.models import Run, TaskDefinition
from evaluation.needles.importing import import_needles
from evaluation.running import runs
from evaluation.running.progress import ended_of
from tests import factories as arena
from tests.evaluation import factories

pytestmark = pytest.mark.django_db

STAFF = "/benchmarks/staff/"
ALL = ("view_run", "add_run", "change_run")


def user(*permissions: str, **fields) -> User:
    made = User.objects.create_user("sam", password="x", **{"is_staff": True, **fields})
    made.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    return made


@pytest.fixture
def staff(client):
    client.force_login(user(*ALL))
    return client


@pytest.fixture
def model():
    return arena.contestant(name="Anna")


def text(response) -> str:
    return " ".join(response.content.decode().split())


# --- who ----------------------------------------------------------------------------------------


def test_the_page_is_for_staff_with_the_permission(client):
    assert client.get(STAFF)["Location"].startswith("/admin/login/")
    client.force_login(user("view_run", is_staff=False))
    assert client.get(STAFF).status_code == 302


def test_who_may_only_look_sees_no_form_and_starts_nothing(client, model):
    client.force_login(user("view_run"))
    task = factories.task()
    page = client.get(STAFF)
    assert page.status_code == 200
    assert "Estimate" not in text(page)
    client.post(STAFF, {"contestant": model.pk, "task": task.pk, "start": "1"})
    assert not Run.objects.exists()


def test_a_form_of_another_site_is_refused(staff, model):
    strict = Client(enforce_csrf_checks=True)
    strict.cookies = staff.cookies
    said = {"contestant": model.pk, "task": factories.task().pk, "start": "1"}
    assert strict.post(STAFF, said).status_code == 403
    assert not Run.objects.exists()


# --- starting -----------------------------------------------------------------------------------


def test_the_estimate_comes_before_the_start(staff, model):
    task = factories.task(factories.dataset(["ant", "bee", "cat"]))
    said = {"contestant": model.pk, "task": task.pk, "limit": "2"}
    page = staff.post(STAFF, said)
    assert "Start the run" in text(page)
    assert "<dt>Requests</dt><dd>2</dd>" in text(page)
    assert not Run.objects.exists()

    answer = staff.post(STAFF, {**said, "start": "1"})
    run = Run.objects.get()
    assert answer["Location"] == f"/benchmarks/runs/{run.pk}/"
    assert (run.contestant, run.task, run.limit, run.state) == (model, task, 2, "queued")


def test_the_estimate_names_the_cost_where_prices_are_known(staff):
    model = arena.contestant(price_input=Decimal(3), price_output=Decimal(15))
    page = text(staff.post(STAFF, {"contestant": model.pk, "task": factories.task().pk}))
    assert "$0.0" in page
    assert "no prices" not in page


def test_what_is_confirmed_is_what_was_estimated_though_the_task_registered_itself(staff, model):
    page = staff.post(STAFF, {"contestant": model.pk, "task": "shipped:first_steps"})
    task = TaskDefinition.objects.get(slug="first_steps")
    confirmed = {
        field.name: field.value() for field in page.context["confirmation"] if field.value()
    }
    assert confirmed == {"contestant": model.pk, "task": task.pk}
    staff.post(STAFF, {**confirmed, "start": "1"})
    assert Run.objects.get().total == 60


def test_changing_comes_back_to_the_form_with_what_was_said(staff, model):
    said = {"contestant": model.pk, "task": factories.task().pk, "limit": "1", "change": "1"}
    page = text(staff.post(STAFF, said))
    assert "Start the run" not in page
    assert 'name="limit" value="1"' in page


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ({"limit": "0"}, "greater than or equal to 1"),
        ({"task": "shipped:nothing"}, "Select a valid choice"),
        ({"contestant": "999"}, "Select a valid choice"),
        ({"cost_cap": "1"}, "has no prices"),
        ({"cost_cap": "0"}, "More than nothing"),
    ],
)
def test_a_wrong_word_is_refused_with_the_reason(staff, model, said, because):
    task = factories.task()
    page = staff.post(STAFF, {"contestant": model.pk, "task": task.pk, **said, "start": "1"})
    assert because in text(page)
    assert not Run.objects.exists()


def test_a_task_without_its_dataset_says_what_to_import(staff, model):
    task = factories.task()
    task.spec["dataset"]["name"] = "elsewhere"
    task.save()
    page = text(staff.post(STAFF, {"contestant": model.pk, "task": task.pk}))
    assert "needs the dataset elsewhere/test: import it first" in page


def test_only_models_that_can_be_asked_are_offered(staff):
    arena.contestant(name="Here")
    arena.contestant(name="Imported", status="imported", endpoint=None, upstream_model="")
    arena.contestant(name="Switched off", endpoint=arena.endpoint(enabled=False))
    page = text(staff.get(STAFF))
    assert ">Here<" in page
    assert ">Imported<" not in page
    assert ">Switched off<" not in page


def test_a_judge_is_asked_for_where_a_task_needs_one(staff, model):
    assert "Judge" not in text(staff.get(STAFF))
    task = factories.task(
        factories.dataset(["ant"]),
        output_type="judge_single",
        metric_list=[{"metric": "judge_single"}],
    )
    assert "Judge" in text(staff.get(STAFF))
    said = {"contestant": model.pk, "task": task.pk}
    assert "needs a judge" in text(staff.post(STAFF, said))
    plain = factories.task()
    judge = arena.contestant(name="Judge")
    wrong = staff.post(STAFF, {**said, "task": plain.pk, "judge": judge.pk})
    assert "scored without a judge" in text(wrong)


# --- changing -----------------------------------------------------------------------------------


@pytest.fixture
def run(model):
    return runs.create_run(task=factories.task(factories.dataset(["ant", "bee"])), contestant=model)


def change(client, run, verb):
    return client.post(f"/benchmarks/runs/{run.pk}/change/", {"verb": verb}, follow=True)


def test_a_run_is_paused_resumed_and_cancelled(staff, run):
    for verb, state in [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")]:
        change(staff, run, verb)
        run.refresh_from_db()
        assert run.state == state


def test_a_run_at_its_cost_cap_is_resumed_with_another(staff):
    model = arena.contestant(price_input=1, price_output=1)
    task = factories.task(factories.dataset(["ant"]))
    run = runs.create_run(task=task, contestant=model, cost_cap=Decimal("0.5"))
    runs.pause(run=run, reason="the cost cap is reached")
    address = f"/benchmarks/runs/{run.pk}/"
    assert 'name="cost_cap" min="0" step="any" value="0.5' in text(staff.get(address))
    refused = staff.post(address + "change/", {"verb": "resume", "cost_cap": "-1"}, follow=True)
    assert "The cost to stop at" in text(refused)
    staff.post(address + "change/", {"verb": "resume", "cost_cap": "2"})
    run.refresh_from_db()
    assert (run.state, run.cost_cap) == ("queued", 2)


def test_errors_alone_are_retried(staff, model):
    task = factories.task(factories.dataset(["ant", "bee"]))
    run = factories.answered_run(["ant", None], task=task, contestant=model)
    assert "Retry errors only" in text(staff.get(f"/benchmarks/runs/{run.pk}/"))
    change(staff, run, "retry")
    run.refresh_from_db()
    assert run.state == "queued"
    assert sorted(run.samples.values_list("state", flat=True)) == ["done", "pending"]


@pytest.mark.parametrize("verb", ["resume", "explode"])
def test_what_the_state_does_not_allow_is_refused_in_words(staff, run, verb):
    page = change(staff, run, verb)
    assert 'role="alert"' in text(page)
    run.refresh_from_db()
    assert run.state == "queued"


def test_changing_needs_its_own_permission(client, run):
    client.force_login(user("view_run", "add_run"))
    assert client.post(f"/benchmarks/runs/{run.pk}/change/", {"verb": "cancel"}).status_code == 403
    assert client.get(f"/benchmarks/runs/{run.pk}/change/").status_code in (403, 405)


# --- looking ------------------------------------------------------------------------------------


def test_runs_under_way_come_first(staff, model, run):
    factories.answered_run(["yes"], task=factories.task(), contestant=model)
    page = staff.get(STAFF)
    assert [line.run.state for line in page.context["lines"]] == ["queued", "completed"]
    assert f'data-run="{run.pk}"' in text(page)


def test_the_queries_do_not_grow_with_the_runs(staff):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            staff.get(STAFF)
        return len(captured)

    task = factories.task()
    factories.answered_run(["yes"], task=task)
    few = queries()
    for _ in range(4):
        factories.answered_run(["yes"], task=task)
    assert queries() == few


def test_the_administration_leads_here_and_shows_the_progress(client, model):
    client.force_login(User.objects.create_superuser("root", password="x"))
    task = factories.task(factories.dataset(["ant", "bee"]))
    run = factories.answered_run(["ant", None], task=task, contestant=model)
    assert STAFF in text(client.get("/admin/"))
    listed = text(client.get("/admin/evaluation/run/"))
    assert STAFF in listed
    assert f"/benchmarks/runs/{run.pk}/" in listed
    assert '<progress max="2" value="2"' in listed
    assert "2 of 2, 1 error<" in listed


def test_the_administration_counts_no_error_where_a_context_is_too_short(client):
    client.force_login(User.objects.create_superuser("root", password="x"))
    _, task = import_needles(lengths=[500, 1000], depths=[0], seeds=1, seed=1)
    run = runs.create_run(task=task, contestant=arena.contestant())
    run.samples.update(state="error", error_kind="context")
    assert "2 of 2</td>" in text(client.get("/admin/evaluation/run/"))
    assert ended_of([run]) == {run.pk: (2, 0)}
