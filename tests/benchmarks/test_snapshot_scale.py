"""`make bench`: publishing and verifying a large arena, and what it takes.

ARENA_SCALE_VOTES sets the number of votes (100,000 unless told), ARENA_SCALE_MODELS that of models.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db.models import F

from arena.models import Vote
from leaderboard import counted_votes, public_votes, snapshots, verification, withdrawal
from leaderboard.models import Category, Method, PairCount, Snapshot
from leaderboard.tally import checking, settling

VOTES = int(os.environ.get("ARENA_SCALE_VOTES", "100000"))
MODELS = int(os.environ.get("ARENA_SCALE_MODELS", "300"))
MEGABYTE = 1 << 20


class Stage:
    seconds = 0.0
    extra_memory = 0.0  # MB above what the process had before


def status(field: str) -> int:
    """Of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    pytest.skip("no /proc/self/status on this system")


@contextmanager
def measured(name: str) -> Iterator[Stage]:
    stage = Stage()
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, start = status("VmRSS"), time.perf_counter()
    yield stage
    stage.seconds = time.perf_counter() - start
    stage.extra_memory = (status("VmHWM") - before) / MEGABYTE
    print(f"{name:<44}{stage.seconds:8.1f} s {stage.extra_memory:8.0f} MB")


@pytest.mark.benchmark
@pytest.mark.django_db
@pytest.mark.timeout(3600)
def test_a_large_arena_is_published_in_little_memory_and_verified(tmp_path):
    print(f"\n{VOTES} votes, {MODELS} models")
    with measured("generate"):
        call_command("generate_votes", votes=VOTES, models=MODELS, voters=10_000)
    with measured("count") as count:
        settling.settle_all()
    with measured("publish every category") as publish:
        assert snapshots.publish_all([Method.BRADLEY_TERRY]) > 1
    with measured("look again, nothing new") as again:
        assert snapshots.publish_all([Method.BRADLEY_TERRY]) == 0
    with measured("read the votes one by one") as read:
        held = counted_votes.read(Category.objects.all())
    assert held.table.first.size == VOTES
    del held
    with measured("publish every category, style control") as style:
        assert snapshots.publish_all([Method.STYLE_CONTROL]) > 1
    with measured("publish online Elo") as elo:
        assert snapshots.publish_all([Method.ELO]) == 1
    voter = Vote.objects.values_list("voter__key", flat=True).order_by("pk")[0]
    with measured("withdraw a voter, publish overall") as withdrawn:
        assert withdrawal.withdraw(voter=voter) > 0
        settling.settle_all()
        assert snapshots.publish(Category.objects.get(slug="overall")) is not None
    export = tmp_path / "votes.csv.gz"
    with measured("write the public export") as write:
        assert public_votes.write_file(export) == VOTES
    for method in Method.values:
        # Style control and Elo are still those of before the withdrawal.
        snapshots.publish(Category.objects.get(slug="overall"), method)
        snapshot = Snapshot.objects.get(category__slug="overall", method=method, superseded=False)
        with measured(f"verify overall, {method}"):
            assert verification.verify(snapshot, export).equal
    with measured("correct every count") as corrected:
        PairCount.objects.filter(category__slug="overall").update(n=F("n") + 1)
        call_command("recount", "--rebuild")
    assert not checking.differences()
    assert publish.extra_memory < 200
    assert style.extra_memory < 200
    assert elo.extra_memory < 200
    # The votes and what is computed of them: less than five times the votes (and the libraries).
    assert style.extra_memory < 5 * max(read.extra_memory, 20)
    assert withdrawn.seconds < publish.seconds
    assert corrected.seconds < 2 * count.seconds
    assert write.extra_memory < 50
    assert again.seconds < publish.seconds / 5
