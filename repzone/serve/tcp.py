"""TCP connections and a handler in, replies out in the order of the queries (RFC 7766).

A message has its length in two octets before it; many may be sent at once. What a client can cost is bounded:
connections in all and of one client, seconds without a whole message, seconds in all, octets not yet read by it. When
there are too many in all, the one that has been silent for longest makes room: idlers cannot shut others out.
"""

import asyncio
import math
import resource
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast

from repzone.model import Client
from repzone.serve.handler import Handler, to_client
from repzone.wire.encode import TCP_IDLE

TURN = 64  # messages answered before others get their turn
RESERVED = 32  # file descriptors that connections leave to others


@dataclass(frozen=True, slots=True)
class Limits:
    """What TCP clients may take: seconds, connections, octets."""

    idle: float = TCP_IDLE
    total: float = 120
    connections: int = 256
    connections_of_one: int = 16
    unread: int = 65536
    drain: float = 3  # at the end, to read what was answered


def fit(limits: Limits) -> Limits:
    """Lower the number of connections to what is left of the file descriptors that this process may have.

    Some stay free: for the database, snapshots, monitors, and connections on their way out.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return replace(limits, connections=max(1, min(limits.connections, most - taken - RESERVED)))


class Connections:
    """The open connections of a server, for its limits and for the end."""

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self.handler, self.limits = handler, limits
        self._open: set[Connection] = set()
        self._by_client: Counter[Client] = Counter()
        self.taken = self.refused = self.cut = 0
        self._empty = asyncio.Event()
        self._empty.set()

    def __len__(self) -> int:
        """Give the number of open connections."""
        return len(self._open)

    def admit(self, connection: "Connection", client: Client) -> bool:
        """Count a connection, unless the client has enough; one too many in all is at another's cost."""
        if self._by_client[client] >= self.limits.connections_of_one:
            self.refused += 1
            return False
        if len(self._open) >= self.limits.connections:
            self.cut += 1
            min(self._open, key=lambda other: other.heard).abort()
        self.taken += 1
        self._open.add(connection)
        self._by_client[client] += 1
        self._empty.clear()
        return True

    def forget(self, connection: "Connection", client: Client) -> None:
        """Take a closed connection out."""
        self._open.discard(connection)
        self._by_client[client] -= 1
        if self._by_client[client] <= 0:
            del self._by_client[client]
        if not self._open:
            self._empty.set()

    async def drain(self) -> None:
        """Answer what has arrived whole, close all; cut off who does not read it in time."""
        for connection in tuple(self._open):
            connection.finish()
        try:
            await asyncio.wait_for(self._empty.wait(), self.limits.drain)
        except TimeoutError:
            for connection in tuple(self._open):
                connection.abort()
            await asyncio.sleep(0)


class Connection(asyncio.Protocol):
    """One connection: octets come in, whole messages are answered, a timer watches."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._limits = connections.limits
        self._loop = asyncio.get_running_loop()
        self._buffer = bytearray()
        self._admitted = self._blocked = self._waiting = self._ending = False
        self.heard = self._loop.time()
        """When the last whole message came, in the loop's seconds."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it when it is one too many."""
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        if peer is None:  # it went before we came
            self._transport.abort()
            return
        self._host: str = peer[0]
        self._client = to_client(self._host).key()
        self._admitted = self._connections.admit(self, self._client)
        if not self._admitted:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=self._limits.unread)
        self.heard = self._loop.time()
        self._end = self.heard + self._limits.total
        self._timer = self._loop.call_later(self._limits.idle, self._watch)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._buffer.clear()
        if self._admitted:
            self._timer.cancel()
            self._connections.forget(self, self._client)

    def data_received(self, data: bytes) -> None:
        """Take octets and answer the messages that are whole."""
        self._buffer += data
        if not self._waiting:
            self._answer()

    def eof_received(self) -> bool:
        """Answer what is left, although the client will send no more."""
        self.finish()
        return True  # `finish` closes

    def pause_writing(self) -> None:
        """Answer no more before the client has read."""
        self._blocked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Go on."""
        self._blocked = False
        self._answer()

    def finish(self) -> None:
        """Answer what has arrived whole, then close."""
        self._ending = True
        if not self._waiting:
            self._answer()

    def abort(self) -> None:
        """Close at once; replies that were not read are lost."""
        self.heard = math.inf  # not to be chosen again before it is gone
        self._transport.abort()

    def _answer(self) -> None:
        """Answer whole messages, a turn's worth; then wait for the next turn, for the client, or close."""
        self._waiting = False
        for _ in range(TURN):
            message = None if self._blocked or self._transport.is_closing() else self._next_message()
            if message is None:
                break
            self.heard = self._loop.time()
            reply = self._connections.handler.handle(message, self._host, udp=False)
            if reply is None:  # no client of DNS sends that: nothing after it is worth a look
                self._buffer.clear()
                self._ending = True
                break
            self._transport.write(len(reply).to_bytes(2, "big") + reply)
        else:
            self._waiting = True
            self._transport.pause_reading()
            self._loop.call_soon(self._answer)
            return
        if self._blocked or self._transport.is_closing():
            return
        if self._ending:
            self._transport.close()
        else:
            self._transport.resume_reading()

    def _next_message(self) -> bytes | None:
        """Take a whole message off the buffer."""
        size = int.from_bytes(self._buffer[:2], "big")
        if len(self._buffer) < 2 or len(self._buffer) < 2 + size:
            return None
        message = bytes(self._buffer[2 : 2 + size])
        del self._buffer[: 2 + size]
        return message

    def _watch(self) -> None:
        """Close a connection whose time is over, else look again when it can be."""
        now = self._loop.time()
        due = min(self.heard + self._limits.idle, self._end)
        if now < due:
            self._timer = self._loop.call_later(due - now, self._watch)
        elif self._transport.get_write_buffer_size() or self._transport.is_closing():
            self.abort()
        else:
            self._transport.close()
