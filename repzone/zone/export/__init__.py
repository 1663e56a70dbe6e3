"""A zone and the table of who is listed in, a file for another program out, a few lines at a time."""

from collections.abc import Callable, Iterator, Mapping

from repzone.zone.export import bind, csv, nftables, postfix, rbldnsd, rpz
from repzone.zone.export.networks import Networks

__all__ = ["FORMATS", "Networks"]

FORMATS: Mapping[str, Callable[[Networks, int], Iterator[str]]] = {
    "rbldnsd": rbldnsd.write,
    "bind": bind.write,
    "rpz": rpz.write,
    "postfix": postfix.write,
    "csv": csv.write,
    "nftables": nftables.write,
}
"""Who writes each format, from the networks and the zone's serial."""
