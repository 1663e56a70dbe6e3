"""A DNS server on real sockets in a thread of its own, and the client's side of it; what is started here ends here."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from repzone.serve.dns import DnsServer
from repzone.serve.tcp import Limits
from repzone.wire.respond import View
from tests.wire.sample import NOW, make_view

PATIENCE = 5.0


@dataclass
class Running:
    """A server that runs: its addresses, and how to stop it."""

    server: DnsServer
    loop: asyncio.AbstractEventLoop
    stop: asyncio.Event
    thread: threading.Thread

    @property
    def address(self) -> tuple[str, int]:
        return self.server.addresses[0]

    def end(self) -> None:
        if self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.stop.set)
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@contextmanager
def running(
    view: Callable[[], View] | None = None,
    *,
    listen: tuple[tuple[str, int], ...] = (("127.0.0.1", 0),),
    limits: Limits | None = None,
    refused_rate: float = 100,
    now: Callable[[], int] = lambda: NOW,
) -> Iterator[Running]:
    """Run a server of the sample view until the block is left."""
    sample = make_view()
    started: list[Running] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    async def serve() -> None:
        stop = asyncio.Event()
        server = DnsServer(listen, view or (lambda: sample), now, limits=limits, refused_rate=refused_rate)
        await server.start()
        started.append(Running(server, asyncio.get_running_loop(), stop, threading.current_thread()))
        ready.set()
        await server.run(stop)

    def main() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            failed.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=main)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        if started:
            yield started[0]
    finally:
        if started:
            started[0].end()
        thread.join(PATIENCE)
    if failed:
        raise failed[0]


@contextmanager
def udp_client(server: Running, number: int = 0) -> Iterator[socket.socket]:
    """Give a socket connected to the server, which sees only replies from the address that it asks."""
    address = server.server.addresses[number]
    with socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(PATIENCE)
        sock.connect(address)
        yield sock


@contextmanager
def tcp_client(server: Running) -> Iterator[socket.socket]:
    """Give a TCP connection to the server."""
    with socket.create_connection(server.address, timeout=PATIENCE) as sock:
        yield sock


def frame(*messages: bytes) -> bytes:
    """Write messages as TCP carries them."""
    return b"".join(len(message).to_bytes(2, "big") + message for message in messages)


def receive(sock: socket.socket) -> bytes | None:
    """Read one message; None when the server has closed."""
    head = _read(sock, 2)
    return None if head is None else _read(sock, int.from_bytes(head, "big"))


def _read(sock: socket.socket, size: int) -> bytes | None:
    data = b""
    while len(data) < size:
        try:
            more = sock.recv(size - len(data))
        except ConnectionResetError:
            return None
        if not more:
            return None
        data += more
    return data
