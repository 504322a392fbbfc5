"""Votes on answers that said who wrote them: kept, marked, and counted only where asked for."""

from __future__ import annotations

import pytest
from django.db.models import F

from arena import votes
from arena.models import Answer, Contestant, Turn, Vote
from leaderboard import counted_votes, public_votes, snapshots, verification, withdrawal
from leaderboard.formats import arena
from leaderboard.formats.source import Source
from leaderboard.models import OVERALL, Category, PairCount
from leaderboard.tally import checking, settling
from tests import factories

pytestmark = pytest.mark.django_db

WITH_LEAKS = "with-identity-leaks"


@pytest.fixture
def pair():
    return {
        "contestant_a": factories.contestant(name="Left 7B", organisation="Left Labs"),
        "contestant_b": factories.contestant(name="Right 8B", aliases="secret-r\n  nightly-r "),
    }


def said(vote: Vote, text: str, *, slot: str = "a", prompt: str = "") -> Vote:
    """The vote, with this as one side's answer to its only prompt."""
    Answer.objects.filter(turn__battle=vote.battle_id, slot=slot).update(text=text)
    if prompt:
        Turn.objects.filter(battle=vote.battle_id).update(prompt=prompt)
    return vote


def standing(vote: Vote) -> tuple[str, str, bool]:
    vote.refresh_from_db()
    return vote.status, vote.exclusion_reason, vote.features.identity_leak


def in_counts(slug: str) -> int:
    return sum(PairCount.objects.filter(category__slug=slug).values_list("n", flat=True))


LEAKED = ("excluded", "identity_leak", True)
COUNTED = ("counted", "", False)


@pytest.mark.parametrize(
    ("text", "slot", "expected"),
    [
        ("Left 7B at your service", "a", LEAKED),
        ("Made with love at Left Labs", "a", LEAKED),
        ("I am nightly-r", "b", LEAKED),
        ("Of course: SECRET-R", "b", LEAKED),
        ("I'm Claude", "b", LEAKED),
        ("Left 7B is a rival of mine", "b", COUNTED),
        ("Turn left, then right", "a", COUNTED),
    ],
)
def test_the_mark_is_made_when_a_vote_is_counted(pair, text, slot, expected):
    vote = said(factories.vote(**pair), text, slot=slot)
    settling.settle_all()
    assert standing(vote) == expected


def test_what_the_person_typed_is_no_leak(pair):
    vote = said(factories.vote(**pair), "Left 7B? Yes.", prompt="Are you left-7b?")
    other = said(factories.vote(**pair), "I could not say.", prompt="I am Left 7B. Who are you?")
    settling.settle_all()
    assert standing(vote) == standing(other) == COUNTED


def test_such_votes_are_in_the_counts_of_the_one_category_that_asks_for_them(pair):
    said(factories.vote(**pair), "I am Left 7B")
    factories.vote(**pair)
    settling.settle_all()
    assert in_counts(OVERALL) == 1
    assert in_counts(WITH_LEAKS) == 2
    for category in Category.objects.exclude(slug=WITH_LEAKS):
        assert in_counts(category.slug) <= 1, category
    assert checking.differences() == {}
    read = counted_votes.read(Category.objects.all())
    assert read.of(Category.objects.get(slug=OVERALL).pk).sum() == 1
    assert read.of(Category.objects.get(slug=WITH_LEAKS).pk).sum() == 2


def test_excluding_and_restoring_one_leaves_the_counts_right(pair):
    vote = said(factories.vote(**pair), "I am Left 7B")
    settling.settle_all()
    votes.exclude(vote_id=vote.pk, reason=Vote.Exclusion.ADMINISTRATOR)
    settling.settle_all()
    assert in_counts(WITH_LEAKS) == 0
    assert standing(vote)[:2] == ("excluded", "administrator")
    votes.restore(vote_id=vote.pk)
    settling.settle_all()
    assert standing(vote) == LEAKED
    assert (in_counts(WITH_LEAKS), in_counts(OVERALL)) == (1, 0)
    assert checking.differences() == {}


def test_a_withdrawal_takes_them_too(pair):
    vote = said(factories.vote(**pair), "I am Left 7B")
    settling.settle_all()
    assert withdrawal.withdraw(contestant=Contestant.objects.get(name="Left 7B")) == 1
    settling.settle_all()
    assert standing(vote)[:2] == ("excluded", "administrator")
    assert in_counts(WITH_LEAKS) == 0


def test_votes_of_other_arenas_are_as_those_counted_them(pair):
    vote = said(factories.vote(**pair), "I am Left 7B")
    type(vote.battle).objects.filter(pk=vote.battle_id).update(
        source=factories.source(), external_id="q", voter=F("voter")
    )
    settling.settle_all()
    assert standing(vote) == COUNTED
    stated = factories.imported_battle(**pair)
    elsewhere = Vote.objects.create(
        battle=stated, choice="a", turn=1, status="excluded", exclusion_reason="identity_leak"
    )
    settling.settle_all()
    assert standing(elsewhere) == ("excluded", "identity_leak", False)
    assert in_counts(WITH_LEAKS) == 1


@pytest.fixture
def published(settings, tmp_path):
    """Six votes, two of them on leaks, as two snapshots and an export."""
    settings.BOOTSTRAP_ROUNDS = settings.BOOTSTRAP_ROUNDS_OVERALL = 20
    settings.MIN_CATEGORY_BATTLES = settings.MIN_CATEGORY_MODELS = 0
    models = {
        "contestant_a": factories.contestant(name="Left 7B"),
        "contestant_b": factories.contestant(name="Right 8B"),
    }
    for choice in ("a", "b", "a", "tie"):
        factories.vote(choice, **models)
    for choice in ("a", "b"):
        said(factories.vote(choice, **models), "I am Left 7B")
    settling.settle_all()
    path = tmp_path / "votes.csv"
    public_votes.write_file(path)
    made = {
        slug: snapshots.publish(Category.objects.get(slug=slug)) for slug in (OVERALL, WITH_LEAKS)
    }
    return made, path


def test_both_boards_can_be_computed_from_the_public_votes(published):
    made, path = published
    assert {slug: snapshot.votes_counted for slug, snapshot in made.items()} == {
        OVERALL: 4,
        WITH_LEAKS: 6,
    }
    for snapshot in made.values():
        verdict = verification.verify(snapshot, path)
        assert verdict.equal, verdict
        assert verdict.counted == snapshot.votes_counted


def test_the_export_and_the_boards_say_what_was_left_out(published):
    made, path = published
    with path.open("rb", buffering=0) as file:
        rows = [row.fields for row in arena.checked_rows(Source(file))]
    leaked = [row for row in rows if row["exclusion_reason"] == "identity_leak"]
    assert len(leaked) == 2
    for row in leaked:
        assert (row["counted"], row["categories"]) == ("false", WITH_LEAKS)
        assert "identity_leak" in row["flags"].split()
    assert made[OVERALL].votes_excluded == {"identity_leak": 2}
    assert made[WITH_LEAKS].votes_excluded == {}
