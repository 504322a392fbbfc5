"""A server's address with the API key that belongs to it, and to no other address."""

from __future__ import annotations

from urllib.parse import urlsplit

from django.db import models

from arena import keys


class KeyHolder(models.Model):
    base_url: models.CharField[str, str]  # of the concrete model
    api_key_sealed = models.TextField(blank=True, editable=False)
    api_key_hint = models.CharField("API key", max_length=8, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def origin(self) -> tuple[str, str, int | None]:
        """What a key belongs to. A key must never travel to another origin (CVE-2026-41487)."""
        parts = urlsplit(self.base_url)
        return parts.scheme.lower(), (parts.hostname or "").lower(), parts.port

    def api_key(self) -> str:
        """Raises KeyUnreadable."""
        return keys.decrypt(self.api_key_sealed)

    def set_api_key(self, plain: str) -> None:
        self.api_key_sealed = keys.encrypt(plain)
        # Short keys have no tail to show that would not be half of the secret.
        self.api_key_hint = ("…" + plain[-4:] if len(plain) >= 12 else "set") if plain else ""

    def change_key(self, before: KeyHolder | None, *, new: str, erase: bool) -> bool:
        """Give it a new key, or erase the stored one where it must not go along.

        `before` is the stored row. True when a key was erased because the address is another one.
        """
        moved = before is not None and before.origin != self.origin and bool(before.api_key_sealed)
        if new:
            self.set_api_key(new)
        elif moved or erase:
            self.set_api_key("")
        return moved and not new
