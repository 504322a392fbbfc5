"""The workers that are threads of the web process."""

from __future__ import annotations

from config.celery import app
from config.embedded import EmbeddedWorker


def test_votes_wait_neither_for_benchmarks_nor_for_probes():
    workers = EmbeddedWorker(app)._workers
    assert [set(worker.app.amqp.queues.consume_from) for worker in workers] == [
        {"votes", "ratings"},
        {"evaluation"},
        {"sandbox"},
        {"probes"},
    ]
    for worker in workers:
        assert {"leaderboard.tasks.settle_votes", "evaluation.tasks.work_on"} <= set(
            worker.app.tasks
        )
