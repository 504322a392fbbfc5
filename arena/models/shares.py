"""Copies of conversations that their owners have made public."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import Q
from django.utils import timezone


def new_share_id() -> str:
    """128 random bits of its own: nothing leads from it to the battle's address."""
    return secrets.token_hex(16)


class Share(models.Model):
    """What anybody with its address may read, as it was when it was shared.

    `content` holds HTML that has passed the sanitiser: rendering is not left to whoever reads.
    """

    public_id = models.CharField(max_length=32, unique=True, default=new_share_id, editable=False)
    battle = models.ForeignKey("arena.Battle", on_delete=models.PROTECT, related_name="shares")
    content = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["battle"], condition=Q(revoked_at__isnull=True), name="share_one_in_force"
            ),
            models.CheckConstraint(
                condition=Q(revoked_at__isnull=True) | Q(content={}),
                name="share_revoked_holds_nothing",
            ),
        ]

    def __str__(self) -> str:
        return self.public_id
