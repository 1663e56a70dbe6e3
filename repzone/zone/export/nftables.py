"""Networks in, a script for `nft -f` out: table `inet repzone` with a set for each version, filled anew (nft(8)).

A set's intervals must not overlap, so holes are taken out of what is listed.
"""

import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address

from repzone.model import V4, V6, WIDTH, Client
from repzone.zone.export.networks import Networks

Range = tuple[int, int]  # the first and the last number

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
    listed: list[Range] = []
    holes: list[Range] = []
    for network, entry in networks.each(version, with_text=False):
        (listed if entry else holes).append(_range(network))
    listed.sort()
    holes.sort()
    return _subtract(_join(listed), _join(holes))


def _range(network: Client) -> Range:
    return network.value, network.value | (1 << WIDTH[network.version] - network.length) - 1


def _join(given: Iterable[Range]) -> Iterator[Range]:
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
    return str(IPv4Address(number) if version == V4 else IPv6Address(number))
