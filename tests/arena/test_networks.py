"""Which network somebody asks from: read where a visitor cannot write, kept as nobody can read."""

from __future__ import annotations

from datetime import date

import pytest

from arena import networks
from arena.models import NetworkSalt


def scope(peer="10.1.1.1", *forwarded):
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"client": (peer, 4711), "headers": [(b"host", b"arena"), *headers]}


@pytest.mark.parametrize(
    ("peer", "prefix"),
    [
        ("203.0.113.9", "203.0.113.0/24"),
        ("203.0.113.255", "203.0.113.0/24"),
        ("2001:db8:1:2:3::4", "2001:db8:1::/48"),
        ("::ffff:203.0.113.9", "203.0.113.0/24"),
        ("fe80::1%eth0", "fe80::/48"),
        ("testclient", networks.UNKNOWN),
        ("", networks.UNKNOWN),
    ],
)
def test_a_network_is_its_prefix(settings, peer, prefix):
    settings.BEHIND_PROXY = False
    assert networks.prefix_of(scope(peer)) == prefix


def test_without_a_proxy_nobody_is_believed_about_his_address(settings):
    settings.BEHIND_PROXY = False
    assert networks.prefix_of(scope("203.0.113.9", "198.51.100.1")) == "203.0.113.0/24"


@pytest.mark.parametrize(
    ("forwarded", "proxies", "prefix"),
    [
        (["203.0.113.9"], 1, "203.0.113.0/24"),
        # What a visitor sent stands to the left of what our proxy wrote.
        (["198.51.100.1, 203.0.113.9"], 1, "203.0.113.0/24"),
        (["198.51.100.1", "203.0.113.9"], 1, "203.0.113.0/24"),
        (["198.51.100.1, 203.0.113.9, 10.0.0.2"], 2, "203.0.113.0/24"),
        (["203.0.113.9:51234"], 1, "203.0.113.0/24"),
        (["[2001:db8:1:2::3]:443"], 1, "2001:db8:1::/48"),
        # Not understood: all of these share one limit.
        ([], 1, networks.UNKNOWN),
        (["203.0.113.9"], 2, networks.UNKNOWN),
        (["unknown"], 1, networks.UNKNOWN),
        (["203.0.113.9, "], 1, networks.UNKNOWN),
        (["<script>"], 1, networks.UNKNOWN),
    ],
)
def test_behind_proxies_the_outermost_of_ours_is_believed(settings, forwarded, proxies, prefix):
    settings.BEHIND_PROXY, settings.PROXY_COUNT = True, proxies
    assert networks.prefix_of(scope("10.0.0.2", *forwarded)) == prefix


@pytest.mark.django_db
def test_a_key_is_the_same_all_day_and_tells_nothing():
    day = date(2026, 3, 1)
    key = networks.key_of("203.0.113.0/24", day)
    assert key == networks.key_of("203.0.113.0/24", day)
    assert key != networks.key_of("203.0.114.0/24", day)
    assert key != networks.key_of("203.0.113.0/24", date(2026, 3, 2))
    assert len(key) == 32
    # With the salt gone, the settings alone do not lead back to it.
    NetworkSalt.objects.all().delete()
    assert key != networks.key_of("203.0.113.0/24", day)
