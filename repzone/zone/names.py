"""Labels below an apex in, the client that they name out; and back (RFC 5782 §2.1 and §2.4).

An IPv4 address is exactly four decimal labels without leading zeros, an IPv6 address exactly 32 nibbles, both
reversed. What is shorter exists as an empty non-terminal, since clients can be listed below it (RFC 8020).
"""

import enum
from collections.abc import Sequence

from repzone.model import V4, V6, Client

Name = tuple[bytes, ...]
"""The labels of a domain name, lower-case, without the root."""

MAX_NAME = 255  # octets on the wire with the lengths and the root, RFC 1035 §2.3.4
MAX_LABEL = 63
NIBBLES = 32

_OCTET = {str(number).encode(): number for number in range(256)}
_NIBBLE = {b"%x" % number: number for number in range(16)} | {b"%X" % number: number for number in range(16)}


class Unnamed(enum.Enum):
    """What labels are that name no address."""

    PARTIAL = "an empty non-terminal: addresses have names below it"
    OTHER = "nothing that can have a listing at or below it"


def from_labels(labels: Sequence[bytes]) -> Client | Unnamed:
    """Read the labels in front of the apex; IPv4 inside IPv6 is the IPv4 address."""
    count = len(labels)
    if count == 4:
        a, b, c, d = (_OCTET.get(label) for label in labels)
        if a is not None and b is not None and c is not None and d is not None:
            return Client(V4, d << 24 | c << 16 | b << 8 | a, 32)
    elif count < 4 and all(label in _OCTET for label in labels):
        return Unnamed.PARTIAL
    if count > NIBBLES or not all(label in _NIBBLE for label in labels):
        return Unnamed.OTHER
    if count < NIBBLES:
        return Unnamed.PARTIAL
    return Client.from_number(V6, int(b"".join(labels)[::-1], 16), 128)


def to_labels(client: Client) -> Name:
    """Write an address as the labels in front of the apex."""
    if client.version == V4:
        return tuple(b"%d" % octet for octet in client.value.to_bytes(4, "little"))
    return tuple(b"%c" % nibble for nibble in reversed(b"%032x" % client.value))


def may_hold_names(labels: Sequence[bytes]) -> bool:
    """Tell whether the name of an address is also an empty non-terminal of the other family.

    `4.3.2.1` is 1.2.3.4 and at the same time the last four nibbles of many an IPv6 name. NXDOMAIN there would tell
    a resolver that nothing exists below (RFC 8020), and so hide IPv6 listings: it is a name without data.
    """
    return len(labels) < NIBBLES and all(label in _NIBBLE for label in labels)


def wire_length(name: Name) -> int:
    """Give the octets that a name takes on the wire, uncompressed."""
    return sum(len(label) + 1 for label in name) + 1
