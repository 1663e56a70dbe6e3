"""Bound UDP sockets and the compiled core in, replies out; what its threads hand over is answered by the loop.

The core knows what it was last told: zones, serial and how long the data can be trusted are published to it several
times a second, and before each answer of the general path, so that no client sees a serial fall.
"""

import asyncio
import os
import socket
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import structlog

from repzone.clock import Clock
from repzone.fastpath.table import CompiledTable
from repzone.fastpath.threads import Tally, Threads
from repzone.serve.bind import RECEIVE_BUFFER
from repzone.serve.handler import Handler
from repzone.serve.udp import BATCH, WILDCARDS, ask_for_destination
from repzone.wire.answer import CLOCK_SKEW, SOA_TIMES, STALE_AFTER
from repzone.wire.respond import View

TICK = 0.02
"""Seconds between two publications."""

MOST_THREADS = 256

log = structlog.get_logger()


def publish(table: CompiledTable, view: View) -> None:
    """Tell the core what it may answer, and until when; nothing, when the view is of another table."""
    zones = view.zones if view.table is table else ()
    age = view.max_stale + 1 if view.age is None or view.age < -CLOCK_SKEW else view.age
    # An age is whole seconds: it grows beyond its bound in the second after it.
    fresh_for, stale_in = view.max_stale + 1 - age, STALE_AFTER + 1 - age
    table.publish(zones, view.serial, fresh_for, SOA_TIMES, stale_in=stale_in, paused=view.paused)


def share(sock: socket.socket, number: int) -> list[socket.socket]:
    """Give that many sockets of the bound one's port, itself the first, over which the kernel spreads the clients.

    The first one was bound without SO_REUSEPORT, so that another server on the port would have been an error. Who
    may not bind it again, because somebody else opened it for us, has that one only.
    """
    sockets = [sock]
    sock.setblocking(True)
    if number > 1:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    while len(sockets) < number:
        other = socket.socket(sock.family, sock.type)
        try:
            if sock.family == socket.AF_INET6:
                only = sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
                other.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            other.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            other.bind(sock.getsockname())
        except OSError:
            other.close()
            return sockets
        sockets.append(other)
    return sockets


class CoreServer:
    """The core's threads on all UDP sockets of a server, one thread a socket and core of the machine."""

    def __init__(
        self,
        socks: Sequence[socket.socket],
        table: CompiledTable,
        handler: Handler,
        view: Callable[[], View],
        loop: asyncio.AbstractEventLoop,
        *,
        threads: int | None = None,
        told: Clock | None = None,
    ) -> None:
        """`told` is a clock that is not the machine's: the threads are told its instant at every tick."""
        self._table, self._handler, self._view, self._loop, self._told = table, handler, view, loop, told
        number = max(1, min(threads or len(os.sched_getaffinity(0)), MOST_THREADS // len(socks)))
        self._sockets = [shared for sock in socks for shared in share(sock, number)]
        wildcards = [sock.getsockname()[0] in WILDCARDS for sock in self._sockets]
        for sock, wildcard in zip(self._sockets, wildcards, strict=True):
            if wildcard:
                ask_for_destination(sock)
        self._threads = Threads(table, list(zip(self._sockets, wildcards, strict=True)))
        self._tick()
        loop.add_reader(self._threads.wake, self._answer)
        self._threads.start()

    def sample(self, share: float) -> None:
        """Have that share of the hits, 0 to 1, answered by the general path, which can log them."""
        self._threads.sample(share)

    def tallies(self) -> list[Tally]:
        """Give what each thread did so far."""
        return list(self._threads.tallies())

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """The core's replies by transport and rcode, and what it `dropped`; as `Handler.counts`."""
        counts: Counter[tuple[str, str]] = Counter()
        for tally in self._threads.tallies():
            for answered, number in tally.answered.items():
                counts["udp", str(answered.rcode)] += number
            counts["udp", "2"] += tally.failed
            counts["udp", "dropped"] += tally.dropped
        return +counts

    def see(self, view: View) -> None:
        """Let the core know what the general path is about to answer from."""
        publish(self._table, view)

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        try:
            self.see(self._view())
        except Exception:  # our own bug: the general path, which meets it too, says it in the log and to the client
            self._table.publish((), 0, 0, SOA_TIMES, stale_in=0)
        if self._told is not None:
            self._threads.tell(self._told())

    def _answer(self) -> None:
        os.eventfd_read(self._threads.wake)
        if self._answer_some(BATCH) == BATCH:  # others get their turn first
            os.eventfd_write(self._threads.wake, 1)

    def _answer_some(self, most: int) -> int:
        for number in range(most):
            taken = self._threads.take()
            if taken is None:
                return number
            packet, host = taken
            self._threads.reply(self._handler.handle(packet, host, udp=True))
        return most

    def close(self) -> None:
        """Answer what has arrived, then stop."""
        self._timer.cancel()
        self._loop.remove_reader(self._threads.wake)
        self._threads.stop()
        while self._answer_some(BATCH):
            pass
        for sock in self._sockets:
            sock.close()
