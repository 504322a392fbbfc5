"""Changing what holds for all battles: the sampler, its floor, the pacing."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from arena.models import ArenaSettings


@transaction.atomic
def change(**values: Any) -> ArenaSettings:
    """Set these fields, under the next version. Values come validated, from a form.

    Another process goes by the former settings for at most SETTINGS_RECHECK_SECONDS.
    """
    # The row must exist to be locked: two changes at once would get the same version.
    ArenaSettings.objects.get_or_create(pk=1)
    changed = ArenaSettings.objects.select_for_update().get(pk=1)
    for name, value in values.items():
        setattr(changed, name, value)
    changed.version += 1
    changed.save()
    return changed
