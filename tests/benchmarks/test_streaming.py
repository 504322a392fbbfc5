"""`make bench`: the streaming benchmark with what it has to show."""

from __future__ import annotations

import pytest

from tests.benchmarks import streaming


@pytest.mark.benchmark
@pytest.mark.timeout(600)
def test_battles_stream_whole_at_a_small_multiple_of_reading_them_directly():
    report = streaming.measure()
    print(f"\n{report}")
    assert all(level.lost == 0 for level in report.levels)
    # How many battles a core holds depends on what else the machine does; what a battle costs,
    # compared with a client that only reads, hardly does.
    assert min(level.cpu for level in report.levels) < 15 * report.direct_cpu
