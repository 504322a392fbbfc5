"""No byte that a browser gets before the vote tells who is in the battle.

Two hundred battles, or ARENA_BLIND_BATTLES: most by a client that keeps all it is sent, twenty, or
ARENA_BLIND_CHROMIUM, by Chromium. The models answer, are slow, fail before and in the middle of
their answer, are refused by a filter or cut; battles become ready, void, expired or abandoned, and
are looked at again.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
import pytest
from playwright.sync_api import Page, Response, WebSocket, expect

from tests import canaries
from tests.running_site import RunningSite

T = TypeVar("T")
BATTLES = int(os.environ.get("ARENA_BLIND_BATTLES", "200"))
IN_CHROMIUM = int(os.environ.get("ARENA_BLIND_CHROMIUM", "20"))
AT_ONCE = 8

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300 + 2 * BATTLES)]

MODELS = {
    f"{canaries.WORD}-{letter}": model
    for letter, model in zip(
        "abcdefghijkl",
        (
            "count:40@200", "count:60", "says:Hello **you**, `code`", "echo", "after:0.2", "long",
            "dies", "status:500", "status:401", "empty", "filtered", "fails-once:x",
        ),
        strict=True,
    )
}  # fmt: skip
OUTCOMES = ("ready", "void", "abandoned", "expired")


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSite]:
    with RunningSite(MODELS) as site:
        site.manage("shell", "-v", "0", "-c", canaries.PLANT)
        yield site


@pytest.fixture(scope="module")
def backend(site: RunningSite) -> str:
    """The address of the models' server, as it might stand in an error."""
    url = site.manage(
        "shell", "-v", "0", "-c",
        "from arena.models import Endpoint; print(Endpoint.objects.first().base_url)",
    )  # fmt: skip
    return ":" + re.findall(r":(\d+)/", url)[0]


@dataclass
class Visitor:
    """A browser of our own: keeps every header, body and frame, until it votes."""

    url: str
    session: aiohttp.ClientSession
    received: list[bytes] = field(default_factory=list)
    battle: str = ""
    token: str = ""
    ended: str = ""

    async def get(self, path: str) -> None:
        await self._keep(self.session.get(self.url + path))

    async def post(self, path: str, **form: str) -> bytes:
        headers = {"Accept": "application/json", "Referer": self.url}
        data = {"csrfmiddlewaretoken": self.token, **form}
        return await self._keep(self.session.post(self.url + path, data=data, headers=headers))

    async def _keep(self, request) -> bytes:
        async with request as response:
            body = await response.read()
            self.received += [f"{k}: {v}".encode() for k, v in response.headers.items()]
            self.received.append(body)
            if token := re.search(rb'name="csrfmiddlewaretoken" value="(\w+)"', body):
                self.token = token[1].decode()
            return body

    async def ask(self, prompt: str, *, look: bool) -> None:
        """Until the battle is ready or void; `look`: open its page in the middle of it, too."""
        async with self.session.ws_connect(f"{self.url}/ws/battle/", headers=self.origin) as socket:
            await socket.send_json({"type": "turn.submit", "prompt": prompt, "battle": None})
            async for message in socket:
                self.received.append(message.data.encode())
                event = json.loads(message.data)
                match event["type"]:
                    case "battle.created":
                        self.battle = event["battle"]
                    case "slot.delta" if look:
                        look = False
                        await self.get(f"/battle/{self.battle}/")
                    case "battle.ready" | "battle.void" | "error" as ended:
                        self.ended = ended.rpartition(".")[2]
                        break

    @property
    def origin(self) -> dict[str, str]:
        return {"Origin": self.url}

    async def look_everywhere(self) -> None:
        """At all that there is of a battle before the vote, allowed or not."""
        page = f"/battle/{self.battle}/"
        for path in (
            page,
            "/history/",
            f"{page}1/a.txt",
            f"{page}1/b.txt",
            f"/share/{self.battle}/",
        ):
            await self.get(path)
        await self.post(f"{page}share/")
        async with self.session.ws_connect(f"{self.url}/ws/battle/", headers=self.origin) as socket:
            await socket.send_json({"type": "resume", "battle": self.battle, "last_seq": {}})
            await socket.send_json({"type": "battle.reveal", "battle": self.battle})
            await socket.send_json({"type": "turn.submit", "prompt": "", "battle": self.battle})
            heard = set()
            while not heard >= {"error"} or not heard & {"battle.ready", "battle.void"}:
                message = await socket.receive(10)
                self.received.append(message.data.encode())
                heard.add(json.loads(message.data)["type"])


def _run(main: Coroutine[Any, Any, T]) -> T:
    """In a thread: this one belongs to the browser's event loop once there is a browser."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, main).result()


async def one_battle(site: RunningSite, number: int, outcome: str) -> Visitor:
    jar = aiohttp.CookieJar(unsafe=True)  # cookies of an address that is a number
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        visitor = Visitor(site.urls[0], session)
        await visitor.get("/")
        await visitor.ask(f"Question {number}: what is it?", look=number % 4 == 0)
        if visitor.ended == "error":
            return visitor
        await visitor.look_everywhere()
        page = f"/battle/{visitor.battle}/"
        if visitor.ended == "ready" and outcome == "abandoned":
            await visitor.post(f"{page}skip/")
            visitor.ended = "abandoned"
        if visitor.ended == "ready" and outcome == "expired":
            return visitor
        if visitor.ended in ("void", "abandoned"):
            answer = await visitor.post(f"{page}vote/", choice="a", turn="1")
            assert json.loads(answer)["error"]["code"] == "wrong_state"
            await visitor.look_everywhere()
        else:  # the names come with the vote, so what was kept ends before it
            kept = list(visitor.received)
            answer = await visitor.post(f"{page}vote/", choice="a", turn="1")
            assert canaries.search(answer)
            visitor.received = kept
        return visitor


def battles(site: RunningSite, count: int) -> list[Visitor]:
    async def play() -> list[Visitor]:
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int) -> Visitor:
            async with room:
                outcome = "abandoned" if number % 5 == 0 else "voted"
                return await one_battle(site, number, outcome)

        return await asyncio.gather(*(one(number) for number in range(count)))

    return _run(play())


def test_nothing_received_before_the_vote_names_a_contestant(
    site: RunningSite, backend: str
) -> None:
    visitors = battles(site, BATTLES - IN_CHROMIUM)
    outcomes = Counter(visitor.ended for visitor in visitors)
    assert outcomes["ready"] > BATTLES / 4, outcomes
    assert outcomes["void"] > 0, outcomes
    assert outcomes["abandoned"] > 0, outcomes
    for visitor in visitors:
        for data in visitor.received:
            assert canaries.search(data, also=(backend,)) == []
    # The list of all models is the same whoever is in the battle, and whatever became of it.
    lists = {found for v in visitors for data in v.received for found in canaries.model_lists(data)}
    assert len(lists) == 1
    assert canaries.WORD.encode() in lists.pop()


def test_an_expired_battle_never_reveals(site: RunningSite, backend: str) -> None:
    async def play() -> Visitor:
        jar = aiohttp.CookieJar(unsafe=True)
        async with aiohttp.ClientSession(cookie_jar=jar) as session:
            visitor = Visitor(site.urls[0], session)
            await visitor.get("/")
            while visitor.ended != "ready":
                await visitor.ask("Will it expire?", look=False)
            await asyncio.to_thread(
                site.manage, "shell", "-v", "0", "-c",
                "from arena.models import Battle\n"
                f"Battle.objects.filter(public_id={visitor.battle!r}).update(state='expired')",
            )  # fmt: skip
            await visitor.get(f"/battle/{visitor.battle}/")
            answer = await visitor.post(f"/battle/{visitor.battle}/vote/", choice="a", turn="1")
            assert json.loads(answer)["error"]["code"] == "wrong_state"
            await visitor.get("/history/")
            return visitor

    visitor = _run(play())
    for data in visitor.received:
        assert canaries.search(data, also=(backend,)) == []


def test_nothing_chromium_received_before_the_vote_names_a_contestant(
    page: Page, site: RunningSite, backend: str
) -> None:
    received: list[bytes] = []

    responses: list[Response] = []

    def keep_responses() -> None:
        """Before the next page: then Chromium forgets the bodies of this one's."""
        for response in responses:
            received.extend(f"{k}: {v}".encode() for k, v in response.all_headers().items())
            if not 300 <= response.status < 400:  # of a redirect Chromium keeps no body
                received.append(response.body())
        responses.clear()
        received.append(page.content().encode())

    def keep_frames(socket: WebSocket) -> None:
        socket.on(
            "framereceived",
            lambda data: received.append(data if isinstance(data, bytes) else data.encode()),
        )

    page.context.new_cdp_session(page).send("Network.setCacheDisabled", {"cacheDisabled": True})
    page.on("response", lambda response: responses.append(response))
    page.on("websocket", keep_frames)
    over = re.compile("ready|over")
    for number in range(IN_CHROMIUM):
        page.goto(site.urls[0])
        page.get_by_role("textbox", name="Your question").fill(
            f"Question {number}: what do you see?"
        )
        page.keyboard.press("Enter")
        expect(page.locator(".battle")).to_have_attribute("data-state", over, timeout=30_000)
        keep_responses()
        if number % 3 == 0:
            page.reload()
            keep_responses()
    assert sum(b'"slot.completed"' in data for data in received) > IN_CHROMIUM
    for data in received:
        assert canaries.search(data, also=(backend,)) == []
