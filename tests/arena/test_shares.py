"""Public copies: what they show, to whom, and until when."""

from __future__ import annotations

import pytest
from django.test import Client

from arena import shares
from arena.models import Answer, Battle, Share
from arena.refusals import Refused
from tests import factories
from tests.arena.test_views import browser_of

pytestmark = pytest.mark.django_db


@pytest.fixture
def battle():
    made = factories.battle(
        state=Battle.State.REVEALED,
        contestant_a=factories.contestant(name="Left"),
        contestant_b=factories.contestant(name="Right"),
    )
    Answer.objects.filter(turn__battle=made, slot="a").update(
        text="**Bold** <script>alert(1)</script>",
        citations=[{"url": "https://a.test/", "title": "A source"}, {"url": "javascript:1"}],
    )
    return made


def share_of(battle):
    response = browser_of(battle.voter).post(f"/battle/{battle.public_id}/share/")
    assert response.status_code == 302
    return Share.objects.get(battle=battle, revoked_at=None)


def test_anybody_reads_a_shared_conversation_and_no_index_keeps_it(battle):
    copy = share_of(battle)
    response = Client().get(f"/share/{copy.public_id}/")
    page = response.content.decode()
    assert response["X-Robots-Tag"] == "noindex, nofollow"
    assert '<meta name="robots" content="noindex, nofollow">' in page
    for words in ("Left", "Right", "<strong>Bold</strong>", "Because of b.", "https://a.test/"):
        assert words in page
    assert "<script>alert" not in page
    assert "javascript:" not in page


def test_nothing_leads_from_the_copy_to_the_battle_or_its_owner(battle):
    copy = share_of(battle)
    assert len(bytes.fromhex(copy.public_id)) == 16
    page = Client().get(f"/share/{copy.public_id}/").content.decode()
    assert battle.public_id not in page
    assert battle.voter.key not in page


def test_a_copy_stays_as_it_was(battle):
    copy = share_of(battle)
    Answer.objects.filter(turn__battle=battle).update(text="Changed")
    assert "Changed" not in Client().get(f"/share/{copy.public_id}/").content.decode()


def test_sharing_again_renews_the_copy_under_its_address(battle):
    copy = share_of(battle)
    Answer.objects.filter(turn__battle=battle).update(text="Changed")
    assert share_of(battle).public_id == copy.public_id
    assert "Changed" in Client().get(f"/share/{copy.public_id}/").content.decode()


def test_a_copy_taken_back_is_gone_and_erased(battle):
    copy = share_of(battle)
    browser_of(battle.voter).post(f"/battle/{battle.public_id}/unshare/")
    assert Client().get(f"/share/{copy.public_id}/").status_code == 404
    copy.refresh_from_db()
    assert copy.content == {}
    assert share_of(battle).public_id != copy.public_id


def test_only_the_owner_shares_and_takes_back(battle):
    copy = share_of(battle)
    for client in (Client(), browser_of(factories.voter())):
        for what in ("share", "unshare"):
            assert client.post(f"/battle/{battle.public_id}/{what}/").status_code == 404
    copy.refresh_from_db()
    assert copy.revoked_at is None


@pytest.mark.parametrize("state", ["ready", "voted", "abandoned", "streaming"])
def test_a_battle_is_not_shared_before_its_names_are_revealed(state):
    battle = factories.battle(state=state)
    with pytest.raises(Refused):
        shares.share(battle_id=battle.pk)
    response = browser_of(battle.voter).post(f"/battle/{battle.public_id}/share/")
    assert response.status_code == 409
    assert not Share.objects.exists()


def test_a_chat_is_shared_as_it_stands():
    battle = factories.battle(mode="direct", contestant_b=None, pair_probability=None)
    copy = shares.share(battle_id=battle.pk)
    page = Client().get(f"/share/{copy.public_id}/").content.decode()
    assert f"A chat with {battle.contestant_a.name}" in page


def test_a_model_that_is_not_public_is_not_named():
    battle = factories.battle(
        state=Battle.State.REVEALED,
        contestant_a=factories.contestant(name="CANARY-secret", status="preview"),
    )
    copy = shares.share(battle_id=battle.pk)
    page = Client().get(f"/share/{copy.public_id}/").content.decode()
    assert "CANARY" not in page
    assert "A model in preview" in page
