"""Networks in, a response policy zone out (draft-vixie-dnsop-dns-rpz §4.3).

Answers that hold an address which is listed become NXDOMAIN; the longest prefix decides. Holes pass, and so does what
an allow zone has.
"""

from collections.abc import Iterator

from repzone.model import V4, V6, WIDTH, Client
from repzone.zone.entry import Entry
from repzone.zone.export.bind import write_head
from repzone.zone.export.networks import NAME, Networks
from repzone.zone.rows import unpack_address


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines of a zone file."""
    allow = networks.zone.kind == "allow"

    def make(entry: Entry | None) -> str:
        if entry is None:
            return f"{NAME} CNAME rpz-passthru.\n"
        return f"{NAME} {entry.ttl} CNAME {'rpz-passthru.' if allow else '.'}\n"

    yield from write_head(networks.zone, serial, [(b"localhost",)])  # nobody asks such a zone for its servers
    for version in (V4, V6):
        for octets, length, line, _ in networks.each(version, make, with_text=False):
            yield line.replace(NAME, trigger(unpack_address(version, length, octets)))


def trigger(network: Client) -> str:
    """Write a network as an IP trigger: length, then octets or words in reverse, `zz` for the longest row of zeros."""
    if network.version == V4:
        return f"{network.length}.{'.'.join(map(str, network.value.to_bytes(4, 'little')))}.rpz-ip"
    address = Client(V6, network.value, WIDTH[V6]).to_text()
    return f"{network.length}.{'.'.join(reversed(address.replace('::', ':zz:').strip(':').split(':')))}.rpz-ip"
