"""The battle socket through the whole application: who may open it, and from where."""

from __future__ import annotations

import json

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from arena import voters
from config.asgi import application
from tests.websocket import TestSocket

pytestmark = pytest.mark.django_db(transaction=True)


def socket(origin: str | None) -> TestSocket:
    response = HttpResponse()
    voters.give_cookie(RequestFactory().get("/"), response)
    cookie = f"{voters.COOKIE}={response.cookies[voters.COOKIE].value}"
    headers = [(b"cookie", cookie.encode()), (b"host", b"localhost")]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return TestSocket(application, "/ws/battle/", headers)


@pytest.mark.parametrize("origin", ["http://localhost", "http://127.0.0.1:8000"])
async def test_a_page_of_this_site_opens_the_socket(origin):
    opened = socket(origin)
    assert await opened.connect()
    await opened.send(json.dumps({"type": "battle.reveal"}))
    assert json.loads(await opened.receive())["code"] == "bad_message"
    await opened.disconnect()


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "http://localhost.evil.example",
        "http://evil.example/localhost",
        "https://user@evil.example",
    ],
)
async def test_a_foreign_or_missing_origin_is_refused(origin):
    refused = socket(origin)
    assert not await refused.connect()


@pytest.mark.parametrize("size", [64 * 1024 + 1, 200_000])
async def test_a_frame_above_the_cap_closes_the_socket(size):
    opened = socket("http://localhost")
    assert await opened.connect()
    await opened.send(" " * size)
    closed = await opened.output()
    assert (closed["type"], closed["code"]) == ("websocket.close", 4413)
