"""The main job in a real browser: ask, read, vote, see who it was, find it on the leaderboard."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.running_site import RunningSite, postgres_database

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

TWO = {"CANARY-Fast": "count:60@120", "CANARY-Slow": "count:40@60"}


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSite]:
    with RunningSite(TWO) as site:
        yield site


@pytest.fixture(scope="module")
def served_site(postgres_url: str, redis_url: str) -> Iterator[RunningSite]:
    """As in production: PostgreSQL, Redis, two web processes, two Celery workers."""
    with (
        postgres_database(postgres_url, "arena_e2e") as database,
        RunningSite(TWO, database_url=database, redis_url=redis_url, web=2, workers=2) as site,
    ):
        yield site


def ask(page: Page, url: str, prompt: str = "Why is the sky blue?") -> None:
    page.goto(url)
    page.get_by_label("Your question").fill(prompt)
    page.keyboard.press("Enter")


def wait_until_ready(page: Page) -> None:
    expect(page.locator(".battle")).to_have_attribute("data-state", "ready")


def votes_on_the_board(page: Page, url: str) -> list[int]:
    """How many votes each model has there."""
    page.goto(url + "/leaderboard/")
    return [int(text) for text in page.locator(".board td.col-votes").all_inner_texts()]


def battle_vote_and_board(page: Page, urls: list[str]) -> None:
    ask(page, urls[0])
    answers = page.locator("[data-turns] .answer")
    expect(answers).to_have_count(2)
    expect(answers.nth(0)).to_contain_text("quick brown")
    expect(answers.nth(1)).to_contain_text("quick brown")
    wait_until_ready(page)
    assert "CANARY" not in page.locator(".sides").inner_text()
    page.locator(".turns").first.focus()  # off the text box, where 1 is a character
    page.keyboard.press("1")
    expect(page.locator(".reveal").nth(0)).to_contain_text("CANARY-")
    expect(page.locator(".reveal").nth(1)).to_contain_text("CANARY-")
    expect(page.locator(".side-a .chip")).to_have_text("your choice")
    expect(page.locator("[data-vote-title]")).to_have_text("You voted: A is better")


def test_ask_read_vote_and_find_it_on_the_board(page: Page, site: RunningSite) -> None:
    before = votes_on_the_board(page, site.urls[0]) or [0, 0]
    battle_vote_and_board(page, site.urls)
    site.wait_for(lambda: sum(votes_on_the_board(page, site.urls[0])) >= sum(before) + 2)


def test_the_same_on_postgresql_and_redis_with_two_of_each(
    page: Page, served_site: RunningSite
) -> None:
    before = votes_on_the_board(page, served_site.urls[0]) or [0, 0]
    battle_vote_and_board(page, served_site.urls)
    served_site.wait_for(
        lambda: sum(votes_on_the_board(page, served_site.urls[1])) >= sum(before) + 2
    )


def test_a_reload_on_the_other_web_process_shows_the_same_text_continue(
    page: Page, served_site: RunningSite
) -> None:
    ask(page, served_site.urls[0])
    expect(page.locator("[data-turns] .answer").first).to_contain_text("quick")
    page.wait_for_url("**/battle/*/")
    page.goto(page.url.replace(served_site.urls[0], served_site.urls[1]))
    wait_until_ready(page)
    words = page.locator("[data-turns] .answer").all_inner_texts()
    assert sorted(len(text.split()) for text in words) == [40, 60]


def test_a_follow_up_goes_to_the_same_two_models(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0])
    wait_until_ready(page)
    page.get_by_label("Your question").fill("And at night?")
    page.keyboard.press("Enter")
    expect(page.locator(".side-a .turn")).to_have_count(2)
    wait_until_ready(page)
    expect(page.locator(".side-b .turn").nth(1)).to_contain_text("And at night?")
    page.get_by_role("button", name="Both good").click()
    expect(page.locator("[data-vote-title]")).to_have_text("You voted: Both are good")


def test_stop_keeps_the_text_and_the_battle_can_be_voted(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0])
    for side in ("a", "b"):
        expect(page.locator(f".side-{side} .answer")).to_contain_text("quick")
    page.get_by_role("button", name="Stop").click()
    wait_until_ready(page)
    expect(page.locator("[data-notice]").filter(has_text="You stopped")).not_to_have_count(0)


def test_the_whole_battle_by_keyboard_alone(page: Page, site: RunningSite) -> None:
    page.goto(site.urls[0])
    page.keyboard.type("Tell me a fact")  # the text box has the focus on an empty page
    page.keyboard.press("Enter")
    wait_until_ready(page)
    while page.evaluate("document.activeElement.value") != "both_bad":
        page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".battle")).to_have_attribute("data-state", "voted")
    assert page.evaluate("document.activeElement.textContent").startswith("New battle")
    page.keyboard.press("Enter")
    expect(page.locator(".battle")).to_have_attribute("data-state", "empty")


def test_two_tabs_of_one_battle_agree_on_its_vote(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0])
    wait_until_ready(page)
    other = page.context.new_page()
    other.goto(page.url)
    third = page.context.new_page()
    third.goto(page.url)
    page.get_by_role("button", name="B is better").click()
    expect(page.locator(".battle")).to_have_attribute("data-state", "voted")
    other.get_by_role("button", name="A is better").click()
    expect(other.locator("[data-vote-title]")).to_have_text("You voted: B is better")
    expect(other.get_by_role("alert")).to_contain_text("already had your vote")
    third.get_by_label("Your question").fill("And then?")
    third.keyboard.press("Enter")
    expect(third.get_by_role("alert")).to_contain_text("This battle is over")
    expect(third.get_by_role("link", name="New battle")).to_be_visible()
    expect(third.get_by_label("Your question")).to_have_value("And then?")


def test_a_digit_typed_into_the_question_is_not_a_vote(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0])
    wait_until_ready(page)
    page.get_by_label("Your question").focus()
    page.keyboard.type("123")
    expect(page.locator(".battle")).to_have_attribute("data-state", "ready")
    expect(page.get_by_label("Your question")).to_have_value("123")


def test_on_a_narrow_screen_both_answers_must_be_seen_before_the_vote(
    page: Page, site: RunningSite
) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    ask(page, site.urls[0])
    wait_until_ready(page)
    better = page.get_by_role("button", name="B is better")
    expect(better).to_be_disabled()
    expect(page.locator("[data-vote-title]")).to_contain_text("Read Model B’s answer too")
    page.get_by_role("button", name="Model B").click()
    expect(better).to_be_enabled()
    better.click()
    expect(page.locator(".side-b .reveal")).to_contain_text("CANARY-")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_an_endpoint_that_fails_voids_the_battle_and_keeps_the_question(page: Page) -> None:
    with RunningSite({"CANARY-One": "status:500", "CANARY-Two": "says:Fine"}) as site:
        ask(page, site.urls[0], "Will this fail?")
        expect(page.locator(".battle")).to_have_attribute("data-state", "over")
        expect(page.get_by_role("alert")).to_have_text(
            "One of the two models could not answer. This battle does not count."
        )
        expect(page.get_by_label("Your question")).to_have_value("Will this fail?")
        assert "CANARY" not in page.locator(".sides").inner_text()
