"""Imports that the staff ask for on a page and a worker carries out."""

from __future__ import annotations

import contextlib
import logging
import tempfile
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from leaderboard.models import ImportPiece, ImportRun
from leaderboard.transfer.importing import ImportRefused, Progress, import_votes, source_name

logger = logging.getLogger(__name__)

_ENDINGS = (".csv", ".tsv", ".json", ".jsonl", ".txt", ".gz")
_PIECE = 1 << 20  # bytes of an upload in one row
# Nothing is seen of a run while it stores: that is one transaction. This is more than it takes for
# the largest file, and a run that is taken up twice all the same imports nothing twice.
DEAD_AFTER = timedelta(minutes=60)
MAX_ATTEMPTS = 3
_BEAT_SECONDS = 1.0


def available() -> list[str]:
    """The files on the server that may be imported, by name: those of a fit size."""
    folder = settings.IMPORTS_DIR
    if not folder.is_dir():
        return []
    return sorted(
        path.name
        for path in folder.iterdir()
        if path.name.endswith(_ENDINGS)
        and path.is_file()
        and path.stat().st_size <= settings.MAX_IMPORT_MB << 20
    )


@transaction.atomic
def request(
    *,
    upload: UploadedFile | None,
    file: str,
    name: str = "",
    requested_by: Any = None,
    **options: Any,
) -> ImportRun:
    """A run that waits for a worker: of an uploaded file, or of one of `available()`."""
    if upload is not None:
        file = (upload.name or "upload")[-200:]
    run = ImportRun.objects.create(
        file=file,
        uploaded=upload is not None,
        name=name or source_name(file),
        requested_by=requested_by,
        **options,
    )
    if upload is not None:
        for number, content in enumerate(upload.chunks(_PIECE)):
            ImportPiece.objects.create(run=run, number=number, content=content)
    return run


def run_next() -> int | None:
    """Carry out the oldest run that waits, or whose worker has died. Returns its id, if any."""
    run = _claim()
    if run is None:
        return None
    try:
        with _opened(run) as path:
            report = import_votes(
                path,
                name=run.name,
                format=run.format or None,
                licence=run.licence,
                url=run.url,
                prefix=run.prefix,
                skip_bad=run.skip_bad,
                max_votes=settings.MAX_IMPORT_VOTES,
                on_progress=_beat(run),
            )
    except ImportRefused as refusal:
        _end(run, ImportRun.State.REFUSED, error=str(refusal))
    except Exception:
        # Not tried again: what fails by our own fault would fail for ever, and block the others.
        logger.exception("import %d failed", run.pk)
        _end(run, ImportRun.State.REFUSED, error="An error on our side; the log has it.")
    else:
        _end(run, ImportRun.State.DONE, report=report.as_json())
    return run.pk


@transaction.atomic
def _claim() -> ImportRun | None:
    now = timezone.now()
    run = (
        ImportRun.objects.select_for_update(skip_locked=True)
        .filter(
            Q(state=ImportRun.State.WAITING)
            | Q(state=ImportRun.State.RUNNING, heartbeat_at__lt=now - DEAD_AFTER)
        )
        .order_by("pk")
        .first()
    )
    if run is None:
        return None
    if run.attempts >= MAX_ATTEMPTS:
        _end(run, ImportRun.State.REFUSED, error=f"{MAX_ATTEMPTS} workers died of it.")
        return None
    ImportRun.objects.filter(pk=run.pk).update(
        state=ImportRun.State.RUNNING, heartbeat_at=now, attempts=F("attempts") + 1
    )
    return run


@contextlib.contextmanager
def _opened(run: ImportRun) -> Iterator[Path]:
    """The run's file. Raises ImportRefused for a name that is not a file of the folder."""
    if run.uploaded:
        with tempfile.TemporaryDirectory(prefix="arena-import-") as folder:
            path = Path(folder) / "upload"
            with path.open("wb") as file:
                for piece in run.pieces.order_by("number").iterator(chunk_size=1):
                    file.write(piece.content)
            yield path
        return
    path = settings.IMPORTS_DIR / run.file
    if path.parent != settings.IMPORTS_DIR or not path.is_file():
        raise ImportRefused(
            f"The worker does not find {run.file}: IMPORTS_DIR must be one folder for it and for "
            "the web processes."
        )
    yield path


def _beat(run: ImportRun) -> Any:
    """Tells the row how far the checking is, at most once a second."""
    last = 0.0

    def beat(progress: Progress) -> None:
        nonlocal last
        if progress.phase != "checking":
            return  # inside the transaction that stores: nobody would see it
        finished = progress.done == progress.total
        now = time.monotonic()
        if now - last < _BEAT_SECONDS and not finished:
            return
        last = now
        ImportRun.objects.filter(pk=run.pk).update(
            phase="storing" if finished else "checking",
            done=progress.done,
            total=progress.total,
            heartbeat_at=timezone.now(),
        )

    return beat


@transaction.atomic
def _end(run: ImportRun, state: str, **fields: Any) -> None:
    ImportRun.objects.filter(pk=run.pk).update(state=state, finished_at=timezone.now(), **fields)
    run.pieces.all().delete()
