"""A log's name in, the files that were rotated away from it out; a file and rows in, the row that it was read by.

A source is named by the live log; `mail.log.1`, `mail.log-20261124.gz` and the like are its earlier files. Names and
times only tell where to look: which file is which, its octets tell. Inodes and devices are no help, they are used anew.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from glob import escape
from itertools import chain
from pathlib import Path

from repzone.jobs.files import FINGERPRINT, LogFile, digest
from repzone.store.positions import FileRow

SETTLED = 3600
"""Seconds after which nothing more is written to a file that was rotated."""

OLD_FOLDERS = ("old", "archive", "archives", "rotated")
"""Folders beside a log that its rotated files are looked for in too (`olddir` of logrotate.conf(5)), by any case."""

_PACKED = "gz|zst|xz|bz2"
_NAME = re.compile(
    r"(?P<own>(?P<stem>.+?)"
    r"(?:\.(?:old|(?<=log\.)\d{1,3}|(?P<number>\d{1,3}))"
    r"|[-_.](?:20\d{4}|\d{4}-\d\d(?:-\d\d)?|\d{8,14})(?:[-_.T]\d{1,10})?)?"
    rf"(?P<extension>\.(?!(?:{_PACKED})$)[A-Za-z]\w*)?)(?:\.(?:{_PACKED}))?"
)


def live_path(path: Path) -> Path:
    """Give the path of the live log that this file is, or once was.

    A date or `old` in its name tells that it was rotated. So does a number behind `log`; behind other names it may be
    a host's own, as in `mx.1` and `192.0.2.5`, unless there is a live log without it.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        return path
    live = path.with_name(_live_name(match))
    return path.with_name(match["own"]) if match["number"] and not live.is_file() else live


def _live_name(match: re.Match[str]) -> str:
    return match["stem"] + (match["extension"] or "")


def rotated_paths(path: Path) -> list[Path]:
    """Give the files that a live log once was, oldest first, and never the log itself by another name.

    They are beside it or in one of OLD_FOLDERS. Where the log is a symbolic link, those of its target are among them.
    """
    found: dict[Path, int] = {}
    for live in {path, live_path(path.resolve())}:
        for there in chain.from_iterable(folder.glob(f"{escape(live.stem)}*") for folder in _folders(live.parent)):
            match = _NAME.fullmatch(there.name)
            if match and _live_name(match) == live.name and there.name != live.name and _is_another(there, path):
                found[there.resolve()] = _written(there)
    return sorted(found, key=lambda there: (found[there], there.name))


def _folders(folder: Path) -> Iterator[Path]:
    yield folder
    with suppress(OSError), os.scandir(folder) as entries:
        yield from (Path(entry.path) for entry in entries if entry.name.lower() in OLD_FOLDERS and entry.is_dir())


def _is_another(path: Path, log: Path) -> bool:
    """Tell whether this is a file, and not the log."""
    try:
        return path.is_file() and not path.samefile(log)
    except OSError:  # one of them has just been renamed or removed
        return path.is_file()


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
    if row.fingerprint == first:  # the first version kept no more
        return start + len(before) >= row.position
    return row.fingerprint == first + digest(before)[:16]


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


def choose(rows: Iterable[FileRow], taken: Collection[int], *, live: bool, end: int | None = None) -> FileRow | None:
    """Give the row of a file among those that match it; `taken` are rows of files that are older, and at `end` a log
    has its last whole line.

    The row that tells most is the best. Of several that tell the same, the older file has the older one. A file that is
    compressed and its original have one row; but a log that begins as a rotated file does is that file's copy only
    where they have more in common than can be chance, or all: else it was emptied, and began again with the same lines.
    """

    def worth(row: FileRow) -> tuple[int, int, int]:
        return row.fingerprint_length, row.position, row.id if live else -row.id

    rows = list(rows)
    free = [row for row in rows if row.id not in taken]
    if not free:
        free = [row for row in rows if not live or row.position > FINGERPRINT or row.position == end]
    return max(free, key=worth, default=None)
