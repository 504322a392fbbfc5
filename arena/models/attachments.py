"""Pictures that belong to questions. The database knows of them; a storage holds them."""

from __future__ import annotations

import secrets

from django.db import models
from django.db.models import Q
from django.utils import timezone

from arena.images import EXTENSIONS
from arena.protocol import MAX_IMAGES


def new_attachment_id() -> str:
    return secrets.token_hex(16)  # 128 random bits: an address that cannot be guessed


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def waiting(self) -> AttachmentQuerySet:
        """Uploaded, and not sent with a question yet."""
        return self.filter(turn__isnull=True)


class Attachment(models.Model):
    """A picture that a voter uploaded, and since it was sent, the question it belongs to.

    One file each, under the row's own random name: deleting one can never take another's picture.
    """

    public_id = models.CharField(
        max_length=32, unique=True, default=new_attachment_id, editable=False
    )
    voter = models.ForeignKey("arena.Voter", on_delete=models.PROTECT, related_name="attachments")
    turn = models.ForeignKey(
        "arena.Turn", on_delete=models.CASCADE, related_name="attachments", null=True, blank=True
    )
    position = models.PositiveSmallIntegerField(
        null=True, blank=True, help_text="Among the pictures of its question, from 1."
    )
    content_type = models.CharField(max_length=20)
    sha256 = models.CharField(max_length=64, help_text="Of the file as it is stored.")
    size = models.PositiveIntegerField(help_text="Bytes.")
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    since = models.DateTimeField(
        default=timezone.now,
        help_text="Uploaded; or when its battle came to nothing, so that it waits again.",
    )

    objects = AttachmentQuerySet.as_manager()

    class Meta:
        ordering = ["turn_id", "position"]  # not by what a turn is ordered by: that is a join
        constraints = [
            models.CheckConstraint(
                condition=Q(content_type__in=list(EXTENSIONS)), name="attachment_of_a_known_type"
            ),
            models.CheckConstraint(
                condition=Q(size__gt=0, width__gt=0, height__gt=0), name="attachment_not_empty"
            ),
            models.CheckConstraint(
                condition=Q(turn__isnull=True, position__isnull=True)
                # NULL must be named: a comparison with it is not false, so it would pass.
                | Q(
                    turn__isnull=False,
                    position__isnull=False,
                    position__gte=1,
                    position__lte=MAX_IMAGES,
                ),
                name="attachment_has_a_place_in_its_turn",
            ),
            models.UniqueConstraint(
                fields=["turn", "position"],
                condition=Q(turn__isnull=False),
                name="attachment_place_once",
            ),
        ]
        indexes = [
            models.Index(
                fields=["since"], name="attachment_waiting", condition=Q(turn__isnull=True)
            )
        ]

    def __str__(self) -> str:
        return self.public_id

    @property
    def path(self) -> str:
        """Of its file in the storage; two letters keep folders small."""
        extension = EXTENSIONS[self.content_type]
        return f"{self.public_id[:2]}/{self.public_id}.{extension}"
