"""Rows for tests: each function makes one valid thing, and whatever it needs."""

from __future__ import annotations

import itertools
from typing import Any

from django.utils import timezone

from arena.models import (
    Answer,
    Attachment,
    Battle,
    Contestant,
    Endpoint,
    Source,
    Turn,
    UpstreamRequest,
    Vote,
    Voter,
)

_numbers = itertools.count(1)


def endpoint(**fields: Any) -> Endpoint:
    number = next(_numbers)
    fields = {
        "name": f"endpoint {number}",
        "kind": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        **fields,
    }
    key = fields.pop("api_key", "")
    made = Endpoint(**fields)
    made.set_api_key(key)
    made.save()
    return made


def contestant(**fields: Any) -> Contestant:
    number = next(_numbers)
    if "endpoint" not in fields:
        fields["endpoint"] = endpoint()
    fields = {
        "name": f"Model {number}",
        "upstream_model": f"model-{number}",
        "organisation": "Org",
        "licence": "Apache-2.0",
        "status": Contestant.Status.ACTIVE,
        **fields,
    }
    return Contestant.objects.create(**fields)


def upstream_request(outcome: str = "answered", **fields: Any) -> UpstreamRequest:
    """One attempt to ask a model, at the model's endpoint."""
    if "contestant" not in fields:
        fields["contestant"] = contestant()
    fields = {
        "endpoint": fields["contestant"].endpoint,
        "purpose": UpstreamRequest.Purpose.BATTLE,
        "duration_ms": 1_000,
        **fields,
    }
    return UpstreamRequest.objects.create(outcome=outcome, **fields)


def voter(**fields: Any) -> Voter:
    return Voter.objects.create(**{"key": f"{next(_numbers):032x}", **fields})


def attachment(**fields: Any) -> Attachment:
    """The row of an uploaded image, without its file."""
    if "voter" not in fields:
        fields["voter"] = fields["turn"].battle.voter if fields.get("turn") else voter()
    fields = {
        "content_type": "image/png",
        "sha256": "0" * 64,
        "size": 10,
        "width": 4,
        "height": 3,
        **fields,
    }
    return Attachment.objects.create(**fields)


def source(**fields: Any) -> Source:
    return Source.objects.create(**{"name": f"set-{next(_numbers)}", "format": "plain", **fields})


def imported_battle(**fields: Any) -> Battle:
    """A battle that another arena saw: no voter known, no probability, no text."""
    if "source" not in fields:
        fields["source"] = source()
    for slot in ("contestant_a", "contestant_b"):
        if slot not in fields:
            fields[slot] = contestant(status="imported", endpoint=None, upstream_model="")
    return Battle.objects.create(
        **{"state": Battle.State.VOTED, "external_id": f"q{next(_numbers)}", **fields}
    )


def battle(**fields: Any) -> Battle:
    """A battle with one answered turn, ready for a vote unless `state` says otherwise."""
    if "voter" not in fields:
        fields["voter"] = voter()
    for slot in ("contestant_a", "contestant_b"):
        if slot not in fields:
            fields[slot] = contestant()
    fields = {
        "state": Battle.State.READY,
        "pair_probability": 1.0,
        "sampler": "test",
        "parameters": {"max_tokens": 100},
        **fields,
    }
    made = Battle.objects.create(**fields)
    running = made.state == Battle.State.STREAMING
    turn = Turn.objects.create(
        battle=made,
        number=1,
        prompt=f"Why? {next(_numbers)}",  # of very many equal ones, not all would count
        heartbeat_at=timezone.now(),
        state=Turn.State.RUNNING if running else Turn.State.DONE,
    )
    for slot, model in (("a", made.contestant_a), ("b", made.contestant_b)):
        if model:
            Answer.objects.create(
                turn=turn,
                slot=slot,
                contestant=model,
                text=f"Because of {slot}.",
                state=Answer.State.STREAMING if running else Answer.State.COMPLETE,
            )
    return made


def vote(choice: str = "a", **fields: Any) -> Vote:
    """A pending vote on a battle of its own; battle fields go to the battle."""
    made = battle(**{**fields, "state": Battle.State.VOTED})
    return Vote.objects.create(battle=made, voter=made.voter, choice=choice, turn=1)
