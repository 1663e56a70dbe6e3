"""Every probe by UDP and TCP on real sockets: the reply is the one that the pure path gives, and the server lives."""

from collections.abc import Iterator

import pytest

from repzone.wire.respond import respond
from tests.serve.running import Running, frame, receive, running, tcp_client, udp_client
from tests.wire.probes import MALFORMED, PROBES, WELL_FORMED
from tests.wire.sample import LOOPBACK, NOW, make_view, query

PACKETS = {**{name: packet for name, (packet, _, _) in PROBES.items()}, **MALFORMED, **WELL_FORMED}
VIEW = make_view()


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running(lambda: VIEW, refused_rate=10_000) as started:
        yield started


@pytest.mark.parametrize("name", PACKETS)
def test_each_probe_is_answered_by_udp(server: Running, name: str) -> None:
    with udp_client(server) as sock:
        sock.send(PACKETS[name])
        assert sock.recv(65535) == respond(PACKETS[name], LOOPBACK, NOW, VIEW, udp=True)


@pytest.mark.parametrize("name", PACKETS)
def test_each_probe_is_answered_by_tcp_and_so_is_the_next_query(server: Running, name: str) -> None:
    with tcp_client(server) as sock:
        sock.sendall(frame(PACKETS[name], query(ident=99)))
        assert receive(sock) == respond(PACKETS[name], LOOPBACK, NOW, VIEW, udp=False)
        assert (receive(sock) or b"")[:2] == b"\0\x63"
