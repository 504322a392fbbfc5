"""A vote that was acknowledged is counted once, whatever is killed, stopped or frozen meanwhile.

Twenty clients vote at two web processes while faults happen one after another. Each client keeps
a ledger of what it was told; afterwards the ledger is held against the tables.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import cycle
from math import inf

import httpx
import psycopg
import pytest

from tests.faults.site import Process, Site, served, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

CLIENTS = 20
CHOICES = cycle(["a", "b", "tie", "both_bad"])
TOKEN = "c" * 32  # of the CSRF cookie and its header, which must only be equal


@dataclass
class Ledger:
    """What the clients were told, and when."""

    acknowledged: dict[int, str] = field(default_factory=dict)  # battle → the choice that stands
    wanted: dict[int, str] = field(default_factory=dict)
    latencies: list[tuple[float, float]] = field(default_factory=list)  # (sent at, seconds)
    unanswered: int = 0
    refused: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def percentile(self, share: float, since: float = 0, until: float = inf) -> float:
        """Of the seconds of the votes that were under way between two moments."""
        ordered = sorted(s for at, s in self.latencies if since <= at + s and at <= until)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Voters:
    """CLIENTS threads that vote on their share of the battles, one vote after another."""

    def __init__(self, battles, addresses, pause):
        self.ledger = Ledger()
        self._pause = pause
        self._addresses = addresses
        self._threads = [
            threading.Thread(target=self._vote_on, args=(number, battles[number::CLIENTS]))
            for number in range(CLIENTS)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception):
        for thread in self._threads:
            thread.join()

    def voting(self):
        return any(thread.is_alive() for thread in self._threads)

    def wait_until(self, acknowledged):
        """Faults come by progress, not by the clock: a slow machine sees the same ones."""
        wait_for(
            lambda: len(self.ledger.acknowledged) >= acknowledged or not self.voting(),
            f"{acknowledged} votes",
            120,
        )
        assert self.voting(), "the voting was over before the fault"

    def _vote_on(self, number, battles):
        addresses = cycle(self._addresses[number % 2 :] + self._addresses[: number % 2])
        with httpx.Client(timeout=30, trust_env=False) as client:
            for battle in battles:
                with self.ledger.lock:
                    choice = self.ledger.wanted[battle["id"]] = next(CHOICES)
                # As the page does: no answer is no acknowledgement, so the click is repeated.
                while not self._vote(client, next(addresses), battle, choice):
                    time.sleep(0.1)
                time.sleep(self._pause)

    def _vote(self, client, address, battle, choice):
        sent = time.monotonic()
        try:
            reply = client.post(
                f"{address}/battle/{battle['public_id']}/vote/",
                data={"choice": choice, "turn": "1"},
                headers={
                    "Accept": "application/json",
                    "Cookie": f"csrftoken={TOKEN}; arena_voter={battle['cookie']}",
                    "X-CSRFToken": TOKEN,
                },
            )
        except httpx.TransportError:
            with self.ledger.lock:
                self.ledger.unanswered += 1
            return False
        with self.ledger.lock:
            self.ledger.latencies.append((sent, time.monotonic() - sent))
            if reply.status_code != 200:
                self.ledger.refused.append(f"{reply.status_code} {reply.text[:200]}")
                return True
            self.ledger.acknowledged[battle["id"]] = reply.json()["choice"]
        return True


BEFORE_THE_FIRST_COUNT = "LOCK TABLE leaderboard_paircount IN EXCLUSIVE MODE"
BETWEEN_TWO_COUNTS = "SELECT id FROM leaderboard_paircount FOR UPDATE"


def kill_while_counting(site: Site, lock: str) -> None:
    """kill -9 a worker that has claimed votes and is adding them to the pair counts.

    The pair counts are locked, so the next worker to count stops there; then it is killed, and
    only then the lock is let go. A worker that marked its votes before it counted them would lose
    them by the one lock; one that counted before it marked would count them twice by the other.
    """
    counting = (
        "SELECT application_name FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name LIKE 'worker-%%' AND wait_event_type = 'Lock'"
    )
    wait_for(lambda: site.number("SELECT count(*) FROM leaderboard_paircount"), "counts to lock")
    with psycopg.connect(site.database_url) as locked:
        locked.execute(lock)
        ((name, *_),) = wait_for(lambda: site.query(counting)[:1], "a worker to be counting")
        worker = next(process for process in site.processes if process.name == name)
        pid = worker.child()
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
    wait_for(lambda: worker.child() not in (None, pid), "another worker to be started")


def everything_is_counted(site: Site) -> None:
    wait_for(
        lambda: site.number("SELECT count(*) FROM arena_vote WHERE tally_due") == 0,
        "every vote to be counted",
        120,
    )


def compare(site: Site, ledger: Ledger, battles) -> dict[str, int]:
    """The ledger against the tables. Written without the project's own code, on purpose."""
    stored = dict(site.query("SELECT battle_id, choice FROM arena_vote"))
    counted = {
        (lo, hi, outcome): n
        for lo, hi, outcome, n in site.query(
            "SELECT lo_id, hi_id, outcome, n FROM leaderboard_paircount "
            "JOIN leaderboard_category c ON c.id = category_id AND c.slug = 'overall' WHERE n > 0"
        )
    }
    sides = {battle["id"]: (battle["a"], battle["b"]) for battle in battles}
    expected: Counter[tuple[int, int, str]] = Counter()
    for battle, choice in stored.items():
        a, b = sides[battle]
        if choice in ("tie", "both_bad"):
            outcome = choice
        else:
            outcome = "lo" if min(a, b) == (a if choice == "a" else b) else "hi"
        expected[(min(a, b), max(a, b), outcome)] += 1
    return {
        "acknowledged": len(ledger.acknowledged),
        "stored": len(stored),
        "lost": sum(battle not in stored for battle in ledger.acknowledged),
        "changed": sum(stored.get(b) != c for b, c in ledger.acknowledged.items() if b in stored),
        "counted twice": sum(max(0, n - expected[key]) for key, n in counted.items()),
        "not counted": sum(max(0, n - counted.get(key, 0)) for key, n in expected.items()),
    }


def report(title, result, ledger, **figures) -> None:
    figures = {
        **result,
        "no answer": ledger.unanswered,
        "p50 ms": round(ledger.percentile(0.5) * 1000),
        "p99 ms": round(ledger.percentile(0.99) * 1000),
        "max ms": round(ledger.percentile(1) * 1000),
        **figures,
    }
    print(f"\n{title}: {json.dumps(figures)}")


@pytest.fixture
def site(tmp_path):
    with served(tmp_path) as site:
        yield site


def start_workers(site: Site) -> list[Process]:
    return [site.worker("worker-1", "votes"), site.worker("worker-2", "votes"),
            site.worker("beat", "beat")]  # fmt: skip


def stop_redis(site: Site) -> None:
    site.redis.kill()
    time.sleep(5)
    site.redis.start()
    site.redis.wait()


def freeze_redis(site: Site) -> None:
    """Connections stay open and nothing answers: worse than a Redis that is gone."""
    site.redis.signal(signal.SIGSTOP)
    time.sleep(6)
    site.redis.signal(signal.SIGCONT)
    site.redis.wait()


@pytest.mark.parametrize("break_redis", [stop_redis, freeze_redis])
def test_no_acknowledged_vote_is_lost_or_counted_twice(site, break_redis):
    battles = site.battles(1_000)
    addresses = [site.web("web-1")[1], site.web("web-2")[1]]
    start_workers(site)
    with Voters(battles, addresses, pause=0.3) as voters:
        voters.wait_until(100)
        kill_while_counting(site, BEFORE_THE_FIRST_COUNT)
        voters.wait_until(250)
        kill_while_counting(site, BETWEEN_TWO_COUNTS)
        voters.wait_until(400)
        away = time.monotonic()
        break_redis(site)
        back = time.monotonic()
        voters.wait_until(500)
        kill_while_counting(site, BEFORE_THE_FIRST_COUNT)
    everything_is_counted(site)
    ledger = voters.ledger
    result = compare(site, ledger, battles)
    slowest_away = ledger.percentile(1, away, back)
    slowest_otherwise = max(ledger.percentile(1, until=away), ledger.percentile(1, since=back))
    report(
        break_redis.__name__,
        result,
        ledger,
        **{
            "p99 ms while Redis was away": round(ledger.percentile(0.99, away, back) * 1000),
            "max ms while Redis was away": round(slowest_away * 1000),
        },
    )
    assert ledger.refused == []
    assert ledger.acknowledged == ledger.wanted
    assert result == {
        "acknowledged": 1_000, "stored": 1_000,
        "lost": 0, "changed": 0, "counted twice": 0, "not counted": 0,
    }  # fmt: skip
    # A vote waits for Redis for seconds if it asks it anything; the machine's own noise is less.
    assert slowest_away < max(1.0, 2 * slowest_otherwise)
    agreed = site.manage("recount")
    assert agreed.returncode == 0, agreed.stderr


def test_a_killed_web_process_takes_no_acknowledged_vote_with_it(site):
    battles = site.battles(500)
    (web, first), (_, second) = site.web("web-1"), site.web("web-2")
    start_workers(site)
    with Voters(battles, [first, second], pause=0.1) as voters:
        for kill_after in (100, 200, 300):
            voters.wait_until(kill_after)
            web.kill()
            web.start()
            site.wait_for_web(first)
    everything_is_counted(site)
    result = compare(site, voters.ledger, battles)
    report("kill web", result, voters.ledger)
    assert voters.ledger.refused == []
    assert voters.ledger.unanswered > 0
    assert voters.ledger.acknowledged == voters.ledger.wanted
    assert result == {
        "acknowledged": 500, "stored": 500,
        "lost": 0, "changed": 0, "counted twice": 0, "not counted": 0,
    }  # fmt: skip


def test_the_first_vote_after_every_connection_was_cut_is_taken(site):
    """As after a restart of PostgreSQL: the pool's connections are dead and nobody told it."""
    battles = site.battles(40)
    address = site.web("web-1")[1]
    with Voters(battles[:CLIENTS], [address], pause=0) as voters:
        pass
    cut = site.number(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'web-1'"
    )
    assert cut > 0
    with Voters(battles[CLIENTS:], [address], pause=0) as after:
        pass
    for ledger in (voters.ledger, after.ledger):
        assert ledger.refused == []
        assert ledger.acknowledged == ledger.wanted
