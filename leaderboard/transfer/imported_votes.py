"""Batches of imported votes as rows of the database. Called inside the import's transaction."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from django.conf import settings
from django.utils import timezone
from django.utils.crypto import salted_hmac

from arena.models import Answer, Battle, Contestant, Source, Turn, Vote, Voter
from leaderboard.formats.records import VoteRecord
from leaderboard.models import VoteFeatures
from leaderboard.transfer import stated

_CHOICES = {
    "model_a": Vote.Choice.A,
    "model_b": Vote.Choice.B,
    "tie": Vote.Choice.TIE,
    "both_bad": Vote.Choice.BOTH_BAD,
}


class Item(Protocol):
    @property
    def external_id(self) -> str: ...
    @property
    def record(self) -> VoteRecord: ...


class Models:
    """Contestants by their exact names; unknown ones are made, rated and never drawn."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}
        self.new: list[str] = []
        self.known: list[str] = []

    def look_up(self, names: set[str]) -> None:
        """Which of these are known. Makes none: nothing may be left to store of some."""
        missing = names - self._ids.keys()
        if missing:
            known = dict(Contestant.objects.filter(name__in=missing).values_list("name", "pk"))
            self.known += sorted(known)
            self._ids |= known

    def ids(self, names: set[str]) -> dict[str, int]:
        """The ids of these and of all asked for before."""
        self.look_up(names)
        for name in sorted(names - self._ids.keys()):
            made = Contestant.objects.create(name=name, status=Contestant.Status.IMPORTED)
            self._ids[name] = made.pk
            self.new.append(name)
        return self._ids


def renamed(record: VoteRecord, prefix: str) -> VoteRecord:
    if not prefix:
        return record
    return dataclasses.replace(
        record, model_a=prefix + record.model_a, model_b=prefix + record.model_b
    )


def _names(records: Sequence[VoteRecord]) -> set[str]:
    return {name for record in records for name in (record.model_a, record.model_b)}


def store(source: Source, items: Sequence[Item], models: Models) -> int:
    """Inserts those that the source does not have yet; returns their number.

    The caller holds the source's row, so nobody else inserts between the look and the leap.
    """
    stored = set(
        Battle.objects.filter(
            source=source, external_id__in=[item.external_id for item in items]
        ).values_list("external_id", flat=True)
    )
    models.look_up(_names([item.record for item in items]))
    items = [item for item in items if item.external_id not in stored]
    records = [item.record for item in items]
    ids = models.ids(_names(records))
    voters = _voters(source, {record.judge for record in records if record.judge})
    now = timezone.now()
    battles = Battle.objects.bulk_create(
        Battle(
            source=source,
            external_id=item.external_id,
            mode=Battle.Mode.BATTLE if _blind(record) else Battle.Mode.SIDE_BY_SIDE,
            voter_id=voters.get(record.judge),
            contestant_a_id=ids[record.model_a],
            contestant_b_id=ids[record.model_b],
            state=Battle.State.VOTED,
            pair_probability=record.pair_probability,
            created_at=record.timestamp or now,
        )
        for item, record in zip(items, records, strict=True)
    )
    _store_texts(battles, records, ids, now)
    votes = Vote.objects.bulk_create(
        _vote(battle, record) for battle, record in zip(battles, records, strict=True)
    )
    VoteFeatures.objects.bulk_create(
        VoteFeatures(vote=vote, **stated.features(record))
        for vote, record in zip(votes, records, strict=True)
        if not record.turn_messages  # else what settles the vote reads the texts
    )
    return len(items)


def _voters(source: Source, judges: set[str]) -> dict[str, int]:
    """A voter for each judge of the source, found again whichever secret made its key.

    A keyed hash: what the source calls its judges may be a name, and a copy of the database
    without the secret must not tell which.
    """
    if not judges:
        return {}
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    keys = {judge: [_key(source, judge, secret) for secret in secrets] for judge in judges}
    found = dict(
        Voter.objects.filter(key__in=[key for each in keys.values() for key in each]).values_list(
            "key", "pk"
        )
    )
    missing = [each[0] for each in keys.values() if not any(key in found for key in each)]
    made = Voter.objects.bulk_create(Voter(key=key) for key in sorted(missing))
    found |= {voter.key: voter.pk for voter in made}
    return {judge: next(found[key] for key in each if key in found) for judge, each in keys.items()}


def _key(source: Source, judge: str, secret: str) -> str:
    salt = "leaderboard.transfer.imported_votes"
    digest = salted_hmac(salt, f"{source.name}\n{judge}", secret=secret, algorithm="sha256")
    return digest.hexdigest()[:32]


def _store_texts(
    battles: list[Battle], records: list[VoteRecord], ids: dict[str, int], now: datetime
) -> None:
    said = []
    for battle, record in zip(battles, records, strict=True):
        for number, (prompt, *answers) in enumerate(record.turn_messages, 1):
            turn = Turn(
                battle=battle,
                number=number,
                prompt=prompt,
                state=Turn.State.DONE,
                heartbeat_at=record.timestamp or now,
            )
            said.append((turn, (ids[record.model_a], ids[record.model_b]), answers))
    Turn.objects.bulk_create(turn for turn, _, _ in said)
    Answer.objects.bulk_create(
        Answer(
            turn=turn,
            slot=slot,
            contestant_id=contestant,
            state=Answer.State.COMPLETE,
            finish_reason="other",
            text=text,
        )
        for turn, contestants, answers in said
        for slot, contestant, text in zip("ab", contestants, answers, strict=True)
    )


def _vote(battle: Battle, record: VoteRecord) -> Vote:
    status, reason = _standing(record)
    return Vote(
        battle=battle,
        voter_id=battle.voter_id,
        choice=_CHOICES[record.winner],
        turn=max(1, record.turns, len(record.turn_messages)),
        created_at=battle.created_at,
        status=status,
        exclusion_reason=reason,
    )


def _blind(record: VoteRecord) -> bool:
    return record.anonymous and record.extra.get("exclusion_reason") != Vote.Exclusion.NAMES_SHOWN


def _standing(record: VoteRecord) -> tuple[str, str]:
    """(status, exclusion reason): what did not count at its source does not count here.

    What only waited there, held or pending, is held: its arena may have found against it since.
    """
    reason = str(record.extra.get("exclusion_reason") or "")
    if reason in Vote.Exclusion.values:
        return Vote.Status.EXCLUDED, reason
    if record.extra.get("counted") is False:
        return Vote.Status.HELD, ""
    if not record.anonymous:
        return Vote.Status.EXCLUDED, Vote.Exclusion.NAMES_SHOWN
    return Vote.Status.PENDING, ""
