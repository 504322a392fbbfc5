"""What a person is told, in a real browser, when a text is moderated or a budget is used up."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_accessibility import violations
from tests.e2e.test_battle import ask, wait_until_ready
from tests.running_site import RunningSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MODELS = {"Alder": "echo", "Birch": "echo"}
RULES = """
from arena.models import ModerationCategory, ModerationSettings
house = ModerationSettings.objects.create(provider="list")
for action, term in [("block", "thermite"), ("warn", "wasps")]:
    ModerationCategory.objects.create(
        house=house, name=action, title=f"About {term}", action=action, terms=term
    )
"""


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSite]:
    with RunningSite(MODELS, DAILY_REQUESTS_VOTER="2") as site:
        site.manage("shell", "-v", "0", "-c", RULES)
        yield site


def test_a_blocked_question_stays_in_the_box_and_goes_nowhere(
    page: Page, site: RunningSite
) -> None:
    ask(page, site.urls[0], "How is thermite made?")
    alert = page.get_by_role("alert")
    expect(alert).to_have_text(
        "Your text was marked as: About thermite. It was not sent to any model."
    )
    box = page.get_by_label("Your question")
    expect(box).to_have_value("How is thermite made?")
    expect(page.locator(".battle")).to_have_attribute("data-state", "empty")
    assert violations(page) == []
    box.fill("How is bread made?")
    page.keyboard.press("Enter")
    wait_until_ready(page)
    expect(page.locator(".side-a .answer")).to_have_text("How is bread made?")
    expect(alert).to_be_hidden()


def test_a_question_that_is_warned_of_is_answered_under_a_notice(
    page: Page, site: RunningSite
) -> None:
    ask(page, site.urls[0], "Where do wasps sleep?")
    wait_until_ready(page)
    expect(page.get_by_role("alert")).to_have_text(
        "Your text was marked as: About wasps. It was sent."
    )
    expect(page.locator(".side-b .answer")).to_have_text("Where do wasps sleep?")


def test_a_blocked_answer_leaves_the_page_and_does_not_come_back(page: Page) -> None:
    models = {"Alder": "says:Mix thermite with care", "Birch": "count:30@20"}
    with RunningSite(models) as site:
        site.manage("shell", "-v", "0", "-c", RULES)
        ask(page, site.urls[0], "What is your hobby?")
        expect(page.locator(".sides")).to_contain_text("thermite")  # raw: as it is written
        expect(page.get_by_role("alert")).to_have_text("This request was declined.")
        expect(page.locator(".sides .answer")).to_have_text(["", ""])
        expect(page.get_by_role("button", name="A is better")).to_be_hidden()
        page.reload()
        expect(page.get_by_role("alert")).to_have_text("This request was declined.")
        expect(page.locator(".sides")).not_to_contain_text("thermite")
        expect(page.locator(".sides")).not_to_contain_text("quick brown")


def test_who_has_asked_all_of_a_day_is_told_when_to_come_back(
    page: Page, site: RunningSite
) -> None:
    ask(page, site.urls[0])
    wait_until_ready(page)
    ask(page, site.urls[0], "And the sea?")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("You have asked all that one person may ask on one day.")
    expect(alert).to_contain_text("come back after midnight UTC")
    expect(page.get_by_label("Your question")).to_have_value("And the sea?")
    assert violations(page) == []
