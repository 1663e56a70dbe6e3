"""Bound UDP sockets and a compiled table in, threads that answer on them out; they never wait for Python.

What they do not understand waits in their queues for whoever takes it, see `taken`.
"""

import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from repzone.fastpath import _dns
from repzone.fastpath.table import CompiledTable

TYPES = ("A", "TXT", "SOA", "AAAA", "other")


@dataclass(frozen=True, slots=True)
class Answered:
    """What the core's own replies are counted by."""

    apex: str
    type: str
    rcode: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What one thread did: replies of its own, packets handed over, failed (SERVFAIL: the queue was full), dropped
    (silence), replies that the network did not take; batches and the packets in them.
    """

    answered: Counter[Answered]
    handed_over: int
    failed: int
    dropped: int
    unsent: int
    batches: int
    packets: int


class Threads:
    """One thread a socket; the sockets must be blocking and stay the caller's."""

    def __init__(self, table: CompiledTable, sockets: Sequence[tuple[socket.socket, bool]]) -> None:
        """`sockets` with whether each is bound to 0.0.0.0 or ::, and so is to be told where packets went to."""
        self._table = table
        self._server = _dns.Server(table.core, [(sock.fileno(), wildcard) for sock, wildcard in sockets])

    @property
    def wake(self) -> int:
        """The file descriptor of an eventfd that is readable when packets were handed over."""
        return self._server.wake

    def start(self) -> None:
        """Start to answer."""
        self._server.start()

    def stop(self) -> None:
        """Answer what has arrived and end; within a fifth of a second for an idle thread."""
        self._server.stop()

    def tell(self, now: int) -> None:
        """Tell the instant that it is until told another, instead of the machine's clock."""
        self._server.tell(now)

    def sample(self, share: float) -> None:
        """Hand over that share of the hits, 0 to 1, as well: whoever answers them can log them."""
        self._server.sample(share)

    def take(self) -> tuple[bytes, str] | None:
        """Give a packet that was handed over and its sender's address, if there is one; `reply` must follow."""
        return self._server.take()

    def reply(self, octets: bytes | None) -> None:
        """Send the reply to the packet just taken, from the socket that it came to; None is silence."""
        self._server.reply(octets)

    def tallies(self) -> Iterator[Tally]:
        """Give what each thread did so far."""
        apexes = self._table.apexes()
        for answered, *numbers in self._server.tallies():
            counted = Counter(
                {Answered(apexes[zone], TYPES[place], rcode): number for zone, place, rcode, number in answered}
            )
            yield Tally(counted, *numbers)
