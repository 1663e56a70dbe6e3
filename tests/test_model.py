"""Clients, prefixes and exemptions."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import RESERVED, V4, V6, WIDTH, Client, Exemption, Exemptions, Listing


def clients() -> st.SearchStrategy[Client]:
    """Draw addresses and prefixes of both versions."""
    texts = st.ip_addresses().flatmap(
        lambda address: st.integers(0, address.max_prefixlen).map(
            lambda length: str(ipaddress.ip_network(f"{address}/{length}", strict=False))
        )
    )
    return texts.map(Client.from_text)


@given(clients())
def test_text_and_client_are_the_same_thing(client: Client) -> None:
    assert Client.from_text(client.to_text()) == client


@given(clients(), clients())
def test_covering_is_what_the_standard_library_calls_subnet(one: Client, other: Client) -> None:
    first, second = ipaddress.ip_network(one.to_text()), ipaddress.ip_network(other.to_text())
    same = first.version == second.version
    assert one.covers(other) == (same and second.subnet_of(first))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("192.0.2.7", Client(V4, 0xC0000207, 32)),
        ("::ffff:192.0.2.7", Client(V4, 0xC0000207, 32)),
        ("64:ff9b::192.0.2.7", Client(V4, 0xC0000207, 32)),
        ("::ffff:192.0.2.0/120", Client(V4, 0xC0000200, 24)),
        ("64:ff9c::192.0.2.7", Client(V6, (0x64FF9C << 96) | 0xC0000207, 128)),
        ("2001:db8::/32", Client(V6, 0x20010DB8 << 96, 32)),
    ],
)
def test_ipv4_inside_ipv6_is_the_ipv4_address(text: str, client: Client) -> None:
    assert Client.from_text(text) == client


@pytest.mark.parametrize("text", ["", "192.0.2", "192.0.2.007", "192.0.2.1/24", "fe80::1%eth0", "host.example.net"])
def test_what_is_no_address_or_prefix_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Client.from_text(text)


def test_an_ipv6_client_is_listed_as_its_network_and_an_ipv4_one_as_itself() -> None:
    assert Client.from_text("2001:db8:1:2:3::4").key().to_text() == "2001:db8:1:2::/64"
    assert Client.from_text("2001:db8:1:2:3::4").key(56).to_text() == "2001:db8:1::/56"
    assert Client.from_text("192.0.2.7").key().to_text() == "192.0.2.7"


@pytest.mark.parametrize(
    "text",
    [
        *("127.0.0.1", "10.1.2.3", "172.31.0.1", "192.168.0.1", "169.254.1.1", "100.64.0.1", "224.0.0.1", "0.0.0.0"),
        *("::1", "::", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "2001:0:4136:e378::1"),
    ],
)
def test_reserved_space_is_exempt_at_all_times(text: str) -> None:
    assert Exemptions().find(Client.from_text(text), 0) is not None


@pytest.mark.parametrize("text", ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "8.8.8.8", "100.63.0.1"])
def test_documentation_and_public_space_is_not_exempt(text: str) -> None:
    assert Exemptions().find(Client.from_text(text), 0) is None


@given(clients(), st.lists(st.builds(Exemption, clients(), st.integers(0, 9), st.none() | st.integers(0, 9))))
def test_an_exemption_is_found_exactly_when_one_in_force_covers_the_client(
    client: Client, exemptions: list[Exemption]
) -> None:
    everything = [*exemptions, *(Exemption(network, 0) for network in RESERVED)]
    for at in range(10):
        wanted = any(
            e.network.covers(client) and e.added <= at and (e.ended is None or at < e.ended) for e in everything
        )
        assert (Exemptions(exemptions).find(client, at) is not None) == wanted


def test_an_active_listing_is_expired_from_its_end_on() -> None:
    listing = Listing(Client(V4, 1, WIDTH[V4]), "spam", 1, began=10, expires=20)
    assert [listing.state_at(at) for at in (10, 19, 20, 21)] == ["active", "active", "expired", "expired"]
