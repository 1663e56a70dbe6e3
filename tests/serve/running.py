"""A DNS server on real sockets in a thread of its own, and the client's side of it; what is started here ends here."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from repzone import fastpath
from repzone.serve.dns import DnsServer
from repzone.serve.tcp import Limits
from repzone.wire.respond import View
from repzone.zone.table import Table
from tests.wire.sample import NOW, make_table, make_view

PATIENCE = 5.0
CORES = ["python", *(["compiled"] if fastpath.COMPILED else [])]


def core_table(core: str) -> Table | None:
    """Give the sample's table for the compiled core, nothing where Python is to answer alone."""
    if core == "python":
        return None
    sample, table = make_table(), fastpath.make_table()
    table.replace(sample.listings(NOW), sample.exemptions(NOW))
    return table


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
    table: Table | None = None,
    threads: int | None = None,
) -> Iterator[Running]:
    """Run a server of the sample view until the block is left; with a compiled table, the core answers from it."""
    sample = make_view(table=table)
    started: list[Running] = []
    failed: list[BaseException] = []
    ready = threading.Event()

    async def serve() -> None:
        stop = asyncio.Event()
        server = DnsServer(
            listen,
            view or (lambda: sample),
            now,
            table=table,
            threads=threads,
            told=True,
            limits=limits,
            refused_rate=refused_rate,
        )
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


def until(holds: Callable[[], bool]) -> None:
    """Wait for something to hold: the core is told the tests' instant and view a few times a second only."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


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
