"""Encrypt every stored API key with the first of ENCRYPTION_KEYS, so that older ones can go."""

from __future__ import annotations

from typing import Any

from django.core.management import BaseCommand, CommandError

from arena import rotation


class Command(BaseCommand):
    help = "Encrypt stored API keys anew with the first of ENCRYPTION_KEYS."

    def handle(self, **options: Any) -> None:
        rotated, unreadable = rotation.rotate_api_keys()
        self.stdout.write(f"Encrypted {rotated} API keys with the first of ENCRYPTION_KEYS.")
        if unreadable:
            raise CommandError(
                "No key in ENCRYPTION_KEYS opens the API key of: "
                f"{', '.join(str(holder) for holder in unreadable)}. Put the key that wrote "
                "it back into ENCRYPTION_KEYS, or enter the API key again."
            )
