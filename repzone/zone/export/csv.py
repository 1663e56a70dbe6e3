"""Networks in, comma-separated values out (RFC 4180): network, addresses, TTL, text; a hole has no addresses.

The most specific network that holds an address decides.
"""

import csv
from collections.abc import Iterator
from io import StringIO

from repzone.model import V4, V6
from repzone.zone.entry import Entry
from repzone.zone.export.networks import NAME, Networks, name_of

HEADER = ("network", "addresses", "ttl", "text")


def write(networks: Networks, serial: int) -> Iterator[str]:
    """Give the lines."""
    yield _line(*HEADER)
    for version in (V4, V6):
        for octets, length, line, _ in networks.each(version, _make):
            yield line.replace(NAME, name_of(octets, version, length))


def _make(entry: Entry | None) -> str:
    if entry is None:
        return _line(NAME, "", "", "")
    addresses = " ".join(f"127.0.0.{code}" for code in entry.codes)
    return _line(NAME, addresses, entry.ttl, entry.text.decode())


def _line(*values: object) -> str:
    line = StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()
