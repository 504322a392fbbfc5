"""Answers kept for runs that ask for them: an equal request is sent, and paid for, once."""

from __future__ import annotations

import dataclasses
import hashlib
from datetime import timedelta
from typing import Any

from django.utils import timezone

from arena.backends.base import ChatRequest
from arena.models import Endpoint
from evaluation.formats.items import canonical_json
from evaluation.models import CachedResponse, Sample

FIELDS = ("response", "reasoning", "finish_reason", "prompt_tokens", "completion_tokens")


def cache_key(*, endpoint: Endpoint, request: ChatRequest, epoch: int) -> str:
    """Of all that was sent, and where to.

    With the epoch: a second epoch that took the first one's answer would be no second opinion.
    """
    sent = {
        "endpoint": [endpoint.pk, endpoint.base_url],
        "request": dataclasses.asdict(request),
        "epoch": epoch,
    }
    return hashlib.sha256(canonical_json(sent).encode()).hexdigest()


def find(key: str) -> dict[str, Any] | None:
    """The fields of a sample that this answers, if it was answered before."""
    found = CachedResponse.objects.filter(key=key).values(*FIELDS).first()
    return found and {**found, "state": Sample.State.DONE, "cached": True}


def keep(key: str, fields: dict[str, Any]) -> None:
    """An answer; a failure is never kept. Of two at the same moment the first stays."""
    CachedResponse.objects.bulk_create(
        [CachedResponse(key=key, **{name: fields[name] for name in FIELDS})], ignore_conflicts=True
    )


def prune(*, older_than: timedelta) -> int:
    """How many were given before that. A model behind a name changes; so do what people ask."""
    old = CachedResponse.objects.filter(created_at__lt=timezone.now() - older_than)
    return old.delete()[0]
