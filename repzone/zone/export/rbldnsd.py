"""Networks in, a `combined` data set for rbldnsd out (rbldnsd(8)): the same addresses and texts, with the zone's TTL.

A data set gives one address for a network, so each code has data sets of its own; the text stands in the one that it
speaks of. The most specific network of a data set decides, and a line with `!` is a hole.
"""

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address

from repzone.model import V4, V6, WIDTH, Client
from repzone.zone.definition import LISTED, Zone
from repzone.zone.entry import test_entry
from repzone.zone.export.bind import SOA_TIMES, quote
from repzone.zone.export.networks import Networks

_ASKED = "\0"  # where a text names whoever is asked for, until `$` is free for it
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
        entries = _entries(networks, version)
        for code in zone.test_codes:
            has_test = version == V4 or code == LISTED
            if has_test or code in networks.codes[version]:
                yield f"$DATASET {_TYPES[version]}:v{version}-{code} @\n"
            if has_test:
                yield from _test(zone, version, code)
            if code in networks.codes[version]:
                yield from entries[code]


def _fixed(zone: Zone) -> Iterator[str]:
    """Give the records of the apex and of name servers inside."""
    lines = [("@", addresses) for addresses in (zone.addresses,)]
    lines += [(label.decode(), addresses) for label, addresses in zone.hosts.items()]
    given = [f"{name} A {IPv4Address(octets)}\n" for name, addresses in lines for octets in addresses.a]
    given += [f"@ TXT {quote(text)}\n" for text in zone.txt]
    if given:
        yield "$DATASET generic:fixed @\n"
        yield from given


def _test(zone: Zone, version: int, code: int) -> Iterator[str]:
    client = f"127.0.0.{code}" if version == V4 else f"::ffff:7f00:{code:x}"
    yield f"{client} {_value(code, test_entry(zone, code).text.decode())}\n"


def _entries(networks: Networks, version: int) -> Mapping[int, list[str]]:
    """Give the lines of each code."""
    lines: dict[int, list[str]] = {code: [] for code in networks.codes[version]}
    for network, entry in networks.each(version, _ASKED):
        if entry is None:
            for those in lines.values():
                those.append(f"!{_network(network)}\n")
            continue
        for code in entry.codes:
            text = entry.text.decode() if entry.code == code else ""
            lines[code].append(f"{_network(network)} {_value(code, text)}\n")
    return lines


def _network(network: Client) -> str:
    """Write a network as rbldnsd reads it: IPv6 by its words."""
    if network.version == V4:
        return str(network)
    return f"{Client(V6, network.value, WIDTH[V6])}/{network.length}"


def _value(code: int, text: str) -> str:
    return f":127.0.0.{code}:{text.replace('$', '$$').replace(_ASKED, '$')}"
