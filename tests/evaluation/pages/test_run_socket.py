"""A run as its page sees it go, over the socket."""

from __future__ import annotations

import json

import pytest
from channels.db import database_sync_to_async as in_database
from channels.routing import URLRouter
from django.conf import settings as django_settings
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from evaluation.models import Run
from evaluation.pages import consumers
from evaluation.running import runs
from evaluation.urls import websocket_urlpatterns
from tests import factories as arena
from tests.evaluation import factories
from tests.websocket import TestSocket

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = ["ant", "bee", "cat"]


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(consumers, "LOOK", 0.02)


def under_way() -> Run:
    made = runs.create_run(
        task=factories.task(factories.dataset(WORDS)), contestant=arena.contestant()
    )
    Run.objects.filter(pk=made.pk).update(state="running", started_at=timezone.now())
    return made


def cookie(*permissions: str, **fields) -> bytes:
    """Of somebody who is logged in."""
    user = User.objects.create_user("sam", password="x", **fields)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    name = django_settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}".encode()


def socket(run_id: int, cookie: bytes = b"") -> TestSocket:
    application = URLRouter(websocket_urlpatterns)
    return TestSocket(application, f"/ws/benchmarks/{run_id}/", [(b"cookie", cookie)])


async def test_progress_arrives_as_the_rows_change_until_the_run_is_over():
    run = await in_database(under_way)()
    staff = await in_database(cookie)("view_run", is_staff=True)
    page = socket(run.pk, staff)
    assert await page.connect()
    first = json.loads(await page.receive())
    assert (first["state"], first["ended"], first["total"]) == ("running", 0, 3)

    await in_database(factories.answer)(run, ["ant", "x"])
    later = json.loads(await page.receive())
    assert (later["ended"], later["words"]["ended"]) == (2, "2 of 3")
    assert later["words"]["score"] == "50.0 %"
    assert later["words"]["scored"] == "9.5–90.5 %, of 2 answers"

    await in_database(runs.cancel)(run=run)
    last = json.loads(await page.receive())
    while not last["over"]:
        last = json.loads(await page.receive())
    assert last["state"] == "cancelled"
    closing = await page.output()
    assert (closing["type"], closing["code"]) == ("websocket.close", consumers.CLOSE_OVER)
    await page.disconnect()


@pytest.mark.parametrize(
    ("permissions", "fields"),
    [((), {"is_staff": True}), (("view_run",), {}), (("view_run",), {"is_active": False})],
    ids=["staff without the permission", "not staff", "a closed account"],
)
async def test_it_is_for_staff_who_may_see_runs(permissions, fields):
    run = await in_database(under_way)()
    page = socket(run.pk, await in_database(cookie)(*permissions, **fields))
    await page.connect()
    closing = await page.output()
    assert (closing["type"], closing["code"]) == ("websocket.close", consumers.CLOSE_FORBIDDEN)


async def test_a_visitor_is_told_nothing():
    run = await in_database(under_way)()
    page = socket(run.pk)
    await page.connect()
    assert (await page.output())["code"] == consumers.CLOSE_FORBIDDEN


async def test_a_run_that_is_not_there_is_said_so():
    page = socket(999, await in_database(cookie)("view_run", is_staff=True))
    await page.connect()
    assert (await page.output())["code"] == consumers.CLOSE_GONE


async def test_what_the_page_sends_changes_nothing():
    run = await in_database(under_way)()
    page = socket(run.pk, await in_database(cookie)("view_run", is_staff=True))
    await page.connect()
    await page.receive()
    await page.send('{"type": "cancel"}')
    await page.send_bytes(b"\x00")
    await in_database(factories.answer)(run, ["ant"])
    assert json.loads(await page.receive())["ended"] == 1
    await page.disconnect()
    assert await in_database(Run.objects.filter(pk=run.pk, state="running").exists)()
