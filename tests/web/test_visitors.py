"""Who asks, behind proxies that are trusted or not, and how often."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import Client
from repzone.web.visitors import Limits, visitor

PROXY = (Client.from_text("127.0.0.1"), Client.from_text("2001:db8:1::/48"))
NOW = 1_785_000_000


@pytest.mark.parametrize(
    ("peer", "forwarded", "found"),
    [
        ("192.0.2.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", "192.0.2.1"),  # no proxy of ours: what it says is nothing
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9, 198.51.100.1", "198.51.100.1"),  # the left one is the visitor's own word
        ("127.0.0.1", "203.0.113.9, 198.51.100.1, 2001:db8:1::5", "198.51.100.1"),
        ("2001:db8:1::1", "[2001:db8:9::1]:4711", "2001:db8:9::1"),
        ("127.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("127.0.0.1", "203.0.113.9, unknown", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1"),
        ("", "", "0.0.0.0"),
    ],
)
def test_the_nearest_address_that_is_no_proxy_of_ours_asks(peer: str, forwarded: str, found: str) -> None:
    assert visitor(peer, forwarded, PROXY) == Client.from_text(found)


@given(st.text(max_size=60), st.ip_addresses(v=4))
def test_nothing_that_a_visitor_writes_hides_it(forged: str, address: object) -> None:
    seen = visitor("127.0.0.1", f"{forged}, {address}", PROXY[:1])
    if str(address) != "127.0.0.1":
        assert seen == Client.from_text(str(address))


def test_thirty_a_minute_and_three_hundred_a_day_may_be_asked() -> None:
    limits, client = Limits(), Client.from_text("192.0.2.1")
    assert [limits.ask(client, NOW) for _ in range(30)] == [0] * 30
    assert limits.ask(client, NOW) == 60 - NOW % 60
    for minute in range(1, 10):
        assert [limits.ask(client, NOW + 60 * minute) for _ in range(30)] == [0] * 30
    later = NOW + 60 * 10
    assert limits.ask(client, later) == 86400 - later % 86400
    assert limits.ask(client, later + 86400) == 0


def test_the_addresses_of_one_ipv6_customer_are_one_visitor() -> None:
    limits = Limits(per_minute=1)
    assert limits.ask(Client.from_text("2001:db8:0:10::1"), NOW) == 0
    assert limits.ask(Client.from_text("2001:db8:0:1f::2"), NOW) > 0
    assert limits.ask(Client.from_text("2001:db8:0:110::1"), NOW) == 0
    assert limits.ask(Client.from_text("192.0.2.1"), NOW) == 0


def test_only_so_many_visitors_are_remembered() -> None:
    limits = Limits(per_minute=1, most=3)
    clients = [Client(4, 0xC0000200 + n, 32) for n in range(4)]
    assert [limits.ask(client, NOW) for client in clients] == [0] * 4
    assert limits.ask(clients[3], NOW) > 0
    assert limits.ask(clients[0], NOW) == 0  # the one that asked first was forgotten
