"""Exported files beside what DNS answers for the same table."""

import csv
import tracemalloc
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from ipaddress import ip_address
from itertools import pairwise

import dnslib
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.model import V4, V6, Change, Client, Exemption, Listing
from repzone.wire.respond import View, respond
from repzone.zone.definition import Zone, parse
from repzone.zone.entry import Entry
from repzone.zone.export import FORMATS, Networks
from repzone.zone.export.networks import NAME, lasting
from repzone.zone.export.nftables import ranges
from repzone.zone.export.rpz import trigger
from repzone.zone.names import to_labels
from repzone.zone.rows import unpack_address
from repzone.zone.table import Found, MemoryTable, Table
from repzone.zone.texts import MAX_TEXT, worst_length
from tests.wire.sample import LOOPBACK, NOW, ZONES, query
from tests.zone.networks import addresses, tables

Said = tuple[list[str], bytes, int] | None  # addresses, text, TTL; None: not listed


BLOCK = next(zone for zone in ZONES if zone.apex == "bl.example.net")
LONG = "{until}{{left}}, {left} ({category}, {offence}): {client} {url}"
WORDY = parse(
    f'''apex = "words.example.net"
nameservers = ["ns.example.net"]
url = "https://example.net/{{client}}"
text = "{"~" * (MAX_TEXT - worst_length(LONG, "https://example.net/{client}"))}{LONG}"
ttl = "150s"
''',
    "a zone whose texts are as long as may be",
)


LASTING = tuple(lasting(zone) for zone in ZONES)


def by_dns(zone: Zone, table: Table, asked: Client) -> Said:
    """Give what DNS says, but for the time left."""
    name = b".".join((*to_labels(asked), *zone.name)).decode()
    replies = []
    for kind in (1, 16):
        reply = respond(query(name, kind), LOOPBACK, NOW, View(LASTING, table, 7, 0), udp=False)
        assert reply is not None
        replies.append(dnslib.DNSRecord.parse(reply).rr)
    a, txt = replies
    return ([str(record.rdata) for record in a], txt[0].rdata.data[0], a[0].ttl) if a else None


def text_of(zone: Zone, table: Table, form: str) -> str:
    return "".join(FORMATS[form](Networks(zone, table, NOW), 7))


def by_csv(text: str, asked: Client) -> Said:
    for row in csv.DictReader(text.splitlines()):
        if Client.from_text(row["network"]).covers(asked):
            return (row["addresses"].split(), row["text"].encode(), int(row["ttl"])) if row["addresses"] else None
    return None


def by_bind(text: str, asked: Client) -> Said:
    """Look up a name in the zone file as RFC 4592 says."""
    found: dict[str, list[list[str]]] = {}
    for line in text.splitlines():
        owner, *rest = line.split(" ", 3)
        found.setdefault(owner, []).append(rest)
    exists = {name.split(".", n)[-1] for name in found for n in range(name.count(".") + 1)}
    labels = [label.decode() for label in to_labels(asked)]
    name = ".".join(labels)
    if name not in exists:
        closest = next((n for n in range(len(labels)) if ".".join(labels[n:]) in exists), len(labels))
        name = ".".join(("*", *labels[closest:]))
    records = [rest for rest in found.get(name, []) if len(rest) == 3]
    given = list(dict.fromkeys(data for _, kind, data in records if kind == "A"))
    texts = {data[1:-1].encode() for _, kind, data in records if kind == "TXT"}
    assert len(texts) == bool(given)
    return (given, texts.pop(), int(records[0][0])) if given else None


def named(said: Said, *, text: bool = True) -> object:
    """Give what can be compared where a text names a prefix instead of the address."""
    return said and (said[0], said[1] if text else b"", said[2])


@pytest.mark.parametrize(("form", "read"), [("csv", by_csv), ("bind", by_bind)])
@settings(max_examples=60)
@given(table=tables(), zone=st.sampled_from(ZONES), asked=st.lists(addresses(), min_size=1, max_size=5))
def test_a_file_says_of_an_address_what_dns_says(
    form: str, read: Callable[[str, Client], Said], table: MemoryTable, zone: Zone, asked: list[Client]
) -> None:
    text = text_of(zone, table, form)
    whole_ones = {one.client for one in table.listings(NOW) if one.category in zone.codes}
    if zone.kind == "allow":
        whole_ones = {one.network for one in table.exemptions(NOW)}
    for one in asked:
        whole = one in whole_ones
        assert named(read(text, one), text=whole) == named(by_dns(zone, table, one), text=whole), one


@given(table=tables(), zone=st.sampled_from(ZONES), asked=st.lists(addresses(), min_size=1, max_size=5))
def test_ranges_hold_who_is_listed_and_nobody_else(table: MemoryTable, zone: Zone, asked: list[Client]) -> None:
    networks = Networks(zone, table, NOW)
    for version in (V4, V6):
        found = list(ranges(networks, version))
        assert all(before[1] + 1 < after[0] for before, after in pairwise(found))
        for one in asked:
            if one.version == version:
                inside = any(first <= one.value <= last for first, last in found)
                assert inside == (by_dns(zone, table, one) is not None)


def cidr_lines(zone: Zone, table: Table) -> Iterator[tuple[Client, str]]:
    for line in text_of(zone, table, "postfix").splitlines():
        if not line.startswith("#"):
            network, _, action = line.partition(" ")
            yield Client.from_text(network), action


@given(table=tables(), asked=addresses(), zone=st.sampled_from(ZONES))
def test_the_first_line_of_a_postfix_table_and_the_longest_trigger_decide(
    table: MemoryTable, asked: Client, zone: Zone
) -> None:
    said = by_dns(zone, table, asked)
    action = next((action for network, action in cidr_lines(zone, table) if network.covers(asked)), "DUNNO")
    wanted = "DUNNO" if said is None else "OK" if zone.kind == "allow" else "REJECT"
    assert action.split(" ")[0] == wanted
    triggers = dict(line.rsplit(" CNAME ", 1) for line in text_of(zone, table, "rpz").splitlines() if "CNAME" in line)
    by_network = {owner.split(" ")[0]: policy for owner, policy in triggers.items()}
    prefixes = (asked.truncate(length) for length in range(128 if asked.version == V6 else 32, -1, -1))
    policy = next((by_network[trigger(prefix)] for prefix in prefixes if trigger(prefix) in by_network), "none")
    assert policy in (("none", "rpz-passthru.") if said is None or zone.kind == "allow" else (".",))


@pytest.mark.parametrize(
    ("network", "owner"),
    [
        ("192.0.2.7", "32.7.2.0.192.rpz-ip"),
        ("198.51.0.0/16", "16.0.0.51.198.rpz-ip"),
        ("2001:db8::/32", "32.zz.db8.2001.rpz-ip"),
        ("2001:db8:0:1::/64", "64.zz.1.0.db8.2001.rpz-ip"),
        ("2001:db8::1", "128.1.zz.db8.2001.rpz-ip"),
        ("::1", "128.1.zz.rpz-ip"),
        ("::/0", "0.zz.rpz-ip"),
    ],
)
def test_triggers_are_written_as_bind_wants_them(network: str, owner: str) -> None:
    assert trigger(Client.from_text(network)) == owner


def test_reserved_space_is_a_hole_in_a_wider_ban() -> None:
    table = MemoryTable([Listing(Client.from_text("0.0.0.0/0"), "manual", 1, NOW, NOW + 600)])
    found = list(ranges(Networks(ZONES[1], table, NOW), V4))
    for text, listed in [("9.255.255.255", True), ("10.0.0.0", False), ("11.0.0.0", True), ("127.0.0.1", False)]:
        number = int(ip_address(text))
        assert any(first <= number <= last for first, last in found) is listed


def say(entry: Entry | None) -> str:
    return "hole" if entry is None else f"{entry.codes} {entry.ttl} {entry.code} {entry.text.decode()}"


@settings(max_examples=60)
@given(table=tables(), zone=st.sampled_from((*ZONES, WORDY)))
def test_what_is_written_of_a_network_is_what_a_look_up_gives(table: MemoryTable, zone: Zone) -> None:
    networks = Networks(zone, table, NOW)
    for version in (V4, V6):
        found = [
            (unpack_address(version, length, octets), said) for octets, length, said, _ in networks.each(version, say)
        ]
        for network, said in found:
            entry = networks.entry(network)
            assert said.replace(NAME, str(network)) == say(entry)
            assert (entry is None) == (network in networks.holes)
        assert [one for one, _ in found] == sorted({one for one, _ in found}, key=lambda one: (-one.length, one.value))
        listed = {one.client for one in table.listings(NOW) if one.client.version == version}
        exempt = {one.network for one in table.exemptions(NOW)}
        for network in (listed if zone.kind == "block" else exempt) - {one for one, _ in found}:
            assert network.version != version or networks.entry(network) is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "",
            "Too many spams from your IP: 192.0.2.7 is listed for the 2nd time until 2026-11-24 22:00 UTC. https://x/",
        ),
        ("{client} until {until} ({left} left), {category}", "192.0.2.7 until 2026-11-24 22:00 UTC, spam"),
        ("({left}) {{left}} {left} left", " {left} some time left"),
        ("({{left}}) Wait {left}.", "({left}) Wait some time."),
    ],
)
@pytest.mark.parametrize("form", ["csv", "bind", "rbldnsd", "postfix"])
def test_a_file_says_when_a_listing_ends_and_not_how_much_of_it_is_left(form: str, text: str, told: str) -> None:
    words = 'apex = "bl.example.net"\nnameservers = ["ns.example.net"]\nurl = "https://x/"\n'
    zone = parse(words + (f'text = "{text}"' if text else ""), "zone")
    ends = int(datetime(2026, 11, 24, 22, tzinfo=UTC).timestamp())
    around = [Listing(Client.from_text("192.0.2.0/24"), "spam", 1, NOW, ends)]
    for listings in ([], around):
        table = MemoryTable([Listing(Client.from_text("192.0.2.7"), "spam", 2, NOW, ends), *listings])
        wanted = told.replace("192.0.2.7", "$") if form == "rbldnsd" else told
        assert wanted in text_of(zone, table, form)


def test_a_text_that_has_no_room_for_a_long_network_is_cut() -> None:
    network = Client.from_text("2001:ffff:ffff:ffff:ffff:ffff:ffff:fff0/124")
    ends = NOW - NOW % 60 + 80_001
    both = [Listing(network, category, 999_999, NOW - 60, ends) for category in ("errors", "manual")]
    table = MemoryTable(both)
    lines = text_of(WORDY, table, "csv").splitlines()
    (text,) = (row["text"] for row in csv.DictReader(lines))
    entry = Networks(WORDY, table, NOW).entry(network)
    assert (len(text), text.encode()) == (MAX_TEXT, entry and entry.text)


class Unasked(MemoryTable):
    """A table that nobody may look something up in."""

    def lookup(self, client: Client, now: int) -> Found:
        """Fail."""
        raise AssertionError(client)


def many(number: int, *networks: str) -> Iterator[Listing]:
    """Give listings of addresses, and of networks."""
    named = [Client.from_text(network) for network in networks]
    for client in (*(Client(V4, 0xC0000000 + 3 * n, 32) for n in range(number)), *named):
        yield Listing(client, "spam", 1, NOW - 60, NOW + 7200)


@pytest.mark.parametrize("form", FORMATS)
def test_only_what_lies_in_something_else_is_looked_up(form: str) -> None:
    table = Unasked(many(20, "198.51.0.0/16", "2001:db8::/48", "2001:db9::/64"))
    table.apply(Change(1, Exemption(Client.from_text("203.0.113.0/24"), 0)))
    assert "198" in text_of(BLOCK, table, form)
    table.replace(many(20, "192.0.0.0/24"), [])
    with pytest.raises(AssertionError, match=r"^192\.0\.0\.0$"):
        text_of(BLOCK, table, form)


@pytest.mark.parametrize("form", FORMATS)
def test_lines_are_not_kept(form: str) -> None:
    networks = Networks(BLOCK, MemoryTable(many(4000)), NOW)
    tracemalloc.start()
    try:
        written = sum(map(len, FORMATS[form](networks, 7)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert written > 50_000
    assert most < 250_000


def test_of_a_paused_zone_only_the_test_entries_are_written() -> None:
    table = MemoryTable([Listing(Client.from_text("192.0.2.7"), "spam", 1, NOW, NOW + 600)])
    paused = Networks(ZONES[1], table, NOW, paused=True)
    assert list(FORMATS["csv"](paused, 7)) == ["network,addresses,ttl,text\n"]
    lines = list(FORMATS["bind"](paused, 7))
    assert any(line.startswith("2.0.0.127 300 A 127.0.0.2") for line in lines)
    assert not any("192" in line.split(" ")[0] for line in lines)


def test_a_text_is_quoted_where_it_has_to_be() -> None:
    listing = Listing(Client.from_text("192.0.2.7"), "spam", 1, NOW, NOW + 600)
    zone = next(zone for zone in ZONES if zone.apex == "spam.bl.example.net")
    odd = type(zone)(**{name: getattr(zone, name) for name in zone.__slots__} | {"texts": {"spam": odd_text(zone)}})
    made = Networks(odd, MemoryTable([listing], [Exemption(Client.from_text("203.0.113.0/24"), 0)]), NOW)
    text = "".join(FORMATS["bind"](made, 7))
    assert "32.0.192" not in text
    assert '7.2.0.192 300 TXT "a \\"b\\" \\\\c, $d;"\n' in text
    assert '192.0.2.7,127.0.0.9,300,"a ""b"" \\c, $d;"\n' in list(FORMATS["csv"](made, 7))
    assert '192.0.2.7 :127.0.0.9:a "b" \\c, $$d;\n' in list(FORMATS["rbldnsd"](made, 7))


def odd_text(zone: Zone) -> object:
    return type(zone.texts["spam"])('a "b" \\c, $d;')
