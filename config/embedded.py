"""A Celery worker and beat as threads of the web process, for the embedded default.

The same tasks on the same schedule as in production; only the broker is this process's memory.
"""

from __future__ import annotations

import threading

from celery import Celery
from celery.beat import Scheduler, Service
from celery.worker import WorkController


class EmbeddedWorker:
    """One solo worker and one beat. Not for production: a fit would hold the interpreter."""

    def __init__(self, app: Celery) -> None:
        self._worker = WorkController(
            app=app,
            pool="solo",
            concurrency=1,
            queues=["votes", "ratings"],
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=True,
        )
        # In-memory schedule: with a broker of memory there is nothing to remember across starts.
        self._beat = Service(app, scheduler_cls=Scheduler, max_interval=1)
        self._threads = [
            threading.Thread(target=self._worker.start, name="celery-worker", daemon=True),
            threading.Thread(
                target=self._beat.start,
                kwargs={"embedded_process": True},
                name="celery-beat",
                daemon=True,
            ),
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._beat.stop()
        self._worker.stop(in_sighandler=False)
        for thread in self._threads:
            thread.join(timeout=5)
