"""The server as a whole: binding, and its end."""

import asyncio
import os
import socket
import time
from contextlib import suppress

import pytest

from repzone.errors import UnavailableError
from repzone.serve.bind import format_address
from repzone.serve.dns import DnsServer
from repzone.serve.handler import Bucket, to_client
from repzone.serve.tcp import Limits
from tests.serve.running import frame, receive, running, tcp_client, udp_client
from tests.wire.sample import NOW, make_view, query


def test_udp_and_tcp_have_the_same_free_port() -> None:
    with running(listen=(("127.0.0.1", 0), ("::1", 0))) as server:
        assert [host for host, _ in server.server.addresses] == ["127.0.0.1", "::1"]
        assert all(port > 0 for _, port in server.server.addresses)
        for number in range(2):
            with udp_client(server, number) as sock:
                sock.send(query())
                assert sock.recv(512)[:2] == b"\x12\x34"
        with tcp_client(server) as sock:
            sock.sendall(frame(query()))
            assert receive(sock) is not None


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_in_use_is_named_with_who_has_it(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            other.listen()
        port = other.getsockname()[1]
        with (
            pytest.raises(UnavailableError, match=rf"127\.0\.0\.1:{port} .*process {os.getpid()}\) has the port"),
            running(listen=(("127.0.0.1", 0), ("127.0.0.1", port))),
        ):
            pass


def test_an_address_that_the_host_has_not_is_named() -> None:
    with (
        pytest.raises(UnavailableError, match=r"\[2001:db8::1\]:5300 .*no interface"),
        running(listen=(("2001:db8::1", 5300),)),
    ):
        pass


def test_at_the_end_what_was_asked_is_answered_and_the_port_is_free() -> None:
    with running() as server:
        address = server.address
        with tcp_client(server) as sock, udp_client(server) as other:
            sock.sendall(frame(query(ident=1)))
            assert receive(sock) is not None
            other.send(query(ident=2))
            begin = time.monotonic()
            server.end()
            assert time.monotonic() - begin < 2
            assert receive(sock) is None
            assert other.recv(512)[:2] == b"\0\2"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(address)


def test_a_client_that_does_not_read_cannot_hold_up_the_end() -> None:
    with running(limits=Limits(drain=0.5)) as server, tcp_client(server) as sock:
        sock.settimeout(1)
        with suppress(TimeoutError):
            while True:
                sock.send(frame(query(qtype=16)) * 1000)
        begin = time.monotonic()
        server.end()
        assert 0.4 < time.monotonic() - begin < 2


def test_a_server_that_runs_without_start_starts_itself() -> None:
    async def main() -> None:
        view, stop = make_view(), asyncio.Event()
        server = DnsServer([("127.0.0.1", 0)], lambda: view, lambda: NOW)
        stop.set()
        await server.run(stop)
        assert server.addresses

    asyncio.run(main())


def test_a_bucket_gives_its_rate_and_no_more() -> None:
    instant = [100.0]
    bucket = Bucket(10, lambda: instant[0])
    assert sum(bucket.take() for _ in range(30)) == 10
    instant[0] += 0.5
    assert sum(bucket.take() for _ in range(30)) == 5
    instant[0] += 60
    assert sum(bucket.take() for _ in range(30)) == 10


def test_addresses_are_written_as_they_are_configured_and_read_as_sockets_give_them() -> None:
    assert format_address("::1", 53) == "[::1]:53"
    assert format_address("127.0.0.1", 53) == "127.0.0.1:53"
    assert to_client("fe80::1%eth0").to_text() == "fe80::1"
    assert to_client("::ffff:192.0.2.1").to_text() == "192.0.2.1"
