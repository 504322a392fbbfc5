"""Which addresses the arena may connect to (server-side request forgery, OWASP ASVS 13.2.4).

An administrator types a URL, DNS answers what it likes, and the answer may change between the
check and the connection. So the URL is only checked for being plain, and the address is checked
where the socket is made (`transport.py`).

Python's `is_global` alone is not the rule: in 3.11 it is true for 64:ff9b::7f00:1, 2002:7f00:1::,
::127.0.0.1 and 224.0.0.1.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

import httpx
from yarl import URL

from arena.backends.base import BackendError, ErrorKind
from arena.backends.urls import parse

_NAME = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_-]{1,63}\.?")
# By the URL standard a name that ends so is an IPv4 address, or nothing.
_ENDS_IN_A_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")
_PORTS = {"http": 80, "https": 443}

_REFUSED_V4 = [
    IPv4Network(block)
    for block in (
        "192.0.0.0/24",  # protocol assignments, cloud metadata of Oracle among them
        "192.88.99.0/24",  # 6to4 relays, withdrawn
        "168.63.129.16/32",  # Azure's host, from inside any Azure machine
    )
]
_GLOBAL_V6 = IPv6Network("2000::/3")  # all that IANA has given out as global unicast
_REFUSED_V6 = [
    IPv6Network(block)
    for block in (
        "2001::/23",  # Teredo, benchmarking, ORCHID and other protocol assignments
        "2001:db8::/32",  # documentation
        "3fff::/20",  # documentation
        "2620:4f:8000::/48",  # AS112
    )
]
_NAT64 = IPv6Network("64:ff9b::/96")
_6TO4 = IPv6Network("2002::/16")


class BlockedAddressError(OSError):
    """An address that must not be connected to. An OSError, as connecting code expects."""


def is_public(address: str) -> bool:
    """Whether an IP address is global unicast, looking through IPv4 written into IPv6."""
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv6Address):
        inner = _embedded(ip)
        if inner is None:
            return ip in _GLOBAL_V6 and ip.is_global and not any(ip in n for n in _REFUSED_V6)
        ip = inner
    return ip.is_global and not ip.is_multicast and not any(ip in n for n in _REFUSED_V4)


def _embedded(ip: IPv6Address) -> IPv4Address | None:
    """The IPv4 address that a mapped, NAT64 (RFC 6052) or 6to4 (RFC 3056) address leads to."""
    if ip.ipv4_mapped is not None:
        return ip.ipv4_mapped
    if ip in _NAT64:
        return IPv4Address(int(ip) & 0xFFFFFFFF)
    if ip in _6TO4:
        return IPv4Address((int(ip) >> 80) & 0xFFFFFFFF)
    return None


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_name(host: str) -> bool:
    """Whether a host in lower case is a domain name that resolvers and browsers read alike.

    Not so "127.1", "0x7f000001" or "017700000001", which a resolver takes for addresses, nor a
    percent-encoded host, nor one with an "xn--" label that decodes to nothing.
    """
    if len(host) > 253 or not _NAME.fullmatch(host) or _ENDS_IN_A_NUMBER.fullmatch(host):
        return False
    try:
        for label in host.split("."):
            if label.startswith("xn--"):
                httpx.URL(scheme="http", host=label).host  # noqa: B018 (decodes the label)
    except (httpx.InvalidURL, ValueError):
        return False
    return True


class AddressPolicy:
    """Public addresses, and the private "host:port" pairs an administrator has allowed.

    `allow` holds entries like "vllm.internal:8000", "127.0.0.1:*" or "[::1]:11434"; the host is
    compared with the URL's as written, not with what it resolves to. Raises ValueError for an
    entry of another form.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        self._allowed: set[tuple[str, int | None]] = set()
        for entry in allow:
            host, colon, port = entry.strip().lower().rpartition(":")
            host = host.removeprefix("[").removesuffix("]")
            if not colon or not host or not (port == "*" or port.isdecimal()):
                raise ValueError(f'"host:port" or "host:*" expected, not {entry!r}')
            self._allowed.add((host, None if port == "*" else int(port)))

    def trusts(self, url: str) -> bool:
        """Whether the URL's host and port are on the list, so that any address will do.

        Raises BackendError(BLOCKED_ADDRESS) for a URL that is not plain http(s): with credentials,
        white space or a backslash, with an address written in an unusual way, or that two parsers
        read differently.
        """
        parsed = parse(url)
        if parsed.scheme not in _PORTS:
            raise BackendError(ErrorKind.BLOCKED_ADDRESS, "neither http nor https")
        if parsed.userinfo:
            raise BackendError(ErrorKind.BLOCKED_ADDRESS, "credentials in the URL")
        port = parsed.port or _PORTS[parsed.scheme]
        host = parsed.raw_host.decode("ascii").lower()
        # aiohttp will read this text once more, with yarl: both must mean the same host
        try:
            again = URL(str(parsed))
            same = (again.raw_host or "").lower() == host and again.port == port
        except ValueError:
            same = False
        if not same or not (_is_literal(host) or _is_name(host)):
            raise BackendError(ErrorKind.BLOCKED_ADDRESS, "no clear host in the URL")
        return (host, port) in self._allowed or (host, None) in self._allowed

    @staticmethod
    def check(address: str) -> None:
        """Raises BlockedAddressError unless the IP address is public."""
        if not is_public(address):
            raise BlockedAddressError(f"{address} is not a public address")
