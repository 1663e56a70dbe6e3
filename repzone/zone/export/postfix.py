"""Networks in, a table for Postfix's `check_client_access cidr:FILE` out (cidr_table(5), access(5)).

Postfix takes the first line that matches, so the most specific networks come first. Who is listed is rejected, or
let through at once if the zone is an allow zone; holes are left to the restrictions that follow.
"""

from collections.abc import Iterator

from repzone.model import V4, V6
from repzone.zone.entry import Entry
from repzone.zone.export.networks import NAME, Networks, name_of


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines."""
    allow = networks.zone.kind == "allow"

    def make(entry: Entry | None) -> str:
        if entry is None:
            return f"{NAME} DUNNO\n"
        return f"{NAME} OK\n" if allow else f"{NAME} REJECT {entry.text.decode()}\n"

    yield f"# {networks.zone.apex}, serial {serial}\n"
    for version in (V4, V6):
        for octets, length, line, _ in networks.each(version, make, with_text=not allow):
            yield line.replace(NAME, name_of(octets, version, length))
