"""The leaderboard in a real browser, with the real Chatbot Arena votes imported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.test_accessibility import violations
from tests.running_site import RunningSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]


# The shipped benchmark, as if everybody had taken it: the better with people, the better there.
RESULTS = """
from django.utils import timezone
from evaluation.importing import import_shipped
from evaluation.models import Dataset, Run
from leaderboard.models import Rating
_, task = import_shipped("first_steps")
now, dataset = timezone.now(), Dataset.objects.get()
rated = Rating.objects.filter(snapshot__category__slug="overall", snapshot__method="bradley_terry")
for place, rating in enumerate(rated.filter(snapshot__superseded=False).order_by("rank", "pk")):
    value = 0.9 - place / 50
    Run.objects.create(
        task=task, dataset=dataset, contestant=rating.contestant, state="completed", started_at=now,
        finished_at=now, spec_sha256=task.spec_sha256, fingerprint="0" * 64, total=60, done=60,
        errors=0, unparsed=1, truncated=2, primary_score=value,
        results={task.spec["primary"]: {
            "n": 60, "value": value, "se": 0.02, "low": value - 0.04, "high": value + 0.04,
            "confidence": 0.95, "method": "wilson", "clusters": None,
            "scored": 60, "unparsed": 1, "truncated": 2}},
    )
"""


@pytest.fixture(scope="module")
def site(shared_data: Path) -> Iterator[RunningSite]:
    with RunningSite({}) as site:
        site.manage("import_votes", str(shared_data / "votes" / "arena33k_human.csv.gz"))
        site.manage(
            "shell",
            "-c",
            "from arena.models import Contestant as C\n"
            "C.objects.filter(name__startswith='gpt-').update(organisation='OpenAI')\n"
            "C.objects.filter(name__startswith='claude').update(organisation='Anthropic')\n"
            "C.objects.filter(name__startswith='vicuna').update(organisation='LMSYS', "
            "parameters='13B', licence='Llama', open_weights=True, price_output=0.2)\n"
            "C.objects.filter(name='gpt-4').update(price_output=60)\n",
        )
        site.manage("snapshot", "publish")
        site.manage("shell", "-c", RESULTS)
        yield site


def board(site: RunningSite) -> str:
    return site.urls[0] + "/leaderboard/"


def names(page: Page) -> list[str]:
    return page.locator(".board tbody .col-model > a").all_inner_texts()


def test_the_table_reads_rank_model_elo_interval_votes_organisation_licence_and_benchmarks(
    page: Page, site: RunningSite
) -> None:
    page.goto(board(site))
    heads = [head.strip("↑↓") for head in page.locator(".board thead th a").all_inner_texts()]
    assert heads == [
        "Rank", "Model", "Arena Elo", "95 % CI", "Votes", "Organisation", "Licence", "Benchmarks",
    ]  # fmt: skip
    first = page.locator(".board tbody tr").first
    assert first.locator(".rank").inner_text() == "1"
    assert first.locator(".col-model a").inner_text() == "gpt-4"
    assert first.locator(".col-interval").inner_text().startswith("+")
    assert "/−" in first.locator(".col-interval").inner_text()
    assert first.locator(".col-votes").inner_text() == "3,356"
    assert first.locator(".col-organisation").inner_text() == "OpenAI"


def test_search_narrows_the_rows_and_the_address_says_so(page: Page, site: RunningSite) -> None:
    page.goto(board(site))
    page.get_by_label("Search models").fill("vicuna")
    page.wait_for_url("**/leaderboard/?q=vicuna")
    assert names(page) == ["vicuna-13b", "vicuna-7b"]
    assert page.evaluate("document.activeElement.id") == "q"


def test_a_click_on_a_head_sorts_and_a_second_one_turns_it_round(
    page: Page, site: RunningSite
) -> None:
    page.goto(board(site))
    page.get_by_role("link", name="Votes").click()
    page.wait_for_url("**?sort=votes")
    assert names(page)[0] == "vicuna-13b"
    expect(page.locator("th.col-votes")).to_have_attribute("aria-sort", "descending")
    page.get_by_role("link", name="Votes").click()
    page.wait_for_url("**order=asc")
    assert names(page)[0] == "guanaco-33b"


def test_filters_categories_and_going_back(page: Page, site: RunningSite) -> None:
    page.goto(board(site))
    page.get_by_text("Filter", exact=True).click()
    page.get_by_label("OpenAI").check()
    page.wait_for_url("**organisation=OpenAI")
    assert names(page) == ["gpt-4", "gpt-3.5-turbo"]
    expect(page.locator("#menu-filters")).to_have_attribute("open", "")
    page.get_by_label("Category").select_option("exclude-ties")
    page.wait_for_url("**category=exclude-ties**")
    expect(page.locator("h1")).to_have_text("Exclude ties")
    assert names(page) == ["gpt-4", "gpt-3.5-turbo"]
    page.go_back()
    expect(page.locator("h1")).to_have_text("Leaderboard")


def test_a_size_range_goes_with_enter_and_keeps_the_menu_and_the_focus(
    page: Page, site: RunningSite
) -> None:
    page.goto(board(site))
    page.get_by_text("Filter", exact=True).click()
    page.locator("#f-min").fill("7")
    page.keyboard.press("Tab")
    page.keyboard.type("30")
    page.keyboard.press("Enter")
    page.wait_for_url("**min_size=7&max_size=30")
    assert names(page) == ["vicuna-13b", "vicuna-7b"]
    expect(page.locator("#menu-filters")).to_have_attribute("open", "")
    assert page.evaluate("document.activeElement.id") == "f-max"
    expect(page.locator("#f-min")).to_have_value("7")


def test_a_method_that_a_category_lacks_says_so(page: Page, site: RunningSite) -> None:
    page.goto(board(site) + "?category=exclude-ties&method=elo")
    expect(page.locator(".board-empty")).to_contain_text("Online Elo is not computed")
    expect(page.get_by_label("Method")).to_have_value("elo")
    page.get_by_role("link", name="Show it by Bradley–Terry").click()
    expect(page.locator(".board tbody tr")).to_have_count(20)


def test_a_shared_address_shows_the_same_view(
    page: Page, browser: Browser, site: RunningSite
) -> None:
    page.goto(board(site) + "?q=vicuna&sort=votes&columns=model,votes,win_rate")
    mine = page.locator(".board").inner_text()
    context = browser.new_context()
    other = context.new_page()
    other.goto(page.url)
    assert other.locator(".board").inner_text() == mine
    context.close()


def test_chosen_columns_are_remembered(page: Page, site: RunningSite) -> None:
    page.goto(board(site))
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("Win rate").check()
    expect(page.locator("th.col-win_rate")).to_be_visible()
    page.goto(board(site))
    expect(page.locator("th.col-win_rate")).to_be_visible()
    page.get_by_text("Columns", exact=True).click()
    page.get_by_role("button", name="Default columns").click()
    expect(page.locator("th.col-win_rate")).to_have_count(0)


def test_a_benchmark_is_chosen_as_a_column_sorted_by_and_followed_to_its_run(
    page: Page, site: RunningSite
) -> None:
    page.goto(board(site))
    page.get_by_text("Columns", exact=True).click()
    page.get_by_label("First steps").check()
    expect(page.locator("th.col-bench")).to_be_visible()
    page.get_by_role("link", name="First steps").click()
    page.wait_for_url("**sort=bench.first_steps**")
    cell = page.locator(".board tbody tr").first.locator(".col-bench")
    expect(cell).to_contain_text("90.0 %")
    expect(cell).to_contain_text("86.0–94.0 %")
    cell.get_by_role("link").click()
    page.wait_for_url("**/benchmarks/runs/*/")
    expect(page.locator("main")).to_contain_text("90.0 %")


@pytest.mark.parametrize("columns", ["", "?columns=rank,model,rating,votes,bench.first_steps"])
def test_the_head_of_the_table_stays_in_sight(page: Page, site: RunningSite, columns: str) -> None:
    page.goto(board(site) + columns)
    page.get_by_role("row").last.scroll_into_view_if_needed()
    expect(page.get_by_role("columnheader", name="Model")).to_be_in_viewport()


def test_ratings_are_drawn_against_a_benchmark(page: Page, site: RunningSite) -> None:
    page.goto(board(site) + "charts/")
    page.get_by_label("Benchmark to set").select_option("first_steps")
    page.get_by_role("button", name="Show").click()
    section = page.get_by_role("region", name="Rating against First steps", exact=True).first
    expect(section).to_contain_text("Spearman’s ρ =")
    expect(section).to_contain_text("Better with people than on benchmarks")


def test_the_board_by_keyboard(page: Page, site: RunningSite) -> None:
    page.goto(board(site))
    page.locator("th.col-votes a").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**?sort=votes")
    page.locator("#menu-columns summary").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("Win rate")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Win rate")).to_be_hidden()


def test_from_the_board_to_a_model_and_to_its_rival(page: Page, site: RunningSite) -> None:
    page.goto(board(site))
    page.get_by_role("link", name="gpt-4", exact=True).click()
    expect(page.locator("h1")).to_contain_text("gpt-4")
    expect(page.locator(".headline")).to_contain_text("Rank 1")
    page.locator("section", has_text="Does worst against").get_by_role("link").first.click()
    expect(page.locator("h2").first).to_have_text("Ratings")
    expect(page.locator("main")).to_contain_text("the 95 % interval of the difference")


def test_without_script_the_form_still_filters(browser: Browser, site: RunningSite) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(board(site))
    page.get_by_label("Search models").fill("vicuna")
    page.get_by_role("button", name="Apply").click()
    assert names(page) == ["vicuna-13b", "vicuna-7b"]
    context.close()


PAGES = [
    "",
    "?columns=rank,model,rating,interval,votes,win_rate,price_output,open_weights",
    "?columns=rank,model,rating,benchmarks,bench.first_steps",
    "charts/?against=first_steps",
    "models/gpt-4/",
    "compare/?a=gpt-4&b=claude-v1",
    "method/",
    "sampling/",
]


@pytest.mark.parametrize("width", [360, 1440])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_fits_its_window_and_has_no_serious_finding(
    browser: Browser, site: RunningSite, theme: str, width: int
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=theme, bypass_csp=True
    )
    page = context.new_page()
    found = []
    for path in PAGES:
        response = page.goto(board(site) + path)
        assert response
        assert response.ok, path
        if page.evaluate("document.documentElement.scrollWidth") > width:
            found.append(f"{path} is wider than {width} px")
        found += violations(page)
    context.close()
    assert found == []
