"""What is known of an address in, what its sender is told out: the same as the DNS says, in the same second.

`zone.Table.lookup` decides who is listed, as behind the DNS; a listing blocks as long as a zone that is not paused
publishes its category.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from repzone.model import V4, Client, Listing
from repzone.policy.outlook import Outlook
from repzone.policy.rules import CategoryRules, Policy
from repzone.store.sender import Counted
from repzone.zone.definition import Zone
from repzone.zone.table import Found

CLOCK_SKEW = 60
"""Seconds that the data may seem to come from the future: as the DNS server has it."""


class Kind(StrEnum):
    """How it stands with an address."""

    blocked = "blocked"
    clear = "clear"
    exempt = "exempt"
    reserved = "reserved"
    test = "test"
    unknown = "unknown"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of an address at an instant.

    `age` is that of the data in seconds, None when there is none; `live` says that the database itself answered: only
    then there are `counted` listings, policies by version, outlooks, and of each category the last listing that
    `ended`, the latest first; one that is reversed blocked by mistake.
    """

    found: Found
    paused: frozenset[str]
    serial: int
    age: int | None
    live: bool
    counted: Sequence[Counted] = ()
    policies: Mapping[int, Policy] = field(default_factory=dict)
    outlooks: Sequence[Outlook] = ()
    ended: tuple[Listing, ...] = ()


@dataclass(frozen=True, slots=True)
class Block:
    """A listing that blocks: zones that publish it, what was counted, the policy that judged, what comes next."""

    listing: Listing
    zones: tuple[str, ...]
    counted: Counted | None
    policy: Policy | None
    outlook: Outlook | None

    @property
    def rules(self) -> CategoryRules | None:
        """The rules that made it, where they are known."""
        return self.policy.rules(self.listing.category) if self.policy else None


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is said of an address at `now`: the blocks, the one that ends last first; the last that ended, if any."""

    client: Client
    kind: Kind
    now: int
    known: Known
    blocks: tuple[Block, ...] = ()
    ended: Listing | None = None

    @property
    def expires(self) -> int:
        """The second at which nothing blocks any more."""
        return max((block.listing.expires for block in self.blocks), default=self.now)

    @property
    def mistaken(self) -> bool:
        """Tell whether the last block should never have been."""
        return self.ended is not None and self.ended.state == "reversed"


def judge(client: Client, now: int, known: Known, zones: Iterable[Zone], max_stale: int) -> Verdict:
    """Say how it stands with an address."""
    blocking = [zone for zone in zones if zone.kind == "block"]
    if is_test_entry(client, blocking):
        return Verdict(client, Kind.test, now, known)
    if known.found.reserved:
        return Verdict(client, Kind.reserved, now, known)
    if known.age is None or not -CLOCK_SKEW <= known.age <= max_stale:
        return Verdict(client, Kind.unknown, now, known)
    if known.found.exemption is not None:
        return Verdict(client, Kind.exempt, now, known)
    blocks = []
    for listing in known.found.listings:
        publishing = [zone.apex for zone in blocking if _publishes(zone, listing, known)]
        if publishing:
            blocks.append(_block(listing, publishing, known))
    if blocks:
        return Verdict(client, Kind.blocked, now, known, tuple(blocks))
    published = {category for zone in blocking for category in zone.categories}
    ended = next((one for one in known.ended if one.category in published), None)
    return Verdict(client, Kind.clear, now, known, ended=ended)


def is_test_entry(client: Client, zones: Iterable[Zone]) -> bool:
    """Tell whether a zone always lists it (RFC 5782 §5)."""
    loopback = client.version == V4 and client.value >> 8 == 0x7F0000
    return loopback and any(client.value & 0xFF in zone.test_codes for zone in zones)


def _publishes(zone: Zone, listing: Listing, known: Known) -> bool:
    return listing.category in zone.categories and zone.apex not in known.paused


def _block(listing: Listing, apexes: Sequence[str], known: Known) -> Block:
    counted = next((one for one in known.counted if one.listing == listing), None)
    policy = known.policies.get(counted.version) if counted is not None and counted.version is not None else None
    outlook = next((one for one in known.outlooks if one.category == listing.category), None)
    return Block(listing, tuple(apexes), counted, policy, outlook)
