"""A browser page as the battle socket sees it."""

from __future__ import annotations

import json

from django.http import HttpResponse
from django.test import RequestFactory

from arena import voters
from arena.consumers import BattleConsumer
from tests.websocket import TestSocket


def new_cookie() -> str:
    response = HttpResponse()
    voters.give_cookie(RequestFactory().get("/"), response)
    return f"{voters.COOKIE}={response.cookies[voters.COOKIE].value}"


class Page:
    """A browser page: its cookie, its socket and everything it has received."""

    def __init__(self, cookie: str | None = None) -> None:
        self.cookie = new_cookie() if cookie is None else cookie
        self.raw: list[str] = []

    async def open(self) -> Page:
        self.socket = TestSocket(
            BattleConsumer.as_asgi(), "/ws/battle/", [(b"cookie", self.cookie.encode())]
        )
        assert await self.socket.connect()
        return self

    async def say(self, **event) -> None:
        await self.socket.send(json.dumps(event))

    async def hear(self) -> dict:
        text = await self.socket.receive()
        self.raw.append(text)
        return json.loads(text)

    async def hear_until(self, *types: str) -> list[dict]:
        events = [await self.hear()]
        while events[-1]["type"] not in types:
            events.append(await self.hear())
        return events

    async def ask(self, prompt="Why?", battle=None) -> list[dict]:
        await self.say(type="turn.submit", prompt=prompt, battle=battle)
        return await self.hear_until("battle.ready", "battle.void", "error")

    async def close(self) -> None:
        await self.socket.disconnect()


def of(events, type, slot=None):
    return [e for e in events if e["type"] == type and slot in (None, e.get("slot"))]
