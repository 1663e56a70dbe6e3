"""The zones and listings that the tests of wire and serve ask for, and a client's side of a query."""

from pathlib import Path
from struct import Struct

from repzone.model import Client, Exemption, Listing
from repzone.wire.answer import View
from repzone.zone.definition import arrange, parse
from repzone.zone.table import MemoryTable, Table

NOW = 1795545600  # 2026-11-24 18:40 UTC
CASES = Path(__file__).parent.parent / "data" / "dns"
LOOPBACK = Client.from_text("127.0.0.1")
OTHER = Client.from_text("203.0.113.1")
HEADER = Struct("!HHHHHH")

BL = """
apex = "bl.example.net"
nameservers = ["ns.bl.example.net", "ns1.example.net"]
contact = "hostmaster@example.net"
url = "https://postmaster.example.net/?ip={client}"
a = ["192.0.2.80"]
aaaa = ["2001:db8::80"]
txt = ["The private block list"]
[addresses]
"ns.bl.example.net" = ["192.0.2.53", "2001:db8::53"]
"""

SPAM = """
apex = "spam.bl.example.net"
nameservers = ["ns1.example.net"]
categories = ["spam"]
text = "Spam from {client}"
codes.spam = 9
"""

DEEP = """
apex = "deep.below.bl.example.net"
nameservers = ["ns1.example.net"]
"""

WL = """
apex = "wl.example.net"
kind = "allow"
nameservers = ["ns1.example.net"]
"""

ZONES = (
    *arrange([parse(BL, "bl.toml"), parse(SPAM, "spam.toml"), parse(WL, "wl.toml")]),
    parse(DEEP, "deep.toml"),
)


def make_table() -> Table:
    """Build a fresh table of the sample's listings and exemptions."""
    c = Client.from_text
    listings = [
        Listing(c("192.0.2.7"), "spam", 2, NOW - 60, NOW + 12000),
        Listing(c("192.0.2.7"), "errors", 1, NOW - 60, NOW + 1200),
        Listing(c("192.0.2.9"), "errors", 1, NOW - 60, NOW),
        Listing(c("2001:db8:1:2::/64"), "auth", 3, NOW, NOW + 5000),
        Listing(c("198.51.100.0/24"), "manual", 1, NOW, NOW + 1200),
        Listing(c("198.51.100.30"), "virus", 1, NOW, NOW + 1200),
        Listing(c("198.51.100.30"), "errors", 1, NOW, NOW + 1200),
    ]
    table = MemoryTable(listings, [Exemption(c("198.51.100.128/25"), 0), Exemption(c("10.0.0.0/8"), 0)])
    table.sweep(NOW)
    return table


def make_view(*, serial: int = 812, age: int | None = 1, table: Table | None = None) -> View:
    """Build a view of the sample zones."""
    return View(ZONES, make_table() if table is None else table, serial, age)


def wire_name(text: str) -> bytes:
    """Write a name without compression."""
    labels = [label.encode() for label in text.split(".") if label]
    return b"".join(bytes([len(label)]) + label for label in labels) + b"\0"


def question(qname: str, qtype: int = 1, qclass: int = 1) -> bytes:
    """Write the octets of a question."""
    return wire_name(qname) + qtype.to_bytes(2, "big") + qclass.to_bytes(2, "big")


def opt(*, size: int = 1232, version: int = 0, flags: int = 0, options: bytes = b"", owner: bytes = b"\0") -> bytes:
    """Write an OPT record."""
    return owner + Struct("!HHBBHH").pack(41, size, 0, version, flags, len(options)) + options


def query(
    qname: str = "7.2.0.192.bl.example.net",
    qtype: int = 1,
    qclass: int = 1,
    *,
    ident: int = 0x1234,
    flags: int = 0,
    edns: bytes = b"",
) -> bytes:
    """Write a query; `edns` is what stands in the additional section, one record."""
    return HEADER.pack(ident, flags, 1, 0, 0, 1 if edns else 0) + question(qname, qtype, qclass) + edns
