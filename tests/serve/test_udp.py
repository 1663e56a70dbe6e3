"""UDP on real sockets."""

import socket

import dnslib
import pytest

from repzone.wire.respond import View
from repzone.zone.definition import parse
from repzone.zone.table import Table
from tests.serve.running import CORES, Running, core_table, running, udp_client, until
from tests.wire.sample import NOW, make_view, query


@pytest.fixture(params=CORES)
def table(request: pytest.FixtureRequest) -> Table | None:
    """The table that the compiled core answers from; None where Python answers alone."""
    return core_table(request.param)


def ask(sock: socket.socket, packet: bytes) -> bytes:
    sock.send(packet)
    return sock.recv(65535)


def test_a_listed_address_is_answered(table: Table | None) -> None:
    with running(table=table) as server, udp_client(server) as sock:
        record = dnslib.DNSRecord.parse(ask(sock, query()))
        assert [str(rr.rdata) for rr in record.rr] == ["127.0.0.4", "127.0.0.8"]


def test_a_listing_ends_at_its_second_without_anybody_doing_anything(table: Table | None) -> None:
    instant = [NOW + 1199]
    with running(now=lambda: instant[0], table=table) as server, udp_client(server) as sock:
        assert dnslib.DNSRecord.parse(ask(sock, query("30.100.51.198.bl.example.net"))).header.rcode == 0
        instant[0] += 1
        until(lambda: ask(sock, query("30.100.51.198.bl.example.net"))[3] & 15 == 3)


@pytest.mark.parametrize("host", ["127.0.0.2", "::1"])
def test_the_reply_comes_from_the_address_that_was_asked(host: str, table: Table | None) -> None:
    with running(listen=((host, 0),), table=table) as server, udp_client(server) as sock:
        assert ask(sock, query())[:2] == b"\x12\x34"


@pytest.mark.parametrize(("wildcard", "host"), [("0.0.0.0", "127.0.0.3"), ("::", "::1")])
def test_a_wildcard_socket_answers_from_the_address_that_was_asked(
    wildcard: str, host: str, table: Table | None
) -> None:
    with running(listen=((wildcard, 0),), table=table) as server:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.settimeout(5)
            sock.connect((host, server.address[1]))  # the kernel drops what comes from elsewhere
            assert ask(sock, query())[:2] == b"\x12\x34"


def test_nonsense_is_met_with_silence_and_the_next_query_is_answered(table: Table | None) -> None:
    with running(table=table) as server, udp_client(server) as sock:
        for packet in (b"", b"x", b"\0" * 11, query(flags=0x8000)):
            sock.send(packet)
        assert ask(sock, query(ident=9))[:2] == b"\0\x09"
        assert server.server.counts["udp", "dropped"] == 4


def test_a_bug_of_ours_costs_one_servfail_and_no_more(table: Table | None) -> None:
    broken = [True]

    def view() -> View:
        if broken[0]:
            raise ZeroDivisionError
        return make_view(table=table)

    with running(view, table=table) as server, udp_client(server) as sock:
        assert ask(sock, query())[3] & 15 == 2
        broken[0] = False
        assert ask(sock, query())[3] & 15 == 0


def test_refused_is_limited_to_its_rate_and_nothing_else_is(table: Table | None) -> None:
    with running(refused_rate=5, table=table) as server, udp_client(server) as sock:
        for number in range(50):
            sock.send(query("other.example", ident=number))
        sock.send(query("8.2.0.192.bl.example.net", ident=99))
        until(lambda: refused(server, "limited") + refused(server, "5") == 50)
        assert 5 <= refused(server, "5") <= 8
        rcodes = [sock.recv(512)[3] & 15 for _ in range(refused(server, "5") + 1)]
        assert rcodes.count(3) == 1


def refused(server: Running, outcome: str) -> int:
    return server.server.counts.get(("udp", outcome), 0)


def test_a_client_that_is_gone_does_not_stop_the_server(table: Table | None) -> None:
    with running(table=table) as server:
        for _ in range(5):
            with udp_client(server) as gone:
                gone.send(query())
        with udp_client(server) as sock:
            assert ask(sock, query())[:2] == b"\x12\x34"


def test_who_is_not_in_the_acl_is_refused_by_the_address_that_asks(table: Table | None) -> None:
    text = 'apex = "bl.example.net"\nnameservers = ["ns1.example.net"]\nallow_query = ["127.0.0.1"]'
    strict = View((parse(text, "bl.toml"),), make_view(table=table).table, 1, 1)
    with running(lambda: strict, listen=(("127.0.0.1", 0), ("::1", 0)), table=table) as server:
        with udp_client(server, 0) as sock:
            assert ask(sock, query())[3] & 15 == 0
        with udp_client(server, 1) as sock:
            assert ask(sock, query())[3] & 15 == 5
