"""Networks in, a zone file out (RFC 1035 §5): what our own server answers, as records for any other.

A prefix is wildcards at the labels' bounds. A wildcard is blocked by every name that exists beside it (RFC 4592 §2.2),
so names inside a listed prefix get wildcards in front of them, and a hole is a name with a record that nobody asks for.
IPv4 and IPv6 names share labels: where a wildcard would match names of the other, it is written out one label deeper.
"""

from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address

from repzone.model import V4, V6, WIDTH, Client
from repzone.zone.definition import Addresses, Zone
from repzone.zone.entry import Entry, test_entry
from repzone.zone.export.networks import NAME, Networks, name_of
from repzone.zone.names import Name
from repzone.zone.rows import pack_address, unpack_address

SOA_TIMES = (300, 60, 86400)  # refresh, retry, expire
NOTHING = "TYPE65280 \\# 0"  # RFC 3597 §5; a type for private use (RFC 6895 §3.1)
_STEP = {V4: 8, V6: 4}  # bits a label
_SMALL = 10  # octets below it are written as nibbles are
_OWNER = "\3"  # where the name of a network stands
_SHARED = 4  # labels that IPv4 and IPv6 names may have in common


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines; names are relative to the apex."""
    zone = networks.zone
    yield from write_head(zone, serial, zone.nameservers)
    yield from _apex(zone)
    for code in zone.test_codes:
        for client in (Client(V4, 127 << 24 | code, 32), Client(V6, 0xFFFF7F000000 | code, 128)):
            if client.version == V4 or code == 2:
                yield _records(_name(client), test_entry(zone, code))
    for version in (V4, V6):
        between: set[Client] = set()
        for octets, length, records, alone in networks.each(version, _make):
            if alone and length == WIDTH[version]:
                name = _name_address(octets, version)
                yield records.replace(_OWNER, name).replace(NAME, name_of(octets, version, length))
                continue
            network = unpack_address(version, length, octets)
            if not alone:
                yield from _write_around(networks, network, between)
            if _is_apart(network):
                yield records.replace(_OWNER, _name(network)).replace(NAME, str(network))
            else:
                yield from _write_parts(networks, network)


def _write_around(networks: Networks, network: Client, between: set[Client]) -> Iterator[str]:
    """Give the wildcards that names of this network block, once."""
    for wider in _around(network, networks.shortest(network.version)):
        if wider not in between:
            between.add(wider)
            entry = networks.entry(wider) if _is_apart(wider) else None
            if entry is not None:
                yield _records(_name(wider), entry)


def _write_parts(networks: Networks, network: Client) -> Iterator[str]:
    """Give the records of a network that no single wildcard stands for."""
    hole = networks.entry(network, with_text=False) is None
    for part in _parts(network):
        entry = networks.entry(part)
        if hole or entry is not None:
            yield _records(_name(part), entry)


def write_head(zone: Zone, serial: int, servers: Sequence[Name]) -> Iterator[str]:
    """Give TTL, SOA and NS; the origin is the reader's."""
    yield f"$TTL {zone.ttl}\n"
    times = " ".join(map(str, (serial & 0xFFFFFFFF, *SOA_TIMES, zone.negative_ttl)))
    local, *domain = zone.contact
    contact = local.decode().replace(".", "\\.") + "." + _absolute(tuple(domain))
    yield f"@ SOA {_absolute(servers[0])} {contact} {times}\n"
    for name in servers:
        yield f"@ NS {_absolute(name)}\n"


def _apex(zone: Zone) -> Iterator[str]:
    yield from _addresses("@", zone.addresses)
    for text in zone.txt:
        yield f"@ TXT {quote(text)}\n"
    for label, addresses in zone.hosts.items():
        yield from _addresses(label.decode(), addresses)


def _addresses(name: str, addresses: Addresses) -> Iterator[str]:
    for octets in addresses.a:
        yield f"{name} A {IPv4Address(octets)}\n"
    for octets in addresses.aaaa:
        yield f"{name} AAAA {IPv6Address(octets)}\n"


def _absolute(name: Name) -> str:
    return b".".join(name).decode() + "."


def quote(text: bytes) -> str:
    """Write a character-string."""
    return '"' + text.decode().replace("\\", "\\\\").replace('"', '\\"') + '"'


def _records(name: str, entry: Entry | None) -> str:
    if entry is None:
        return f"{name} {NOTHING}\n"
    addresses = "".join(f"{name} {entry.ttl} A 127.0.0.{code}\n" for code in entry.codes)
    return f"{addresses}{name} {entry.ttl} TXT {quote(entry.text)}\n"


def _make(entry: Entry | None) -> str:
    return _records(_OWNER, entry)


def _name(network: Client) -> str:
    """Write the name of an address, or the wildcard of a prefix at a label's bound."""
    name = _name_address(pack_address(network), network.version)
    if network.is_address:
        return name
    return ".".join(("*", *name.split(".")[(WIDTH[network.version] - network.length) // _STEP[network.version] :]))


def _name_address(octets: bytes, version: int) -> str:
    if version == V4:
        a, b, c, d = octets[:4]
        return f"{d}.{c}.{b}.{a}"
    return ".".join(octets.hex()[::-1])


def _parts(network: Client) -> Iterator[Client]:
    """Split a prefix into addresses and prefixes whose wildcards match nothing else."""
    if _is_apart(network):
        yield network
        return
    step, width = _STEP[network.version], WIDTH[network.version]
    length = network.length // step * step + step
    for number in range(1 << length - network.length):
        yield from _parts(Client(network.version, network.value | number << width - length, length))


def _is_apart(network: Client) -> bool:
    """Tell whether a prefix is an address, or ends at a label's bound where no name of the other version follows."""
    if network.is_address:
        return True
    if network.length % _STEP[network.version]:
        return False
    if network.version == V6:
        return network.length >= _SHARED * _STEP[V6]
    return any(octet >= _SMALL for octet in network.value.to_bytes(4, "big")[: network.length // 8])


def _around(network: Client, shortest: int) -> Iterator[Client]:
    """Give the prefixes at labels' bounds around a network, of which one no longer than the shortest may be."""
    step = _STEP[network.version]
    for length in range((network.length - 1) // step * step, 0, -step):
        if length < shortest:
            return
        yield network.truncate(length)
