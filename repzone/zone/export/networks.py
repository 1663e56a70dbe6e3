"""A zone and a table in, every network that has an answer of its own out: what all exported files are made from.

The most specific network that holds an address decides. Its entry has all that the zone says there, what wider
networks are listed for included. An exemption inside a listed network is a hole: a network without an entry.
"""

from collections.abc import Iterator, Set
from itertools import groupby

from repzone.model import RESERVED, WIDTH, Client
from repzone.zone.definition import LISTED, Zone
from repzone.zone.entry import Entry, make_entry
from repzone.zone.table import NOTHING, Table

_Key = tuple[int, int]  # host bits, so that the most specific come first; number


class Networks:
    """What a zone says at one instant; the table must not change meanwhile.

    It takes a pair of numbers a listing. In a paused zone nobody has an entry.
    """

    def __init__(self, zone: Zone, table: Table, now: int, *, paused: bool = False) -> None:
        """Sort the networks."""
        self.zone, self.now = zone, now
        self._table, self._paused = table, paused
        self._keys: dict[int, list[_Key]] = {version: [] for version in WIDTH}
        self.codes: dict[int, set[int]] = {version: set() for version in WIDTH}  # that occur
        for network, code in () if paused else self._named():
            self._keys[network.version].append((WIDTH[network.version] - network.length, network.value))
            self.codes[network.version].add(code)
        self._holes = {version: self._find_holes(version) for version in WIDTH}
        for version, keys in self._keys.items():
            keys.extend(self._holes[version])
            keys.sort()

    def _named(self) -> Iterator[tuple[Client, int]]:
        """Give the networks that may have an entry, and its code."""
        if self.zone.kind == "allow":
            return ((exemption.network, LISTED) for exemption in self._table.exemptions(self.now))
        codes = self.zone.codes
        listings = (listing for listing in self._table.listings(self.now) if listing.category in codes)
        return ((listing.client, codes[listing.category]) for listing in listings)

    def _find_holes(self, version: int) -> Set[_Key]:
        """Give the networks that have nothing inside one that is named."""
        operators = [] if self.zone.kind == "allow" else [one.network for one in self._table.exemptions(self.now)]
        exempt = [network for network in (*RESERVED, *operators) if network.version == version]
        width, inside = WIDTH[version], dict[_Key, list[_Key]]()
        lengths = {width - host_bits for host_bits, _ in self._keys[version]}
        for network in exempt:
            for length in lengths:
                if length < network.length:
                    wider = (width - length, network.truncate(length).value)
                    inside.setdefault(wider, []).append((width - network.length, network.value))
        return {hole for key in self._keys[version] if key in inside for hole in inside[key]} if inside else set()

    def entry(self, network: Client, named: Client | str | None = None, *, with_text: bool = True) -> Entry | None:
        """Give what holds for all of a network; `named` is how the text names it."""
        found = NOTHING if self._paused else self._table.lookup(network, self.now)
        return make_entry(self.zone, found, self.now, network if named is None else named, with_text=with_text)

    def each(
        self, version: int, named: str | None = None, *, with_text: bool = True
    ) -> Iterator[tuple[Client, Entry | None]]:
        """Give the networks of IPv4 or IPv6 and their entries, the most specific first; None for a hole."""
        for key, _ in groupby(self._keys[version]):
            host_bits, value = key
            network = Client(version, value, WIDTH[version] - host_bits)
            entry = self.entry(network, named, with_text=with_text)
            if entry is not None or key in self._holes[version]:
                yield network, entry

    def shortest(self, version: int) -> int:
        """Give the length of the widest network; one more than an address has bits when there is none."""
        keys = self._keys[version]
        return WIDTH[version] - keys[-1][0] if keys else WIDTH[version] + 1
