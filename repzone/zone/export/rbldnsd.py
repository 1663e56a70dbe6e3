"""Networks in, a `combined` data set for rbldnsd out (rbldnsd(8)): the same addresses and texts, with the zone's TTL.

A data set gives one address for a network, so each code has data sets of its own; the text stands in the one that it
speaks of. The most specific network of a data set decides, and a line with `!` is a hole.
"""

from collections.abc import Iterator
from ipaddress import IPv4Address

from repzone.model import V4, V6, WIDTH
from repzone.zone.definition import LISTED, Zone
from repzone.zone.entry import Entry, test_entry
from repzone.zone.export.bind import SOA_TIMES, quote
from repzone.zone.export.networks import NAME, Networks, name_of
from repzone.zone.rows import unpack_address

_OWNER = "\3"  # where the network stands; NAME, where a text names whoever asked, becomes `$`
_TYPES = {V4: "ip4set", V6: "ip6trie"}


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines: run `rbldnsd ... APEX:combined:FILE`."""
    zone = networks.zone
    local, *domain = (label.decode() for label in zone.contact)
    times = " ".join(map(str, (serial & 0xFFFFFFFF, *SOA_TIMES, zone.negative_ttl)))
    servers = " ".join(b".".join(name).decode() for name in zone.nameservers)
    yield f"$SOA {zone.ttl} {servers.split()[0]} {'.'.join((local, *domain))} {times}\n"
    yield f"$NS {zone.ttl} {servers}\n$TTL {zone.ttl}\n"
    yield from _fixed(zone)
    for version in (V4, V6):
        for code in zone.test_codes:
            has_test = version == V4 or code == LISTED
            if has_test or code in networks.codes[version]:
                yield f"$DATASET {_TYPES[version]}:v{version}-{code} @\n"
            if has_test:
                yield _test(zone, version, code)
            if code in networks.codes[version]:
                yield from _entries(networks, version, code)


def _fixed(zone: Zone) -> Iterator[str]:
    """Give the records of the apex and of name servers inside."""
    lines = [("@", addresses) for addresses in (zone.addresses,)]
    lines += [(label.decode(), addresses) for label, addresses in zone.hosts.items()]
    given = [f"{name} A {IPv4Address(octets)}\n" for name, addresses in lines for octets in addresses.a]
    given += [f"@ TXT {quote(text)}\n" for text in zone.txt]
    if given:
        yield "$DATASET generic:fixed @\n"
        yield from given


def _test(zone: Zone, version: int, code: int) -> str:
    client = f"127.0.0.{code}" if version == V4 else f"::ffff:7f00:{code:x}"
    return f"{client} {_value(code, test_entry(zone, code).text.decode())}\n"


def _entries(networks: Networks, version: int, code: int) -> Iterator[str]:
    """Give the lines of a code."""

    def make(entry: Entry | None) -> str:
        if entry is None:
            return f"!{_OWNER}\n"
        if code not in entry.codes:
            return ""
        return f"{_OWNER} {_value(code, entry.text.decode() if entry.code == code else '')}\n"

    name = name_of if version == V4 else _by_words
    for octets, length, line, _ in networks.each(version, make, code=code, named=NAME):
        if line:
            yield line.replace(_OWNER, name(octets, version, length))


def _by_words(octets: bytes, version: int, length: int) -> str:
    """Write an IPv6 network as rbldnsd reads it."""
    return f"{unpack_address(V6, WIDTH[V6], octets)}/{length}"


def _value(code: int, text: str) -> str:
    return f":127.0.0.{code}:{text.replace('$', '$$').replace(NAME, '$')}"
