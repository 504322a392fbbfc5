"""Changing the keys that stored API keys are encrypted with, while the site runs."""

from __future__ import annotations

from django.db import transaction

from arena import keys
from arena.key_holder import KeyHolder
from arena.keys import KeyUnreadable
from arena.models import Endpoint, ModerationSettings


def rotate_api_keys() -> tuple[int, list[KeyHolder]]:
    """Encrypt each with the first of ENCRYPTION_KEYS. Returns how many, and the unreadable ones.

    One transaction a key: what an administrator enters meanwhile is not overwritten, and
    one key that nobody can read does not keep the others back.
    """
    rotated = 0
    unreadable: list[KeyHolder] = []
    for holders in (Endpoint.objects, ModerationSettings.objects):
        for pk in holders.exclude(api_key_sealed="").values_list("pk", flat=True):
            with transaction.atomic():
                holder: KeyHolder = holders.select_for_update().get(pk=pk)
                try:
                    holder.api_key_sealed = keys.rotate(holder.api_key_sealed)
                except KeyUnreadable:
                    unreadable.append(holder)
                    continue
                holder.save(update_fields=["api_key_sealed"])
                rotated += 1
    return rotated, unreadable
