"""A request's peer and headers in, who asks out; and whether that visitor has asked too often.

Behind a proxy the last address of X-Forwarded-For that is not itself a trusted proxy is the visitor's: everything to
the left of it could be written by anybody.
"""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from repzone.model import V4, WIDTH, Client

VISITOR_LENGTH = {V4: 32, 6: 56}
"""Bits of an address that make one visitor: an IPv6 customer has at least a /56 (RFC 6177)."""

MINUTE, DAY = 60, 86400


def visitor(peer: str, forwarded: str, trusted: Sequence[Client]) -> Client:
    """Give the address that asks; `forwarded` is X-Forwarded-For, "" without one."""
    client = _address(peer)
    hops = [hop.strip() for hop in forwarded.split(",")] if forwarded else []
    while hops and client is not None and any(network.covers(client) for network in trusted):
        before = _address(hops.pop())
        if before is None:
            break
        client = before
    return client or Client(V4, 0, WIDTH[V4])


def _address(text: str) -> Client | None:
    """Read `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1` or `[2001:db8::1]:4711`; None for anything else."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        client = Client.from_text(text)
    except ValueError:
        return None
    return client if client.is_address else None


@dataclass(slots=True)
class _Asked:
    minute: int = 0
    in_minute: int = 0
    day: int = 0
    in_day: int = 0


class Limits:
    """Counts look-ups by visitor; remembers the `most` visitors that asked last, so that its memory is bounded."""

    def __init__(self, per_minute: int = 30, per_day: int = 300, most: int = 50_000) -> None:
        self._per_minute, self._per_day, self._most = per_minute, per_day, most
        self._asked: OrderedDict[Client, _Asked] = OrderedDict()

    def ask(self, client: Client, now: int) -> int:
        """Count one look-up at that instant; give 0, or the seconds after which the visitor may ask again."""
        key = client.truncate(VISITOR_LENGTH[client.version])
        asked = self._asked.pop(key, None) or _Asked()
        self._asked[key] = asked
        if len(self._asked) > self._most:
            self._asked.popitem(last=False)
        if asked.minute != now // MINUTE:
            asked.minute, asked.in_minute = now // MINUTE, 0
        if asked.day != now // DAY:
            asked.day, asked.in_day = now // DAY, 0
        if asked.in_day >= self._per_day:
            return DAY - now % DAY
        if asked.in_minute >= self._per_minute:
            return MINUTE - now % MINUTE
        asked.in_minute += 1
        asked.in_day += 1
        return 0
