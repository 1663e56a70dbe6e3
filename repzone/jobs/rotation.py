"""A log's name in, the files that were rotated away from it out; a file and rows in, the row that it was read by.

A source is named by the live log; `mail.log.1`, `mail.log-20261124.gz` and the like are its earlier files. Names and
times only tell where to look: which file is which, its octets tell. Inodes and devices are no help, they are used anew.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from glob import escape
from pathlib import Path

from repzone.jobs.files import FINGERPRINT, LogFile, digest
from repzone.store.positions import FileRow

SETTLED = 3600
"""Seconds after which nothing more is written to a file that was rotated."""

_ROTATED = re.compile(r"(?P<live>.+?)(?:[.-]\d{1,14}(?:-\d{1,10})?)?(?:\.(?:gz|zst))?")


def live_path(path: Path) -> Path:
    """Give the path of the live log that this file is, or once was."""
    match = _ROTATED.fullmatch(path.name)
    return path.with_name(match["live"]) if match else path


def rotated_paths(path: Path) -> list[Path]:
    """Give the files that a live log once was, oldest first.

    Where the log is a symbolic link, those beside its target are among them.
    """
    found: dict[Path, int] = {}
    for live in {path, path.resolve()}:
        for there in live.parent.glob(f"{escape(live.name)}[.-]*"):
            if live_path(there) == live and there.is_file():
                found[there.resolve()] = _written(there)
    return sorted(found, key=lambda there: (found[there], there.name))


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # it has just been renamed or removed
        return 0


def matching(log: LogFile, rows: Iterable[FileRow]) -> list[FileRow]:
    """Give the rows whose text the file begins with, as far as they were read; one of DAMAGE as `LogFile.peek`."""
    size, head = log.size, log.peek(0, FINGERPRINT)
    digests: dict[int, bytes] = {}
    return [row for row in rows if (size is None or size >= row.position) and _matches(log, row, head, digests)]


def _matches(log: LogFile, row: FileRow, head: bytes, digests: dict[int, bytes]) -> bool:
    length = row.fingerprint_length
    if length > len(head):
        return False
    first = digests.setdefault(length, digest(head[:length]))
    if not row.fingerprint.startswith(first):
        return False
    start = max(length, row.position - FINGERPRINT)
    before = log.peek(start, row.position - start) if row.position > start else b""
    return row.fingerprint == first + digest(before)


def is_old_copy(log: LogFile, rows: Iterable[FileRow]) -> bool:
    """Tell whether the file ends before the position of one that begins alike: all that it holds has been read.

    So it is with a copy that was made shortly before the log was emptied, or read on.
    """
    first = digest(log.peek(0, FINGERPRINT))
    return any(
        row.fingerprint_length == FINGERPRINT
        and row.fingerprint.startswith(first)
        and not log.peek(row.position - 1, 1)
        for row in rows
    )


def choose(rows: Iterable[FileRow], taken: Collection[int], *, live: bool) -> FileRow | None:
    """Give the row of a file among those that match it; `taken` are rows of files that are older.

    The row that tells most is the best. Of several that tell the same, the older file has the older one. A file that is
    compressed and its original have one row; but a log that begins as a rotated file does is that file's copy only
    where they have more in common than can be chance: else it was emptied, and began again with the same lines.
    """

    def worth(row: FileRow) -> tuple[int, int, int]:
        return row.fingerprint_length, row.position, row.id if live else -row.id

    rows = list(rows)
    free = [row for row in rows if row.id not in taken]
    if not free:
        free = [row for row in rows if not live or row.position > FINGERPRINT]
    return max(free, key=worth, default=None)
