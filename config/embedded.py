"""Celery workers and beat as threads of the web process, for the embedded default.

The same tasks on the same schedule as in production; only the broker is this process's memory.
"""

from __future__ import annotations

import threading

from celery import Celery
from celery.beat import Scheduler, Service
from celery.worker import WorkController


def _another(app: Celery) -> Celery:
    """The same tasks and settings. The queues a worker consumes are kept in its application, so two
    workers of one application would both consume those of the second."""
    another = Celery(app.main, set_as_current=False)
    another.config_from_object("django.conf:settings", namespace="CELERY")
    another.autodiscover_tasks()
    return another


def _solo_worker(app: Celery, queues: list[str]) -> WorkController:
    return WorkController(
        app=app,
        hostname=f"{queues[0]}@embedded",
        pool="solo",
        concurrency=1,
        queues=queues,
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
    )


class EmbeddedWorker:
    """Solo workers and one beat. Not for production: a fit would hold the interpreter."""

    def __init__(self, app: Celery) -> None:
        self._app = app
        # Benchmarks wait minutes for models, and votes must not wait for benchmarks, nor benchmarks
        # for the programs that models wrote.
        self._workers = [
            _solo_worker(app, ["votes", "ratings"]),
            _solo_worker(_another(app), ["evaluation"]),
            _solo_worker(_another(app), ["sandbox"]),
            # A probe waits for an endpoint that hangs, and none of these must wait for it.
            _solo_worker(_another(app), ["probes"]),
        ]
        # In-memory schedule: with a broker of memory there is nothing to remember across starts.
        self._beat = Service(app, scheduler_cls=Scheduler, max_interval=1)
        self._threads = [
            *(
                threading.Thread(target=worker.start, name="celery-worker", daemon=True)
                for worker in self._workers
            ),
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
        # What a worker of the command line does by itself when it is ready.
        self._app.send_task("evaluation.tasks.report_sandbox", expires=60)

    def stop(self) -> None:
        self._beat.stop()
        for worker in self._workers:
            worker.stop(in_sighandler=False)
        for thread in self._threads:
            thread.join(timeout=5)
