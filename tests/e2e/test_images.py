"""Images in a question, in a real browser: chosen, pasted, dropped, removed, sent, looked at."""

from __future__ import annotations

import base64
import io

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect

from tests.running_site import RunningSite

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MODELS = {"Seeing One": "sees:one", "Seeing Two": "sees:two"}


@pytest.fixture(scope="module")
def site():
    with RunningSite(MODELS) as running:
        running.manage(
            "shell", "-c", "from arena.models import *\nContestant.objects.update(vision=True)"
        )
        yield running


def file(form="PNG", size=(400, 260), colour=(30, 120, 200)):
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, form)
    kind = form.lower()
    return {"name": f"photo.{kind}", "mimeType": f"image/{kind}", "buffer": out.getvalue()}


def choose(page, *files):
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add images").click()
    chooser.value.set_files(list(files))


def give(page, event, data, kind):
    """A paste into the question, or a drop on the page, with one file."""
    page.evaluate(
        """([event, data, kind]) => {
          const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
          const transfer = new DataTransfer();
          transfer.items.add(new File([bytes], "a file", { type: kind }));
          const options = { bubbles: true, cancelable: true };
          document.querySelector("#prompt").dispatchEvent(
            event === "paste"
              ? new ClipboardEvent(event, { ...options, clipboardData: transfer })
              : new DragEvent(event, { ...options, dataTransfer: transfer }));
        }""",
        [event, base64.b64encode(data).decode(), kind],
    )


def thumbs(page):
    return page.get_by_role("list", name="Images to send").get_by_role("img")


def test_images_go_with_the_question_and_are_shown_beside_it(page, site):
    page.goto(site.urls[0])
    choose(page, file(), file("JPEG"))
    expect(thumbs(page)).to_have_count(2)
    page.get_by_role("button", name="Remove image 1").click()
    expect(thumbs(page)).to_have_count(1)
    give(page, "paste", file("PNG", (50, 90))["buffer"], "image/png")
    expect(thumbs(page)).to_have_count(2)
    give(page, "drop", file("WEBP", (90, 50))["buffer"], "image/webp")
    expect(thumbs(page)).to_have_count(3)
    page.locator("#prompt").fill("What are these?")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("[jpeg png png]")).to_have_count(2)
    expect(thumbs(page)).to_have_count(0)
    for slot in ("a", "b"):
        shown = page.locator(f".side-{slot} [data-images] img")
        expect(shown).to_have_count(3)
        assert shown.first.evaluate("(image) => image.naturalWidth") == 400
    # As it was, after a reload; and with the next question they go along.
    page.reload()
    expect(page.locator("[data-images] img")).to_have_count(6)
    page.locator("#prompt").fill("Sure?")
    page.locator("#prompt").press("Enter")
    expect(page.get_by_text("[jpeg png png] [] []")).to_have_count(2)
    page.get_by_role("button", name="A is better").click()
    page.get_by_role("button", name="Same prompt, new pair").click()
    expect(page.get_by_text("[jpeg png png]")).to_have_count(2)
    expect(page.locator("[data-images] img")).to_have_count(6)


def test_what_is_no_image_is_refused_in_words_and_the_question_stays(page, site):
    page.goto(site.urls[0])
    page.locator("#prompt").fill("What is this?")
    give(page, "drop", b"<svg/>", "image/svg+xml")
    expect(page.get_by_role("alert")).to_contain_text("Only PNG, JPEG, WebP and GIF")
    choose(page, *[file()] * 5)
    expect(page.get_by_role("alert")).to_contain_text("At most 4 images")
    expect(thumbs(page)).to_have_count(4)
    expect(page.locator("#prompt")).to_have_value("What is this?")


def test_a_photograph_that_is_too_large_is_made_smaller_by_the_browser(page, site):
    large = file("JPEG", (3000, 2000))
    large["buffer"] += b"\0" * 6_000_000
    page.goto(site.urls[0])
    choose(page, large)
    expect(page.get_by_role("img", name="Image 1, 1568 × 1045 pixels")).to_be_visible()


def test_a_battle_that_began_without_images_offers_none(page, site):
    page.goto(site.urls[0])
    page.locator("#prompt").fill("No image here")
    page.locator("#prompt").press("Enter")
    expect(page.get_by_role("button", name="A is better")).to_be_enabled()
    expect(page.get_by_role("button", name="Add images")).to_be_hidden()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_thumbnails_and_images_are_accessible_and_fit(page, site, scheme, width):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(site.urls[0])
    choose(page, *[file("PNG", (300, 900 // n)) for n in (1, 2, 3, 4)])
    expect(thumbs(page)).to_have_count(4)

    def check():
        found = Axe().run(page).response["violations"]
        assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    check()
    page.locator("#prompt").fill("What are these?")
    page.locator("#prompt").press("Enter")
    expect(page.locator(".side-a [data-images] img")).to_have_count(4)
    expect(page.get_by_text("[png png png png]").first).to_be_visible()
    check()
