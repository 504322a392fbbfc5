"""Web processes and model servers die while battles stream: readers always get a true end."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest

from tests.faults.readers import Reader
from tests.faults.site import served, wait_for

pytestmark = [pytest.mark.faults, pytest.mark.timeout(240)]

FAILED = "One of the two models could not answer. This battle does not count."


@pytest.fixture
def site(tmp_path):
    with served(tmp_path) as site:
        yield site


def model(base_url, name, number, **fields):
    return {
        "endpoint": {"base_url": base_url},
        "contestant": {"upstream_model": name, "name": f"CANARY-{number}", **fields},
    }


@asynccontextmanager
async def reading(site, addresses, readers):
    """Readers who have asked and see both answers grow, and their tasks."""
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=5)
    connector = aiohttp.TCPConnector(limit=0)
    secret = site.environment["SECRET_KEY"]
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        pages = [Reader(addresses, secret) for _ in range(readers)]
        tasks = [asyncio.create_task(page.ask(session)) for page in pages]
        async with asyncio.timeout(60):
            await asyncio.gather(*(page.started.wait() for page in pages))
        yield pages, tasks
        await asyncio.gather(*tasks)


def states(site):
    return dict(site.query("SELECT state, count(*) FROM arena_battle GROUP BY state"))


@pytest.mark.parametrize("workers", [True, False], ids=["with-workers", "web-alone"])
async def test_a_killed_web_process_leaves_void_battles_within_15_seconds(site, workers):
    _, backend = site.scripted_backend("backend")
    site.models([model(backend, "count:400@20", number) for number in range(3)])
    (web, first), (_, second) = site.web("web-1"), site.web("web-2")
    if workers:
        site.worker("votes", "votes")
        site.worker("beat", "beat")
    async with asyncio.timeout(120), reading(site, [first, second], 50) as (pages, tasks):
        await asyncio.sleep(1)
        web.kill()
        killed = time.monotonic()
        await asyncio.gather(*tasks)
    waits = [page.ended_at - killed for page in pages]
    print(f"\nlongest wait for a verdict after the kill: {max(waits):.1f} s")
    assert {page.last["type"] for page in pages} == {"battle.void"}
    assert all("interrupted" in page.last["message"] for page in pages)
    assert [page.mixed for page in pages if page.mixed] == []
    assert all(page.cuts for page in pages)
    assert max(waits) < 15
    assert states(site) == {"void": 50}
    assert site.number("SELECT count(*) FROM arena_turn WHERE state = 'running'") == 0
    assert site.number("SELECT count(*) FROM arena_answer WHERE state <> 'failed'") == 0


async def test_a_web_process_that_is_stopped_drains_and_its_readers_see_all(site):
    _, backend = site.scripted_backend("backend")
    site.models([model(backend, "count:120@20", number) for number in range(3)])
    (web, first), (_, second) = site.web("web-1"), site.web("web-2")
    async with asyncio.timeout(120), reading(site, [first, second], 20) as (pages, tasks):
        stopped = time.monotonic()
        await asyncio.to_thread(web.stop)
        drained = time.monotonic() - stopped
        await asyncio.gather(*tasks)
    print(f"\nSIGTERM to the end of the process: {drained:.1f} s")
    assert {page.last["type"] for page in pages} == {"battle.ready"}
    assert [page.mixed for page in pages if page.mixed] == []
    for page in pages:
        assert page.cuts >= 1
        assert {slot: event["words"] for slot, event in page.whole.items()} == {"a": 120, "b": 120}
    assert states(site) == {"ready": 20}
    assert "Traceback" not in web.log()


async def test_an_answer_goes_on_while_its_reader_is_away_and_ends_when_he_stays_away(site):
    site.environment["READER_GRACE_SECONDS"] = "4"
    _, backend = site.scripted_backend("backend")
    site.models([model(backend, "count:2000@20", number) for number in range(2)])
    _, first = site.web("web-1")
    _, second = site.web("web-2")

    def running():
        return site.number("SELECT count(*) FROM arena_turn WHERE state = 'running'")

    async with reading(site, [first, second], 2) as (pages, tasks):
        loyal, fickle = tasks
        # One moves to another process, one leaves for good.
        fickle.cancel()
        left = time.monotonic()
        web = next(process for process in site.processes if process.name == "web-2")
        moved = await _read_at(site, second, pages[0], loyal)
        await asyncio.to_thread(wait_for, lambda: running() == 1, "the deserted turn to end", 30)
        waited = time.monotonic() - left
        await asyncio.sleep(5)
        assert running() == 1, "a turn that is read at another process was cancelled"
        assert web.alive()
        moved.cancel()
        tasks.clear()
    print(f"\na deserted turn ended after {waited:.1f} s of grace 4 s")
    assert 4 <= waited < 4 + 5


async def _read_at(site, address, page, old):
    """The reader of `page` closes its socket and follows the battle at another process."""
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)
    timeout = aiohttp.ClientTimeout(total=None)

    async def follow():
        async with aiohttp.ClientSession(timeout=timeout) as session:
            headers = {"Origin": address, "Cookie": page._cookie}
            async with session.ws_connect(f"{address}/ws/battle/", headers=headers) as socket:
                resume = {"type": "resume", "battle": page.battle, "last_seq": {}}
                await socket.send_json(resume)
                await page._read(socket)

    return asyncio.create_task(follow())


async def test_an_endpoint_that_dies_costs_at_most_one_battle_in_twenty_and_comes_back(site):
    _, stable = site.scripted_backend("stable")
    dying, dying_url = site.scripted_backend("dying")
    models = [model(stable, "count:20@40", number) for number in range(3)]
    # Drawn into most battles, so that its death is noticed as soon as it can be.
    models.append(model(dying_url, "count:20@40", "dying", weight=5))
    mortal = site.models(models)[-1]
    _, address = site.web("web")
    site.worker("probes", "probes")
    site.worker("beat", "beat")

    def battles_of_the_mortal():
        return site.number(
            "SELECT count(*) FROM arena_battle WHERE %s IN (contestant_a_id, contestant_b_id)",
            mortal,
        )

    def is_out():
        return site.number("SELECT count(*) FROM arena_breaker WHERE state = 'open'") == 1

    async with aiohttp.ClientSession() as session:
        page = Reader([address], site.environment["SECRET_KEY"])
        for _ in range(5):
            assert (await page.ask(session))["type"] == "battle.ready"
        assert battles_of_the_mortal() > 0
        ends = []
        asked = asyncio.create_task(page.ask(session))
        await asyncio.wait_for(page.started.wait(), 30)
        dying.kill()
        ends.append(await asked)
        for _ in range(19):
            ends.append(await page.ask(session))
        failed = [end for end in ends if end["type"] != "battle.ready"]
        print(f"\nvisible failures in 20 battles around the death: {len(failed)}")
        assert len(failed) <= 1
        assert {end["message"] for end in failed} <= {FAILED}
        assert is_out()
        before = battles_of_the_mortal()
        assert (await page.ask(session))["type"] == "battle.ready"
        assert battles_of_the_mortal() == before, "drawn while it is out"
        dying.start()
        recovered = time.monotonic()
        await asyncio.to_thread(wait_for, lambda: not is_out(), "the endpoint to be back", 90)
        back = time.monotonic() - recovered
        print(f"back in battles {back:.0f} s after its recovery")
        assert back < 60
        for _ in range(6):
            assert (await page.ask(session))["type"] == "battle.ready"
        assert battles_of_the_mortal() > before
    assert [raw for raw in page.raw if "CANARY" in raw or "127.0.0.1" in raw] == []
