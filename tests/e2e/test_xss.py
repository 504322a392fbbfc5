"""Hostile answers in a real browser, without a content security policy to catch what slips through.

Every payload is shown twice, as the site does it: in the page that the server sends, and put into
a page that is already there, block by block, as while it streams.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Route, sync_playwright

from arena.rendering import BlockRenderer, render
from tests import services
from tests.e2e.conftest import QUIET

SITE = "http://arena.test/"
PAGE = '<!doctype html><meta charset="utf-8"><title>answers</title><main>{}</main>'
PAYLOADS_A_PAGE = 500

# In every frame before anything else runs: what payloads call to show that they ran.
REPORT_CALLS = """
for (const name of ["alert", "confirm", "prompt", "print"]) {
  window[name] = () => { (top.calls ??= []).push(window.name); };
}
"""
# Puts each answer into the page and waits until a picture after them all has failed to load: by
# then those before it have been asked for.
INSERT = """
(answers) => new Promise((resolve) => {
  const main = document.querySelector("main");
  for (const blocks of answers) {
    const answer = document.createElement("div");
    main.append(answer);
    for (const block of blocks) answer.insertAdjacentHTML("beforeend", block);
  }
  const last = new Image();
  last.onerror = resolve;
  last.src = "/last.png";
  main.append(last);
})
"""
DANGEROUS = """
() => [...document.querySelectorAll("main *")].flatMap((element) =>
  [...element.attributes]
    .filter(({name, value}) => /^on|^style$|^srcdoc$/i.test(name)
      || (/^(href|src|action|formaction|xlink:href|data)$/i.test(name)
          && name + value !== "src/last.png"
          && !/^(https?:|mailto:)/i.test(value)))
    .map(({name, value}) => `${element.localName} ${name}=${value}`))
"""


class Watch:
    """A page of our site that answers with `body`, and what happened on it."""

    def __init__(self, browser: Browser) -> None:
        self.body = ""
        self.foreign: list[str] = []  # requests to other origins
        self.scripts: list[str] = []  # scripts the engine compiled that came with the page
        self.dialogs = 0
        self._context = browser.new_context()
        self._context.set_default_timeout(30_000)
        self._context.add_init_script(REPORT_CALLS)
        self._context.route("**/*", self._answer)
        self.page = self._context.new_page()
        self.page.on("dialog", self._dismiss)
        debugger = self._context.new_cdp_session(self.page)
        debugger.on("Debugger.scriptParsed", self._compiled)
        debugger.send("Debugger.enable")

    def close(self) -> None:
        self._context.close()

    @property
    def calls(self) -> int:
        return len(self.page.evaluate("window.calls ?? []"))

    def _answer(self, route: Route) -> None:
        if route.request.url == SITE:
            route.fulfill(content_type="text/html", body=PAGE.format(self.body))
            return
        if not route.request.url.startswith(SITE):
            self.foreign.append(route.request.url)
        route.abort()

    def _dismiss(self, dialog) -> None:
        self.dialogs += 1
        dialog.dismiss()

    def _compiled(self, script) -> None:
        if script["url"].startswith((SITE, "about:srcdoc", "javascript:", "data:")):
            self.scripts.append(script["url"])


@pytest.fixture
def browser_of_its_own() -> Iterator[Browser]:
    """Closed at once: while Playwright's loop runs, no test of the suite could run another."""
    path = services.chromium()
    if path is None:
        pytest.skip("no Chromium on this machine; install one to run the browser tests")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=QUIET)
        yield browser
        browser.close()


@pytest.fixture
def payloads(shared_data: Path) -> list[str]:
    with (shared_data / "hostile" / "xss_payloads.jsonl").open() as lines:
        return [json.loads(line)["payload"] for line in lines]


def prove_the_detector(browser: Browser, payloads: Sequence[str], *, expected: int) -> None:
    """Shown as they are, at least `expected` of the payloads run, and a picture is fetched."""
    picture = "http://elsewhere.test/picture"
    payloads = [*payloads, f'<img src="{picture}">']
    watch = Watch(browser)
    watch.body = "".join(
        # Sandboxed only so that none of them can navigate the page away.
        f'<iframe name="{number}" sandbox="allow-scripts allow-same-origin" loading="eager" '
        f'srcdoc="{escape(payload)}"></iframe>'
        for number, payload in enumerate(payloads)
    )
    with watch.page.expect_request(picture):
        watch.page.goto(SITE, wait_until="commit")
    watch.page.wait_for_function(f"new Set(window.calls).size >= {expected}")
    assert len(watch.scripts) >= expected / 2  # the debugger tells a little later
    watch.close()
    assert picture in watch.foreign
    assert dangerous_attributes(browser, payloads)


def dangerous_attributes(browser: Browser, payloads: Sequence[str]) -> list[str]:
    """Of raw payloads, put where nothing runs."""
    page = browser.new_page()
    page.route("**/*", lambda route: route.abort())
    page.set_content("<main></main>")
    page.evaluate(
        """(html) => {
          window.inert = new DOMParser().parseFromString(`<main>${html}</main>`, "text/html");
        }""",
        "".join(payloads),
    )
    found: list[str] = page.evaluate(DANGEROUS.replace("document", "window.inert"))
    page.close()
    return found


def blocks_of(payload: str) -> list[str]:
    renderer = BlockRenderer()
    return [*renderer.feed(payload + "\n\n"), render(renderer.tail)]


def show_answers(browser: Browser, payloads: Sequence[str]) -> None:
    """Asserts that none of the payloads does anything as an answer."""
    watch = Watch(browser)
    watch.body = "".join(f"<div>{render(payload)}</div>" for payload in payloads)
    watch.page.goto(SITE)
    watch.page.evaluate(INSERT, [blocks_of(payload) for payload in payloads])
    assert watch.page.locator("main > div").count() == 2 * len(payloads)
    seen = {
        "calls": watch.calls,
        "scripts": watch.scripts,
        "dialogs": watch.dialogs,
        "requests": watch.foreign,
        "attributes": watch.page.evaluate(DANGEROUS),
        "address": watch.page.url,
    }
    watch.close()
    assert seen == {
        "calls": 0,
        "scripts": [],
        "dialogs": 0,
        "requests": [],
        "attributes": [],
        "address": SITE,
    }


def test_a_sample_of_hostile_answers_does_nothing_in_a_browser(browser_of_its_own, payloads):
    sample = random.Random(20261125).sample(payloads, 150)
    prove_the_detector(browser_of_its_own, sample[:75], expected=3)
    show_answers(browser_of_its_own, sample)


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_no_hostile_answer_does_anything_in_a_browser(browser, payloads):
    prove_the_detector(browser, random.Random(1).sample(payloads, 150), expected=6)
    assert len(payloads) > 5_000
    for start in range(0, len(payloads), PAYLOADS_A_PAGE):
        show_answers(browser, payloads[start : start + PAYLOADS_A_PAGE])
