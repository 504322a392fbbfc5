"""Side by side, chat, going on, answering again, sharing, history: in a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.e2e.test_accessibility import violations
from tests.e2e.test_battle import ask, wait_until_ready
from tests.running_site import RunningSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

THREE = {"Alder": "count:45@30", "Birch": "says:I am **Birch**", "Cedar": "echo"}


@pytest.fixture(scope="module")
def site() -> Iterator[RunningSite]:
    with RunningSite(THREE, VOTE_INTERVAL_SECONDS="0") as site:
        yield site


def say(page: Page, prompt: str) -> None:
    page.get_by_label("Your question").fill(prompt)
    page.keyboard.press("Enter")


def reveal(page: Page) -> None:
    page.get_by_role("button", name="Both good").click()
    expect(page.locator(".battle")).to_have_attribute("data-state", "voted")


def test_two_chosen_models_answer_under_their_names_and_are_judged(
    page: Page, site: RunningSite
) -> None:
    page.goto(site.urls[0] + "/side-by-side/")
    page.get_by_role("combobox", name="Model A").select_option("birch")
    page.get_by_role("combobox", name="Model B").select_option("cedar")
    say(page, "one two three")
    wait_until_ready(page)
    expect(page.get_by_role("heading", name="Birch")).to_be_visible()
    expect(page.locator(".side-a .answer")).to_have_text("I am Birch")
    expect(page.locator(".side-b .answer")).to_have_text("one two three")
    page.get_by_role("button", name="A is better").click()
    expect(page.locator(".side-a .reveal")).to_contain_text("Birch Lab")
    # It goes on with the two, as a conversation that knows what was said.
    say(page, "four")
    expect(page.locator(".side-b .turn")).to_have_count(2)
    wait_until_ready(page)
    page.reload()
    expect(page.locator(".side-b .turn")).to_have_count(2)
    expect(page.locator("h2", has_text="Cedar")).to_be_visible()


def test_a_model_cannot_be_compared_with_itself(page: Page, site: RunningSite) -> None:
    page.goto(site.urls[0] + "/side-by-side/")
    left = page.get_by_role("combobox", name="Model A")
    right = page.get_by_role("combobox", name="Model B")
    left.select_option("alder")
    right.select_option("alder")
    expect(left).not_to_have_value("alder")


def test_parameters_out_of_bounds_are_told_before_anything_is_sent(
    page: Page, site: RunningSite
) -> None:
    page.goto(site.urls[0] + "/chat/")
    page.get_by_text("Advanced").click()
    page.get_by_label("Temperature").fill("3")
    say(page, "Hello")
    expect(page.get_by_role("alert")).to_have_text("Temperature must be between 0 and 2.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_role("button", name="Send").click()
    wait_until_ready(page)


def test_a_chat_is_shared_read_by_a_stranger_and_taken_back(page: Page, site: RunningSite) -> None:
    page.goto(site.urls[0] + "/chat/")
    page.get_by_role("combobox", name="Model").select_option("cedar")
    say(page, "Remember me")
    wait_until_ready(page)
    expect(page.get_by_role("button", name="A is better")).to_have_count(0)
    say(page, "And this")
    expect(page.locator(".turn")).to_have_count(2)
    wait_until_ready(page)
    page.get_by_role("button", name="Share").click()
    address = page.get_by_role("link", name="Public copy").get_attribute("href")
    assert address
    stranger = page.context.browser.new_context(bypass_csp=True)
    copy = stranger.new_page()
    copy.goto(site.urls[0] + address)
    expect(copy.get_by_role("heading", name="A chat with Cedar")).to_be_visible()
    expect(copy.locator("article").nth(1)).to_contain_text("And this")
    assert violations(copy) == []
    page.get_by_role("link", name="History").click()
    page.get_by_role("button", name="Take it back").click()
    expect(page.get_by_role("link", name="Public copy")).to_have_count(0)
    response = copy.reload()
    assert response
    assert response.status == 404
    stranger.close()


def test_after_the_vote_the_two_go_on_side_by_side(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0], "First question")
    wait_until_ready(page)
    battle = page.url
    reveal(page)
    names = page.locator(".reveal-name").all_inner_texts()
    page.get_by_role("button", name="Continue with these two").click()
    say(page, "Second question")
    expect(page.locator(".side-a .turn")).to_have_count(2)
    wait_until_ready(page)
    assert page.url != battle
    assert page.locator(".side-head h2").all_inner_texts() == names
    expect(page.locator(".battle")).to_have_attribute("data-mode", "side_by_side")


def test_the_same_prompt_goes_to_a_new_pair(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0], "The same again")
    wait_until_ready(page)
    battle = page.url
    reveal(page)
    page.get_by_role("button", name="Same prompt, new pair").click()
    page.wait_for_url(lambda url: url != battle)
    wait_until_ready(page)
    expect(page.locator("[data-prompt]").first).to_have_text("The same again")
    expect(page.locator(".reveal").first).to_be_hidden()
    expect(page.locator(".side-a .turn")).to_have_count(1)


def test_both_sides_answer_again_by_a_key_and_one_that_was_stopped_alone(
    page: Page, site: RunningSite
) -> None:
    page.goto(site.urls[0] + "/side-by-side/")
    page.get_by_role("combobox", name="Model A").select_option("alder")
    page.get_by_role("combobox", name="Model B").select_option("birch")
    say(page, "Go")
    wait_until_ready(page)
    page.locator(".turns").first.focus()
    page.keyboard.press("r")
    expect(page.locator(".side-a .chip")).to_have_text("answering")
    page.keyboard.press("s")
    wait_until_ready(page)
    expect(page.locator(".side-a [data-notice]")).to_have_text("You stopped this answer.")
    again = page.get_by_role("region", name="Alder").get_by_role("button", name="Answer again")
    again.first.click()
    expect(page.locator(".side-a .chip")).to_have_text("done · 45 words")
    expect(page.locator(".side-a [data-notice]")).to_be_hidden()
    expect(page.locator(".side-b .answer")).to_have_text("I am Birch")
    wait_until_ready(page)


def test_an_answer_can_be_seen_as_it_was_written_and_copied(page: Page, site: RunningSite) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(site.urls[0] + "/chat/")
    page.get_by_role("combobox", name="Model").select_option("birch")
    say(page, "Who are you?")
    wait_until_ready(page)
    page.get_by_role("button", name="Source text").click()
    expect(page.locator("[data-raw]")).to_have_text("I am **Birch**")
    expect(page.locator(".answer")).to_be_hidden()
    page.get_by_role("button", name="Copy").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == "I am **Birch**"


def test_one_answer_can_have_the_whole_width(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0])
    wait_until_ready(page)
    page.get_by_role("button", name="Model B in full width").click()
    expect(page.locator(".side-a")).to_be_hidden()
    page.get_by_role("button", name="Model B in full width").click()
    expect(page.locator(".side-a")).to_be_visible()


def test_the_history_lists_ones_own_and_names_nobody_before_the_vote(
    page: Page, site: RunningSite
) -> None:
    ask(page, site.urls[0], "Which of them?")
    wait_until_ready(page)
    page.get_by_role("link", name="History").click()
    entry = page.locator(".history li").first
    expect(entry).to_contain_text("Which of them?")
    for name in THREE:
        expect(entry).not_to_contain_text(name)
    page.get_by_role("link", name="Which of them?").first.click()
    reveal(page)
    page.goto(site.urls[0] + "/history/")
    expect(page.locator(".history li").first).to_contain_text(" · ")


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_page_of_the_modes_has_a_serious_finding(browser, site, theme, width) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True
    )
    page = context.new_page()
    found = []
    for address in ("/side-by-side/", "/chat/"):
        page.goto(site.urls[0] + address)
        page.get_by_text("Advanced").click()
        found += violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        say(page, "Hello")
        page.wait_for_selector('.battle[data-state="ready"]')
        found += violations(page)
    for address in ("/history/", "/terms/"):
        page.goto(site.urls[0] + address)
        found += violations(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    context.close()
    assert found == []


def test_what_a_screen_reader_finds_on_the_page_of_a_battle(page: Page, site: RunningSite) -> None:
    ask(page, site.urls[0], "Why?")
    wait_until_ready(page)
    for name in ("Model A", "Model B", "Vote"):
        expect(page.get_by_role("region", name=name, exact=True)).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Battle between two anonymous models")
    expect(page.get_by_role("heading", name="Model A", level=2)).to_be_visible()
    expect(page.locator("[data-live]")).to_have_text("Both answers are here. Which one is better?")
    expect(page.get_by_role("main")).to_match_aria_snapshot(
        """
        - region "Vote":
          - paragraph: Which answer is better?
          - form "Which answer is better?":
            - button "A is better"
            - button "Both good"
            - button "Both bad"
            - button "B is better"
            - group
          - button "Answer again"
          - button "Skip"
        - textbox "Your question"
        """
    )
    reveal(page)
    expect(page.locator("[data-live]")).to_contain_text("Your vote is saved: Both are good.")
