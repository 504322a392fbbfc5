"""A run worked on in the test's own process."""

from __future__ import annotations

from evaluation.models import Run
from evaluation.running import finishing, runner


def work(run: Run) -> Run:
    """As workers do, until there is nothing to do."""
    while runner.run_shard(run_id=run.pk).samples:
        pass
    finishing.finish(run_id=run.pk)
    run.refresh_from_db()
    return run
