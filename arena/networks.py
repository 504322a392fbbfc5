"""Which network a request comes from, as a key that tells nobody where that is.

People behind one router share a prefix (/24 of IPv4, /48 of IPv6), so that is what a limit counts.
Stored is only a keyed hash of it: the key is half in the settings and half a salt of the day, which
is deleted after the day. From then on not even whoever holds both can tell the networks.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import date
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

from django.conf import settings

from arena.models import NetworkSalt

UNKNOWN = "unknown"  # all whose address cannot be read share one limit


def prefix_of(scope: Mapping[str, Any]) -> str:
    """The prefix a connection (ASGI) comes from, for example 203.0.113.0/24."""
    address = _address(_said_by_the_proxy(scope) if settings.BEHIND_PROXY else _peer(scope))
    if address is None:
        return UNKNOWN
    bits = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, bits), strict=False))


def _peer(scope: Mapping[str, Any]) -> str:
    client = scope.get("client")
    return str(client[0]) if client else ""


def _said_by_the_proxy(scope: Mapping[str, Any]) -> str:
    """What our own outermost proxy wrote; everything to the left of it a visitor can write."""
    lines = [
        value.decode("latin1")
        for name, value in scope.get("headers", ())
        if name == b"x-forwarded-for"
    ]
    entries = ",".join(lines).split(",")
    return entries[-settings.PROXY_COUNT] if len(entries) >= settings.PROXY_COUNT else ""


def _address(text: str) -> IPv4Address | IPv6Address | None:
    text = text.strip()
    if text.startswith("["):  # [2001:db8::1]:443
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:  # 203.0.113.9:443
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


def key_of(prefix: str, day: date) -> str:
    """The same for one prefix all day, another the next day."""
    salt, _ = NetworkSalt.objects.get_or_create(day=day, defaults={"value": secrets.token_hex(32)})
    key = f"{settings.SECRET_KEY}:{salt.value}".encode()
    return hmac.new(key, prefix.encode(), hashlib.sha256).hexdigest()[:32]
