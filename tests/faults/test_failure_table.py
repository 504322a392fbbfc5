"""Every scripted fault of a model server, met by a battle on a running site.

Each fault has an endpoint and a contestant of its own; a contestant that is far heavier than the
healthy ones is drawn into the next battle.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest

from tests.arena.backends.tls import Authority
from tests.arena.backends.wire import Wire, says
from tests.faults.readers import Reader
from tests.faults.site import served

pytestmark = [pytest.mark.faults, pytest.mark.timeout(400)]

FAILED = "One of the two models could not answer. This battle does not count."
TOO_LONG = "Your text is too long for one of the models."
DECLINED = "This request was declined."
CUT = "This answer was cut at the length limit."
HEALTHY = "Healthy words."
SOON = {"connect_timeout": 0.7, "first_token_timeout": 0.7, "gap_timeout": 0.7}
ASKED_TWICE = {"retry_then_repair"}
# Of these the table says that nobody is asked a second time, whatever the set allows.
NEVER_RETRIED = {"connect-tls_self_signed", "connect-tls_expired", "stream-first-token-never",
                 "stream-keepalive-comments-then-nothing"}  # fmt: skip


@pytest.fixture(scope="module")
def faults(shared_data):
    lines = (shared_data / "hostile" / "llm_backend_faults.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.fixture
def site(tmp_path):
    with served(tmp_path) as site:
        # An answer that never ends is cut at 64 kB: paced, a reader would see it for minutes.
        site.environment["DEFAULT_PACING"] = "raw"
        yield site


@asynccontextmanager
async def server(fault, authority):
    """A server that has this fault: its base URL, and a count of the questions it was asked."""

    async def play(connection, request):
        connection.head(fault["status"], fault["headers"])
        data = b""
        for chunk in fault["chunks"]:
            await asyncio.sleep(chunk["delay_ms"] / 1_000_000)
            data = base64.b64decode(chunk["b64"])
            connection.send(data)
        match fault["end"]:
            case "close":
                connection.close()
            case "reset":
                await asyncio.sleep(0.3)  # a reset may overtake what was sent before it
                connection.reset()
            case "repeat_last_forever":
                while not connection.gone.is_set():
                    connection.send(data * 20)
                    await asyncio.sleep(0.001)
            case "hang":
                await connection.gone.wait()

    match fault["connect"]:
        case "refused":
            async with Wire(play) as wire:
                pass
            yield wire.base_url, lambda: None
        case "dns_nxdomain":
            yield "http://no-such-host.invalid/v1", lambda: None
        case "dns_timeout":
            # As for a name that is never resolved, nothing comes before the time is up.
            with socket.socket() as deaf, socket.socket() as first:
                deaf.bind(("127.0.0.1", 0))
                deaf.listen(0)
                first.connect(deaf.getsockname())  # the queue is full: others wait in vain
                yield f"http://127.0.0.1:{deaf.getsockname()[1]}/v1", lambda: None
        case "tls_self_signed" | "tls_expired":
            days = -1 if fault["connect"] == "tls_expired" else 1
            async with Wire(play, tls=authority.server_context(days=days)) as wire:
                yield wire.base_url, lambda: len(wire.requests)
        case "reset_during_handshake":
            async with Wire(play) as wire:
                wire.reset_on_data = True
                yield wire.base_url.replace("http", "https"), lambda: len(wire.connections)
        case _:
            async with Wire(play) as wire:
                yield wire.base_url, lambda: len(wire.requests)


def upstream_words(fault):
    """Strings of the answer that nobody but the administrator may see."""
    if fault["expect"]["action"] == "complete":
        return fault["expect"].get("must_not_show", [])
    body = b"".join(base64.b64decode(chunk["b64"]) for chunk in fault["chunks"])
    errors = re.findall(r'"(?:message|error|detail|code)":\s*"([^"]{6,})"', body.decode("latin1"))
    return [*errors, *fault["expect"].get("must_not_show", ())]


async def test_every_fault_is_met_as_the_table_says(site, faults, tmp_path):
    authority = Authority(tmp_path)
    async with AsyncExitStack() as stack:
        well = await stack.enter_async_context(
            Wire(says(b'data: {"choices":[{"index":0,"delta":{"content":"Healthy words."},'
                      b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'))
        )  # fmt: skip
        servers = [await stack.enter_async_context(server(fault, authority)) for fault in faults]
        hurry = [SOON if _hangs(fault) else {} for fault in faults]
        models = [
            {"endpoint": {"base_url": url, **limits}, "contestant": {"name": f"CANARY-{number}"}}
            for number, ((url, _), limits) in enumerate(
                zip([*servers, (well.base_url, None), (well.base_url, None)], [*hurry, {}, {}],
                    strict=True)
            )
        ]  # fmt: skip
        ids = await asyncio.to_thread(site.models, models)
        site.query(
            "UPDATE arena_contestant SET status = 'paused', weight = 1e12 "
            "WHERE NOT id = ANY(%s) RETURNING id",
            ids[-2:],
        )
        web, address = await asyncio.to_thread(site.web, "web")
        page = Reader([address], site.environment["SECRET_KEY"])
        session = await stack.enter_async_context(aiohttp.ClientSession())
        wrong = []
        for fault, contestant, (_, asked) in zip(faults, ids, servers, strict=False):
            site.query("UPDATE arena_contestant SET status = 'active' WHERE id = %s RETURNING id",
                       contestant)  # fmt: skip
            before = len(page.raw)
            await asyncio.wait_for(page.ask(session), 30)
            await asyncio.sleep(0.05)
            problems = [
                *_of_the_battle(site, fault, page),
                *_of_the_endpoint(site, fault, contestant, asked()),
                *_of_the_frames(fault, page.raw[before:], models),
            ]
            wrong += [f"{fault['id']}: {problem}" for problem in problems]
            site.query("UPDATE arena_contestant SET status = 'paused' WHERE id = %s RETURNING id",
                       contestant)  # fmt: skip
        await asyncio.to_thread(web.stop)
    print(f"\n{len(faults)} faults, {len(page.raw)} frames")
    assert wrong == []
    assert len(faults) >= 58
    assert site.number("SELECT count(*) FROM arena_turn WHERE state = 'running'") == 0
    assert "Traceback" not in web.log()


def _hangs(fault):
    return fault["end"] == "hang" or fault["connect"] == "dns_timeout"


def _of_the_battle(site, fault, page):
    state, swapped, reason = site.query(
        "SELECT state, swapped, void_reason FROM arena_battle WHERE public_id = %s", page.battle
    )[0]
    end = page.last.get("message") or page.last["type"]
    htmls = " ".join(event["html"] for event in page.whole.values())
    seen = (end, state, swapped)
    match fault["expect"]["action"]:
        case "complete":
            if seen != ("battle.ready", "ready", False) or HEALTHY not in htmls:
                yield f"not complete: {seen}"
            cut = [event["notice"] for event in page.whole.values()].count(CUT)
            wants_cut = fault["id"].startswith(("stream-finish-length", "stream-infinite",
                                                "stream-huge"))  # fmt: skip
            if cut != wants_cut:
                yield f"{cut} notices of a cut"
        case "repair" | "retry_then_repair":
            if seen != ("battle.ready", "ready", True) or htmls.count(HEALTHY) != 2:
                yield f"not replaced in silence: {seen}"
        case "tell_user_prompt_too_long":
            if seen != (TOO_LONG, "void", False):
                yield f"not told: {seen}"
        case "void_battle":
            filtered = "content_filter" in fault["id"]
            if seen != (DECLINED if filtered else FAILED, "void", False):
                yield f"not void: {seen}"
        case other:
            yield f"unknown action {other}"
    if (state == "void") != bool(reason):
        yield f"state {state} with reason {reason!r}"


def _of_the_endpoint(site, fault, contestant, asked):
    breakers = site.query(
        "SELECT b.state, b.until, extract(epoch FROM b.until - b.since)::float FROM arena_breaker b"
        " JOIN arena_contestant c ON b.contestant_id = c.id OR b.endpoint_id = c.endpoint_id"
        " WHERE c.id = %s AND b.state <> 'closed'",
        contestant,
    )
    match fault["expect"]["health"]:
        case "open_admin":
            if [state for state, _, _ in breakers] != ["open"]:
                yield f"not taken out of battles: {breakers}"
            distrusted = fault["id"].startswith(("connect-tls", "status-3"))
            if breakers and (breakers[0][1] is None) != distrusted:
                yield f"probed: {breakers}"
        case "pause_retry_after" | "pause_capped":
            if [state for state, _, _ in breakers] != ["paused"]:
                yield f"not paused: {breakers}"
            elif not 1 <= breakers[0][2] <= 600:
                yield f"paused for {breakers[0][2]} s"
        case _:
            if breakers:
                yield f"out of battles after one battle: {breakers}"
    retried = fault["expect"]["action"] in ASKED_TWICE and fault["id"] not in NEVER_RETRIED
    if asked is not None and fault["expect"].get("must_not_follow") and asked != 1:
        yield f"a redirect was followed: {asked} requests"
    if asked is not None and asked != (2 if retried else 0 if "tls" in fault["id"] else 1):
        yield f"asked {asked} times"


def _of_the_frames(fault, frames, models):
    sent = "\n".join(frames)
    secrets = [*upstream_words(fault), *(model["contestant"]["name"] for model in models)]
    secrets += [model["endpoint"]["base_url"].split("/")[2] for model in models]
    for secret in secrets:
        if json.dumps(secret)[1:-1] in sent or secret in sent:
            yield f"sent to the reader: {secret!r}"
    if "Traceback" in sent:
        yield "a stack trace"
