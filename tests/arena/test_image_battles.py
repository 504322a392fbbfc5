"""Images from the browser to the models and back to the page, over the real socket."""

from __future__ import annotations

import io
import json

import pytest
from channels.db import database_sync_to_async as in_database
from PIL import Image

from arena import attachments, mirror, voters
from arena.models import Attachment, Battle, Contestant, Turn
from tests import factories
from tests.arena.socket_page import Page, of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("kept")]


@in_database
def upload(page: Page, form: str = "PNG") -> Attachment:
    out = io.BytesIO()
    Image.new("RGB", (30, 20), (1, 2, 3)).save(out, form)
    key = voters.key_from({voters.COOKIE: page.cookie.partition("=")[2]})
    assert key is not None
    return attachments.upload(voter=voters.ensure(key), data=out.getvalue()).attachment


@in_database
def all_read_images() -> None:
    Contestant.objects.update(vision=True)


async def ask(page: Page, prompt: str, *sent: Attachment, battle: str | None = None) -> list[dict]:
    await page.say(
        type="turn.submit",
        prompt=prompt,
        battle=battle,
        images=[attachment.public_id for attachment in sent],
    )
    return await page.hear_until("battle.ready", "battle.void", "error")


async def test_both_models_get_the_images_and_the_page_shows_them(models, page, backend):
    await models("sees:one", "sees:two")
    await all_read_images()
    first, second = await upload(page), await upload(page, "JPEG")
    events = await ask(page, "What are these?", second, first)
    [started] = of(events, "turn.started")
    assert [image["id"] for image in started["images"]] == [second.public_id, first.public_id]
    assert started["images"][0] == {
        "id": second.public_id, "url": f"/images/{second.public_id}/", "width": 30, "height": 20,
    }  # fmt: skip
    assert events[-1]["type"] == "battle.ready"
    for event in of(events, "slot.completed"):
        assert "[jpeg png]" in event["html"]
    bodies = [json.dumps(request["messages"]) for request in backend.requests]
    assert len(bodies) == 2
    assert bodies[0] == bodies[1]
    # The next turn, and another process that looks at it.
    battle = events[0]["battle"]
    events = await ask(page, "Sure?", battle=battle)
    assert "images" not in of(events, "turn.started")[0]
    for event in of(events, "slot.completed"):
        assert "[jpeg png] [] []" in event["html"]


async def test_a_mirror_of_the_turn_shows_the_same_images(models, page):
    await models("sees:one", "sees:two")
    await all_read_images()
    events = await ask(page, "What is this?", await upload(page))
    mirrored = [event async for event in mirror.follow(events[0]["battle"])]
    assert of(mirrored, "turn.started") == of(events, "turn.started")


async def test_too_few_that_read_images_is_said_and_the_image_stays(models, page):
    await models("sees:one", "sees:two")
    await in_database(factories.contestant)(vision=True)
    attachment = await upload(page)
    [error] = await ask(page, "What is this?", attachment)
    assert error["code"] == "no_vision"
    assert error["retry_after"] == 60
    assert "still here" in error["message"]
    await all_read_images()
    # Chosen by chance among three, of which the third answers nothing: any end of it will do.
    events = await ask(page, "What is this?", attachment)
    assert len(of(events, "turn.started")[0]["images"]) == 1


async def test_a_side_that_fails_on_images_makes_the_battle_void_without_a_name(models, page):
    contestants = await models("sees:one", "status:400")
    await all_read_images()
    attachment = await upload(page)
    events = await ask(page, "What is this?", attachment)
    assert events[-1]["type"] == "battle.void"
    assert not any(contestant.name in raw for contestant in contestants for raw in page.raw)
    battle = await Battle.objects.aget()
    assert battle.state == Battle.State.VOID
    # The question may be put again with the same image.
    await attachment.arefresh_from_db()
    assert attachment.turn_id is None


async def test_somebody_elses_image_is_not_sent(models, page):
    await models("sees:one", "sees:two")
    await all_read_images()
    stranger = await Page().open()
    attachment = await upload(page)
    [error] = await ask(stranger, "What is this?", attachment)
    await stranger.close()
    assert error["code"] == "image_gone"
    assert not await Turn.objects.aexists()


@pytest.mark.parametrize(
    "images", ["0" * 32, ["0" * 32] * 5, ["../secret"], [7], [None], {"0": 1}, ["0" * 31 + "G"]]
)
async def test_what_is_no_list_of_ids_is_no_event(models, page, images):
    await page.say(type="turn.submit", prompt="Why?", battle=None, images=images)
    assert (await page.hear())["code"] == "bad_message"
