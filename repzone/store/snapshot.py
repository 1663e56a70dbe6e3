"""The zone as it was last known in, a file out, and back: what a server starts with before the database answers.

HEADER, words (the database, apexes of paused zones), rows of `zone.rows`, SHA-256 of all before: a file is whole or
refused. It is written aside and renamed, so that a kill at any point leaves the one before.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from struct import Struct

from repzone import atomic
from repzone.errors import RepzoneError
from repzone.zone.rows import ROW, Rows

NAME = "zone.snapshot"
MAGIC = b"repzone\n"
VERSION = 2
HEADER = Struct("!8sIIQqQ")  # MAGIC, version, octets of words, serial, instant, number of rows
DIGEST = 32


class SnapshotError(RepzoneError):
    """A snapshot that cannot be trusted, or not be written."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The zone at a serial of a database, whole at that instant: rows of what is listed and exempt, paused zones."""

    serial: int
    at: int
    rows: Rows
    paused: frozenset[str] = frozenset()
    database: str = "-"  # which one, as `Subscription.database`


def write(file: Path, snapshot: Snapshot) -> None:
    """Put a snapshot in the place of the one before; SnapshotError when it cannot be written."""
    words = " ".join((snapshot.database, *sorted(snapshot.paused))).encode()
    count = len(snapshot.rows) // ROW.size
    head = HEADER.pack(MAGIC, VERSION, len(words), snapshot.serial, snapshot.at, count) + words
    digest = hashlib.sha256(head)
    digest.update(snapshot.rows)
    try:
        atomic.replace(file, (head, snapshot.rows, digest.digest()))
    except OSError as error:
        raise SnapshotError(f"{file}: cannot be written: {error.strerror}") from None


def read(file: Path) -> Snapshot | None:
    """Read a snapshot; None when there is none, SnapshotError when it is not exactly what `write` wrote."""
    try:
        octets = file.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise SnapshotError(f"{file}: cannot be read: {error.strerror}") from None
    if len(octets) < HEADER.size + DIGEST or not octets.startswith(MAGIC):
        raise SnapshotError(f"{file}: is no snapshot of a zone, or was cut off")
    _, version, size, serial, at, count = HEADER.unpack_from(octets)
    if version != VERSION:
        raise SnapshotError(f"{file}: is of version {version}, and this repzone reads {VERSION}")
    whole = memoryview(octets)
    if hashlib.sha256(whole[:-DIGEST]).digest() != octets[-DIGEST:]:
        raise SnapshotError(f"{file}: is damaged or was cut off")
    start = HEADER.size + size
    if len(octets) != start + count * ROW.size + DIGEST:
        raise SnapshotError(f"{file}: its length is not the one that its header says")
    try:
        database, *paused = octets[HEADER.size : start].decode("ascii").split()
    except ValueError:
        raise SnapshotError(f"{file}: its words are none") from None
    return Snapshot(serial, at, whole[start:-DIGEST], frozenset(paused), database)
