"""Every state of the battle page, wide and narrow, light and dark: drawn, and free of findings.

With a folder in ARENA_SCREENSHOTS a picture of each is left there, to be looked at.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute, expect

from tests.e2e.test_accessibility import violations
from tests.running_site import RunningSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ANSWER = """\
The sky is blue because air scatters **short waves** more than long ones.

## In a little more detail

1. Sunlight holds all colours.
2. Molecules of air send blue light in every direction, about as $\\lambda^{-4}$.

```python
def scattered(wavelength: float) -> float:
    return wavelength**-4  # Rayleigh
```

```
without a language
```

| colour | wavelength |
| --- | --- |
| blue | 450 nm |
| red | 700 nm |
"""
SIZES = {"360": {"width": 360, "height": 740}, "1440": {"width": 1440, "height": 900}}


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSite]:
    models = {"Alder 7B Q4_K_M": f"says:{ANSWER}", "Birch 2": "count:160@500"}
    with RunningSite(models, VOTE_INTERVAL_SECONDS="0") as site:
        yield site


class Wire:
    """The page's socket, with a hand on it: hold it, say something on it, cut it."""

    def __init__(self, page: Page) -> None:
        self.held = False
        self.cut = False
        page.route_web_socket("**/ws/battle/", self._open)

    def _open(self, socket: WebSocketRoute) -> None:
        self.socket = socket
        if self.cut:
            socket.close()
            return
        server = socket.connect_to_server()
        socket.on_message(lambda message: None if self.held else server.send(message))
        server.on_message(lambda message: None if self.held else socket.send(message))

    def say(self, **event: object) -> None:
        self.socket.send(json.dumps(event))

    def drop(self) -> None:
        self.cut = True
        self.socket.close()


class Walk:
    """Goes through the states on one page; `shown` is called in each with its name."""

    def __init__(self, page: Page, wire: Wire, url: str, shown: Callable[[str], None]) -> None:
        self.page, self.wire, self.url, self.shown = page, wire, url, shown

    def ask(self) -> None:
        self.page.goto(self.url)
        self.page.get_by_label("Your question").fill("Why is the sky blue?")
        self.page.keyboard.press("Enter")

    def until(self, state: str) -> None:
        expect(self.page.locator(".battle")).to_have_attribute("data-state", state)

    def start_by_hand(self) -> None:
        """A turn whose events come from this test alone."""
        self.wire.held = True
        self.ask()
        self.until("drawing")
        self.wire.say(type="battle.created", battle="abc", url="/battle/abc/")
        self.wire.say(type="turn.started", turn=1, prompt="Why is the sky blue?", slots=["a", "b"])
        self.until("streaming")

    def say_something(self, *slots: str) -> None:
        for slot in slots:
            self.wire.say(type="slot.started", slot=slot)
            self.wire.say(
                type="slot.delta", slot=slot, seq=40, reset=True, html="<p>The sky is blue.</p>",
                text="Because air scatters",
            )  # fmt: skip

    def empty(self) -> None:
        self.page.goto(self.url)
        self.until("empty")
        self.shown("01-empty")

    def over_limit(self) -> None:
        self.page.get_by_label("Your question").fill("x" * 8_123)
        expect(self.page.locator("[data-counter]")).to_have_text("123 characters too many")
        expect(self.page.get_by_role("button", name="Send")).to_be_disabled()
        self.shown("10-over-limit")

    def refused(self) -> None:
        self.wire.held = True
        self.ask()
        self.until("drawing")
        self.shown("02-drawing")
        self.wire.say(
            type="error", code="busy", message="Busy, please retry in 30 s.", retry_after=30
        )
        expect(self.page.get_by_role("alert")).to_have_text("Busy, please retry in 28 s.")
        expect(self.page.get_by_role("button", name="Send")).to_be_disabled()
        expect(self.page.get_by_label("Your question")).to_have_value("Why is the sky blue?")
        self.shown("13-rate-limited")
        self.ask()
        self.until("drawing")
        self.wire.say(
            type="error",
            code="moderated",
            message="Your text was not sent: it was found to be about violence.",
        )
        self.until("empty")
        expect(self.page.get_by_label("Your question")).to_have_value("Why is the sky blue?")
        self.shown("12-moderated")

    def streaming(self) -> None:
        self.start_by_hand()
        self.say_something("a")
        expect(self.page.locator(".side-a .chip")).to_have_text("answering")
        self.shown("03-streaming")
        self.wire.say(type="slot.retrying", slot="b")
        expect(self.page.locator(".side-b .chip")).to_have_text("retrying")
        if self.page.locator(".tabs").is_visible():
            self.page.get_by_role("button", name="Model B").click()
        self.shown("04-retrying")
        self.say_something("b")  # by another model: nobody can tell
        self.shown("05-swapped")
        self.wire.drop()
        expect(self.page.locator("[data-banner]")).to_contain_text("Connection lost")
        self.shown("11-disconnected")
        self.wire.cut = False

    def void(self) -> None:
        self.start_by_hand()
        self.say_something("a", "b")
        self.wire.say(
            type="battle.void",
            message="One of the two models could not answer. This battle does not count.",
        )
        self.until("over")
        self.shown("06-void")

    def judged(self) -> None:
        self.wire.held = False
        self.ask()
        self.until("ready")
        if self.page.locator(".tabs").is_visible():
            self.shown("07-ready-unseen")
            self.page.get_by_role("button", name="Model B").click()
        expect(self.page.get_by_role("button", name="A is better")).to_be_enabled()
        self.page.get_by_text("Why?").click()
        self.page.get_by_label("Clarity").check()
        self.shown("07-ready")
        waiting = []
        self.page.route("**/vote/", lambda route: waiting.append(route))
        self.page.get_by_role("button", name="A is better").click()
        expect(self.page.locator("[data-vote-title]")).to_have_text("Saving your vote…")
        self.shown("08-voted")
        while not waiting:
            self.page.wait_for_timeout(20)
        waiting[0].continue_()
        self.until("voted")
        expect(self.page.locator(".side-a .reveal")).to_contain_text("Lab")
        self.shown("09-revealed")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_state_is_drawn(browser: Browser, site: RunningSite, theme: str, size: str) -> None:
    context = browser.new_context(viewport=SIZES[size], color_scheme=theme, bypass_csp=True)
    context.set_default_timeout(15_000)
    page = context.new_page()
    found: list[str] = []
    seen: list[str] = []
    folder = os.environ.get("ARENA_SCREENSHOTS")

    def shown(name: str) -> None:
        page.mouse.move(0, 0)
        if folder:
            Path(folder).mkdir(parents=True, exist_ok=True)
            page.screenshot(path=f"{folder}/{name}-{size}-{theme}.png")
        found.extend(f"{name}: {each}" for each in violations(page))
        width = page.evaluate("document.documentElement.scrollWidth")
        assert width <= SIZES[size]["width"], f"{name} is wider than the screen"
        seen.append(name)

    walk = Walk(page, Wire(page), site.urls[0], shown)
    for step in (walk.empty, walk.over_limit, walk.refused, walk.streaming, walk.void, walk.judged):
        step()
    context.close()
    assert found == []
    assert len({name[:2] for name in seen}) == 13
