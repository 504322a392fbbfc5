"""Changing what holds for all battles: the sampler, its floor, the models' weights, the pacing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from arena.models import ArenaSettings, Contestant


class ChangedMeanwhile(Exception):
    """Somebody else has changed the settings since they were looked at."""


@transaction.atomic
def change(
    *,
    weights: Mapping[int, tuple[float, str]] | None = None,
    seen_version: int | None = None,
    **values: Any,
) -> ArenaSettings:
    """Set these fields, under the next version. Values come validated, from a form.

    `weights` gives contestants, by id, another weight and the reason for it. Raises
    ChangedMeanwhile where the settings are no longer of the version that was seen. Another process
    goes by the former settings for at most SETTINGS_RECHECK_SECONDS.
    """
    # The row must exist to be locked: two changes at once would get the same version.
    ArenaSettings.objects.get_or_create(pk=1)
    changed = ArenaSettings.objects.select_for_update().get(pk=1)
    if seen_version not in (None, changed.version):
        raise ChangedMeanwhile
    for name, value in values.items():
        setattr(changed, name, value)
    changed.version += 1
    changed.save()
    for pk, (weight, reason) in (weights or {}).items():
        Contestant.objects.filter(pk=pk).update(weight=weight, weight_reason=reason)
    return changed
