"""Networks in, a table for Postfix's `check_client_access cidr:FILE` out (cidr_table(5), access(5)).

Postfix takes the first line that matches, so the most specific networks come first. Who is listed is rejected, or
let through at once if the zone is an allow zone; holes are left to the restrictions that follow.
"""

from collections.abc import Iterator

from repzone.model import V4, V6
from repzone.zone.export.networks import Networks


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines."""
    allow = networks.zone.kind == "allow"
    yield f"# {networks.zone.apex}, serial {serial}\n"
    for version in (V4, V6):
        for network, entry in networks.each(version, with_text=not allow):
            if entry is None:
                yield f"{network} DUNNO\n"
            else:
                yield f"{network} OK\n" if allow else f"{network} REJECT {entry.text.decode()}\n"
