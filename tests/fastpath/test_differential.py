"""Two ways to the same answer: every packet through the core and through the general path, octet for octet."""

import random
from functools import cache
from itertools import product

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repzone.fastpath.table import HANDED_OVER, CompiledTable
from repzone.model import Client
from repzone.serve.threads import publish
from repzone.wire.respond import View, respond
from tests.fastpath.needed import SOAK
from tests.fastpath.sample import make_core, make_packets
from tests.wire.sample import LOOPBACK, NOW, OTHER, opt, query
from tests.wire.test_encode import DEEP
from tests.wire.test_query import mutated

PACKETS = 200_000 if SOAK else 20_000
LATER = [0, 1, 59, 99, 100, 1199, 1200, 4999, 12001, 90060, 299_999, 300_000]


@cache
def cores() -> list[tuple[CompiledTable, View]]:
    """Give the sample as it is, without data, with old data, and with a paused zone."""
    return [
        make_core(),
        make_core(age=None),
        make_core(age=3600),
        make_core(paused=frozenset({"bl.example.net"})),
    ]


def compare(table: CompiledTable, view: View, packet: bytes, now: int, client: Client = LOOPBACK) -> bool:
    """Ask both; gives whether the core answered."""
    publish(table, view)  # the core counts on from then: a test that takes a minute would see its data grow old
    given_answer = table.answer(packet, now, client)
    if given_answer is HANDED_OVER:
        return False
    assert given_answer == respond(packet, client, now, view, udp=True), (packet, now)
    return True


def test_mutated_packets_get_the_same_octets_from_both() -> None:
    chance = random.Random(20)
    seeds = list(make_packets())
    answered = 0
    for number in range(PACKETS):
        table, view = chance.choice(cores())
        packet = bytearray(seeds[number % len(seeds)])
        for _ in range(chance.choice((0, 0, 1, 1, 2, 4))):
            if packet:
                packet[chance.randrange(len(packet))] = chance.choice((chance.randrange(256), 48, 49, 57, 97, 102))
        if chance.random() < 0.1:
            del packet[chance.randrange(len(packet) + 1) :]
        answered += compare(table, view, bytes(packet), NOW + chance.choice(LATER))
    assert answered > PACKETS / 10


@st.composite
def names(draw: st.DrawFn) -> str:
    """Draw names in and around the zones: addresses, parts of them, and what only looks like one."""
    octets = st.integers(0, 300).map(str)
    nibbles = st.sampled_from("0123456789abcdefABCDEFg")
    near = st.sampled_from(["7.2.0.192", "30.100.51.198", "200.100.51.198", "1.0.0.127", "2.0.0.127", "5.3.0.203"])
    front = st.one_of(
        near,
        st.lists(octets, min_size=1, max_size=5).map(".".join),
        st.lists(nibbles, min_size=30, max_size=33).map(".".join),
        st.lists(nibbles, min_size=16, max_size=16).map(
            lambda host: ".".join(host) + ".2.0.0.0.1.0.0.0.8.b.d.0.1.0.0.2"
        ),
        st.lists(st.sampled_from(["_status", "ns", "ns1", "hostmaster", "x", "192", "-", "00"]), max_size=3).map(
            ".".join
        ),
    )
    zone = st.sampled_from(
        ["bl.example.net", "spam.bl.example.net", "wl.example.net", "BL.Example.Net", "odd.example", "digits.example"]
    )
    return ".".join(part for part in (draw(front), draw(zone)) if part)


@settings(max_examples=2000 if SOAK else 300, suppress_health_check=[HealthCheck.too_slow])
@given(
    qname=names(),
    qtype=st.sampled_from([1, 1, 16, 16, 6, 2, 28, 15, 0, 127, 128, 251, 255, 256, 65535]),
    klass=st.sampled_from([1, 1, 1, 1, 3, 255]),
    flags=st.integers(0, 0xFFFF),
    edns=st.one_of(st.just(b""), st.builds(opt, size=st.integers(0, 65535), flags=st.integers(0, 65535))),
    later=st.sampled_from(LATER),
    client=st.sampled_from([LOOPBACK, OTHER, Client.from_text("::1")]),
)
def test_names_around_the_zones_get_the_same_octets_from_both(
    qname: str, qtype: int, klass: int, flags: int, edns: bytes, later: int, client: Client
) -> None:
    packet = query(qname, qtype, klass, flags=flags & 0x87FF, edns=edns)
    for table, view in cores():
        compare(table, view, packet, NOW + later, client)


@settings(max_examples=2000 if SOAK else 300, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(st.binary(max_size=600), mutated()))
def test_anything_at_all_gets_the_same_octets_from_both(packet: bytes) -> None:
    for table, view in cores():
        compare(table, view, packet, NOW)


def test_replies_of_every_size_are_cut_at_the_same_octet() -> None:
    names = ["7.2.0.192.bl.example.net", "5." + "0." * 23 + "8.b.d.0.1.0.0.2." + DEEP]
    for (table, view), name in product((cores()[0], cores()[2]), names):
        for size in [0, *range(511, 1235)]:
            assert compare(table, view, query(name, 16, edns=opt(size=size)), NOW)


def test_what_mail_servers_ask_is_never_handed_over() -> None:
    table, _ = cores()[0]
    for front in ["7.2.0.192", "8.2.0.192", "2.0.192", "2.0.0.127", "1.0.0.127", "foo", "4.3.2.1", "30.100.51.198"]:
        for zone in ["bl.example.net", "spam.bl.example.net", "wl.example.net"]:
            for qtype in [1, 16, 28, 15]:
                for edns in [b"", opt(), opt(flags=0x8000, options=b"\0\x0a\0\x08abcdefgh")]:
                    packet = query(f"{front}.{zone}", qtype, flags=0x0100, edns=edns)
                    assert isinstance(table.answer(packet, NOW), bytes)
    for zone in ["bl.example.net", "spam.bl.example.net", "wl.example.net"]:
        assert isinstance(table.answer(query(zone, 6), NOW), bytes)


def test_without_data_only_what_needs_none_is_not_handed_over() -> None:
    table, _ = cores()[1]
    for front in ["7.2.0.192", "8.2.0.192", "2.0.192", "foo"]:
        assert table.answer(query(f"{front}.bl.example.net"), NOW) is HANDED_OVER
    for name in ["2.0.0.127.bl.example.net", "1.0.0.127.bl.example.net", "2.0.0.127.wl.example.net"]:
        assert isinstance(table.answer(query(name), NOW), bytes)
    assert isinstance(table.answer(query("bl.example.net", 6), NOW), bytes)


def test_who_may_not_ask_is_handed_over() -> None:
    table, _ = cores()[0]
    for client in [OTHER, Client.from_text("2001:db8::1")]:
        assert table.answer(query(), NOW, client) is HANDED_OVER
    assert isinstance(table.answer(query(), NOW, Client.from_text("::1")), bytes)


def test_what_gets_no_reply_gets_none_from_both() -> None:
    table, _ = cores()[0]
    assert table.answer(query()[:11], NOW) is None
    assert table.answer(query(flags=0x8000), NOW) is None
