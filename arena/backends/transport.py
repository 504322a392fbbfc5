"""The HTTP client under the adapters: httpx's API over aiohttp's connections.

aiohttp costs about half of httpcore per streamed token. Both kinds check every address at the
moment of connecting, so a name that resolves differently the second time gains nothing. Neither
follows redirects, reads proxies from the environment, keeps cookies or decompresses.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Literal

import aiohttp
import httpcore
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.http_exceptions import HttpProcessingError
from httpx_aiohttp import AiohttpTransport

from arena.backends.base import BackendError, ErrorKind
from arena.backends.errors import response_error
from arena.backends.guard import AddressPolicy, BlockedAddressError

Library = Literal["aiohttp", "httpx"]
Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host and a port to IP addresses. Raises OSError where there are none."""
Check = Callable[[str], None]
"""Raises BlockedAddressError for an IP address that must not be connected to."""

KEEP_ALIVE = 30.0  # seconds an idle connection is kept

NETWORK_ERRORS = (
    httpx.HTTPError,
    httpx.InvalidURL,
    aiohttp.ClientError,  # httpx-aiohttp translates most of them, not all
    HttpProcessingError,
    OSError,  # with it TimeoutError
)
_TLS_INTERRUPTED = (
    ssl.SSLEOFError,
    ssl.SSLZeroReturnError,
    ssl.SSLSyscallError,
    ssl.SSLWantReadError,
    ssl.SSLWantWriteError,
)


@dataclass(slots=True)
class Connecting:
    """Whether a connection was opened for a request, or one kept from an earlier request used."""

    opened: bool = False


_connecting: ContextVar[Connecting | None] = ContextVar("connecting", default=None)


@contextlib.contextmanager
def watch_connecting() -> Iterator[Connecting]:
    """For one request sent inside the block, in whichever task its connection is opened."""
    connecting = Connecting()
    token = _connecting.set(connecting)
    try:
        yield connecting
    finally:
        _connecting.reset(token)


def _note_opened() -> None:
    connecting = _connecting.get()
    if connecting is not None:
        connecting.opened = True


async def system_resolve(host: str, port: int) -> Sequence[str]:
    """What the system's resolver says, in its order."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


def anywhere(address: str) -> None:
    """The check of an endpoint that the administrator trusts: none."""


def open_client(
    library: Library,
    *,
    check: Check = AddressPolicy.check,
    resolve: Resolve = system_resolve,
    ssl_context: ssl.SSLContext | None = None,
) -> httpx.AsyncClient:
    """A client whose connections only go where `check` lets them. One per event loop."""
    context = ssl_context or httpx.create_ssl_context(trust_env=False)
    transport: httpx.AsyncBaseTransport
    if library == "aiohttp":
        transport = AiohttpTransport(
            verify=context, client=lambda: _session(check, resolve, context)
        )
    else:
        transport = _httpcore_transport(check, resolve, context)
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        follow_redirects=False,
        headers={"User-Agent": "arena", "Accept": "*/*", "Accept-Encoding": "identity"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        event_hooks={"response": [_refuse_redirect]},
    )


async def _refuse_redirect(response: httpx.Response) -> None:
    """Raises BackendError(REDIRECT) before httpx reads the target.

    It does so even when it is not to follow, and what it raises for a target that is not a URL
    looks like a fault of ours.
    """
    if response.has_redirect_location:
        raise response_error(response.status_code, response.headers, b"")


def connection_error(error: Exception) -> BackendError:
    """What a failure before the response's headers stands for."""
    kind = ErrorKind.CONNECT
    for cause in _causes(error):
        if isinstance(cause, BlockedAddressError):
            kind = ErrorKind.BLOCKED_ADDRESS
        elif isinstance(cause, ssl.SSLError):
            # a handshake cut short or not answered is a broken connection, not a bad certificate
            if not isinstance(cause, _TLS_INTERRUPTED):
                kind = ErrorKind.TLS
        elif isinstance(cause, httpx.UnsupportedProtocol | httpx.InvalidURL):
            kind = ErrorKind.BLOCKED_ADDRESS
        elif isinstance(cause, httpx.LocalProtocolError):
            return unsendable(cause)
        elif isinstance(cause, httpx.RemoteProtocolError):
            if "disconnected" not in str(cause):  # httpcore's word for a connection just closed
                kind = ErrorKind.PROTOCOL
        elif isinstance(cause, aiohttp.ClientResponseError | HttpProcessingError):
            kind = ErrorKind.PROTOCOL
        if kind is not ErrorKind.CONNECT:
            break
    return BackendError(kind, repr(error)[:500])


def unsendable(error: Exception) -> BackendError:
    """A key or a model name that no header or URL can carry; what it is, the error may quote."""
    return BackendError(ErrorKind.BAD_REQUEST, f"cannot be sent ({type(error).__name__})")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def _checked(host: str, port: int, check: Check, resolve: Resolve) -> Sequence[str]:
    """The addresses of a host, all of them checked: a name is refused if one of them is.

    An address stands for itself, whatever a resolver might say about it. Raises OSError.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        addresses = await resolve(host, port)
    else:
        addresses = [host]
    if not addresses:
        raise OSError(f"no address for {host}")
    for address in addresses:
        check(address)
    return addresses


# aiohttp


class _Resolver(AbstractResolver):
    """aiohttp asks it about names only; addresses meet the check where the socket is made."""

    def __init__(self, check: Check, resolve: Resolve) -> None:
        self._check = check
        self._resolve = resolve

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        _note_opened()
        found = await _checked(host, port, self._check, self._resolve)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for address in found
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _session(check: Check, resolve: Resolve, context: ssl.SSLContext) -> aiohttp.ClientSession:
    def guarded_socket(info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        _note_opened()
        check(str(address[0]))
        return socket.socket(family, kind, protocol)

    connector = aiohttp.TCPConnector(
        resolver=_Resolver(check, resolve),
        socket_factory=guarded_socket,
        ssl=context,
        limit=0,  # how many answers run at once is not the pool's to decide
        keepalive_timeout=KEEP_ALIVE,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        trust_env=False,
    )


# httpcore


class _GuardedBackend(httpcore.AsyncNetworkBackend):
    """Resolves once, checks every address and connects to those very addresses."""

    def __init__(
        self,
        check: Check,
        resolve: Resolve,
        network: httpcore.AsyncNetworkBackend | None = None,
    ) -> None:
        self._check = check
        self._resolve = resolve
        self._network = network or httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        _note_opened()
        try:
            async with asyncio.timeout(timeout):
                addresses = await _checked(host, port, self._check, self._resolve)
        except TimeoutError as error:
            raise httpcore.ConnectTimeout(f"resolving {host}") from error
        *others, last = addresses
        for address in others:
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return await self._network.connect_tcp(
                    address, port, timeout, local_address, socket_options
                )
        return await self._network.connect_tcp(last, port, timeout, local_address, socket_options)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 (httpcore's signature)
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        raise OSError("no endpoint is a Unix socket")

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


def _httpcore_transport(
    check: Check, resolve: Resolve, context: ssl.SSLContext
) -> httpx.AsyncBaseTransport:
    transport = httpx.AsyncHTTPTransport(verify=context, trust_env=False)
    # httpx offers no parameter for the network backend; the pool it builds is replaced by one
    # that differs in nothing else
    transport._pool = httpcore.AsyncConnectionPool(
        ssl_context=context,
        max_connections=None,
        max_keepalive_connections=None,
        keepalive_expiry=KEEP_ALIVE,
        network_backend=_GuardedBackend(check, resolve),
    )
    return transport
