"""axe-core on every page and state, in both themes, wide and narrow: nothing serious."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from tests.running_site import RunningSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}
ANSWER = """\
Some **bold** words

## Heading

```python
x = 1  # why
```

| a | b |
| --- | --- |
| 1 | 2 |
"""


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSite]:
    with RunningSite({"One": f"says:{ANSWER}", "Two": "count:30@300"}) as site:
        yield site


def violations(page: Page) -> list[str]:
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{page.url}: {each['id']}: {each['nodes'][0]['html']}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_has_a_serious_finding(
    browser: Browser, site: RunningSite, theme: str, width: int
) -> None:
    # The rules are a script of the test's own, which the site's policy would not let in.
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True
    )
    page = context.new_page()
    page.goto(site.urls[0])
    found = violations(page)
    page.get_by_label("Your question").fill("Hello?")
    page.keyboard.press("Enter")
    page.wait_for_selector('.battle[data-state="ready"]')
    found += violations(page)
    if width == 360:
        page.get_by_role("button", name="Model B").click()
    page.get_by_role("button", name="Both good").click()
    page.wait_for_selector('.battle[data-state="voted"]')
    found += violations(page)
    page.goto(site.urls[0] + "/leaderboard/")
    found += violations(page)
    context.close()
    assert found == []
