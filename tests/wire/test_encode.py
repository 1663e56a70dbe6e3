"""Replies as octets: compression, sizes, truncation, and agreement with a decoder that is not ours."""

import dnslib
import pytest

from repzone.model import Client, Listing
from repzone.wire.respond import View, respond
from repzone.zone.definition import parse
from repzone.zone.names import to_labels
from repzone.zone.table import MemoryTable
from tests.wire.sample import LOOPBACK, NOW, make_view, opt, query

DEEP = ".".join(["x" * 60] * 3)
WIDE = Client.from_text("2001:db8::/64")
LONG = "y" * 241  # with " (and 99 more)" that is 255


def long_view() -> View:
    """Build a view whose names and texts are as long as they can be."""
    text = f'apex = "{DEEP}"\nnameservers = ["ns.{DEEP}"]\ntext = "{LONG}"\naddresses."ns.{DEEP}" = ["192.0.2.1"]'
    zone = parse(text, "deep.toml")
    return View((zone,), MemoryTable([Listing(WIDE, "spam", 1, 0, NOW + 500)]), 1, 0)


def ask_long(qtype: int, *, edns: bytes = b"", udp: bool = True) -> bytes:
    labels = to_labels(Client(6, WIDE.value + 5, 128))
    name = ".".join([label.decode() for label in labels] + [DEEP])
    reply = respond(query(name, qtype, edns=edns), LOOPBACK, NOW, long_view(), udp=udp)
    assert reply is not None
    return reply


@pytest.mark.parametrize("edns", [b"", opt(size=512), opt(size=0), opt(size=520)], ids=["no EDNS", "512", "0", "520"])
def test_what_is_too_long_for_the_client_is_truncated_to_no_records(edns: bytes) -> None:
    record = dnslib.DNSRecord.parse(ask_long(16, edns=edns))
    assert (record.header.tc, record.header.aa, record.rr, record.auth) == (1, 1, [], [])
    assert len(record.ar) == bool(edns)
    assert record.header.rcode == 0


@pytest.mark.parametrize("edns", [opt(size=1232), opt(size=4096), opt(size=65535)], ids=["1232", "4096", "65535"])
def test_a_client_that_takes_more_gets_it_whole(edns: bytes) -> None:
    record = dnslib.DNSRecord.parse(ask_long(16, edns=edns))
    assert record.header.tc == 0
    assert record.rr[0].rdata.data == [LONG.encode()]


def test_tcp_is_never_truncated() -> None:
    record = dnslib.DNSRecord.parse(ask_long(16, udp=False))
    assert record.header.tc == 0
    assert record.rr[0].rdata.data == [LONG.encode()]


def test_names_are_compressed_against_the_question() -> None:
    reply = respond(query("8.2.0.192.bl.example.net", 1), LOOPBACK, NOW, make_view(), udp=True)
    assert reply is not None
    assert reply.count(b"example") == 1
    assert str(dnslib.DNSRecord.parse(reply).auth[0].rdata).startswith("ns.bl.example.net. hostmaster.example.net. ")


def test_two_queries_with_names_of_one_zone_do_not_share_offsets() -> None:
    for name in ["8.2.0.192.bl.example.net", "bl.example.net", "x.y.z.bl.example.net"]:
        reply = respond(query(name, 15), LOOPBACK, NOW, make_view(), udp=True)
        assert reply is not None
        assert str(dnslib.DNSRecord.parse(reply).auth[0].rname) == "bl.example.net."
