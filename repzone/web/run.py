"""Applications and the addresses that they listen on in, HTTP out, until it is told to stop.

uvicorn does the work; the bounds that it does not have are here: a connection that does not send its request in time is
closed, and so is, of too many, the one that has been silent longest.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from repzone.errors import UnavailableError

HEADER_TIME = 10.0
"""Seconds in which a request's header must be there."""

KEEP_ALIVE = 15
"""Seconds that a connection may wait for its next request."""

MAX_HEADER = 32_768
"""Octets of a request's header; a pasted rejection in the URL fits."""

AT_ONCE = 256
"""Connections at a time; where all of them are being answered, further ones get 503."""

DRAIN = 3
"""Seconds that answers may still take once it is told to stop."""

BACKLOG = 128


@dataclass(frozen=True, slots=True)
class Listener:
    """An application, where it listens, and the key of the configuration that says so."""

    app: ASGIApp
    addresses: Sequence[tuple[str, int]]
    key: str


class _Protocol(H11Protocol):
    """HTTP/1.1 with a deadline for each request's header; who is silent makes room for who comes."""

    _deadline: asyncio.TimerHandle | None = None
    _heard = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._heard = self.loop.time()
        self._arm()
        if len(self.connections) >= AT_ONCE:
            others = (one for one in self.connections if isinstance(one, _Protocol) and one is not self)
            silent = min((one for one in others if one.is_silent), key=lambda one: one._heard, default=None)
            if silent is not None:
                silent.transport.close()

    @property
    def is_silent(self) -> bool:
        """Tell whether no request is being answered: none has come, or not yet all of it."""
        waits = self.cycle is None or self.cycle.response_complete or self.cycle.more_body
        return waits and not self.transport.is_closing()

    def data_received(self, data: bytes) -> None:
        self._heard = self.loop.time()
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before or (self.cycle is not None and not self.cycle.response_complete):
            self._disarm()
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEADER_TIME, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self.transport.close()


class _Server(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to whoever runs it."""
        yield


Bound = Sequence[tuple[str, int]]
"""Addresses and ports as they were given by the system."""


async def serve(
    listeners: Sequence[Listener], stop: asyncio.Event, ready: Callable[[Sequence[Bound]], None] = lambda bound: None
) -> None:
    """Answer until `stop` is set; `ready` is called once all listen, with the addresses of each listener.

    UnavailableError when an address cannot be had.
    """
    with ExitStack() as stack:
        bound = [
            (listener, [stack.enter_context(_bind(*address, listener.key)) for address in listener.addresses])
            for listener in listeners
        ]
        servers = [(_Server(_config(listener.app)), sockets) for listener, sockets in bound]
        running = [asyncio.ensure_future(server.serve(sockets)) for server, sockets in servers]
        while not all(server.started for server, _ in servers) and not any(task.done() for task in running):
            await asyncio.sleep(0.01)
        if not any(task.done() for task in running):
            ready([[sock.getsockname()[:2] for sock in sockets] for _, sockets in bound])
        stopping = asyncio.ensure_future(stop.wait())
        await asyncio.wait([stopping, *running], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        for server, _ in servers:
            server.should_exit = True
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*running)


def _config(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # what strangers send wrong fills no log; faults of ours are in it
        access_log=False,  # whoever asks about which address is nobody's business
        server_header=False,
        proxy_headers=False,  # `visitors` knows whom to trust
        limit_concurrency=AT_ONCE,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=DRAIN,
        h11_max_incomplete_event_size=MAX_HEADER,
    )


def _bind(host: str, port: int, key: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named, asyncio sends at once (TCP_NODELAY): else a body waits 40 ms for its header's ACK.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)  # so that 0.0.0.0 can stand beside ::
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        why = (
            f"another process has the port; stop it or set {key}"
            if error.errno == errno.EADDRINUSE
            else os.strerror(error.errno or 0)
        )
        raise UnavailableError(f"cannot listen on {where} (TCP): {why}") from None
    return sock
