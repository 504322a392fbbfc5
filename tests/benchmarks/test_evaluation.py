"""`make bench`: what a benchmark run costs, and what it costs the battles beside it."""

from __future__ import annotations

import pytest

from tests.benchmarks.evaluation import battles, measuring
from tests.benchmarks.evaluation.server import Server

pytestmark = [pytest.mark.benchmark, pytest.mark.timeout(600)]


def test_a_run_takes_little_more_than_its_requests():
    with measuring.questions_folder() as folder, Server(seconds=measuring.SECONDS) as server:
        bare = measuring.measure_bare(folder, server.base_url)
        ours = measuring.measure_ours(folder, server.base_url)
        print(f"\n{bare}\n{ours}")
        assert server.seen()["most"] == measuring.CONNECTIONS
    assert ours.wall <= 1.25 * bare.wall
    # Seconds depend on the machine; how much a stored sample costs over a bare request, hardly:
    # some 0.2 ms, and this many times as much is 6 ms.
    assert ours.cpu + ours.database_cpu <= 30 * bare.cpu


def test_a_run_that_keeps_its_share_busy_hardly_delays_the_first_word_of_a_battle(tmp_path):
    waits = battles.measure(tmp_path)
    print(f"\n{waits}")
    assert waits.asked_meanwhile > 0
    assert waits.added <= 0.05
