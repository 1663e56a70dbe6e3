"""Listings and exemptions in, rows of 32 octets out, and back: how the compiled core and the snapshot file hold them.

Instants are 32 bits, the last of them in February 2106: what ends later ends then. What nobody is ever answered is not
kept: reasons, comments, authors.
"""

from collections.abc import Iterable, Iterator
from struct import Struct
from typing import Protocol, runtime_checkable

from repzone.model import V4, V6, WIDTH, Client, Exemption, Listing
from repzone.reasons import CATEGORIES
from repzone.zone.table import Table

ROW = Struct("!BBBBIII16s")  # version, prefix length, category, active, offence, begins, ends, address
FOREVER = 0xFFFFFFFF
LAST = FOREVER - 1
EXEMPTION = 0xFF

_NUMBERS = {category: number for number, category in enumerate(CATEGORIES)}

Rows = bytes | memoryview


@runtime_checkable
class Packed(Protocol):
    """A table that keeps its entries as rows already."""

    def dump(self, now: int) -> bytes:
        """Give the rows of what holds at that instant."""
        ...

    def load(self, rows: Rows) -> None:
        """Hold these instead of everything before, at one instant for every reader; ValueError for unsound rows."""
        ...


def dump(table: Table, now: int) -> bytes:
    """Give the rows of what is listed and exempt at that instant, in no order."""
    if isinstance(table, Packed):
        return table.dump(now)
    return b"".join((*map(pack_listing, table.listings(now)), *map(pack_exemption, table.exemptions(now))))


def load(table: Table, rows: Rows) -> None:
    """Let a table hold these rows instead of everything before; ValueError for unsound ones."""
    if isinstance(table, Packed):
        table.load(rows)
    else:
        table.replace(unpack_listings(rows), unpack_exemptions(rows))


def pack_listing(listing: Listing) -> bytes:
    """Write a listing, whatever its state."""
    client = listing.client
    return ROW.pack(
        client.version,
        client.length,
        _NUMBERS[listing.category],
        listing.state == "active",
        min(listing.offence, FOREVER),
        clamp(listing.began),
        clamp(listing.expires),
        pack_address(client),
    )


def pack_exemption(exemption: Exemption) -> bytes:
    """Write an exemption, with its end if it has one."""
    network = exemption.network
    ends = FOREVER if exemption.ended is None else clamp(exemption.ended)
    return ROW.pack(
        network.version, network.length, EXEMPTION, True, 0, clamp(exemption.added), ends, pack_address(network)
    )


def unpack_listings(rows: Rows) -> Iterator[Listing]:
    """Read the listings among the rows; ValueError for an unsound row."""
    for version, length, category, active, offence, begins, ends, octets in _unpack(rows):
        if category != EXEMPTION:
            client = unpack_address(version, length, octets)
            yield Listing(client, CATEGORIES[category], offence, begins, ends, "active" if active else "expired")


def unpack_exemptions(rows: Rows) -> Iterator[Exemption]:
    """Read the exemptions among the rows; ValueError for an unsound row."""
    for version, length, category, _, _, begins, ends, octets in _unpack(rows):
        if category == EXEMPTION:
            yield make_exemption(unpack_address(version, length, octets), begins, ends)


def _unpack(rows: Rows) -> Iterable[tuple[int, int, int, int, int, int, int, bytes]]:
    if len(rows) % ROW.size:
        raise ValueError(f"{len(rows)} octets are no rows of {ROW.size}")
    for row in ROW.iter_unpack(rows):
        version, length, category, *_ = row
        if version not in WIDTH or length > WIDTH[version] or (category >= len(CATEGORIES) and category != EXEMPTION):
            raise ValueError(f"no row: {ROW.pack(*row).hex()}")
        yield row


def identify(rows: Rows) -> dict[bytes, int]:
    """Give the active listings among the rows: what is listed for which category, and when that began."""
    return {
        head + address: begins
        for head, active, begins, address in _IDENTITY.iter_unpack(rows)
        if active and head[2] != EXEMPTION
    }


def identity(row: bytes) -> bytes:
    """Give what is listed for which category in a row."""
    return row[:3] + row[16:]


_IDENTITY = Struct("!3sB4xI4x16s")


def make_exemption(network: Client, begins: int, ends: int) -> Exemption:
    """Build an exemption from what its row says."""
    return Exemption(network, begins, None if ends == FOREVER else ends)


def pack_address(client: Client) -> bytes:
    """Write an address as 16 octets, of which IPv4 takes the first four."""
    return (client.value << 96 if client.version == V4 else client.value).to_bytes(WIDTH[V6] // 8, "big")


def unpack_address(version: int, length: int, octets: bytes) -> Client:
    """Read an address."""
    return Client(version, int.from_bytes(octets, "big") >> (WIDTH[V6] - WIDTH[version]), length)


def clamp(instant: int) -> int:
    """Give the nearest instant that 32 bits hold."""
    return min(max(instant, 0), LAST)
