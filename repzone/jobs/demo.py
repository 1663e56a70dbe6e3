"""The shipped log in, the same log as if it ended just now out; and whether a server answers what the listings say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC
from pathlib import Path
from typing import Any

from repzone.clock import Clock
from repzone.errors import RepzoneError
from repzone.jobs.files import open_log, read_lines
from repzone.jobs.reading import MakeReader, Reader, Told, read_block
from repzone.logs import syslog
from repzone.logs.stamp import Stamps
from repzone.model import WIDTH, Client, Listing
from repzone.zone.definition import Zone
from repzone.zone.names import to_labels

LOG = "mail.log.gz"

Ask = Callable[[str, str], tuple[str, ...]]
"""Gives the answers to a name and type over a socket, or the rcode when there are none."""


@dataclass(slots=True)
class Shifted:
    """A reader that moves the instants of another one's events and hits by `seconds`."""

    reader: Reader
    seconds: int
    lines: int = 0
    skipped: int = 0
    unmatched: int = 0

    @property
    def newest(self) -> int | None:
        """Give the newest stamp of a line, moved."""
        newest = self.reader.newest
        return None if newest is None else newest + self.seconds

    def read(self, line: bytes, number: int, reference: int) -> tuple[Told, ...]:
        """Give what the line completes, moved."""
        self.lines += 1
        return tuple(replace(found, at=found.at + self.seconds) for found in self.reader.read(line, number, reference))

    def read_block(self, block: bytes, number: int, reference: int) -> list[Told]:
        """Give what the lines complete, moved."""
        self.lines += block.count(b"\n")
        return [replace(told, at=told.at + self.seconds) for told in read_block(self.reader, block, number, reference)]

    def dump(self) -> dict[str, Any]:
        """Give what the reader must remember."""
        return self.reader.dump()


def last_instant(path: Path) -> int:
    """Give the instant of the last line of a log; RepzoneError when no line has one."""
    stamps, last = Stamps(UTC), None
    with open_log(path) as log:
        for line in read_lines(log.text):
            header = syslog.parse((line or b"").decode("utf-8", "replace"), stamps, log.modified)
            last = header.at if header else last
    if last is None:
        raise RepzoneError(f"{path}: no line of this log has a time")
    return last


def shifted(make_reader: MakeReader, seconds: int) -> MakeReader:
    """Give what makes readers whose events are moved by that many seconds."""

    def make(state: Mapping[str, Any] | None) -> Reader:
        return Shifted(make_reader(state), seconds)

    return make


@dataclass(frozen=True, slots=True)
class Verdict:
    """One client asked about: what the listings say should come (any of the texts), and what came."""

    address: Client
    listing: Listing | None  # the one that the text is about
    name: str
    wanted: tuple[str, ...]
    a: tuple[str, ...]
    texts: frozenset[str]
    txt: tuple[str, ...]

    @property
    def right(self) -> bool:
        """Tell whether the server said what the listings say."""
        return self.a == self.wanted and len(self.txt) == 1 and self.txt[0] in self.texts


NEVER = Client.from_text("198.51.100.254")
"""An address that others forge in the demo log, and that did nothing."""


def verify(listings: Sequence[Listing], zone: Zone, ask: Ask, clock: Clock) -> Iterator[Verdict]:
    """Ask for A and TXT of every client that is listed, and of one that must not be."""
    by_client: dict[Client, list[Listing]] = {}
    for listing in listings:
        by_client.setdefault(listing.client, []).append(listing)
    for client, held in by_client.items():
        last = min(held, key=lambda listing: (-listing.expires, zone.codes[listing.category]))
        address = an_address(client)
        name = qname(address, zone)
        codes = tuple(f"127.0.0.{code}" for code in sorted(zone.codes[listing.category] for listing in held))
        a, before = ask(name, "A"), clock()
        txt, after = ask(name, "TXT"), clock()
        texts = (zone.texts[last.category].render(address, last, now, len(held) - 1) for now in (before, after))
        yield Verdict(address, last, name, codes, a, frozenset(text.decode() for text in texts), txt)
    name, nothing = qname(NEVER, zone), "NXDOMAIN"
    yield Verdict(NEVER, None, name, (nothing,), ask(name, "A"), frozenset({nothing}), ask(name, "TXT"))


def an_address(client: Client) -> Client:
    """Give an address of a listed network; the address itself when it is one."""
    return client if client.is_address else Client(client.version, client.value + 1, WIDTH[client.version])


def qname(address: Client, zone: Zone) -> str:
    """Give the name that a mail server asks for an address."""
    return f"{b'.'.join(to_labels(address)).decode()}.{zone.apex}"
