"""Changing the keys that stored API keys are encrypted with, while the site runs."""

from __future__ import annotations

from django.db import transaction

from arena import keys
from arena.keys import KeyUnreadable
from arena.models import Endpoint


def rotate_api_keys() -> tuple[int, list[Endpoint]]:
    """Encrypt each with the first of ENCRYPTION_KEYS. Returns how many, and the unreadable ones.

    One transaction an endpoint: what an administrator enters meanwhile is not overwritten, and
    one key that nobody can read does not keep the others back.
    """
    rotated, unreadable = 0, []
    for pk in Endpoint.objects.exclude(api_key_sealed="").values_list("pk", flat=True):
        with transaction.atomic():
            endpoint = Endpoint.objects.select_for_update().get(pk=pk)
            try:
                endpoint.api_key_sealed = keys.rotate(endpoint.api_key_sealed)
            except KeyUnreadable:
                unreadable.append(endpoint)
                continue
            endpoint.save(update_fields=["api_key_sealed"])
            rotated += 1
    return rotated, unreadable
