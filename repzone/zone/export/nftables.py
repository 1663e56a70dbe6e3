"""Networks in, a script for `nft -f` out: table `inet repzone` with a set for each version, filled anew (nft(8)).

A set's intervals must not overlap, so holes are taken out of what is listed.
"""

import re
from collections.abc import Iterable, Iterator
from heapq import merge

from repzone.model import V4, V6, WIDTH, Client
from repzone.zone.entry import Entry
from repzone.zone.export.networks import Networks, Range, join, range_of

_TYPES = {V4: "ipv4_addr", V6: "ipv6_addr"}
_NAME = 28  # octets of a set's name, with its version: an old kernel's bound is 32


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines: rules can name `@NAME_4` and `@NAME_6`, of the apex with `_` for what is no letter or digit."""
    name = re.sub(r"[^a-z0-9]", "_", networks.zone.apex)[:_NAME]
    name = name if name[0].isalpha() else f"z{name}"[:_NAME]
    yield f"# {networks.zone.apex}, serial {serial}\ntable inet repzone {{\n"
    for version in (V4, V6):
        yield f"\tset {name}_{version} {{\n\t\ttype {_TYPES[version]}\n\t\tflags interval\n\t}}\n"
    yield "}\n"
    for version in (V4, V6):
        yield f"flush set inet repzone {name}_{version}\n"
        before = f"add element inet repzone {name}_{version} {{\n"
        for first, last in ranges(networks, version):
            yield f"{before}\t{_address(version, first)}" + (f"-{_address(version, last)}" if last > first else "")
            before = ",\n"
        yield "\n}\n" if before == ",\n" else ""


def ranges(networks: Networks, version: int) -> Iterator[Range]:
    """Give what is listed as ranges that neither overlap nor touch, in order."""

    def listed(length: int) -> Iterator[Range]:
        behind, shift = (1 << WIDTH[version] - length) - 1, WIDTH[V6] - WIDTH[version]
        for octets, _, given, _ in networks.each(version, _write_listed, length=length, with_text=False):
            if given:
                first = int.from_bytes(octets, "big") >> shift
                yield first, first | behind

    holes = (range_of(hole) for hole in networks.holes if hole.version == version)
    return _subtract(join(merge(*map(listed, networks.lengths(version)))), join(sorted(holes)))


def _write_listed(entry: Entry | None) -> str:
    return "" if entry is None else "listed"


def _subtract(given: Iterable[Range], holes: Iterator[Range]) -> Iterator[Range]:
    """Take joined ranges out of joined ranges."""
    hole = next(holes, None)
    for first, last in given:
        while hole is not None and hole[1] < first:
            hole = next(holes, None)
        while hole is not None and hole[0] <= last:
            if hole[0] > first:
                yield first, hole[0] - 1
            first = hole[1] + 1
            if first > last:
                break
            hole = next(holes, None)
        if first <= last:
            yield first, last


def _address(version: int, number: int) -> str:
    if version == V4:
        return ".".join(map(str, number.to_bytes(4, "big")))
    return Client(V6, number, WIDTH[V6]).to_text()
