"""Changes and zones in, answers out: a `zone.Table` that the compiled core holds, and what its threads need beside it.

One writer may change it while threads of the core and of Python read; a change is seen whole or not at all.
"""

import enum
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from repzone.fastpath import _dns
from repzone.fastpath.zones import compile_zone
from repzone.model import RESERVED, V4, Change, Client, Exemption, Listing
from repzone.reasons import CATEGORIES, Category
from repzone.zone.definition import Zone
from repzone.zone.rows import (
    Rows,
    clamp,
    make_exemption,
    pack_address,
    pack_exemption,
    pack_listing,
    unpack_exemptions,
    unpack_listings,
)
from repzone.zone.table import Found

LOOPBACK = Client(V4, 127 << 24 | 1, 32)
OTHER_ZONE = 0  # what queries of a zone are counted under when there were too many
_MOST_ZONES = 1023


class HandedOver(enum.Enum):
    """What `answer` gives for a packet that the general path must answer."""

    HANDED_OVER = "not the core's"


HANDED_OVER: Final = HandedOver.HANDED_OVER


class CompiledTable:
    """A `Table` in the memory of the compiled core."""

    def __init__(self, listings: Iterable[Listing] = (), exemptions: Iterable[Exemption] = ()) -> None:
        reserved = b"".join(bytes((one.version, one.length)) + pack_address(one) for one in RESERVED)
        self.core = _dns.Core(reserved)
        self._published: tuple[Sequence[Zone], frozenset[str]] | None = None
        self._numbers: dict[str, int] = {}
        self.replace(listings, exemptions)

    def lookup(self, client: Client, now: int) -> Found:
        """Give what holds for an address at that instant."""
        rows, exempt, reserved = self.core.lookup(client.version, client.length, pack_address(client), clamp(now))
        if exempt is not None:
            begins, ends, length = exempt
            return Found(exemption=make_exemption(client.truncate(length), begins, ends), reserved=reserved)
        if reserved:
            return Found(reserved=True)
        rows.sort(key=lambda row: -row[3])  # stable: the most specific came first
        return Found(
            tuple(
                Listing(client.truncate(length), CATEGORIES[category], offence, begins, ends)
                for category, offence, begins, ends, length in rows
            )
        )

    def apply(self, change: Change) -> None:
        """Make one change; one that is older than what is held changes nothing."""
        what = change.what
        self.core.apply(pack_listing(what) if isinstance(what, Listing) else pack_exemption(what))

    def replace(self, listings: Iterable[Listing], exemptions: Iterable[Exemption]) -> None:
        """Hold these instead; listings that are not active are left out."""
        rows = bytearray()
        for listing in listings:
            rows += pack_listing(listing)
        for exemption in exemptions:
            rows += pack_exemption(exemption)
        self.core.load(rows)

    def load(self, rows: Rows) -> None:
        """Hold these rows of `zone.rows` instead; ValueError for unsound ones."""
        self.core.load(rows)

    def dump(self, now: int) -> bytes:
        """Give the rows of what holds at that instant."""
        return self.core.dump(False, clamp(now)) + self.core.dump(True, clamp(now))

    def sweep(self, now: int) -> int:
        """Forget what has ended, and give its memory back."""
        return self.core.sweep(clamp(now))

    def counts(self) -> Mapping[Category, int]:
        """Give the number of listings by category."""
        return dict(zip(CATEGORIES, self.core.counts(), strict=True))

    def count_exempt(self, now: int) -> Mapping[Category, int]:
        """Count those of `counts` that an exemption in force covers."""
        return dict(zip(CATEGORIES, self.core.count_exempt(clamp(now)), strict=True))

    def listings(self, now: int) -> Iterator[Listing]:
        """Give the listings active at that instant, without reasons and comments."""
        return unpack_listings(self.core.dump(False, clamp(now)))

    def exemptions(self, now: int) -> Iterator[Exemption]:
        """Give the operator's exemptions in force at that instant, without comments and authors."""
        return unpack_exemptions(self.core.dump(True, clamp(now)))

    def publish(
        self,
        zones: Sequence[Zone],
        serial: int,
        fresh_for: int,
        soa_times: Sequence[int],
        *,
        stale_in: int,
        paused: frozenset[str] = frozenset(),
    ) -> None:
        """Let the core answer for these zones.

        `fresh_for` is for how many seconds from now the data can be trusted: 0 hands over whatever needs it. From
        `stale_in` seconds on replies say that they may be out of date.
        `soa_times` are refresh, retry and expire; in the zones whose apex is in `paused` only the test entries are
        listed.
        """
        self.core.set_status(serial & 0xFFFFFFFF, max(0, fresh_for), max(0, stale_in))
        known = self._published
        if known is not None and known[0] is zones and known[1] == paused:
            return
        # The longest apex first, as the core looks for them.
        ordered = sorted(zones, key=lambda zone: -len(zone.name))
        compiled = [compile_zone(one, self._number(one), soa_times, paused=one.apex in paused) for one in ordered]
        self.core.set_zones(b"".join(compiled), len(compiled))
        self._published = zones, paused

    def _number(self, zone: Zone) -> int:
        """Give the number that queries of a zone are counted under: the same one as long as the process lives."""
        if zone.apex not in self._numbers and len(self._numbers) == _MOST_ZONES:
            return OTHER_ZONE
        return self._numbers.setdefault(zone.apex, len(self._numbers) + 1)

    def apexes(self) -> Mapping[int, str]:
        """Give the apex that each number stands for in `Threads.tallies`."""
        return {OTHER_ZONE: "other", **{number: apex for apex, number in self._numbers.items()}}

    def answer(self, packet: bytes, now: int, client: Client = LOOPBACK) -> bytes | HandedOver | None:
        """Give the reply to a UDP packet, by the very function that the threads run; None is silence."""
        reply = self.core.answer(packet, clamp(now), client.version, pack_address(client))
        return HANDED_OVER if reply is NotImplemented else reply
