"""The sample of tests/wire in a compiled table, a view of it, and packets to begin from."""

from collections.abc import Iterator

from repzone.fastpath.table import CompiledTable
from repzone.model import Client, Exemption, Listing
from repzone.serve.threads import publish
from repzone.wire.respond import View
from repzone.zone.definition import parse
from tests.wire.probes import MALFORMED, WELL_FORMED
from tests.wire.sample import NOW, ZONES, opt, query
from tests.wire.test_answer import load_cases
from tests.wire.test_encode import DEEP, long_view

ODD = """
apex = "odd.example"
nameservers = ["ns1.example", "ns.odd.example"]
contact = "192@mail.odd.example"
ttl = "30s"
text = "{{{client}}} {category} {offence} {until} {left} {url}{url}"
url = "https://x.example/{client}?{{}}"
addresses."ns.odd.example" = ["192.0.2.1"]
"""
DIGITS = 'apex = "digits.example"\nnameservers = ["ns.example"]\ncontact = "7@digits.example"'
SAME = 'apex = "same.example"\nnameservers = ["ns.example"]\ncontact = "ns@example"\ncategories = ["auth", "errors"]'

TYPES = {"A": 1, "NS": 2, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "DNSKEY": 48, "TKEY": 249, "IXFR": 251}
TYPES |= {"AXFR": 252, "ANY": 255}


def make_listings() -> list[Listing]:
    """Give listings of both families: addresses, prefixes, several of one client, offences of all endings."""
    c = Client.from_text
    return [
        Listing(c("192.0.2.7"), "spam", 2, NOW - 60, NOW + 12000),
        Listing(c("192.0.2.7"), "errors", 1, NOW - 60, NOW + 1200),
        Listing(c("192.0.2.9"), "errors", 1, NOW - 60, NOW),
        Listing(c("2001:db8:1:2::/64"), "auth", 3, NOW, NOW + 5000),
        Listing(c("2001:db8::/32"), "manual", 112, NOW, NOW + 300000),
        Listing(c("2001:db8:1:2::5"), "virus", 23, NOW, NOW + 90061),
        Listing(c("198.51.100.0/24"), "manual", 1, NOW, NOW + 1200),
        Listing(c("198.51.100.30"), "virus", 1, NOW, NOW + 1200),
        Listing(c("198.51.100.30"), "errors", 1, NOW, NOW + 1200),
        *(Listing(c(f"203.0.113.{n}"), "auth", n, NOW, NOW + 1 + n * n * 7) for n in range(1, 130)),
        Listing(c("10.0.0.1"), "manual", 1, NOW, NOW + 600),
        Listing(c("1.2.3.4"), "errors", 1, NOW, NOW + 600),
    ]


def make_exemptions() -> list[Exemption]:
    """Give exemptions: one without end, one that ends, one in reserved space, one of IPv6."""
    c = Client.from_text
    return [
        Exemption(c("198.51.100.128/25"), 0),
        Exemption(c("203.0.113.64/26"), 0, NOW + 100),
        Exemption(c("10.0.0.0/8"), 0),
        Exemption(c("2001:db8:9::/48"), NOW + 50),
    ]


def make_core(*, age: int | None = 1, paused: frozenset[str] = frozenset()) -> tuple[CompiledTable, View]:
    """Build a compiled table and a view of it that the core has seen."""
    table = CompiledTable(make_listings(), make_exemptions())
    odd = [parse(text, "odd.toml") for text in (ODD, DIGITS, SAME)]
    view = View((*ZONES, *long_view().zones, *odd), table, 812, age, paused=paused)
    publish(table, view)
    return table, view


def make_packets() -> Iterator[bytes]:
    """Give packets to begin from: every case of the tables, with and without EDNS."""
    for qname, qtype, _, _ in load_cases():
        yield query(qname, TYPES[qtype])
        yield query(qname.upper(), TYPES[qtype], flags=0x0100, edns=opt(flags=0x8000))
    for number in range(1, 130):
        yield query(f"{number}.113.0.203.bl.example.net", 16, edns=opt(size=512))
        yield query(f"{number}.113.0.203.wl.example.net", 16)
    for nibble in "0123456789abcdef":
        for name in (f"{nibble}." + "0." * 15 + "2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.", "0." * 31 + f"{nibble}."):
            yield query(name + "bl.example.net", 16, edns=opt(options=b"\0\x0a\0\x08abcdefgh"))
            yield query(name + DEEP, 16)
            yield query(name + DEEP, 28, edns=opt(size=300))
    for front in [
        "7.2.0.192",
        "8.2.0.192",
        "7",
        "x.ns",
        "ns",
        "mail",
        "x.mail",
        "30.100.51.198",
        "x",
        "0.0.2.7",
        "ns.7",
    ]:
        for apex in ("odd.example", "digits.example", "same.example"):
            for number in (1, 16, 6):
                yield query(f"{front}.{apex}", number)
                yield query(apex, 6, edns=opt())
    yield from MALFORMED.values()
    yield from WELL_FORMED.values()
