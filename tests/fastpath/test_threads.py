"""The core's threads on real sockets: what they hand over, what they do when nobody takes it, what they leave."""

import gc
import os
import re
import socket
import threading
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import dnslib
import pytest

from repzone.errors import UnavailableError
from repzone.fastpath.table import CompiledTable
from repzone.fastpath.threads import Answered
from repzone.model import Change, Client, Listing
from repzone.serve.threads import CoreServer
from repzone.wire.respond import View
from tests.serve.running import Running, running, tcp_client, udp_client, until
from tests.wire.sample import NOW, ZONES, make_view, opt, query

QUEUE = 128
SERVFAIL, NXDOMAIN, REFUSED = 2, 3, 5
NEW = "99.9.9.9.bl.example.net"


@pytest.fixture
def table() -> CompiledTable:
    """A table of one listing."""
    return CompiledTable([Listing(Client.from_text("192.0.2.7"), "spam", 2, NOW - 60, NOW + 12000)])


def rcode(sock: socket.socket, packet: bytes) -> int:
    sock.send(packet)
    return sock.recv(512)[3] & 15


def core_of(server: Running) -> CoreServer:
    core = server.server.core
    assert core is not None
    return core


def test_what_the_core_does_not_understand_gets_the_general_path_s_reply(table: CompiledTable) -> None:
    with running(table=table) as server, udp_client(server) as sock:
        sock.send(query("bl.example.net", 16, edns=opt()))
        assert dnslib.DNSRecord.parse(sock.recv(512)).rr[0].rdata.data == [b"The private block list"]
        sock.send(query(edns=opt(version=1)))
        assert sock.recv(512)[3] & 15 == 0  # BADVERS is 16
        sock.send(query())
        assert sock.recv(512)[3] & 15 == 0
        handed_over = [tally.handed_over for tally in core_of(server).tallies()]
        assert sum(handed_over) == 2


def test_when_python_hangs_the_core_answers_on_and_says_servfail_for_what_no_queue_holds(table: CompiledTable) -> None:
    go_on, view = threading.Event(), make_view(table=table)
    hang = threading.Event()

    def hanging() -> View:
        if hang.is_set():
            go_on.wait(5)
        return view

    with running(hanging, table=table) as server, udp_client(server) as sock:
        try:
            hang.set()
            for number in range(QUEUE + 20):
                sock.send(query("bl.example.net", 2, ident=number))
            failed = [sock.recv(512) for _ in range(20)]
            assert [(reply[:2], reply[3]) for reply in failed] == [
                (number.to_bytes(2, "big"), 2) for number in range(QUEUE, QUEUE + 20)
            ]
            sock.send(query(ident=9999))
            assert sock.recv(512)[:4] == (9999).to_bytes(2, "big") + b"\x84\0"
        finally:
            go_on.set()
        hang.clear()
        replies = [sock.recv(512) for _ in range(QUEUE)]
        assert {reply[3] & 15 for reply in replies} == {0}
        assert sorted(reply[:2] for reply in replies) == [number.to_bytes(2, "big") for number in range(QUEUE)]
        assert server.server.counts == {("udp", "0"): QUEUE + 1, ("udp", "2"): 20}


def test_each_reply_is_counted_by_zone_type_and_rcode(table: CompiledTable) -> None:
    asked = [("7.2.0.192.bl.example.net", 1), ("7.2.0.192.bl.example.net", 16), ("8.2.0.192.spam.bl.example.net", 1)]
    with running(table=table) as server, udp_client(server) as sock:
        for name, kind in [*asked, ("wl.example.net", 6), ("7.2.0.192.bl.example.net", 28), asked[0]]:
            sock.send(query(name, kind))
            sock.recv(512)
        sock.send(b"short")
        until(lambda: server.server.counts.get(("udp", "dropped")) == 1)
        answered: Counter[Answered] = Counter()
        for tally in core_of(server).tallies():
            answered += tally.answered
        assert answered == {
            Answered("bl.example.net", "A", 0): 2,
            Answered("bl.example.net", "TXT", 0): 1,
            Answered("bl.example.net", "AAAA", 0): 1,
            Answered("spam.bl.example.net", "A", 3): 1,
            Answered("wl.example.net", "SOA", 0): 1,
        }
        assert server.server.counts == {("udp", "0"): 5, ("udp", "3"): 1, ("udp", "dropped"): 1}


def test_a_change_is_answered_at_once_and_so_is_its_end(table: CompiledTable) -> None:
    client = Client.from_text("9.9.9.99")
    with running(table=table) as server, udp_client(server) as sock:
        for number in range(200):
            table.apply(
                Change(number, Listing(client, "spam", 1, NOW, NOW + 60, "released" if number % 2 else "active"))
            )
            assert rcode(sock, query(NEW)) == (3 if number % 2 else 0)


def test_no_client_sees_a_serial_fall_whichever_path_answers(table: CompiledTable) -> None:
    serials = iter(range(1, 10_000_000))
    with (
        running(lambda: make_view(table=table, serial=next(serials)), table=table) as server,
        udp_client(server) as sock,
    ):
        seen = []
        for _ in range(200):
            sock.send(query("_status.bl.example.net", 16))
            status = re.search(rb"serial=(\d+)", sock.recv(512))
            assert status is not None
            seen.append(int(status[1]))
            sock.send(query("bl.example.net", 6))
            seen.append(dnslib.DNSRecord.parse(sock.recv(512)).rr[0].rdata.times[0])
        assert seen == sorted(seen)


def test_zones_that_are_read_again_are_the_core_s_too(table: CompiledTable) -> None:
    zones = [ZONES]
    with running(lambda: View(zones[0], table, 1, 0), table=table) as server, udp_client(server) as sock:
        assert rcode(sock, query("7.2.0.192.wl.example.net")) == NXDOMAIN
        zones[0] = tuple(zone for zone in ZONES if zone.kind == "block")
        until(lambda: rcode(sock, query("7.2.0.192.wl.example.net")) == REFUSED)
        assert rcode(sock, query()) == 0


def test_of_a_view_of_another_table_the_core_answers_nothing(table: CompiledTable) -> None:
    with running(lambda: make_view(), table=table) as server, udp_client(server) as sock:
        sock.send(query())
        assert [str(rr.rdata) for rr in dnslib.DNSRecord.parse(sock.recv(512)).rr] == ["127.0.0.4", "127.0.0.8"]
        assert sum(tally.handed_over for tally in core_of(server).tallies()) == 1


def test_while_the_view_fails_the_core_answers_nothing(table: CompiledTable) -> None:
    broken: list[int] = []

    def view() -> View:
        return make_view(table=table, serial=1 // (1 - len(broken)))

    with running(view, table=table) as server, udp_client(server) as sock:
        assert rcode(sock, query()) == 0
        broken.append(1)
        until(lambda: rcode(sock, query()) == SERVFAIL)
        broken.clear()
        until(lambda: rcode(sock, query()) == 0)


def test_two_threads_share_the_clients_and_no_second_server_may_join_them(table: CompiledTable) -> None:
    with running(table=table, threads=2) as server, ExitStack() as stack:
        for sock in [stack.enter_context(udp_client(server)) for _ in range(64)]:
            sock.send(query())
            assert sock.recv(512)[3] & 15 == 0
        packets = [tally.packets for tally in core_of(server).tallies()]
        assert len(packets) == 2
        assert min(packets) > 10
        with pytest.raises(UnavailableError, match="has the port"), running(listen=(server.address,)):
            pass


def test_at_the_end_what_was_asked_is_answered(table: CompiledTable) -> None:
    with running(table=table, threads=1) as server, udp_client(server) as sock:
        for number in range(100):
            sock.send(query(ident=2 * number))
            sock.send(query("bl.example.net", 2, ident=2 * number + 1))
        server.end()
        assert sorted(sock.recv(512)[:2] for _ in range(200)) == [number.to_bytes(2, "big") for number in range(200)]


def test_at_the_end_no_thread_and_no_descriptor_is_left(table: CompiledTable) -> None:
    before = left_open()
    for _ in range(3):
        with running(table=table, threads=4) as server, udp_client(server) as sock, tcp_client(server):
            sock.send(query("bl.example.net", 2))
            sock.recv(512)
    until(lambda: left_open() == before)


def left_open() -> tuple[int, int]:
    gc.collect()  # what other tests left in circles
    return len(list(Path("/proc/self/fd").iterdir())), len(os.listdir("/proc/self/task"))


def test_the_share_of_hits_that_is_to_be_logged_is_the_general_path_s(table: CompiledTable) -> None:
    with running(table=table, threads=1) as server, udp_client(server) as sock:
        for share, least, most in [(1.0, 100, 100), (0.5, 20, 80), (0.0, 0, 0)]:
            core_of(server).sample(share)
            before = sum(tally.handed_over for tally in core_of(server).tallies())
            for _ in range(100):
                assert rcode(sock, query()) == 0
                assert rcode(sock, query("99.2.0.192.bl.example.net")) == NXDOMAIN
            assert least <= sum(tally.handed_over for tally in core_of(server).tallies()) - before <= most
