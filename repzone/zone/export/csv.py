"""Networks in, comma-separated values out (RFC 4180): network, addresses, TTL, text; a hole has no addresses.

The most specific network that holds an address decides.
"""

import csv
from collections.abc import Iterator

from repzone.model import V4, V6
from repzone.zone.export.networks import Networks

HEADER = ("network", "addresses", "ttl", "text")


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines."""
    lines: list[str] = []
    writer = csv.writer(_Lines(lines), lineterminator="\n")
    writer.writerow(HEADER)
    for version in (V4, V6):
        for network, entry in networks.each(version):
            if entry is None:
                writer.writerow((network, "", "", ""))
            else:
                addresses = " ".join(f"127.0.0.{code}" for code in entry.codes)
                writer.writerow((network, addresses, entry.ttl, entry.text.decode()))
            yield from lines
            lines.clear()
    yield from lines


class _Lines:
    """A file that keeps what is written."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def write(self, line: str) -> int:
        self._lines.append(line)
        return len(line)
