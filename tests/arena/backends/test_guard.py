"""No socket is ever opened to an address that is not public, whatever a URL or a name says."""

from __future__ import annotations

import ipaddress
import json
import socket
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
import httpx
import pytest

from arena.backends import moderations
from arena.backends.base import BackendError, ChatRequest, ErrorKind, Message, Target
from arena.backends.client import BackendClient
from arena.backends.guard import AddressPolicy, is_public
from arena.backends.registry import ADAPTERS
from tests.arena.backends.wire import ANSWER, Connection, Request, Wire, says

LIBRARIES = ["aiohttp", "httpx"]
PUBLIC = "93.184.215.14"
HELLO = ChatRequest("models/m", [Message("user", "hello")], max_tokens=8)
TLS = httpx.create_ssl_context(trust_env=False)


class Network(NamedTuple):
    """What was tried: addresses connected to, and names asked of the system's resolver."""

    connections: list[tuple[str, int]]
    lookups: list[str]


@pytest.fixture
def network(monkeypatch) -> Network:
    """Notes each connection under the HTTP libraries; only loopback servers of a test answer."""
    seen = Network([], [])
    connect = socket.socket.connect
    getaddrinfo = socket.getaddrinfo

    def note_connect(self: socket.socket, address: Any) -> None:
        seen.connections.append((str(address[0]), address[1]))
        if address[1] not in SERVERS:
            raise ConnectionRefusedError("no packet leaves this test")
        connect(self, address)

    def note_lookup(host: Any, *args: Any, **more: Any) -> Any:
        seen.lookups.append(str(host))
        ipaddress.ip_address(host)  # a ValueError for a name
        return getaddrinfo(host, *args, **more)

    monkeypatch.setattr(socket.socket, "connect", note_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", note_connect)
    monkeypatch.setattr(socket, "getaddrinfo", note_lookup)
    return seen


SERVERS: set[int] = set()


class Names:
    """A resolver: the names of a file first, then the addresses of the item at hand."""

    def __init__(self, known: dict[str, list[str]]) -> None:
        self.known = known
        self.addresses: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        return self.known.get(host.lower()) or self.addresses or [PUBLIC]


class Item(NamedTuple):
    url: str
    verdict: str
    addresses: list[str]


def items(folder: Path) -> list[Item]:
    lines = (folder / "hostile" / "ssrf_urls.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return [Item(row["url"], row["verdict"], row["addresses"]) for row in rows]


def known_names(folder: Path) -> dict[str, list[str]]:
    return json.loads((folder / "hostile" / "ssrf_dns.json").read_text())


async def failure(client: BackendClient, url: str, kind: str = "openai") -> ErrorKind | None:
    try:
        async for _ in client.stream_chat(Target(kind, url), HELLO):
            pass
    except BackendError as error:
        return error.kind
    return None


@pytest.mark.parametrize("library", LIBRARIES)
async def test_no_hostile_endpoint_is_connected_to_and_no_good_one_refused(
    shared_data, network, library
):
    names = Names(known_names(shared_data))
    client = BackendClient(library=library, resolve=names, ssl_context=TLS)
    wrong = []
    tried = 0
    for item in items(shared_data):
        tried += 1
        network.connections.clear()
        names.addresses = item.addresses
        kind = await failure(client, item.url)
        private = [address for address, _ in network.connections if not is_public(address)]
        if item.verdict == "block":
            if network.connections:
                wrong.append((item, kind, network.connections[:]))
        elif item.verdict == "allow":
            if kind is not ErrorKind.CONNECT or not network.connections:
                wrong.append((item, kind, network.connections[:]))
        elif private:
            wrong.append((item, kind, network.connections[:]))
    await client.aclose()
    assert wrong == []
    assert network.lookups == []
    assert tried == 453


@pytest.mark.parametrize("library", LIBRARIES)
async def test_no_redirect_is_followed_wherever_it_leads(shared_data, network, library):
    location = b""

    async def play(connection: Connection, request: Request) -> None:
        connection.send(
            b"HTTP/1.1 %d Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n"
            % (307 if len(wire.requests) % 2 else 302, location)
        )

    hostile = [item.url for item in items(shared_data) if item.verdict == "block"]
    assert len(hostile) > 300
    kinds = []
    async with Wire(play) as wire:
        SERVERS.add(wire.port)
        client = BackendClient(
            AddressPolicy([f"127.0.0.1:{wire.port}"]),
            library=library,
            resolve=Names(known_names(shared_data)),
            ssl_context=TLS,
        )
        for url in hostile:
            # what a header cannot hold is written as a server would
            location = b"".join(
                b"%%%02X" % byte if byte < 32 or byte == 127 else bytes([byte])
                for byte in url.encode("utf-8", "surrogatepass")
            )
            kinds.append(await failure(client, wire.base_url))
        await client.aclose()
        SERVERS.discard(wire.port)
    assert {port for _, port in network.connections} == {wire.port}
    assert kinds == [ErrorKind.REDIRECT] * len(hostile)


@pytest.mark.parametrize("library", LIBRARIES)
@pytest.mark.parametrize("kind", sorted(ADAPTERS))
async def test_every_dialect_and_the_list_of_models_are_guarded(network, library, kind):
    async def inside(host: str, port: int) -> Sequence[str]:
        return ["10.0.0.7"]

    client = BackendClient(library=library, resolve=inside, ssl_context=TLS)
    assert await failure(client, "https://models.example", kind) is ErrorKind.BLOCKED_ADDRESS
    with pytest.raises(BackendError) as caught:
        await client.list_models(Target(kind, "https://models.example"))
    assert caught.value.kind is ErrorKind.BLOCKED_ADDRESS
    await client.aclose()
    assert network.connections == []


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_name_that_answers_differently_the_second_time_gains_nothing(network, library):
    answers = iter([[PUBLIC], ["127.0.0.1"], ["169.254.169.254"], [PUBLIC, "10.0.0.1"]])

    async def rebinding(host: str, port: int) -> Sequence[str]:
        return next(answers)

    kinds = []
    for _ in range(4):
        # a client each, so that no cache stands between the name and its next answer
        client = BackendClient(library=library, resolve=rebinding, ssl_context=TLS)
        kinds.append(await failure(client, "http://rebind.example.test/v1"))
        await client.aclose()
    assert kinds == [ErrorKind.CONNECT] + [ErrorKind.BLOCKED_ADDRESS] * 3
    assert network.connections == [(PUBLIC, 80)]


async def test_an_address_in_the_url_is_checked_where_the_socket_is_made(network):
    """aiohttp does not ask its resolver about addresses: only the guard of the socket sees them."""

    async def resolve(host: str, port: int) -> Sequence[str]:
        pytest.fail("an address needs no resolver")

    client = BackendClient(library="aiohttp", resolve=resolve, ssl_context=TLS)
    for host in ("127.0.0.1", "[::ffff:127.0.0.1]", "169.254.169.254"):
        assert await failure(client, f"http://{host}:9/v1") is ErrorKind.BLOCKED_ADDRESS
    await client.aclose()
    assert network.connections == []


@pytest.mark.parametrize("library", LIBRARIES)
async def test_an_allowed_host_and_port_is_connected_to_and_its_neighbour_is_not(network, library):
    async def loopback(host: str, port: int) -> Sequence[str]:
        return ["127.0.0.1"]

    async with Wire(says(ANSWER)) as wire:
        SERVERS.add(wire.port)
        policy = AddressPolicy([f"models.internal:{wire.port}"])
        client = BackendClient(policy, library=library, resolve=loopback, ssl_context=TLS)
        good = f"http://models.internal:{wire.port}/v1"
        assert await failure(client, good) is None
        for bad in (
            f"http://models.internal:{wire.port + 1}/v1",
            f"http://other.internal:{wire.port}/v1",
            f"http://127.0.0.1:{wire.port}/v1",
        ):
            assert await failure(client, bad) is ErrorKind.BLOCKED_ADDRESS
        await client.aclose()
        SERVERS.discard(wire.port)
    assert network.connections == [("127.0.0.1", wire.port)]
    assert len(wire.requests) == 1


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0",
        "10.1.2.3",
        "100.64.0.1",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.169.254",
        "172.16.0.1",
        "192.0.0.192",
        "192.0.2.1",
        "192.88.99.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "2002:a9fe:a9fe::",
        "3fff::1",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "fe80::1%eth0",
        "fec0::1",
        "ff02::1",
        "5f00::1",
        "localhost",
        "127.1",
        "0x7f000001",
    ],
)
def test_an_address_that_is_not_global_unicast_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize(
    "address",
    [
        "1.1.1.1",
        "8.8.8.8",
        "93.184.215.14",
        "172.15.0.1",
        "172.32.0.1",
        "100.128.0.1",
        "192.0.1.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2002:808:808::",
    ],
)
def test_a_global_unicast_address_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize(
    ("entry", "url", "trusted"),
    [
        ("127.0.0.1:11434", "http://127.0.0.1:11434/api", True),
        ("127.0.0.1:11434", "http://127.0.0.1:11435/api", False),
        ("127.0.0.1:*", "http://127.0.0.1:1/", True),
        ("[::1]:80", "http://[::1]/", True),
        ("vllm.internal:443", "https://vllm.internal/v1", True),
        ("VLLM.internal:443", "https://vllm.INTERNAL/v1", True),
        ("vllm.internal:443", "http://vllm.internal/v1", False),
        ("internal:*", "http://vllm.internal/v1", False),
        ("127.0.0.1:*", "http://localhost/", False),
    ],
)
def test_the_allow_list_compares_host_and_port_as_written(entry, url, trusted):
    assert AddressPolicy([entry]).trusts(url) is trusted


@pytest.mark.parametrize("entry", ["localhost", ":80", "localhost:", "localhost:http", ""])
def test_an_allow_list_entry_without_host_and_port_is_refused_at_start(entry):
    with pytest.raises(ValueError, match="host"):
        AddressPolicy([entry])


@pytest.mark.parametrize(
    "url",
    [
        "http://user:pw@api.example/v1",
        "http://api.example\\@127.0.0.1/v1",
        "http://api.example /v1",
        "http://api.example\n/v1",
        "ftp://api.example/v1",
        "file:///etc/passwd",
        "//api.example/v1",
        "http:///v1",
        "api.example/v1",
        "",
        "http://127.1/v1",
        "http://2130706433/v1",
        "http://0x7f000001/v1",
        "http://api.example.0177/v1",
        "http://1.1.1.1./v1",
        "http://api%2eexample/v1",
        "http://api。example/v1",
        "http://xn--/v1",
        "http://-.example/v1",
        f"http://{'a' * 64}.example/v1",
    ],
)
def test_a_url_that_is_not_plain_is_refused_even_if_its_host_is_allowed(url):
    with pytest.raises(BackendError) as caught:
        AddressPolicy(["api.example:*", "127.0.0.1:*"]).trusts(url)
    assert caught.value.kind is ErrorKind.BLOCKED_ADDRESS


# --- moderation: the same transport --------------------------------------------------------------


async def moderation_failure(client: BackendClient, url: str) -> ErrorKind | None:
    target = Target("openai", url, "sk-0123456789")
    try:
        await client.fetch(moderations.request(target, "", ["hello"]), target)
    except BackendError as error:
        return error.kind
    return None


@pytest.mark.parametrize("library", LIBRARIES)
async def test_no_hostile_moderation_endpoint_is_connected_to(shared_data, network, library):
    names = Names(known_names(shared_data))
    client = BackendClient(library=library, resolve=names, ssl_context=TLS)
    wrong = []
    for item in items(shared_data):
        network.connections.clear()
        names.addresses = item.addresses
        kind = await moderation_failure(client, item.url)
        tried = kind is ErrorKind.CONNECT and bool(network.connections)
        private = any(not is_public(address) for address, _ in network.connections)
        if private or (item.verdict, tried) in (("allow", False), ("block", True)):
            wrong.append((item, kind))
    await client.aclose()
    assert wrong == []


async def test_a_moderation_that_is_sent_elsewhere_stays_unsent_there(shared_data, network):
    hostile = [item.url for item in items(shared_data) if item.verdict == "block"]
    location = b""

    async def play(connection: Connection, request: Request) -> None:
        connection.send(
            b"HTTP/1.1 307 Moved\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % location
        )

    kinds = []
    async with Wire(play) as wire:
        SERVERS.add(wire.port)
        client = BackendClient(AddressPolicy([f"127.0.0.1:{wire.port}"]), ssl_context=TLS)
        for url in hostile:
            location = quote(url, safe=":/?#[]@!$&'()*+,;=%\\", errors="replace").encode()
            kinds.append(await moderation_failure(client, wire.base_url))
        await client.aclose()
        SERVERS.discard(wire.port)
    assert {port for _, port in network.connections} == {wire.port}
    assert kinds == [ErrorKind.REDIRECT] * len(hostile)


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_name_rebound_between_two_connections_of_one_client_gains_nothing(
    network, library, monkeypatch
):
    """The same client, whose first connection was fine: the next one is checked like the first."""
    monkeypatch.setattr(aiohttp, "TCPConnector", partial(aiohttp.TCPConnector, ttl_dns_cache=0))
    addresses = [PUBLIC]

    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    client = BackendClient(library=library, resolve=resolve, ssl_context=TLS)
    assert await failure(client, "http://rebind.example.test/v1") is ErrorKind.CONNECT
    for private in ("127.0.0.1", "169.254.169.254", "::1", "fd00:ec2::254"):
        addresses[:] = [private]
        assert await failure(client, "http://rebind.example.test/v1") is ErrorKind.BLOCKED_ADDRESS
    await client.aclose()
    assert network.connections == [(PUBLIC, 80)]
