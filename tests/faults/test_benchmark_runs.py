"""Runs on two workers of which one is killed: each item once, and the endpoint's limit is kept."""

from __future__ import annotations

import json

import pytest

from tests.benchmarks.evaluation.server import Server
from tests.faults.site import served, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

LIMIT = 4
START = """
from arena.models import Contestant, Endpoint
from evaluation.running import runs
from evaluation.importing import import_shipped
endpoint = Endpoint.objects.create(
    name="one", kind="openai", base_url={base_url!r}, evaluation_concurrency={limit}
)
contestant = Contestant.objects.create(name="One", endpoint=endpoint, upstream_model="one")
_, task = import_shipped("first_steps")
for _ in range(2):
    runs.create_run(task=task, contestant=contestant)
"""


def test_two_workers_of_which_one_is_killed_finish_within_the_limit_of_the_endpoint(tmp_path):
    with served(tmp_path) as site, Server(seconds=0.3) as server:
        site.environment |= {
            "PRIVATE_ENDPOINTS": server.base_url.split("/")[2],
            "EVALUATION_LEASE_SECONDS": "5",
        }
        begun = site.manage(
            "shell", "-v", "0", "-c", START.format(base_url=server.base_url, limit=LIMIT)
        )
        assert begun.returncode == 0, begun.stderr
        workers = [site.celery(f"worker-{number}", "worker", "-Q", "evaluation", "-c", "2",
                               "-n", f"worker-{number}@%h") for number in (1, 2)]  # fmt: skip
        site.worker("votes", "votes")  # sends runs to work
        site.worker("beat", "beat")
        total = site.number("SELECT sum(total) FROM evaluation_run")
        wait_for(lambda: server.seen()["requests"] >= 10, "the runs to begin")
        workers[0].kill()
        wait_for(
            lambda: site.query("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM evaluation_run "
                               "WHERE state <> 'completed')"),
            "both runs to be scored", 150,
        )  # fmt: skip
        seen = server.seen()
        assert seen["most"] <= LIMIT, json.dumps(seen)
        assert site.number("SELECT count(*) FROM evaluation_sample WHERE state = 'done'") == total
        assert total <= seen["requests"] <= total + LIMIT
