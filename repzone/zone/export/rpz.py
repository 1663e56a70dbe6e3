"""Networks in, a response policy zone out (draft-vixie-dnsop-dns-rpz §4.3).

Answers that hold an address which is listed become NXDOMAIN; the longest prefix decides. Holes pass, and so does what
an allow zone has.
"""

from collections.abc import Iterator

from repzone.model import V4, V6, Client
from repzone.zone.export.bind import write_head
from repzone.zone.export.networks import Networks


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines of a zone file."""
    allow = networks.zone.kind == "allow"
    yield from write_head(networks.zone, serial, [(b"localhost",)])  # nobody asks such a zone for its servers
    for version in (V4, V6):
        for network, entry in networks.each(version, with_text=False):
            if entry is None:
                yield f"{trigger(network)} CNAME rpz-passthru.\n"
            else:
                yield f"{trigger(network)} {entry.ttl} CNAME {'rpz-passthru.' if allow else '.'}\n"


def trigger(network: Client) -> str:
    """Write a network as an IP trigger: length, then octets or words in reverse, `zz` for the longest row of zeros."""
    address = Client(network.version, network.value, 32 if network.version == V4 else 128).to_text()
    parts = address.split(".") if network.version == V4 else address.replace("::", ":zz:").strip(":").split(":")
    return f"{network.length}.{'.'.join(reversed(parts))}.rpz-ip"
