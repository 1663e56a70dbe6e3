"""What is no plain query: the probes of RFC 8906 §8, malformed messages, and anything at all."""

import time
from dataclasses import dataclass

import dnslib
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from repzone.wire import query as wire_query
from repzone.wire.respond import fail, respond
from tests.wire.probes import (
    A_RECORD,
    AA,
    AD,
    APEX,
    BADVERS,
    CD,
    FORMERR,
    MALFORMED,
    NOERROR,
    NOTAUTH,
    NOTIMP,
    PROBES,
    QR,
    RA,
    RD,
    REFUSED,
    SERVFAIL,
    TC,
    TSIG,
    TSIG_DATA,
    WELL_FORMED,
    Z,
    message,
    soa,
    tsig,
)
from tests.wire.sample import HEADER, LOOPBACK, NOW, OTHER, make_view, opt, query, question, wire_name

VIEW = make_view()


@dataclass(frozen=True)
class Reply:
    """A reply taken apart, just far enough for the probes."""

    packet: bytes
    id: int
    flags: int
    counts: tuple[int, int, int, int]
    rcode: int
    edns_version: int | None
    do: bool


def ask(packet: bytes, *, udp: bool = True) -> Reply:
    reply = respond(packet, LOOPBACK, NOW, VIEW, udp=udp)
    assert reply is not None
    ident, flags, *counts = HEADER.unpack_from(reply)
    record = dnslib.DNSRecord.parse(reply)
    opts = [rr for rr in record.ar if rr.rtype == 41]
    assert all(rr.rtype in (41, 250) for rr in record.ar)
    assert len(record.ar) == counts[3]
    extended = opts[0].edns_rcode << 4 if opts else 0
    version = opts[0].edns_ver if opts else None
    four = (counts[0], counts[1], counts[2], counts[3])
    return Reply(reply, ident, flags, four, flags & 15 | extended, version, bool(opts and opts[0].edns_do))


@pytest.mark.parametrize("name", PROBES)
def test_each_probe_of_rfc_8906_gets_what_it_expects(name: str) -> None:
    packet, rcode, version = PROBES[name]
    reply = ask(packet)
    assert (reply.rcode, reply.edns_version) == (rcode, version)
    assert reply.flags & (RA | Z | AD | CD | TC) == 0
    assert reply.flags & RD == HEADER.unpack_from(packet)[1] & RD
    assert bool(reply.flags & AA) == (rcode == NOERROR)
    assert reply.flags & 0x7800 == HEADER.unpack_from(packet)[1] & 0x7800
    if rcode == BADVERS:
        assert reply.counts == (1, 0, 0, 1)
    if reply.flags & 0x7800:
        assert reply.counts[:3] == (0, 0, 0)
    if version is not None:
        opt_at = reply.packet.index(b"\0\0\x29", 12)
        flags = int.from_bytes(reply.packet[opt_at + 7 : opt_at + 9], "big")
        query = wire_query.parse(packet)
        assert query is not None
        assert query.edns is not None
        assert flags == 0x8000 * query.edns.do  # unknown flags are cleared, DO is copied: RFC 3225 §3


def test_every_opcode_but_query_is_not_implemented() -> None:
    for opcode in range(1, 16):
        assert ask(soa(flags=opcode << 11)).rcode == NOTIMP
        assert ask(HEADER.pack(7, opcode << 11, 9, 9, 9, 9) + b"\xc0\x0c").rcode == NOTIMP


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_malformed_is_told_so(name: str) -> None:
    packet = MALFORMED[name]
    reply = ask(packet)
    assert (reply.id, reply.rcode, reply.flags & AA) == (0x1234, FORMERR, 0)
    assert reply.counts[1:3] == (0, 0)


@pytest.mark.parametrize("name", WELL_FORMED)
def test_what_is_only_unusual_is_not_malformed(name: str) -> None:
    reply = ask(WELL_FORMED[name])
    assert reply.rcode in (NOERROR, REFUSED)
    assert reply.counts[3] == ("OPT" in name)


@pytest.mark.parametrize("name", [name for name in MALFORMED if "OPT" in name and "question for" not in name])
def test_a_reply_has_an_opt_when_the_query_tried_to_have_one(name: str) -> None:
    assert ask(MALFORMED[name]).edns_version == (None if "cut" in name else 0)


@pytest.mark.parametrize(("edns", "others"), [(b"", 0), (opt(), 1)])
def test_a_query_signed_with_a_key_that_nobody_knows_is_told_so_by_a_tsig_that_is_not_signed(
    edns: bytes, others: int
) -> None:
    reply = ask(message(question(APEX, 6) + edns + TSIG, 1, 0, 0, others + 1))
    assert (reply.rcode, reply.flags & AA) == (NOTAUTH, 0)
    assert reply.counts == (1, 0, 0, others + 1)
    signed = bytes(6) + b"\1\x2c"  # time and fudge as they came
    assert reply.packet.endswith(tsig(wire_name("hmac-sha256") + signed + b"\0\0\x12\x34\0\x11\0\0"))


def test_a_tsig_of_long_names_is_left_to_tcp() -> None:
    long = wire_name(".".join(["a" * 60] * 4))
    packet = message(question(APEX, 6) + tsig(long + TSIG_DATA[13:], long), 1, 0, 0, 1)
    assert (ask(packet).rcode, ask(packet).counts, ask(packet).flags & TC) == (NOTAUTH, (1, 0, 0, 0), TC)
    assert (ask(packet, udp=False).rcode, ask(packet, udp=False).counts) == (NOTAUTH, (1, 0, 0, 1))


def test_an_opcode_or_a_version_of_edns_that_is_unknown_comes_before_the_key() -> None:
    assert ask(message(question(APEX, 6) + opt(version=1) + TSIG, 1, 0, 0, 2)).rcode == BADVERS
    assert ask(HEADER.pack(7, 4 << 11, 1, 0, 0, 1) + question(APEX, 6) + TSIG).rcode == NOTIMP


def test_an_opt_behind_more_records_than_a_client_sends_is_not_looked_for() -> None:
    for others, version in ((14, 0), (15, None)):
        packet = HEADER.pack(7, 5 << 11, 1, 0, others, 1) + question(APEX) + A_RECORD * others + opt()
        assert (ask(packet).rcode, ask(packet).edns_version) == (NOTIMP, version)


def test_answers_and_less_than_a_header_are_met_with_silence() -> None:
    for size in range(12):
        assert respond(query()[:size], LOOPBACK, NOW, VIEW, udp=True) is None
        assert fail(query()[:size]) is None
    for packet in (query(flags=QR), HEADER.pack(1, QR | 15 << 11, 0, 0, 0, 0), query(flags=QR) + b"rest"):
        assert respond(packet, LOOPBACK, NOW, VIEW, udp=True) is None
        assert fail(packet) is None


def test_other_classes_are_refused_and_class_any_is_answered_without_authority() -> None:
    assert ask(query("version.bind", 16, 3)).rcode == REFUSED
    assert ask(query(APEX, 6, 3)).rcode == REFUSED
    reply = ask(query(APEX, 6, 255))
    assert (reply.rcode, reply.counts[1], reply.flags & AA) == (NOERROR, 1, 0)


def test_a_failure_of_ours_is_servfail_with_the_id_of_the_query() -> None:
    reply = fail(query(flags=RD | 5 << 11, ident=77))
    assert reply == HEADER.pack(77, QR | RD | 5 << 11 | SERVFAIL, 0, 0, 0, 0)


def test_a_chain_of_pointers_costs_nothing() -> None:
    """dnslib needs 23 ms for such a packet; 200 of them must take us less than one of them takes it."""
    chain = b"\0" + b"".join((0xC000 | 12 + max(0, 2 * number - 1)).to_bytes(2, "big") for number in range(249))
    packets = [message(chain, *counts) for counts in [(1, 0, 0, 0), (1, 0, 0, 2), (0, 0, 0, 2), (1, 1, 1, 1)]]
    start = time.perf_counter()
    for packet in packets * 50:
        assert ask(packet).rcode == FORMERR
    assert time.perf_counter() - start < 0.5


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw a sound query with a few octets changed, cut off or added."""
    names = ["7.2.0.192.bl.example.net", APEX, "2.0.192.bl.example.net", "_status.bl.example.net", "x.org", "."]
    edns = draw(st.sampled_from([b"", opt(), opt(options=b"\0\x0a\0\x08abcdefgh"), opt(version=3), A_RECORD, TSIG]))
    qtype = draw(st.sampled_from([1, 6, 16, 28, 251, 252, 255, 65535]))
    packet = bytearray(query(draw(st.sampled_from(names)), qtype, edns=edns))
    for _ in range(draw(st.integers(0, 4))):
        packet[draw(st.integers(0, len(packet) - 1))] = draw(st.integers(0, 255))
    cut = draw(st.one_of(st.just(len(packet)), st.integers(0, len(packet))))
    return bytes(packet[:cut]) + draw(st.one_of(st.just(b""), st.binary(max_size=20)))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.one_of(st.binary(max_size=600), mutated(), st.binary(max_size=60).map(lambda body: message(body, 1, 0, 0, 1)))
)
@example(b"\0" * 12)
def test_any_packet_gets_silence_or_a_reply_within_the_rules(packet: bytes) -> None:
    for client in (LOOPBACK, OTHER):
        reply = respond(packet, client, NOW, VIEW, udp=True)
        if len(packet) < 12 or packet[2] & 0x80:
            assert reply is None
            continue
        assert reply is not None
        assert reply[:2] == packet[:2]
        assert reply[2] & 0x80
        assert reply[2] & 0x79 == packet[2] & 0x79  # opcode and RD
        assert reply[3] & 0xF0 == 0
        parsed = wire_query.parse(packet)
        assert parsed is not None
        assert len(reply) <= (512 if parsed.edns is None else min(1232, max(512, parsed.edns.size)))
        assert reply[12 : 12 + len(parsed.question)] == parsed.question
        assert packet[12 : 12 + len(parsed.question)] == parsed.question
        assert HEADER.unpack_from(reply)[5] == (parsed.edns is not None) + (parsed.tsig is not None)
        if parsed.question.isascii():  # dnslib's decoder takes no others
            dnslib.DNSRecord.parse(reply)


@given(st.integers(0, 2**80 - 1))
def test_the_question_comes_back_in_the_case_it_came_in(upper: int) -> None:
    name = "5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2.bl.example.net"
    mixed = "".join(char.upper() if upper >> place & 1 else char for place, char in enumerate(name))
    packet = query(mixed)
    reply = ask(packet)
    assert (reply.rcode, reply.counts[1]) == (NOERROR, 1)
    assert reply.packet[12 : len(packet)] == packet[12:]
    assert reply.packet[len(packet) : len(packet) + 2] == b"\xc0\x0c"
