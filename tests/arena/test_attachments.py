"""Images of questions: who may upload, see and send them, and when they are deleted."""

from __future__ import annotations

import hashlib
import io
import threading
from datetime import timedelta

import pytest
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from django.http import HttpResponse
from django.test import Client, RequestFactory
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from PIL import Image

from arena import attachments, battles, chosen, limits, regenerating, shares, states, turns, voters
from arena.backends.base import Image as Sent
from arena.models import Answer, Attachment, Battle, Contestant, Reservation, Turn
from arena.refusals import Refused
from tests import factories

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("kept")]


@pytest.fixture
def sighted():
    return [factories.contestant(vision=True) for _ in range(2)]


def png(width=40, height=30, colour=(200, 30, 40)):
    out = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


def uploaded(voter, data=None):
    return attachments.upload(voter=voter, data=png() if data is None else data).attachment


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def open_battle(voter, *sent, prompt="What is this?"):
    return battles.open_battle(
        voter=voter, prompt=prompt, images=[attachment.public_id for attachment in sent]
    )


def answered(started):
    """The battle with both sides complete."""
    for answer in started.answers.values():
        answer.state, answer.text = Answer.State.COMPLETE, "An image."
    turns.finish(turn_id=started.turn.pk, answers=list(started.answers.values()))
    return started.battle


# --- uploading -----------------------------------------------------------------------------------


def test_an_upload_is_a_file_outside_the_database_and_a_row_about_it(sighted, kept):
    attachment = uploaded(factories.voter(), png(3000, 1500))
    assert files(kept) == [f"{attachment.public_id}.png"]
    stored = (kept / attachment.path).read_bytes()
    assert stored == attachments.read(attachment)
    assert attachment.sha256 == hashlib.sha256(stored).hexdigest()
    assert (attachment.width, attachment.height) == (1568, 784)
    assert attachment.size == len(stored)
    assert attachment.turn is None


def test_what_is_refused_leaves_nothing(sighted, kept):
    with pytest.raises(Refused) as refused:
        uploaded(factories.voter(), b"<svg/>")
    assert refused.value.code == "not_an_image"
    assert not Attachment.objects.exists()
    assert files(kept) == []


def test_a_storage_that_fails_leaves_no_row(sighted, kept, monkeypatch):
    def full(*args):
        raise OSError("no space left")

    monkeypatch.setattr(type(storages["attachments"]), "_save", full)
    with pytest.raises(OSError, match="no space"):
        uploaded(factories.voter())
    assert not Attachment.objects.exists()


def test_nothing_is_uploaded_for_nobody():
    factories.contestant(vision=False)
    factories.contestant(vision=True, status="paused")
    with pytest.raises(Refused) as refused:
        uploaded(factories.voter())
    assert refused.value.code == "no_vision"


def test_so_many_wait_and_the_oldest_makes_room(sighted, kept):
    voter, other = factories.voter(), factories.voter()
    first = uploaded(voter)
    elsewhere = uploaded(other)
    later = [uploaded(voter) for _ in range(attachments.MAX_WAITING)]
    assert set(Attachment.objects.all()) == {elsewhere, *later}
    assert f"{first.public_id}.png" not in files(kept)


def test_a_flood_of_uploads_is_stopped(sighted, monkeypatch):
    voter = factories.voter()
    uploaded(voter)
    monkeypatch.setattr(attachments, "MAX_WAITING_BYTES", 10)
    with pytest.raises(Refused) as refused:
        uploaded(factories.voter())
    assert refused.value.code == "images_busy"
    assert refused.value.retry_after == 60


def test_one_image_is_decoded_at_a_time(sighted, monkeypatch):
    monkeypatch.setattr(attachments, "DECODING_PATIENCE", 0.01)
    monkeypatch.setattr(attachments, "_decoding", threading.Semaphore(0))
    with pytest.raises(Refused) as refused:
        uploaded(factories.voter())
    assert refused.value.code == "images_busy"


# --- the pages -----------------------------------------------------------------------------------


def known(browser):
    """Give it a cookie of the arena, as the battle page does."""
    response = HttpResponse()
    voters.give_cookie(RequestFactory().get("/"), response)
    browser.cookies = response.cookies
    return browser


@pytest.fixture
def visitor(client):
    return known(client)


def post(client, data, name="photo.png", content_type="image/png"):
    file = SimpleUploadedFile(name, data, content_type)
    return client.post(reverse("arena:upload_image"), {"image": file})


def test_a_visitor_uploads_an_image_and_sees_it(visitor, sighted):
    response = post(visitor, png())
    assert response.status_code == 201
    made = response.json()
    assert made == {
        "id": made["id"],
        "url": f"/images/{made['id']}/",
        "width": 40,
        "height": 30,
        "note": "",
    }
    shown = visitor.get(made["url"])
    assert shown.status_code == 200
    assert shown.content == attachments.read(Attachment.objects.get())
    assert shown["Content-Type"] == "image/png"
    assert shown["Content-Disposition"] == 'inline; filename="image.png"'
    assert shown["X-Content-Type-Options"] == "nosniff"
    assert shown["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "default-src 'none'" in shown["Content-Security-Policy"]
    assert "private" in shown["Cache-Control"]


def test_the_type_is_that_of_the_content_whatever_is_said(visitor, sighted):
    made = post(visitor, png(), "page.html", "text/html").json()
    assert visitor.get(made["url"])["Content-Type"] == "image/png"
    refused = post(visitor, b"<html><script>alert(1)</script>", "photo.png", "image/png")
    assert refused.status_code == 400
    assert refused.json()["error"]["code"] == "not_an_image"


def test_an_animation_comes_with_a_note(visitor, sighted):
    frames = [Image.new("RGB", (9, 9), colour) for colour in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "GIF", save_all=True, append_images=frames[1:])
    assert "only the first picture" in post(visitor, out.getvalue(), "a.gif").json()["note"]


def test_an_image_is_its_owners_alone(visitor, sighted):
    url = post(visitor, png()).json()["url"]
    stranger, other = Client(), known(Client())
    assert stranger.get(url).status_code == 404
    assert other.get(url).status_code == 404
    other.post(f"{url}discard/")
    assert visitor.get(url).status_code == 200


def test_an_administrator_sees_an_image_and_other_staff_does_not(
    visitor, sighted, admin_client, django_user_model
):
    url = post(visitor, png()).json()["url"]
    assert admin_client.get(url).status_code == 200
    staff = Client()
    staff.force_login(django_user_model.objects.create_user("staff", is_staff=True))
    assert staff.get(url).status_code == 404


def test_an_administrator_finds_the_images_beside_the_answers(sighted, admin_client):
    voter = factories.voter()
    attachment = uploaded(voter)
    turn = open_battle(voter, attachment).turn
    page = admin_client.get(reverse("admin:arena_turn_change", args=[turn.pk])).content.decode()
    assert f'<img src="/images/{attachment.public_id}/" height="80"' in page


def test_without_a_cookie_without_a_token_and_without_a_file(visitor, sighted):
    assert post(Client(), png()).status_code == 403
    careful = Client(enforce_csrf_checks=True)
    careful.cookies = visitor.cookies
    assert post(careful, png()).status_code == 403
    nothing = visitor.post(reverse("arena:upload_image"), {"image": "text"})
    assert nothing.json()["error"]["code"] == "no_image"
    assert visitor.get(reverse("arena:upload_image")).status_code == 405


def test_a_file_that_is_too_large_is_refused_in_words(visitor, sighted):
    refused = post(visitor, png() + b"\0" * 5_000_000)
    assert refused.status_code == 413
    assert "at most 5 MB" in refused.json()["error"]["message"]


def test_an_image_that_was_not_sent_can_be_removed(visitor, sighted, kept):
    url = post(visitor, png()).json()["url"]
    assert visitor.post(f"{url}discard/").status_code == 204
    assert visitor.get(url).status_code == 404
    assert files(kept) == []
    assert visitor.post(f"{url}discard/").status_code == 204


def test_a_lost_file_is_not_found(visitor, sighted, kept):
    url = post(visitor, png()).json()["url"]
    (kept / Attachment.objects.get().path).unlink()
    assert visitor.get(url).status_code == 404


# --- battles -------------------------------------------------------------------------------------


def test_a_question_with_images_is_put_to_models_that_read_them(sighted):
    for _ in range(6):
        factories.contestant(vision=False, weight=50)
    voter = factories.voter()
    for _ in range(5):
        started = open_battle(voter, uploaded(voter))
        pair = {started.battle.contestant_a, started.battle.contestant_b}
        assert pair == set(sighted)
        assert started.battle.pair_probability == 1


def test_both_sides_are_asked_with_the_same_images_in_their_order(sighted):
    voter = factories.voter()
    first, second = uploaded(voter, png(5, 5)), uploaded(voter, png(7, 7))
    started = open_battle(voter, second, first)
    assert started.images == {
        1: [Sent("image/png", attachments.read(second)), Sent("image/png", attachments.read(first))]
    }
    assert [shown["width"] for shown in started.shown] == [7, 5]
    assert list(started.turn.attachments.all()) == [second, first]


def test_fewer_than_two_that_read_images_refuse_and_keep_the_images():
    factories.contestant(vision=True)
    factories.contestant(vision=False)
    voter = factories.voter()
    attachment = uploaded(voter)
    with pytest.raises(Refused) as refused:
        open_battle(voter, attachment)
    assert refused.value.code == "no_vision"
    assert refused.value.retry_after == 60
    assert not Battle.objects.exists()
    assert list(Attachment.objects.waiting()) == [attachment]


@pytest.mark.parametrize("whose", ["another's", "sent", "unknown", "twice", "deleted"])
def test_only_own_images_that_were_not_sent_can_be_sent(whose, sighted):
    voter = factories.voter()
    attachment = uploaded(factories.voter() if whose == "another's" else voter)
    ids = [attachment.public_id]
    if whose == "sent":
        open_battle(voter, attachment)
    elif whose == "unknown":
        ids = ["0" * 32]
    elif whose == "twice":
        ids *= 2
    elif whose == "deleted":
        attachments.discard(voter=voter, public_id=attachment.public_id)
    before = Battle.objects.count()
    with pytest.raises(Refused) as refused:
        battles.open_battle(voter=voter, prompt="And this?", images=ids)
    assert refused.value.code == "image_gone"
    assert Battle.objects.count() == before


def test_later_turns_take_their_images_along_and_may_bring_more(sighted):
    voter = factories.voter()
    battle = answered(open_battle(voter, uploaded(voter, png(5, 5))))
    started = battles.take_turn(battle_id=battle.pk, prompt="Sure?")
    assert {number: len(sent) for number, sent in started.images.items()} == {1: 1}
    assert started.shown == ()
    answered(started)
    third = battles.take_turn(
        battle_id=battle.pk, prompt="And this?", images=[uploaded(voter, png(6, 6)).public_id]
    )
    assert {number: len(sent) for number, sent in third.images.items()} == {1: 1, 3: 1}
    assert [shown["width"] for shown in third.shown] == [6]


@pytest.mark.parametrize("vision", [True, False])
def test_a_battle_without_images_takes_none_later_whoever_is_in_it(vision):
    # Otherwise the refusal alone would tell what the pair is capable of.
    for _ in range(2):
        factories.contestant(vision=vision)
    voter = factories.voter()
    battle = answered(open_battle(voter))
    factories.contestant(vision=True)
    attachment = uploaded(voter)
    with pytest.raises(Refused) as refused:
        battles.take_turn(battle_id=battle.pk, prompt="And this?", images=[attachment.public_id])
    assert refused.value.code == "images_too_late"
    battle.refresh_from_db()
    assert battle.state == Battle.State.READY
    assert list(Attachment.objects.waiting()) == [attachment]


def test_a_side_that_fails_is_replaced_by_one_that_reads_images(sighted):
    for _ in range(4):
        factories.contestant(vision=False, weight=50)
    voter = factories.voter()
    started = open_battle(voter, uploaded(voter))
    out = started.battle.contestant_a
    replace = {
        "turn_id": started.turn.pk, "slot": "a", "failed": {out.pk}, "endpoint_down": False,
    }  # fmt: skip
    assert battles.replace_side(**replace) is None
    third = factories.contestant(vision=True)
    assert battles.replace_side(**replace) == third
    started.battle.refresh_from_db()
    # Given that the failed one was not to be had, and counting only those that read images.
    assert started.battle.pair_probability == pytest.approx(1)


def test_models_chosen_by_name_must_read_images():
    sees, blind = factories.contestant(vision=True), factories.contestant(vision=False)
    voter = factories.voter()
    attachment = uploaded(voter)
    ask = {
        "voter": voter, "prompt": "What is this?", "parameters": {},
        "images": [attachment.public_id],
    }  # fmt: skip
    with pytest.raises(Refused) as refused:
        chosen.open_chosen(mode="side_by_side", models=[sees.slug, blind.slug], **ask)
    assert refused.value.code == "no_vision"
    started = chosen.open_chosen(mode="direct", models=[sees.slug], **ask)
    assert len(started.images[1]) == 1


def test_going_on_after_a_vote_takes_the_images_along(sighted):
    voter = factories.voter()
    battle = answered(open_battle(voter, uploaded(voter)))
    Battle.objects.filter(pk=battle.pk).update(state=Battle.State.REVEALED)
    started = chosen.continue_battle(battle_id=battle.pk, voter=voter, prompt="Why?")
    assert {number: len(sent) for number, sent in started.images.items()} == {1: 1}
    sighted[0].vision = False
    sighted[0].save()
    Battle.objects.filter(pk=battle.pk).update(state=Battle.State.REVEALED)
    with pytest.raises(Refused) as refused:
        chosen.continue_battle(battle_id=battle.pk, voter=voter, prompt="Why?")
    assert refused.value.code == "no_vision"


def test_answering_again_is_asked_with_the_images_again(sighted):
    voter = factories.voter()
    battle = answered(open_battle(voter, uploaded(voter)))
    started = regenerating.regenerate(battle_id=battle.pk)
    assert len(started.images[1]) == 1
    assert len(started.shown) == 1


def test_an_image_costs_tokens(sighted):
    Contestant.objects.update(price_input=1)
    voter = factories.voter()
    plain = open_battle(voter, prompt="What?")
    seen = open_battle(voter, uploaded(voter), uploaded(voter), prompt="What?")

    def held(started):
        return sum(cost for _, cost in Reservation.objects.get(turn=started.turn).charges)

    assert held(seen) - held(plain) == 2 * 2 * limits.TOKENS_OF_AN_IMAGE


def test_a_question_without_images_asks_for_none(sighted):
    voter = factories.voter()
    with CaptureQueriesContext(
        connection,
    ) as queries:
        started = open_battle(voter)
    assert not [query for query in queries if "attachment" in query["sql"]]
    assert (started.images, started.shown) == ({}, ())


@pytest.mark.parametrize(("how_many", "offered"), [(0, False), (1, False), (2, True)])
def test_the_page_offers_images_where_two_models_read_them(visitor, how_many, offered):
    for number in range(3):
        factories.contestant(vision=number < how_many)
    page = visitor.get(reverse("arena:new")).content.decode()
    assert ("data-attach" in page) is offered
    # One is enough to talk to.
    page = visitor.get(reverse("arena:direct")).content.decode()
    assert ("data-attach" in page) is (how_many > 0)


def test_the_page_of_a_battle_shows_its_images_in_both_columns(visitor, sighted):
    made = post(visitor, png()).json()
    voter = Attachment.objects.get().voter
    battle = answered(battles.open_battle(voter=voter, prompt="What?", images=[made["id"]]))
    page = visitor.get(reverse("arena:battle", args=[battle.public_id])).content.decode()
    assert page.count(f'<img src="{made["url"]}" width="40" height="30"') == 2
    assert page.count('alt="Image 1 of the question"') == 2


def test_a_public_copy_says_that_there_were_images_and_shows_none(visitor, sighted):
    made = post(visitor, png()).json()
    voter = Attachment.objects.get().voter
    battle = answered(battles.open_battle(voter=voter, prompt="What?", images=[made["id"]]))
    Battle.objects.filter(pk=battle.pk).update(state=Battle.State.REVEALED)
    copy = shares.share(battle_id=battle.pk)
    page = Client().get(reverse("arena:shared", args=[copy.public_id])).content.decode()
    assert "With 1 image, which is not shared." in page
    assert made["id"] not in page


# --- the end of an image -------------------------------------------------------------------------


def waits_since(attachment, minutes):
    since = timezone.now() - timedelta(minutes=minutes)
    Attachment.objects.filter(pk=attachment.pk).update(since=since)


def test_what_was_not_sent_within_an_hour_is_swept_away(sighted, kept):
    voter = factories.voter()
    old, young, sent = (uploaded(voter, png(n, n)) for n in (5, 6, 7))
    open_battle(voter, sent)
    waits_since(old, 61)
    waits_since(young, 59)
    waits_since(sent, 600)
    assert attachments.sweep() == 1
    assert set(Attachment.objects.all()) == {young, sent}
    assert set(files(kept)) == {f"{young.public_id}.png", f"{sent.public_id}.png"}
    assert attachments.sweep() == 0


def test_a_sweep_is_not_stopped_by_a_file_that_is_gone(sighted, kept):
    attachment = uploaded(factories.voter())
    (kept / attachment.path).unlink()
    waits_since(attachment, 61)
    assert attachments.sweep() == 1
    assert not Attachment.objects.exists()


def test_images_of_a_battle_that_came_to_nothing_can_be_sent_again_and_then_go(sighted, kept):
    voter = factories.voter()
    attachment = uploaded(voter)
    started = open_battle(voter, attachment)
    waits_since(attachment, 600)
    for answer in started.answers.values():
        answer.state, answer.error_kind = Answer.State.FAILED, "connect"
    turns.finish(
        turn_id=started.turn.pk, answers=list(started.answers.values()), void_reason="failed"
    )
    assert attachments.sweep() == 0
    again = open_battle(voter, attachment)
    assert len(again.images[1]) == 1
    battle = answered(again)
    battles.abandon(battle_id=battle.pk)
    waits_since(attachment, 61)
    assert attachments.sweep() == 1
    assert files(kept) == []


def test_images_of_a_chosen_conversation_stay_for_another_try(sighted):
    voter = factories.voter()
    started = chosen.open_chosen(
        voter=voter, prompt="What?", mode="direct", models=[sighted[0].slug], parameters={},
        images=[uploaded(voter).public_id],
    )  # fmt: skip
    answer = started.answers["a"]
    answer.state, answer.error_kind = Answer.State.FAILED, "connect"
    turns.finish(turn_id=started.turn.pk, answers=[answer], void_reason="failed")
    again = regenerating.regenerate(battle_id=started.battle.pk)
    assert len(again.images[1]) == 1


def test_skipping_a_battle_that_is_over_changes_nothing(sighted):
    voter = factories.voter()
    battle = answered(open_battle(voter, uploaded(voter)))
    Battle.objects.filter(pk=battle.pk).update(state=Battle.State.VOTED)
    battles.abandon(battle_id=battle.pk)
    assert not Attachment.objects.waiting().exists()
    assert Battle.State.VOTED not in states.BATTLE.before(Battle.State.ABANDONED)


def test_another_storage_of_django_does_as_well(settings, sighted):
    settings.STORAGES = {
        **settings.STORAGES,
        "attachments": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    }
    voter = factories.voter()
    attachment = uploaded(voter)
    assert attachments.read(attachment)[:4] == b"\x89PNG"
    assert len(open_battle(voter, attachment).images[1]) == 1


def test_a_lost_file_refuses_the_next_question_in_words(sighted, kept):
    voter = factories.voter()
    attachment = uploaded(voter)
    battle = answered(open_battle(voter, attachment))
    (kept / attachment.path).unlink()
    with pytest.raises(Refused) as refused:
        battles.take_turn(battle_id=battle.pk, prompt="And?")
    assert refused.value.code == "image_gone"
    assert Turn.objects.count() == 1
    storages["attachments"].save(attachment.path, ContentFile(png()))
    assert battles.take_turn(battle_id=battle.pk, prompt="And?").images


@pytest.mark.django_db(transaction=True)
def test_an_image_sent_twice_at_the_same_moment_is_sent_once(sighted):
    voter = factories.voter()
    attachment = uploaded(voter)
    together = threading.Barrier(2)
    outcomes = []

    def ask():
        try:
            together.wait()
            open_battle(voter, attachment)
            outcomes.append("sent")
        except Refused as error:
            outcomes.append(error.code)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["image_gone", "sent"]
    assert Battle.objects.count() == 1
