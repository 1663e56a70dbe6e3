"""TCP on real sockets: order, bounds, and clients that do not behave (RFC 7766)."""

import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dnslib
import pytest

from repzone.serve.tcp import RESERVED, Limits, fit
from tests.serve.running import PATIENCE, Running, frame, receive, running, tcp_client, udp_client
from tests.wire.sample import opt, query
from tests.wire.test_encode import DEEP, LONG, long_view

SHORT = Limits(idle=0.3, total=1.0, connections=4, connections_of_one=3)


def is_closed_within(sock: socket.socket, seconds: float) -> bool:
    sock.settimeout(seconds)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True
    except TimeoutError:
        return False


def test_what_is_truncated_on_udp_is_whole_on_tcp() -> None:
    name = "5." + "0." * 15 + "0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2." + DEEP
    with running(long_view) as server:
        with udp_client(server) as sock:
            sock.send(query(name, 16))
            assert dnslib.DNSRecord.parse(sock.recv(512)).header.tc == 1
        with tcp_client(server) as sock:
            sock.sendall(frame(query(name, 16)))
            reply = receive(sock)
            assert reply is not None
            assert dnslib.DNSRecord.parse(reply).rr[0].rdata.data == [LONG.encode()]


def test_many_queries_at_once_are_answered_in_their_order() -> None:
    with running() as server, tcp_client(server) as sock:
        sock.sendall(frame(*(query(ident=number) for number in range(500))))
        assert [(receive(sock) or b"")[:2] for _ in range(500)] == [number.to_bytes(2, "big") for number in range(500)]


def test_a_query_may_come_octet_by_octet() -> None:
    with running() as server, tcp_client(server) as sock:
        for octet in frame(query()):
            sock.send(bytes([octet]))
        assert (receive(sock) or b"")[:2] == b"\x12\x34"


def test_a_client_that_has_said_all_gets_its_answers_and_the_end() -> None:
    with running() as server, tcp_client(server) as sock:
        sock.sendall(frame(*(query(ident=number) for number in range(200))) + b"\0")
        sock.shutdown(socket.SHUT_WR)
        for number in range(200):
            assert (receive(sock) or b"")[:2] == number.to_bytes(2, "big")
        assert receive(sock) is None


@pytest.mark.parametrize("start", [b"", b"\0", frame(query())[:-1]])
def test_a_client_that_sends_no_whole_query_is_closed_when_its_time_is_over(start: bytes) -> None:
    with running(limits=SHORT) as server, tcp_client(server) as sock:
        sock.send(start)
        assert not is_closed_within(sock, 0.1)
        assert is_closed_within(sock, 1)


def test_slow_octets_do_not_prolong_the_time() -> None:
    with running(limits=SHORT) as server, tcp_client(server) as sock:
        begin = time.monotonic()
        try:
            for octet in frame(query()):
                sock.send(bytes([octet]))
                if is_closed_within(sock, 0.05):
                    break
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert time.monotonic() - begin < 0.9


def test_a_busy_client_is_closed_when_its_time_in_all_is_over() -> None:
    with running(limits=SHORT) as server, tcp_client(server) as sock:
        begin = time.monotonic()
        try:
            while time.monotonic() - begin < 3:
                sock.sendall(frame(query()))
                if receive(sock) is None:
                    break
                time.sleep(0.02)
        except (ConnectionResetError, BrokenPipeError):
            pass
        assert 0.5 < time.monotonic() - begin < 2


def test_a_client_that_does_not_read_is_cut_off_and_costs_bounded_memory() -> None:
    with running(limits=SHORT) as server, tcp_client(server) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.settimeout(0.2)
        sent = 0
        try:
            while sent < 100_000_000:
                sent += sock.send(frame(query(qtype=16)) * 1000)
        except (TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
        assert sent < 10_000_000  # buffers of both ends, most of them the client's
        until(lambda: open_connections(server) == 0)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def open_connections(server: Running) -> int:
    return len(server.server.connections)


def test_no_client_may_have_more_than_its_share_of_connections() -> None:
    with running(limits=SHORT) as server, ExitStack() as stack:
        socks = [stack.enter_context(tcp_client(server)) for _ in range(4)]
        for sock in socks[:3]:
            sock.sendall(frame(query()))
            assert receive(sock) is not None
        assert is_closed_within(socks[3], 1)
        socks[0].close()
        until(lambda: open_connections(server) == 2)
        again = stack.enter_context(tcp_client(server))
        again.sendall(frame(query()))
        assert receive(again) is not None


@pytest.mark.parametrize("message", [b"", b"\0" * 11, query(flags=0x8000)])
def test_what_no_client_of_dns_sends_ends_the_connection(message: bytes) -> None:
    with running() as server, tcp_client(server) as sock:
        sock.sendall(frame(query(ident=1), message, query(ident=2)))
        assert (receive(sock) or b"")[:2] == b"\0\1"
        assert receive(sock) is None


def test_a_malformed_message_is_answered_and_the_next_one_too() -> None:
    with running() as server, tcp_client(server) as sock:
        sock.sendall(frame(query() + b"rest", query(ident=2)))
        assert (receive(sock) or b"    ")[3] & 15 == 1
        assert (receive(sock) or b"")[:2] == b"\0\2"


@contextmanager
def tcp_client_from(server: Running, host: str) -> Iterator[socket.socket]:
    with socket.create_connection(server.address, timeout=PATIENCE, source_address=(host, 0)) as sock:
        yield sock


def test_beside_200_idle_connections_a_new_one_is_answered() -> None:
    with running() as server, ExitStack() as stack:
        for number in range(200):
            stack.enter_context(tcp_client_from(server, f"127.0.0.{10 + number % 20}"))
        with tcp_client(server) as sock:
            sock.sendall(frame(query()))
            assert receive(sock) is not None
        until(lambda: open_connections(server) == 200)


def test_when_there_are_too_many_the_one_that_was_silent_longest_makes_room() -> None:
    with running(limits=Limits(connections=4)) as server, ExitStack() as stack:
        socks = []
        for number in range(4):
            socks.append(stack.enter_context(tcp_client_from(server, f"127.0.0.{10 + number}")))
            socks[-1].sendall(frame(query()))
            assert receive(socks[-1]) is not None
        socks[0].sendall(frame(query()))
        assert receive(socks[0]) is not None
        new = stack.enter_context(tcp_client_from(server, "127.0.0.20"))
        for sock in (new, socks[0], socks[2], socks[3]):
            sock.sendall(frame(query()))
            assert receive(sock) is not None
        assert receive(socks[1]) is None
        until(lambda: open_connections(server) == 4)


def test_connections_leave_descriptors_to_others_where_these_are_few(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = sum(1 for _ in Path("/proc/self/fd").iterdir())
    most = taken + 10 + RESERVED + 3
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (most, most))
    with running() as server, ExitStack() as stack:
        assert 1 <= server.server.connections.limits.connections <= 13
        for number in range(20):
            stack.enter_context(tcp_client_from(server, f"127.0.0.{10 + number}"))
        with tcp_client(server) as sock:
            sock.sendall(frame(query()))
            assert receive(sock) is not None
        assert server.server.connections.cut >= 7


def test_there_is_always_one_connection_and_never_more_than_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    for most, connections in ((0, 1), (1 << 20, 256)):
        monkeypatch.setattr(resource, "getrlimit", lambda kind, most=most: (most, most))
        assert fit(Limits()).connections == connections


def test_a_client_that_asks_how_long_its_connection_is_kept_is_told_by_tcp_alone() -> None:
    packet = query(edns=opt(options=b"\0\x0b\0\0"))
    told = b"\0\x0b\0\2\0\x64"  # RFC 7828: 100 times 100 ms
    with running() as server:
        with tcp_client(server) as sock:
            sock.sendall(frame(packet, query(edns=opt())))
            assert (receive(sock) or b"").endswith(told)
            assert not (receive(sock) or b"").endswith(told)
        with udp_client(server) as sock:
            sock.send(packet)
            assert not sock.recv(512).endswith(told)
