"""A benchmark in a real browser: started by the staff, seen live, published."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_accessibility import violations
from tests.running_site import RunningSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

PASSWORD = "of a test"
MODELS = {
    # A few words at this pace: the sixty questions of the shipped benchmark take some seconds.
    "Slow 1B Q8_0": "count:3@20",
    "Slow 1B Q4_0": "says:Paris",
    "Broken": "status:401",
}


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSite]:
    with RunningSite(MODELS, EVALUATION_BREAKER="3") as site:
        site.manage(
            "shell",
            "-c",
            "from django.contrib.auth.models import User\n"
            f"User.objects.create_superuser('sam', password={PASSWORD!r})\n"
            "from arena.models import Contestant\n"
            "for one in Contestant.objects.filter(name__startswith='Slow'):\n"
            "    one.quantisation = one.name.split()[-1]\n"
            "    one.save()\n",
        )
        yield site


def log_in(page: Page, site: RunningSite, then: str) -> None:
    page.goto(f"{site.urls[0]}/admin/login/?next={then}")
    page.get_by_label("Username").fill("sam")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{site.urls[0]}{then}")


def ask_for(page: Page, model: str, *, limit: str = "") -> None:
    """On the staff's page, up to the estimate."""
    page.get_by_label("Model").select_option(label=model)
    task = page.get_by_label("Benchmark", exact=True)
    task.select_option(value=task.locator("option", has_text="first_steps").get_attribute("value"))
    page.get_by_label("Only the first items").fill(limit)
    page.get_by_role("button", name="Estimate").click()


def start(page: Page, model: str, *, limit: str = "") -> None:
    """From the staff's page to the run's."""
    ask_for(page, model, limit=limit)
    page.get_by_role("button", name="Start the run").click()
    page.wait_for_url("**/benchmarks/runs/*/")


def answered(page: Page) -> int:
    return int(page.locator(".live [data-word=ended]").inner_text().split()[0])


@pytest.fixture(scope="module")
def staff_page(browser: Browser, site: RunningSite) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    page = context.new_page()
    log_in(page, site, "/benchmarks/staff/")
    yield page
    context.close()


@pytest.fixture(scope="module")
def published(staff_page: Page, site: RunningSite) -> str:
    """The page of a run that is over; another model has a result, too."""
    for model in ("Slow 1B Q8_0", "Slow 1B Q4_0"):
        staff_page.goto(f"{site.urls[0]}/benchmarks/staff/")
        start(staff_page, model)
        expect(staff_page.locator(".headline .big")).to_be_visible(timeout=60_000)
    return staff_page.url


@pytest.fixture(scope="module")
def stopped(staff_page: Page, site: RunningSite) -> str:
    """The page of a run that stands, with errors."""
    staff_page.goto(f"{site.urls[0]}/benchmarks/staff/")
    start(staff_page, "Broken", limit="4")
    expect(staff_page.locator(".live [data-word=state]")).to_have_text("Paused", timeout=30_000)
    return staff_page.url


def test_the_shipped_benchmark_is_started_by_the_staff_seen_live_and_published(
    page: Page, site: RunningSite
) -> None:
    log_in(page, site, "/admin/")
    page.get_by_role("link", name="Start a benchmark").click()
    start(page, "Slow 1B Q8_0")
    address = page.url
    page.evaluate("window.neverReloaded = true")
    expect(page.locator(".live [data-link]")).to_have_text("live")
    ended = page.locator(".live [data-word=ended]")
    seen = [answered(page)]
    for _ in range(3):
        expect(ended).not_to_have_text(f"{seen[-1]} of 60", timeout=30_000)
        seen.append(answered(page))
    assert seen == sorted(set(seen))
    expect(page.locator(".live [data-word=scored]")).to_contain_text("answers")
    assert re.match(r"\d+\.\d–\d+\.\d %", page.locator(".live [data-word=scored]").inner_text())
    expect(page.locator(".headline .big")).to_be_visible(timeout=60_000)
    assert page.evaluate("window.neverReloaded")
    expect(page.locator(".live")).to_have_count(0)
    score = page.locator(".headline .big").inner_text()

    page.context.clear_cookies()
    page.goto(f"{site.urls[0]}/benchmarks/")
    card = page.locator(".card", has_text="First steps")
    line = card.locator("li", has_text="Slow 1B Q8_0")
    expect(line).to_contain_text(score)
    expect(line).to_contain_text("n = 60")
    assert re.search(r"\d+\.\d–\d+\.\d %", line.inner_text())
    line.get_by_role("link").click()
    assert page.url == address
    expect(page.locator("main")).to_contain_text("manage.py evaluate --model slow-1b-q8_0")


def test_a_run_is_paused_resumed_and_cancelled_where_it_is_seen(
    page: Page, site: RunningSite
) -> None:
    log_in(page, site, "/benchmarks/staff/")
    start(page, "Slow 1B Q8_0")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".live [data-word=state]")).to_have_text("Paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".live [data-word=state]")).to_have_text(re.compile("Queued|Running"))
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel for good").click()
    expect(page.locator("main")).to_contain_text("Cancelled on")
    expect(page.get_by_role("button", name="Resume")).to_be_hidden()


def test_an_endpoint_that_fails_pauses_its_run_and_the_page_says_why_without_a_reload(
    page: Page, site: RunningSite
) -> None:
    log_in(page, site, "/benchmarks/staff/")
    start(page, "Broken", limit="4")
    page.evaluate("window.neverReloaded = true")
    expect(page.locator(".live [data-word=state]")).to_have_text("Paused", timeout=30_000)
    expect(page.locator(".live [data-word=reason]")).to_contain_text("failed in a row")
    expect(page.get_by_role("button", name="Retry errors only")).to_be_visible()
    assert page.evaluate("window.neverReloaded")
    errors = int(page.locator(".live [data-word=errors]").inner_text())
    page.goto(f"{page.url}samples/?show=errors")
    expect(page.locator(".sample")).to_have_count(errors)


def test_without_script_the_page_offers_to_refresh(
    browser: Browser, site: RunningSite, staff_page: Page
) -> None:
    context = browser.new_context(
        java_script_enabled=False, storage_state=staff_page.context.storage_state()
    )
    page = context.new_page()
    page.goto(f"{site.urls[0]}/benchmarks/staff/")
    start(page, "Slow 1B Q8_0", limit="30")
    page.get_by_role("link", name="refresh").click()
    expect(page.locator(".live progress")).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".live-head")).to_contain_text("Paused")
    page.get_by_text("Cancel…").click()
    page.get_by_role("button", name="Cancel for good").click()
    context.close()


def test_two_models_are_compared_on_the_same_items(
    page: Page, site: RunningSite, published: str
) -> None:
    page.goto(f"{site.urls[0]}/benchmarks/first_steps/")
    expect(page.locator(".results tbody tr")).to_have_count(2)
    page.get_by_role("button", name="Compare on the same items").click()
    expect(page.locator(".headline .big")).to_be_visible()
    expect(page.locator("main")).to_contain_text("95 % interval")
    expect(page.locator("main")).to_contain_text("Both alike")


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_fits_its_window_and_has_no_serious_finding(
    browser: Browser,
    site: RunningSite,
    staff_page: Page,
    published: str,
    stopped: str,
    theme: str,
    width: int,
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=theme,
        bypass_csp=True,
        storage_state=staff_page.context.storage_state(),
    )
    page = context.new_page()
    found = []
    run = published.removeprefix(site.urls[0])
    for path in (
        "/benchmarks/",
        "/benchmarks/first_steps/",
        "/benchmarks/compare/?task=first_steps&a=slow-1b-q8_0&b=slow-1b-q4_0",
        run,
        run + "samples/",
        stopped.removeprefix(site.urls[0]),
        "/benchmarks/staff/",
        "/leaderboard/families/",
    ):
        response = page.goto(site.urls[0] + path)
        assert response
        assert response.ok, path
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{path} is wider than {width} px")
        found += violations(page)
    page.goto(f"{site.urls[0]}/benchmarks/staff/")
    ask_for(page, "Slow 1B Q8_0")
    expect(page.get_by_role("button", name="Start the run")).to_be_visible()
    found += violations(page)
    context.close()
    assert found == []
