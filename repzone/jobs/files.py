"""Log files: known again by their first octets, found again after rotation, read as whole lines.

A source is named by the live log; `mail.log.1`, `mail.log-20261124.gz` and the like are its earlier files.
Positions count octets of the text, uncompressed.
"""

import gzip
import hashlib
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from repzone.errors import RepzoneError
from repzone.store.positions import FileRow

FINGERPRINT = 1024
"""Octets at the start of a file that tell it from others."""

LONGEST = 64 * 1024
"""Octets of the longest line that is looked at."""

BLOCK = 1024 * 1024
_ROTATED = re.compile(r"(?P<live>.+?)(?:[.-]\d{1,14}(?:-\d{1,10})?)?(?:\.gz)?")


def live_path(path: Path) -> Path:
    """Give the path of the live log that this file is, or once was."""
    match = _ROTATED.fullmatch(path.name)
    return path.with_name(match["live"]) if match else path


@dataclass(slots=True)
class LogFile:
    """An open log: its name for people, text, size and time (seconds) of the file, device and inode as hints."""

    name: Path
    text: IO[bytes]
    size: int | None  # of the text; None when only reading tells, as for gzip
    modified: int
    hints: tuple[int, int]

    def fingerprint(self, length: int) -> tuple[bytes, int]:
        """Digest at most the first `length` octets; give the digest and how many octets there were."""
        self.text.seek(0)
        head = self.text.read(length)
        return hashlib.sha256(head).digest(), len(head)

    def is_file_of(self, row: FileRow) -> bool:
        """Tell whether this is the file that the row has read so far."""
        if self.size is not None and self.size < row.position:
            return False
        return self.fingerprint(row.fingerprint_length) == (row.fingerprint, row.fingerprint_length)


@contextmanager
def open_log(path: Path) -> Iterator[LogFile]:
    """Open a log, gzip or plain; RepzoneError names the path and why it cannot be read."""
    try:
        # O_NONBLOCK: a FIFO put in the place of a log must not hang us; for regular files it means nothing.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise RepzoneError(f"{path}: cannot be read: {error.strerror}") from None
    about = os.fstat(descriptor)
    if not stat.S_ISREG(about.st_mode):
        os.close(descriptor)
        raise RepzoneError(f"{path}: is no regular file")
    with os.fdopen(descriptor, "rb") as file:
        compressed = file.read(2) == b"\x1f\x8b"
        file.seek(0)
        text: IO[bytes] = gzip.GzipFile(fileobj=file) if compressed else file  # type: ignore[assignment]
        size = None if compressed else about.st_size
        yield LogFile(path, text, size, int(about.st_mtime), (about.st_dev, about.st_ino))


def read_lines(text: IO[bytes], position: int, *, final: bool = False) -> Iterator[tuple[bytes | None, int]]:
    """Yield each whole line without its newline, and the position behind it.

    A line of more than LONGEST octets is yielded as None. With `final` the rest behind the last newline is a line
    too; else it waits until its newline has been written.
    """
    rest, dropped = b"", False
    while block := text.read(BLOCK):
        lines = (rest + block).split(b"\n")
        rest = lines.pop()
        for line in lines:
            position += len(line) + 1
            yield (None if dropped or len(line) > LONGEST else line), position
            dropped = False
        if len(rest) > LONGEST:  # keep the memory flat: only its length matters now
            position += len(rest)
            rest, dropped = b"", True
    if final and (rest or dropped):
        yield (None if dropped else rest), position + len(rest)


@dataclass(frozen=True, slots=True)
class Part:
    """A file to read, and where its reading stands (None: it is new)."""

    path: Path
    row: FileRow | None


SETTLED = 3600
"""Seconds after which nothing more is written to a file that was rotated and compressed."""


def parts(path: Path, rows: list[FileRow], seen: int) -> list[Part]:
    """Give what is to be read for a log, oldest first, from the rows of its source, which was read last at `seen`
    (0: never).

    Before the live log come its rotated files that were not read to their end, and those that were written since
    and are not known at all. The first time only the file itself is read.
    """
    if live_path(path) != path or not seen:
        return [Part(path, _row_of(path, rows))]
    rotated = [there for there in path.parent.glob(path.name + "[.-]*") if live_path(there) == path]
    found = [part for there in rotated if (part := _unread(there, rows, seen)) is not None]
    found.sort(key=lambda part: part.path.stat().st_mtime_ns)
    return [*found, Part(path, _row_of(path, rows))]


def _unread(path: Path, rows: list[FileRow], seen: int) -> Part | None:
    """Give the part that a rotated file is, or None when there is nothing more to read in it."""
    if not path.is_file():
        return None
    with open_log(path) as log:
        row = next((row for row in rows if log.is_file_of(row)), None)
        if row is None:
            unread = log.modified >= seen
        elif log.size is None:
            unread = log.modified >= seen - SETTLED
        else:
            unread = log.size > row.position
    return Part(path, row) if unread else None


def _row_of(path: Path, rows: list[FileRow]) -> FileRow | None:
    with open_log(path) as log:
        return next((row for row in rows if log.is_file_of(row)), None)
