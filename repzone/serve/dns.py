"""Listen addresses and the current view in, a DNS server on UDP and TCP out, until it is told to stop.

UDP is answered by the threads of the compiled core where there is one; what they hand over, TCP connections, and UDP
where there is none, by one asyncio loop and one `Handler`. Signals are the caller's: it sets the event.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Self

import structlog

from repzone import fastpath
from repzone.clock import Clock
from repzone.serve.bind import BACKLOG, bind_pair, format_address
from repzone.serve.handler import REFUSED_RATE, Handler
from repzone.serve.tcp import Connection, Connections, Limits, fit
from repzone.serve.udp import UdpServer
from repzone.wire.respond import View
from repzone.zone.table import Table

if fastpath.COMPILED:
    from repzone.fastpath.table import CompiledTable
    from repzone.serve.threads import CoreServer

log = structlog.get_logger()


class DnsServer:
    """Serves a view: `await start()` binds, `await run(stop)` serves until the event, `await close()` ends it."""

    def __init__(
        self,
        listen: Sequence[tuple[str, int]],
        view: Callable[[], View],
        clock: Clock,
        *,
        table: Table | None = None,
        threads: int | None = None,
        told: bool = False,
        limits: Limits | None = None,
        refused_rate: float = REFUSED_RATE,
    ) -> None:
        """`listen` holds address literals and ports (0: any free one); `view` is asked for every packet.

        When the view's `table` is given and is the compiled core's, that many of its threads (one a core of the
        machine) answer for each address. `told` says that the clock is not the machine's.
        """
        self._listen, self._view, self._clock = listen, view, clock
        self._table, self._thread_count, self._told = table, threads, told
        self.handler = Handler(self._see, clock, time.monotonic, refused_rate)
        self.connections = Connections(self.handler, limits or Limits())
        self._core: CoreServer | None = None
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
        core = self._core.counts if self._core else {}
        return dict(Counter(self.handler.counts) + Counter(core))

    @property
    def core(self) -> CoreServer | None:
        """The compiled core's threads, once started; None where Python answers everything."""
        return self._core

    def _see(self) -> View:
        """Give the view for an answer of the general path; the core has then seen it too."""
        view = self._view()
        if self._core is not None:
            self._core.see(view)
        return view

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
        self._addresses = [udp.getsockname()[:2] for udp, _ in pairs]
        self._start_udp([udp for udp, _ in pairs], loop)
        self.connections.limits = fit(self.connections.limits)
        for _, tcp in pairs:
            # One at a time: asyncio takes `backlog` of them before it looks at the first, and when descriptors are
            # short it complains as often.
            server = await loop.create_server(lambda: Connection(self.connections), sock=tcp, backlog=1)
            tcp.listen(BACKLOG)
            self._tcp.append(server)
        addresses = [format_address(*address) for address in self._addresses]
        log.info("dns.listening", addresses=addresses, core="compiled" if self._core else "python")
        return self

    def _start_udp(self, socks: list[socket.socket], loop: asyncio.AbstractEventLoop) -> None:
        if fastpath.COMPILED and isinstance(self._table, CompiledTable):
            told = self._clock if self._told else None
            self._core = CoreServer(
                socks, self._table, self.handler, self._view, loop, threads=self._thread_count, told=told
            )
        else:
            self._udp = [UdpServer(sock, self.handler, loop) for sock in socks]

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
        if self._core is not None:
            self._core.close()
        self._tcp, self._udp = [], []
        await self.connections.drain()
        log.info("dns.stopped", replies=sum(self.counts.values()))
