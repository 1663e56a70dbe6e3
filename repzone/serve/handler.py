"""One packet with its sender in, the reply or None out: `wire.respond` with what a server has to add.

The address becomes a `Client`, REFUSED is limited (an open resolver's echo must not be worth spoofing), and a bug of
ours costs one SERVFAIL and a line in the log, never the server.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache

import structlog

from repzone.clock import Clock
from repzone.model import Client
from repzone.wire.respond import REFUSED, View, fail, rcode, respond

REFUSED_RATE = 100  # a second, for the whole process
FAILURES_LOGGED = 1  # a second

log = structlog.get_logger()


class Bucket:
    """Tokens that come back at a steady rate, up to one second's worth."""

    def __init__(self, rate: float, monotonic: Callable[[], float]) -> None:
        self._rate, self._monotonic = rate, monotonic
        self._tokens, self._last = rate, monotonic()

    def take(self) -> bool:
        """Tell whether there was a token, and take it."""
        now = self._monotonic()
        self._tokens = min(self._rate, self._tokens + (now - self._last) * self._rate)
        self._last = now
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


class Handler:
    """Answers packets from the current view; counts replies by transport and rcode."""

    def __init__(
        self,
        view: Callable[[], View],
        clock: Clock,
        monotonic: Callable[[], float],
        refused_rate: float = REFUSED_RATE,
    ) -> None:
        """`monotonic` gives seconds for rates; `refused_rate` is in replies a second on UDP."""
        self._view, self._clock = view, clock
        self._refused = Bucket(refused_rate, monotonic)
        self._failures = Bucket(FAILURES_LOGGED, monotonic)
        self._counts: Counter[tuple[str, str]] = Counter()

    @property
    def counts(self) -> Mapping[tuple[str, str], int]:
        """Replies by transport and rcode, and by transport what was met with silence (`dropped`, `limited`)."""
        return self._counts

    def handle(self, packet: bytes, host: str, *, udp: bool) -> bytes | None:
        """Give the reply for a packet from that address; None means silence."""
        transport = "udp" if udp else "tcp"
        try:
            reply = respond(packet, to_client(host), self._clock(), self._view(), udp=udp)
        except Exception:  # our own bug: this packet is lost, the next one is not
            if self._failures.take():
                log.exception("dns.failed", client=host, packet=packet[:512].hex())
            reply = fail(packet)
        if reply is None:
            self._counts[transport, "dropped"] += 1
            return None
        code = rcode(reply)
        if udp and code == REFUSED and not self._refused.take():
            self._counts[transport, "limited"] += 1
            return None
        self._counts[transport, str(code)] += 1
        return reply


@lru_cache(maxsize=4096)
def to_client(host: str) -> Client:
    """Read the address that a socket gives, which may name an interface behind %."""
    return Client.from_text(host.partition("%")[0])
