"""Pictures in questions: uploaded, sent, shown to their owner, given up, swept away.

A picture is uploaded first and sent with a question later, so it may wait; one that waits too long
is deleted. So are those of battles that came to nothing, which wait anew: the question may be put
again with them.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.core.files.storage import Storage, storages
from django.db import transaction
from django.db.models import Sum
from django.urls import reverse
from django.utils import timezone

from arena import images
from arena.backends.base import Image
from arena.models import Attachment, Contestant, ContestantQuerySet, Turn, Voter
from arena.protocol import MAX_IMAGES
from arena.refusals import Refused

WAITS_FOR = timedelta(hours=1)
MAX_WAITING = 3 * MAX_IMAGES  # of one voter; the oldest makes room
MAX_WAITING_BYTES = 2_000_000_000  # of all voters: a flood must not fill the disk
DECODING_PATIENCE = 10.0  # seconds

# One at a time in a process: each may take some hundred megabytes while it is decoded.
_decoding = threading.Semaphore(1)


def storage() -> Storage:
    return storages["attachments"]


def who_can_see(contestants: ContestantQuerySet) -> ContestantQuerySet:
    return contestants.filter(vision=True)


@dataclass(frozen=True, slots=True)
class Upload:
    attachment: Attachment
    was_animated: bool


def upload(*, voter: Voter, data: bytes) -> Upload:
    """Keep the picture in this file until it is sent. Raises Refused."""
    if not who_can_see(Contestant.objects.drawable()).exists():
        raise Refused(
            "no_vision",
            "No model that reads images is available now. Please retry in 60 s, or ask without.",
            retry_after=60,
        )
    waiting = Attachment.objects.waiting().aggregate(total=Sum("size"))["total"] or 0
    if waiting > MAX_WAITING_BYTES:
        raise _busy()
    picture = _clean(data)
    attachment = Attachment.objects.create(
        voter=voter,
        content_type=picture.content_type,
        sha256=hashlib.sha256(picture.data).hexdigest(),
        size=len(picture.data),
        width=picture.width,
        height=picture.height,
    )
    # The row first: a file without one would never be found again.
    try:
        storage().save(attachment.path, ContentFile(picture.data))
    except Exception:
        attachment.delete()
        raise
    _make_room(voter)
    return Upload(attachment, picture.was_animated)


def _clean(data: bytes) -> images.Picture:
    if not _decoding.acquire(timeout=DECODING_PATIENCE):
        raise _busy()
    try:
        return images.clean(data)
    except images.BadImage as error:
        raise Refused(error.code, error.message) from None
    finally:
        _decoding.release()


def _busy() -> Refused:
    return Refused(
        "images_busy", "Too many images are on their way now. Please retry in 60 s.", retry_after=60
    )


def _make_room(voter: Voter) -> None:
    own = Attachment.objects.waiting().filter(voter=voter).order_by("-since", "-pk")
    _delete(own.values_list("pk", flat=True)[MAX_WAITING:])


def discard(*, voter: Voter, public_id: str) -> None:
    """Delete one that was not sent."""
    own = Attachment.objects.waiting().filter(voter=voter, public_id=public_id)
    _delete(own.values_list("pk", flat=True))


def attach(*, turn: Turn, public_ids: Sequence[str]) -> None:
    """Send these with the question, in this order. Called in the transaction that makes the turn.

    Raises Refused when one is not the voter's own, was sent before or waited too long.
    """
    found = {
        attachment.public_id: attachment
        for attachment in Attachment.objects.waiting()
        .select_for_update()
        .filter(voter=turn.battle.voter_id, public_id__in=public_ids)
    }
    if len(found) != len(public_ids):  # unknown, or one twice
        raise Refused("image_gone", "One of the images is not here any more. Please add it again.")
    for position, public_id in enumerate(public_ids, 1):
        attachment = found[public_id]
        attachment.turn, attachment.position = turn, position
        attachment.save(update_fields=["turn", "position"])


def let_go(*, battle_id: int) -> None:
    """The battle came to nothing: its pictures wait again, to be sent anew or swept away."""
    Attachment.objects.filter(turn__battle=battle_id).update(
        turn=None, position=None, since=timezone.now()
    )


def pictures(battles: Collection[int]) -> dict[int, list[Image]]:
    """By turn number, what goes to the models in a conversation over these battles."""
    sent: dict[int, list[Image]] = {}
    for attachment in (
        Attachment.objects.filter(turn__battle__in=battles)
        .select_related("turn")
        .order_by("turn__number", "position")
    ):
        assert attachment.turn is not None
        image = Image(attachment.content_type, read(attachment))
        sent.setdefault(attachment.turn.number, []).append(image)
    return sent


def read(attachment: Attachment) -> bytes:
    """Raises Refused when its file is lost."""
    try:
        with storage().open(attachment.path) as file:
            data: bytes = file.read()
    except FileNotFoundError:
        raise Refused(
            "image_gone", "An image of this conversation is lost. Please start a new one."
        ) from None
    return data


def on_page(attachments: Iterable[Attachment]) -> list[dict[str, Any]]:
    """As the page shows them beside a question."""
    return [
        {
            "id": attachment.public_id,
            "url": reverse("arena:image", args=[attachment.public_id]),
            "width": attachment.width,
            "height": attachment.height,
        }
        for attachment in attachments
    ]


def sweep() -> int:
    """Delete what waited too long. Returns how many."""
    old = Attachment.objects.waiting().filter(since__lt=timezone.now() - WAITS_FOR)
    return _delete(old.values_list("pk", flat=True))


def _delete(ids: Iterable[int]) -> int:
    """Those that still wait, each with its file: the file first, or it would never be found."""
    deleted = 0
    for pk in list(ids):
        with transaction.atomic():
            # Whoever sends it at this moment waits for the lock, and then finds it gone.
            attachment = Attachment.objects.waiting().select_for_update().filter(pk=pk).first()
            if attachment is not None:
                with suppress(FileNotFoundError):
                    storage().delete(attachment.path)
                attachment.delete()
                deleted += 1
    return deleted
