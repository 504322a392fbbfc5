"""The database refuses what the code should never do: each constraint, by trying."""

from __future__ import annotations

import pytest
from django.apps import apps
from django.db import IntegrityError, models, transaction

from arena.models import (
    Answer,
    ArenaSettings,
    Battle,
    Breaker,
    Contestant,
    Endpoint,
    ModerationCategory,
    ModerationEvent,
    ModerationSettings,
    NetworkSalt,
    PairNeeds,
    Reservation,
    Share,
    Spending,
    Turn,
    Vote,
    Voter,
)
from tests import factories
from tests.impossible import change, declared, each, twice

pytestmark = pytest.mark.django_db


def turn():
    return factories.battle().turns.get()


def attachment():
    return factories.attachment()


def sent_attachment():
    return factories.attachment(turn=turn(), position=1)


def answer():
    return turn().answers.get(slot="a")


def side_by_side():
    return factories.battle(mode=Battle.Mode.SIDE_BY_SIDE, pair_probability=None)


def second_vote():
    vote = factories.vote()
    Vote.objects.create(battle=vote.battle, voter=vote.voter, choice="b", turn=1)


def second_turn_of_the_same_number():
    first = turn()
    Turn.objects.create(
        battle=first.battle, number=1, prompt="Again", heartbeat_at=first.heartbeat_at
    )


def second_answer_in_the_same_slot():
    first = answer()
    Answer.objects.create(turn=first.turn, slot="a", contestant=first.contestant)


def battle_against_itself():
    model = factories.contestant()
    factories.battle(contestant_a=model, contestant_b=model)


def imported_contestant():
    return factories.contestant(status="imported", endpoint=None, upstream_model="")


def breaker(**fields):
    return Breaker.objects.create(**({"endpoint": factories.endpoint()} | fields))


def breaker_of_a_model():
    return breaker(endpoint=None, contestant=factories.contestant())


def request():
    return factories.upstream_request()


def pair_needs():
    return PairNeeds.objects.create(contestants=[1, 2], needs=b"needs", votes=1)


def spending():
    key = str(Spending.objects.count())
    return Spending.objects.create(scope="voter", key=key, day="2026-03-01")


def reservation():
    return Reservation.objects.create(turn=turn(), day="2026-03-01", charges=[])


def network_salt():
    day = f"2026-03-0{1 + NetworkSalt.objects.count()}"
    return NetworkSalt.objects.create(day=day, value="salt")


def moderation():
    return ModerationSettings.objects.get_or_create(pk=1)[0]


def moderation_category():
    name = f"category {ModerationCategory.objects.count()}"
    return ModerationCategory.objects.create(house=moderation(), name=name)


def moderation_event():
    return ModerationEvent.objects.create(subject="prompt", category="violence", action="log")


def share(**fields):
    return Share.objects.create(**{"battle": factories.battle(), "content": {"x": 1}, **fields})


def second_share():
    share(battle=share().battle)


def the_same_vote_imported_again():
    first = factories.imported_battle()
    factories.imported_battle(source=first.source, external_id=first.external_id)


counted = {"status": "counted", "tally_due": False, "tallied": True}
IMPOSSIBLE = {
    "endpoint_timeouts_positive": [
        change(factories.endpoint, **{f"{name}_timeout": seconds})
        for name in ("connect", "first_token", "gap", "total")
        for seconds in (0, -1)
    ],
    "endpoint_limits_positive": [
        change(factories.endpoint, **{name: 0})
        for name in ("evaluation_concurrency", "requests_per_minute", "tokens_per_minute")
    ],
    "endpoint_money_makes_sense": [
        *(change(factories.endpoint, **{name: 0}) for name in ("daily_requests", "daily_budget")),
        *(change(factories.endpoint, **{name: -1}) for name in ("price_input", "price_output")),
    ],
    "spending_scope_known": [change(spending, scope="city")],
    "spending_of_something": [change(spending, key=""), change(spending, scope="arena")],
    "spending_once_a_day": [twice(spending, "key")],
    "spending_not_negative": [
        change(spending, **{name: -1}) for name in ("requests", "held", "spent")
    ],
    "reservation_open_once": [twice(reservation, "turn_id")],
    "NetworkSalt.day": [twice(network_salt, "day")],
    "moderationsettings_only_one": [change(moderation, id=2)],
    "moderationsettings_provider_known": [change(moderation, provider="oracle")],
    "moderationsettings_action_known": [change(moderation, new_category_action="shout")],
    "moderationsettings_timeout_positive": [change(moderation, timeout=0)],
    "moderationsettings_endpoint_has_an_address": [change(moderation, provider="endpoint")],
    "ModerationCategory.name": [twice(moderation_category, "name")],
    "moderationcategory_action": [change(moderation_category, action="shout")],
    "moderationcategory_threshold_is_a_share": [
        change(moderation_category, threshold=value) for value in (-0.1, 1.1)
    ],
    "moderationcategory_has_a_name": [change(moderation_category, name="")],
    "moderationevent_subject_known": [change(moderation_event, subject="title")],
    "moderationevent_action_known": [
        change(moderation_event, action=action) for action in ("off", "shout")
    ],
    "moderationevent_says_something": [change(moderation_event, category="")],
    "contestant_status_known": [change(factories.contestant, status="famous")],
    "contestant_weight_not_negative": [change(factories.contestant, weight=-0.5)],
    "contestant_answers_through_an_endpoint": [
        change(imported_contestant, status="active"),
        change(factories.contestant, endpoint=None),
        change(factories.contestant, upstream_model=""),
    ],
    "battle_own_or_imported": [
        change(factories.battle, voter=None),
        change(factories.battle, external_id="q1"),
        change(factories.imported_battle, external_id=""),
    ],
    "battle_imported_once": [the_same_vote_imported_again],
    "battle_state_known": [change(factories.battle, state="lost")],
    "battle_mode_known": [change(factories.battle, mode="duel")],
    "battle_two_different_models": [battle_against_itself],
    "battle_one_model_only_in_direct_chat": [
        change(factories.battle, contestant_b=None),
        change(factories.battle, mode="direct"),
        change(side_by_side, contestant_b=None),
    ],
    "battle_drawn_with_a_probability": [
        change(factories.battle, pair_probability=value) for value in (0, -0.1, 1.01, None)
    ],
    "battle_void_has_a_reason": [
        change(factories.battle, state="void"),
        change(factories.battle, void_reason="failed"),
    ],
    "battle_revealed_only_when_said_so": [
        change(factories.battle, revealed_at="2026-01-01T00:00Z"),
        change(factories.battle, state="voted", revealed_at="2026-01-01T00:00Z"),
    ],
    "battle_continues_with_names_shown": [lambda: factories.battle(continues=factories.battle())],
    "share_one_in_force": [second_share],
    "share_revoked_holds_nothing": [change(share, revoked_at="2026-01-01T00:00Z")],
    "turn_state_known": [change(turn, state="paused")],
    "turn_number_once": [second_turn_of_the_same_number],
    "turn_number_from_one": [change(turn, number=0)],
    "Attachment.public_id": [twice(attachment, "public_id")],
    "attachment_of_a_known_type": [change(attachment, content_type="image/svg+xml")],
    "attachment_not_empty": [
        change(attachment, **{name: 0}) for name in ("size", "width", "height")
    ],
    "attachment_has_a_place_in_its_turn": [
        change(attachment, position=1),
        change(sent_attachment, position=None),
        change(sent_attachment, position=0),
        change(sent_attachment, position=5),
        change(sent_attachment, turn=None),
    ],
    "attachment_place_once": [twice(sent_attachment, "turn_id", "position")],
    "answer_state_known": [change(answer, state="bored")],
    "answer_slot_known": [change(answer, slot="c")],
    "answer_slot_once": [second_answer_in_the_same_slot],
    "answer_failed_for_a_reason": [change(answer, state="failed")],
    "vote_choice_known": [change(factories.vote, choice="skip")],
    "vote_status_known": [change(factories.vote, status="lost")],
    "vote_excluded_for_a_reason": [
        change(factories.vote, status="excluded"),
        change(factories.vote, exclusion_reason="administrator"),
    ],
    "vote_settled_means_settled": [
        change(factories.vote, tally_due=False),
        change(factories.vote, **{**counted, "tallied": False}),
        change(factories.vote, **{**counted, "status": "held"}),
        change(factories.vote, **{**counted, "status": "excluded", "exclusion_reason": "x"}),
    ],
    "breaker_state_known": [change(breaker, state="ajar")],
    "breaker_of_one_thing": [
        lambda: breaker(contestant=factories.contestant()),
        lambda: breaker(endpoint=None),
    ],
    "breaker_end_fits_its_state": [
        change(breaker, until="2026-01-01T00:00Z"),
        change(breaker, state="paused", reason="rate_limited"),
    ],
    "breaker_open_for_a_reason": [
        change(breaker, state="open"),
        change(breaker, state="paused", until="2026-01-01T00:00Z"),
    ],
    "upstreamrequest_purpose_known": [change(request, purpose="fun")],
    "upstreamrequest_has_an_outcome": [change(request, outcome="")],
    "arenasettings_sampler_known": [change(ArenaSettings.objects.create, sampler="guess")],
    "arenasettings_pacing_known": [change(ArenaSettings.objects.create, pacing="slow")],
    "arenasettings_only_one": [
        change(ArenaSettings.objects.create, id=2),
        lambda: ArenaSettings.objects.create(id=0),
    ],
    "arenasettings_floor_is_a_share": [
        change(ArenaSettings.objects.create, active_floor=floor) for floor in (0, -0.1, 1.1)
    ],
    "arenasettings_from_one": [
        change(ArenaSettings.objects.create, version=0),
        change(ArenaSettings.objects.create, needs_max_age_hours=0),
    ],
    "pairneeds_hold_something": [change(pair_needs, needs=b"")],
    "Breaker.endpoint": [twice(breaker, "endpoint_id")],
    "Breaker.contestant": [twice(breaker_of_a_model, "contestant_id")],
    "Endpoint.name": [twice(factories.endpoint, "name")],
    "Contestant.name": [twice(factories.contestant, "name")],
    "Contestant.slug": [twice(factories.contestant, "slug")],
    "Source.name": [twice(factories.source, "name")],
    "Voter.key": [twice(factories.voter, "key")],
    "Share.public_id": [twice(share, "public_id")],
    "Battle.public_id": [twice(factories.battle, "public_id")],
    "Vote.battle": [second_vote, twice(factories.vote, "battle_id")],
}


@each(IMPOSSIBLE)
def test_the_database_refuses(attempt):
    with pytest.raises(IntegrityError), transaction.atomic():
        attempt()


def test_every_constraint_has_been_tried():
    assert set(IMPOSSIBLE) == declared("arena")


def test_what_happened_cannot_be_deleted_with_what_it_is_about():
    vote = factories.vote()
    battle = vote.battle
    for row in (battle.contestant_a, battle.contestant_a.endpoint, vote.voter, battle):
        with pytest.raises(models.ProtectedError):
            row.delete()
    assert Vote.objects.filter(pk=vote.pk).exists()


def test_a_valid_row_of_every_kind_is_accepted():
    factories.vote()
    side_by_side()
    factories.battle(
        mode=Battle.Mode.DIRECT, contestant_b=None, pair_probability=None, state="streaming"
    )
    factories.battle(state="void", void_reason="failed")
    assert Battle.objects.count() == 4
    assert {Endpoint, Contestant, Voter, Turn, Answer} <= {
        model for model in apps.get_app_config("arena").get_models() if model.objects.exists()
    }


def test_battles_have_addresses_that_cannot_be_guessed():
    ids = {factories.battle().public_id for _ in range(5)}
    assert len(ids) == 5
    assert all(len(public_id) == 22 for public_id in ids)  # 128 bits in base 64


def test_names_that_give_the_same_slug_are_numbered():
    slugs = [factories.contestant(name=name).slug for name in ("GPT 4", "gpt-4", "GPT_4!", "模型")]
    assert slugs == ["gpt-4", "gpt-4-2", "gpt_4", "model"]


@pytest.mark.parametrize(
    ("plain", "hint"), [("", ""), ("short", "set"), ("sk-0123456789abcdef", "…cdef")]
)
def test_a_stored_key_shows_its_last_four_characters_at_most(plain, hint):
    endpoint = factories.endpoint(api_key=plain)
    assert endpoint.api_key_hint == hint
    assert endpoint.target().api_key == plain
    assert plain == "" or plain not in repr(endpoint.target())


@pytest.mark.parametrize("fields", [{"status": "draft"}, {"status": "paused"}, {"weight": 0}])
def test_a_contestant_that_should_rest_is_not_drawn(fields):
    factories.contestant(**fields)
    drawn = factories.contestant(status="preview")
    factories.contestant(endpoint=factories.endpoint(enabled=False))
    assert list(Contestant.objects.drawable()) == [drawn]
