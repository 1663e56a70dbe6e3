"""Listen addresses and the current view in, a DNS server on UDP and TCP out, until it is told to stop.

One asyncio loop: UDP is read in batches, TCP connections are protocols, both ask the same `Handler`. Signals are the
caller's: it sets the event.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Self

import structlog

from repzone.clock import Clock
from repzone.serve.bind import bind_pair, format_address
from repzone.serve.handler import REFUSED_RATE, Handler
from repzone.serve.tcp import Connection, Connections, Limits
from repzone.serve.udp import UdpServer
from repzone.wire.respond import View

log = structlog.get_logger()


class DnsServer:
    """Serves a view: `await start()` binds, `await run(stop)` serves until the event, `await close()` ends it."""

    def __init__(
        self,
        listen: Sequence[tuple[str, int]],
        view: Callable[[], View],
        clock: Clock,
        *,
        limits: Limits | None = None,
        refused_rate: float = REFUSED_RATE,
    ) -> None:
        """`listen` holds address literals and ports (0: any free one); `view` is asked for every packet."""
        self._listen = listen
        self.handler = Handler(view, clock, time.monotonic, refused_rate)
        self.connections = Connections(self.handler, limits or Limits())
        self._udp: list[UdpServer] = []
        self._tcp: list[asyncio.Server] = []
        self._addresses: list[tuple[str, int]] = []

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """The addresses and ports that are bound, in the order of `listen`; UDP and TCP have the same."""
        return tuple(self._addresses)

    @property
    def counts(self) -> dict[tuple[str, str], int]:
        """Replies by transport and rcode; `dropped` and `limited` are what was met with silence."""
        return dict(self.handler.counts)

    async def start(self) -> Self:
        """Bind everything or nothing; UnavailableError names the address, the port and who has it."""
        loop = asyncio.get_running_loop()
        pairs = []
        try:
            for host, port in self._listen:
                pairs.append(bind_pair(host, port))
        except BaseException:
            for pair in pairs:
                for sock in pair:
                    sock.close()
            raise
        for udp, tcp in pairs:
            self._addresses.append(udp.getsockname()[:2])
            self._udp.append(UdpServer(udp, self.handler, loop))
            self._tcp.append(await loop.create_server(lambda: Connection(self.connections), sock=tcp))
        log.info("dns.listening", addresses=[format_address(*address) for address in self._addresses])
        return self

    async def run(self, stop: asyncio.Event) -> None:
        """Start if that was not done yet, serve until the event is set, then close."""
        if not self._addresses:
            await self.start()
        try:
            await stop.wait()
        finally:
            await self.close()

    async def close(self) -> None:
        """Take no more, answer what has arrived, end within the limits' `drain` seconds."""
        for server in self._tcp:
            server.close()
        for udp in self._udp:
            udp.close()
        self._tcp, self._udp = [], []
        await self.connections.drain()
        log.info("dns.stopped", replies=sum(self.handler.counts.values()))
