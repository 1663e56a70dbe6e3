"""The values that travel: a client, what it did, what follows from it, and who is exempt.

Instants are whole seconds since 1970 in UTC. Addresses are kept as numbers: `Client` is an address or a prefix.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

from repzone.reasons import Category

V4, V6 = 4, 6
WIDTH = {V4: 32, V6: 128}

_MAPPED = 0xFFFF  # ::ffff:0:0/96, RFC 4291 §2.5.5.2
_NAT64 = 0x64FF9B << 64  # 64:ff9b::/96, the upper 96 bits, RFC 6052 §2.1


def _v4_text(value: int) -> str:
    return ".".join(map(str, value.to_bytes(4, "big")))


@lru_cache(maxsize=16_384)
def _v6_text(value: int) -> str:
    return str(ipaddress.IPv6Address(value))


@dataclass(frozen=True, slots=True, order=True)
class Client:
    """An IPv4 or IPv6 address or prefix: version (4 or 6), network number, prefix length in bits."""

    version: int
    value: int
    length: int

    @classmethod
    def from_text(cls, text: str) -> Client:
        """Read `192.0.2.1`, `2001:db8::1` or a prefix such as `192.0.2.0/24`; ValueError otherwise.

        IPv4 inside IPv6 (`::ffff:192.0.2.1`, `64:ff9b::192.0.2.1`) is the IPv4 address. A zone index (`%eth0`)
        is not part of an address; host bits behind a prefix length are an error.
        """
        if "%" in text:
            raise ValueError(f"{text!r} is no address or prefix")
        network = ipaddress.ip_network(text)
        return cls.from_number(network.version, int(network.network_address), network.prefixlen)

    @classmethod
    def from_number(cls, version: int, value: int, length: int) -> Client:
        """Build from numbers, unwrapping IPv4 inside IPv6."""
        if version == V6 and length >= 96 and (value >> 32) in (_MAPPED, _NAT64):
            return cls(V4, value & 0xFFFFFFFF, length - 96)
        return cls(version, value, length)

    def to_text(self) -> str:
        """Write the address, with `/length` when it is a prefix (RFC 5952 for IPv6)."""
        address = _v4_text(self.value) if self.version == V4 else _v6_text(self.value)
        return address if self.is_address else f"{address}/{self.length}"

    __str__ = to_text

    @property
    def is_address(self) -> bool:
        """Tell whether this is one address, not a wider prefix."""
        return self.length == WIDTH[self.version]

    def truncate(self, length: int) -> Client:
        """Give the prefix of at most that many bits that holds this one."""
        if length >= self.length:
            return self
        shift = WIDTH[self.version] - length
        return Client(self.version, self.value >> shift << shift, length)

    def key(self, ipv6_prefix: int = 64) -> Client:
        """Give what is listed for this address: itself for IPv4, its /64 (or as the policy says) for IPv6."""
        return self if self.version == V4 else self.truncate(ipv6_prefix)

    def covers(self, other: Client) -> bool:
        """Tell whether the other address or prefix lies wholly inside this one."""
        return (
            self.version == other.version
            and self.length <= other.length
            and other.truncate(self.length).value == self.value
        )


# Never an offender, and nothing that an operator configures changes it: loopback, private, link-local, shared,
# multicast and unspecified space (RFC 6890), and Teredo, whose clients are anybody (RFC 4380).
RESERVED: tuple[Client, ...] = tuple(
    Client.from_text(text)
    for text in (
        *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
        *("192.168.0.0/16", "224.0.0.0/4", "255.255.255.255/32"),
        *("::/127", "2001::/32", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
    )
)


@dataclass(frozen=True, slots=True)
class Event:
    """One client doing one thing at one instant, `count` times (1 to 10,000)."""

    at: int
    client: Client  # the full address; what is listed is its key
    reason: str
    count: int = 1
    component: str = ""
    detail: str = ""
    id: str | None = None  # the sender's own, for JSON Lines: stored once per source
    line: int = 0  # number of the line in its source that completed the offence, from 1


@dataclass(frozen=True, slots=True)
class Hit:
    """A refusal that our own zone caused: counted for the listing, never an offence."""

    at: int
    client: Client
    component: str = ""
    line: int = 0


@dataclass(frozen=True, slots=True)
class Traffic:
    """Clean traffic of a client: connections that our servers took, and messages that they accepted."""

    at: int
    client: Client
    connections: int = 0
    messages: int = 0


@dataclass(frozen=True, slots=True)
class Wait:
    """A greylisted attempt that must come again, or (`closed`) the sign that it did.

    `letter` is a keyed hash of sender and recipient, 32 hex digits: who writes to whom is nobody's business.
    """

    at: int
    client: Client
    letter: str
    closed: bool = False
    component: str = ""
    line: int = 0


State = Literal["active", "expired", "released", "reversed", "held", "dropped", "shadow"]
STATES: tuple[State, ...] = ("active", "expired", "released", "reversed", "held", "dropped", "shadow")


@dataclass(frozen=True, slots=True)
class Listing:
    """A client in the zone for one category, in `[began, expires)`.

    `offence` is how many times that was, `reasons` what was counted. `state` is as stored: ending needs no job,
    so ask `state_at`. One that is reversed or dropped makes those that begin up to `counts_until` longer, as it did
    before that was known.
    """

    client: Client
    category: Category
    offence: int
    began: int
    expires: int
    state: State = "active"
    reasons: Mapping[str, int] = field(default_factory=dict)
    comment: str = ""  # manual listings: the operator's words
    counts_until: int | None = None

    def state_at(self, now: int) -> State:
        """Give the state, where an active listing whose end has come is expired."""
        return "expired" if self.state == "active" and now >= self.expires else self.state


@dataclass(frozen=True, slots=True)
class Exemption:
    """A prefix whose events in `[added, ended)` never count, and which is never answered as listed."""

    network: Client
    added: int
    ended: int | None = None
    comment: str = ""
    author: str = ""

    def holds_at(self, at: int) -> bool:
        """Tell whether it is in force at that instant."""
        return self.added <= at and (self.ended is None or at < self.ended)


class Exemptions:
    """Exemptions by prefix length, so that matching costs one look-up a length and not one an exemption."""

    def __init__(self, exemptions: Iterable[Exemption] = ()) -> None:
        always = (Exemption(network, added=0) for network in RESERVED)
        by_length: dict[tuple[int, int], dict[int, list[Exemption]]] = {}
        for exemption in (*always, *exemptions):
            network = exemption.network
            prefix = network.value >> (WIDTH[network.version] - network.length)
            by_length.setdefault((network.version, network.length), {}).setdefault(prefix, []).append(exemption)
        # The widest first: length, bits behind it, and what is exempt by its prefix.
        self._prefixes = {
            version: [(n, WIDTH[version] - n, by_length[of, n]) for of, n in sorted(by_length) if of == version]
            for version in WIDTH
        }

    def find(self, client: Client, at: int) -> Exemption | None:
        """Give the widest exemption in force at that instant that covers the address or prefix."""
        return next((exemption for exemption in self.find_ever(client) if exemption.holds_at(at)), None)

    def find_ever(self, client: Client) -> list[Exemption]:
        """Give all exemptions that ever covered the address or prefix, the widest first."""
        found: list[Exemption] = []
        value, longest = client.value, client.length
        for length, behind, exemptions in self._prefixes[client.version]:
            if length <= longest and (value >> behind) in exemptions:
                found += exemptions[value >> behind]
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one listing or exemption, with its place in commit order.

    It stands for itself: an active listing is put in the zone in the place of the client's earlier one in that
    category; any other state takes out the entry that began at the same instant, and no later one. An exemption
    without end is put, one with an end is taken out at that instant.
    """

    serial: int
    what: Listing | Exemption
