"""A zone and a table in, every network that has an answer of its own out: what all exported files are made from.

The most specific network that holds an address decides. Its entry has all that the zone says there, what wider
networks are listed for included. An exemption inside a listed network is a hole: a network without an entry.

Most networks lie in no other that is listed or exempt. What is written of such a one follows from its own listings:
it is made once for all that are listed alike, and name and end put in.

A file says when a listing ends. The time left, which DNS says as well, would be wrong a minute later.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import lru_cache
from string import Formatter
from struct import Struct

from repzone.model import RESERVED, V4, V6, WIDTH, Client, Listing
from repzone.reasons import CATEGORIES
from repzone.zone.definition import LISTED, Zone
from repzone.zone.entry import Entry, make_entry
from repzone.zone.rows import EXEMPTION, clamp, dump, pack_address, unpack_address
from repzone.zone.table import NOTHING, Found, Table
from repzone.zone.texts import Template, format_instant

Range = tuple[int, int]  # the first and the last number

NAME = "\0"
"""Where in a line the name of its network is to be put."""

_UNTIL = "\1"  # the same for the end of the listing that a text speaks of

_ROW = Struct("!BBB1x4s4x4s16s")  # of `rows.ROW`: version, length, category, offence, ends, address
_KEPT = Struct("!25s")  # address; category, offence, ends
_TOLD = Struct("!BII")
_INSTANT = Struct("!I")
_HOLE = 0xFE  # in the place of a category
_HEAD = {V4: 2, V6: 4}  # octets that those which are sorted together have in common
_NOWHERE: Range = (1 << WIDTH[V6], 1 << WIDTH[V6])  # behind every address
_KNOWN = 1 << 15  # so many different ones are remembered
_WORDY = range(1, 32)  # host bits of IPv6 prefixes whose names may be longer than the address that texts have room for


class Networks:
    """What a zone says at one instant; the table must not change meanwhile.

    It takes 25 octets a listing. In a paused zone nobody has an entry.
    """

    def __init__(self, zone: Zone, table: Table, now: int, *, paused: bool = False) -> None:
        """Put the networks where `each` finds them."""
        self.zone, self.now = lasting(zone), now
        self._table, self._paused = table, paused
        self._codes = {CATEGORIES.index(category): code for category, code in zone.codes.items()}
        if zone.kind == "allow":
            self._codes = {EXEMPTION: LISTED}
        self._marked = _with_texts(self.zone, _mark)
        self._far = _INSTANT.pack(clamp(now + zone.ttl + 1))  # what ends then or later has the zone's TTL
        self.codes: dict[int, set[int]] = {version: set() for version in WIDTH}  # that occur
        # By length and first octets: what is kept of each listing, one behind the other.
        self._parts: dict[int, dict[int, dict[bytes, bytearray]]] = {
            version: defaultdict(lambda: defaultdict(bytearray)) for version in WIDTH
        }
        self._exempt = [*RESERVED, *self._gather()]
        self.holes = sorted(self._find_holes())
        for hole in self.holes:
            octets = pack_address(hole)
            self._part(hole.version, hole.length, octets).extend(octets + _TOLD.pack(_HOLE, 0, 0))
        for part in (part for parts in self._parts.values() for heads in parts.values() for part in heads.values()):
            part[:] = b"".join(sorted(kept for (kept,) in _KEPT.iter_unpack(part)))

    def _part(self, version: int, length: int, octets: bytes) -> bytearray:
        return self._parts[version][length][octets[: _HEAD[version]]]

    def _gather(self) -> list[Client]:
        """Take from the table what the zone answers for, and give what is exempt from that."""
        exempt: list[Client] = []
        for version, length, category, offence, ends, octets in _ROW.iter_unpack(dump(self._table, self.now)):
            code = self._codes.get(category)
            if code is None:
                if category == EXEMPTION:
                    exempt.append(unpack_address(version, length, octets))
            elif not self._paused:
                self._part(version, length, octets).extend(octets + bytes((category,)) + offence + ends)
                self.codes[version].add(code)
        return exempt

    def _numbers(self, version: int, length: int) -> Iterator[int]:
        """Give the numbers of the networks of a length, without host bits."""
        for part in self._parts[version][length].values():
            for (kept,) in _KEPT.iter_unpack(part):
                yield int.from_bytes(kept[:16], "big") >> WIDTH[V6] - length

    def _find_holes(self) -> set[Client]:
        """Give what is exempt inside a network that is listed."""
        holes: set[Client] = set()
        for version, parts in self._parts.items():
            for length in parts:
                inside: dict[int, list[Client]] = defaultdict(list)
                for network in self._exempt:
                    if network.version == version and network.length > length:
                        inside[network.value >> WIDTH[version] - length].append(network)
                for number in self._numbers(version, length) if inside else ():
                    holes.update(inside.get(number, ()))
        return holes

    def entry(self, network: Client, named: str | None = None, *, with_text: bool = True) -> Entry | None:
        """Give what holds for all of a network; `named` is how the text names it."""
        found = NOTHING if self._paused else self._table.lookup(network, self.now)
        return make_entry(self.zone, found, self.now, network if named is None else named, with_text=with_text)

    def each(
        self,
        version: int,
        make: Callable[[Entry | None], str],
        *,
        length: int | None = None,
        code: int | None = None,
        named: str | None = None,
        with_text: bool = True,
    ) -> Iterator[tuple[bytes, int, str, bool]]:
        """Give the networks of IPv4 or IPv6, the most specific first: 16 octets, of which IPv4 takes the first four;
        length; what `make` writes of the entry, None for a hole; whether it lies in nothing that is listed or exempt.

        A text names its network, or has `NAME` where that is to be put. With `length` only networks of that length are
        given; with `code` those may be left out that do not have it.
        """
        category = next((number for number, of in self._codes.items() if of == code), None)
        for one in self.lengths(version) if length is None else (length,):
            yield from self._each(version, one, make, category, named, with_text)

    def lengths(self, version: int) -> list[int]:
        """Give the lengths that occur, the most specific first."""
        return sorted(self._parts[version], reverse=True)

    def shortest(self, version: int) -> int:
        """Give the length of the widest network; one more than an address has bits when there is none."""
        return min(self._parts[version], default=WIDTH[version] + 1)

    def _each(
        self,
        version: int,
        length: int,
        make: Callable[[Entry | None], str],
        category: int | None,
        named: str | None,
        with_text: bool,
    ) -> Iterator[tuple[bytes, int, str, bool]]:
        write_alone = self._write_alone(version, length, make, with_text=with_text)
        shift, around = WIDTH[V6] - WIDTH[version], iter(self._around(version, length))
        first, last = next(around, _NOWHERE)
        for octets, told in self._told(version, length):
            value = int.from_bytes(octets, "big") >> shift
            while value > last:
                first, last = next(around, _NOWHERE)
            if value < first:
                if category is None or category in told[:: _TOLD.size]:
                    yield octets, length, write_alone(told), True
                continue
            entry = self.entry(Client(version, value, length), named, with_text=with_text)
            if entry is not None or _HOLE in told[:: _TOLD.size]:
                yield octets, length, make(entry), False

    def _write_alone(
        self, version: int, length: int, make: Callable[[Entry | None], str], *, with_text: bool
    ) -> Callable[[bytes], str]:
        """Give what writes a network of that length, from what it is listed for, that lies in no other."""
        size, far = _TOLD.size, self._far

        @lru_cache(_KNOWN)
        def write_marked(told: bytes) -> str:
            return make(self._entry_alone(Client(version, 0, length), told, with_text=with_text))

        @lru_cache(_KNOWN)
        def write_end(ends: bytes) -> str:
            return format_instant(*_INSTANT.unpack(ends))

        def write(told: bytes) -> str:
            ends = told[5:]
            if len(told) > size:
                ends = max(told[n + 5 : n + size] for n in range(0, len(told), size))
            elif ends > far:
                told = told[:5] + far
            line = write_marked(told)
            return line.replace(_UNTIL, write_end(ends)) if with_text else line

        return write

    def _told(self, version: int, length: int) -> Iterator[tuple[bytes, bytes]]:
        """Give the address of each network of a length, in order, and all that it is listed for."""
        parts = self._parts[version][length]
        octets = told = b""
        for head in sorted(parts):
            for (kept,) in _KEPT.iter_unpack(parts[head]):
                if kept[:16] == octets:
                    told += kept[16:]
                    continue
                if told:
                    yield octets, told
                octets, told = kept[:16], kept[16:]
        if told:
            yield octets, told

    def _around(self, version: int, length: int) -> Iterable[Range]:
        """Give, in order, the ranges in which a network of that length has to be looked up."""
        bits = WIDTH[version] - length
        if self.zone.kind == "allow" or (version == V6 and bits in _WORDY):
            return [(0, (1 << WIDTH[version]) - 1)]
        exempt = [range_of(one) for one in self._exempt if one.version == version and one.length <= length]
        wider = [
            (number << WIDTH[version] - one, (number + 1 << WIDTH[version] - one) - 1)
            for one in self._parts[version]
            if one < length
            for number in self._numbers(version, one)
        ]
        return join(sorted(exempt + wider))

    def _entry_alone(self, network: Client, told: bytes, *, with_text: bool) -> Entry | None:
        """Give what holds for a network that is listed for this and lies in no other; the text has marks."""
        listings = [
            Listing(network, CATEGORIES[category], offence, 0, ends)
            for category, offence, ends in _TOLD.iter_unpack(told)
        ]
        listings.sort(key=lambda listing: -listing.expires)
        return make_entry(self._marked, Found(tuple(listings)), self.now, NAME, with_text=with_text)


def range_of(network: Client) -> Range:
    """Give the first and the last number of a network."""
    return network.value, network.value | (1 << WIDTH[network.version] - network.length) - 1


def join(given: Iterable[Range]) -> Iterator[Range]:
    """Join sorted ranges that overlap or touch."""
    begin, end = -1, -2
    for first, last in given:
        if first > end + 1:
            if end >= begin:
                yield begin, end
            begin, end = first, last
        end = max(end, last)
    if end >= begin:
        yield begin, end


def lasting(zone: Zone) -> Zone:
    """Give the zone with texts that stay true until the listing ends: `(… left)` goes, else it is left `some time`."""
    return _with_texts(zone, lambda text: _put(_REMARK.sub("", text), "left", "some time"))


_REMARK = re.compile(r" ?\(\{left\}(?: left)?\)")


def _mark(text: str) -> str:
    """Put the mark in the place of the end."""
    return _put(text, "until", _UNTIL)


def _with_texts(zone: Zone, change: Callable[[str], str]) -> Zone:
    texts = {category: Template(change(template.text), template.url) for category, template in zone.texts.items()}
    return replace(zone, texts=texts)


def _put(text: str, name: str, value: str) -> str:
    """Put words in the place of a field of a template."""
    parts = Formatter().parse(text)
    put = {None: "", name: value}
    return "".join(
        literal.replace("{", "{{").replace("}", "}}") + put.get(field, f"{{{field}}}") for literal, field, _, _ in parts
    )


def name_of(octets: bytes, version: int, length: int) -> str:
    """Write the network as `Client` does."""
    if version == V4 and length == WIDTH[V4]:  # most are that
        a, b, c, d = octets[:4]
        return f"{a}.{b}.{c}.{d}"
    return str(unpack_address(version, length, octets))
