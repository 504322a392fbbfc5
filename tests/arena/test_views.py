"""The pages over HTTP: who sees what, and what a vote answers."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from arena import battles, voters
from arena.battles import Refused
from arena.models import Battle, Breaker, Vote
from tests import canaries, factories

pytestmark = pytest.mark.django_db


def browser_of(voter) -> Client:
    client = Client()
    client.cookies[voters.COOKIE] = voters._signer.sign(voter.key)
    return client


def vote(client: Client, battle, choice="a", turn=1, accept="application/json", **headers):
    return client.post(
        f"/battle/{battle.public_id}/vote/",
        {"choice": choice, "turn": turn, "visible_ms": 1234},
        headers={"accept": accept, **headers},
    )


@pytest.fixture
def battle():
    return factories.battle(
        contestant_a=factories.contestant(name="CANARY-left", organisation="CANARY-org"),
        contestant_b=factories.contestant(name="CANARY-right"),
    )


def test_a_stranger_gets_a_cookie_that_no_script_can_read(client):
    factories.contestant()
    factories.contestant()
    response = client.get("/")
    assert response.status_code == 200
    cookie = response.cookies[voters.COOKIE]
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert voters.COOKIE not in client.get("/").cookies


def test_the_list_of_models_shows_active_ones_and_no_previews(client):
    factories.contestant(name="Shown")
    factories.contestant(name="Also shown")
    factories.contestant(name="Secret preview", status="preview")
    page = client.get("/").content.decode()
    assert "Also shown" in page
    assert "Expand to see the 2 models" in page
    assert "Secret preview" not in page


def test_fewer_than_two_models_is_a_clear_page_and_503(client):
    factories.contestant()
    response = client.get("/")
    assert response.status_code == 503
    assert response["Retry-After"] == "60"
    assert "Add an endpoint" in response.content.decode()


def test_the_page_of_a_battle_hides_the_names_until_the_vote(battle):
    client = browser_of(battle.voter)
    page = client.get(f"/battle/{battle.public_id}/").content.decode()
    body = page.partition('class="sides"')[2]
    assert "Because of a." in body
    assert "CANARY" not in body
    vote(client, battle)
    page = client.get(f"/battle/{battle.public_id}/").content.decode()
    assert "CANARY-left" in page.partition('class="sides"')[2]


def test_somebody_elses_battle_is_not_found(battle, client):
    stranger = browser_of(factories.voter())
    for who in (client, stranger):
        assert who.get(f"/battle/{battle.public_id}/").status_code == 404
        assert vote(who, battle).status_code == 404
        assert who.post(f"/battle/{battle.public_id}/skip/").status_code == 404
    assert not Vote.objects.exists()


def test_a_vote_is_saved_and_answered_with_the_names(battle):
    response = vote(browser_of(battle.voter), battle, "both_bad")
    assert response.status_code == 200
    answer = response.json()
    assert answer["choice"] == "both_bad"
    assert answer["choice_label"] == "Both are bad"
    assert "CANARY-left" in answer["reveal"]["a"]
    assert "CANARY-right" in answer["reveal"]["b"]
    saved = Vote.objects.get()
    assert (saved.choice, saved.visible_ms) == ("both_bad", 1234)


def test_a_vote_too_soon_after_another_is_told_when_to_come_back(battle, settings):
    settings.VOTE_INTERVAL_SECONDS = 60
    client = browser_of(battle.voter)
    vote(client, factories.battle(voter=battle.voter))
    response = vote(client, battle)
    assert response.status_code == 429
    error = response.json()["error"]
    assert error["code"] == "too_soon"
    assert response["Retry-After"] == str(error["retry_after"])
    assert "CANARY" not in response.content.decode()


def test_a_repeated_vote_gets_the_first_ones_answer(battle):
    client = browser_of(battle.voter)
    vote(client, battle, "a")
    assert vote(client, battle, "b").json()["choice"] == "a"
    assert Vote.objects.count() == 1


def test_a_plain_form_is_led_back_to_the_page(battle):
    response = vote(browser_of(battle.voter), battle, accept="text/html")
    assert response.status_code == 302
    assert response["Location"] == f"/battle/{battle.public_id}/"


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        ("void", {"void_reason": "failed"}),
        ("abandoned", {}),
        ("expired", {}),
        ("streaming", {}),
        ("drawing", {}),
    ],
)
def test_a_battle_that_is_not_ready_refuses_the_vote_and_names_nobody(state, fields):
    battle = factories.battle(
        state=state, contestant_a=factories.contestant(name="CANARY"), **fields
    )
    browser = browser_of(battle.voter)
    response = vote(browser, battle)
    assert response.status_code == 409
    assert response.json()["error"]["code"] == "wrong_state"
    assert canaries.search(response.content) == []
    assert not Vote.objects.exists()
    for page in (f"/battle/{battle.public_id}/", "/history/"):
        assert canaries.search(browser.get(page).content) == []
    with pytest.raises(Refused):
        battles.reveal(battle_id=battle.pk)


def test_the_list_beside_a_battle_does_not_tell_which_model_has_just_failed():
    battle = factories.battle(state="void", void_reason="failed")
    browser = browser_of(battle.voter)
    page = f"/battle/{battle.public_id}/"
    before = canaries.model_lists(browser.get(page).content)
    Breaker.objects.create(contestant=battle.contestant_a, state="open", reason="unavailable")
    assert canaries.model_lists(browser.get(page).content) == before
    assert battle.contestant_a.name.encode() in before[0]


@pytest.mark.parametrize("visible", ["", "-1", "1e9", "9" * 30, "١٢"])
def test_an_absurd_reading_time_is_left_out_not_an_error(battle, visible):
    client = browser_of(battle.voter)
    response = client.post(
        f"/battle/{battle.public_id}/vote/",
        {"choice": "a", "turn": 1, "visible_ms": visible},
        headers={"accept": "application/json"},
    )
    assert response.status_code == 200
    assert Vote.objects.get().visible_ms is None


def test_a_vote_needs_the_csrf_token(battle):
    client = Client(enforce_csrf_checks=True)
    client.cookies[voters.COOKIE] = voters._signer.sign(battle.voter.key)
    assert vote(client, battle).status_code == 403
    page = client.get(f"/battle/{battle.public_id}/").content.decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[1]
    assert vote(client, battle, **{"x-csrftoken": token}).status_code == 200


def test_skipping_ends_the_battle_without_a_reveal(battle):
    client = browser_of(battle.voter)
    assert client.post(f"/battle/{battle.public_id}/skip/")["Location"] == "/"
    battle.refresh_from_db()
    assert battle.state == Battle.State.ABANDONED
    page = client.get(f"/battle/{battle.public_id}/").content.decode()
    assert "CANARY" not in page.partition('class="sides"')[2]
    assert vote(client, battle).status_code == 409


def test_model_output_and_prompts_are_inert_on_the_page(battle):
    turn = battle.turns.get()
    turn.prompt = "<script>alert(1)</script>"
    turn.save()
    turn.answers.update(text="<img src=x onerror=alert(1)>")
    page = browser_of(battle.voter).get(f"/battle/{battle.public_id}/").content.decode()
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "&lt;img" in page


def test_every_page_forbids_inline_script_and_foreign_hosts(battle):
    policy = browser_of(battle.voter).get(f"/battle/{battle.public_id}/")["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "default-src 'none'" in policy


def test_the_health_check_answers(client):
    assert client.get("/healthz").content == b"ok\n"


def test_reasons_and_a_comment_are_kept_with_the_vote(battle):
    client = browser_of(battle.voter)
    fields = {"choice": "a", "turn": 1, "tags": ["clear", "correct"], "comment": " Well put. "}
    response = client.post(
        f"/battle/{battle.public_id}/vote/", fields, headers={"accept": "application/json"}
    )
    assert response.status_code == 200
    saved = Vote.objects.get()
    assert (saved.tags, saved.comment) == (["correct", "clear"], "Well put.")


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"tags": ["clear", "from-mars"]}, "bad_tag"),
        ({"comment": "x" * 501}, "bad_comment"),
        ({"comment": "\x00"}, "bad_comment"),
    ],
)
def test_reasons_that_do_not_exist_and_long_comments_are_refused(battle, fields, code):
    response = browser_of(battle.voter).post(
        f"/battle/{battle.public_id}/vote/",
        {"choice": "a", "turn": 1, **fields},
        headers={"accept": "application/json"},
    )
    assert response.status_code == 409
    assert response.json()["error"]["code"] == code
    assert not Vote.objects.exists()


@pytest.mark.parametrize(("address", "needed"), [("/side-by-side/", 2), ("/chat/", 1)])
def test_only_public_models_can_be_chosen(client, address, needed):
    factories.contestant(name="CANARY-preview", status="preview")
    factories.contestant(name="CANARY-paused", status="paused")
    assert client.get(address).status_code == 503
    for number in range(needed):
        factories.contestant(name=f"Public {number}")
    response = client.get(address)
    assert response.status_code == 200
    page = response.content.decode()
    assert "Public 0" in page
    assert "CANARY" not in page


def test_models_side_by_side_are_named_from_the_start(battle):
    Battle.objects.filter(pk=battle.pk).update(mode="side_by_side", pair_probability=None)
    page = browser_of(battle.voter).get(f"/battle/{battle.public_id}/").content.decode()
    assert "CANARY-left" in page.partition('class="sides"')[2]


def test_the_history_shows_ones_own_battles_and_names_nobody_before_the_vote(battle):
    client = browser_of(battle.voter)
    other = factories.battle()
    page = client.get("/history/").content.decode()
    assert battle.public_id in page
    assert other.public_id not in page
    assert "CANARY" not in page
    vote(client, battle)
    assert "CANARY-left · CANARY-right" in client.get("/history/").content.decode()


def test_the_history_of_a_stranger_is_empty(client, battle):
    page = client.get("/history/").content.decode()
    assert "Nothing yet" in page
    assert battle.public_id not in page


def test_a_long_history_has_pages(django_assert_max_num_queries):
    voter = factories.voter()
    pair = [factories.contestant(), factories.contestant()]
    for _ in range(27):
        factories.battle(voter=voter, contestant_a=pair[0], contestant_b=pair[1])
    client = browser_of(voter)
    with django_assert_max_num_queries(6):
        first = client.get("/history/").content.decode()
    assert first.count("history-prompt") == 25
    assert client.get("/history/?page=2").content.decode().count("history-prompt") == 2
    assert client.get("/history/?page=x").status_code == 200


def test_an_answer_as_it_was_written_is_for_its_owner(battle, client):
    address = f"/battle/{battle.public_id}/1/a.txt"
    response = browser_of(battle.voter).get(address)
    assert response.content == b"Because of a."
    assert response["Content-Type"].startswith("text/plain")
    assert client.get(address).status_code == 404
    for other in ("9/a", f"{10**30}/a", "1/c"):
        missing = browser_of(battle.voter).get(f"/battle/{battle.public_id}/{other}.txt")
        assert missing.status_code == 404


def test_the_terms_are_a_file_that_an_operator_can_replace(client, settings, tmp_path):
    settings.TERMS_FILE = tmp_path / "terms.md"
    settings.TERMS_FILE.write_text("# Ours\n\nBe **kind**. <script>alert(1)</script>")
    settings.TERMS_VERSION = "2026-11"
    page = client.get("/terms/").content.decode()
    assert "<strong>kind</strong>" in page
    assert "Version 2026-11" in page
    assert "<script>alert" not in page
