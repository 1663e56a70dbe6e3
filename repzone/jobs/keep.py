"""A feed and a folder in, a snapshot file out that is renewed as the feed changes; and a feed filled from it at start.

Writing has a thread of its own: neither queries nor the follower wait for a disk. The serial is read before the rows,
so these may know more than it says: what is then applied once more stands for itself (see `Change`).
"""

import fcntl
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event

import structlog

from repzone.clock import Clock
from repzone.errors import RepzoneError
from repzone.jobs.refresh import Feed
from repzone.store import snapshot
from repzone.zone import rows

log = structlog.get_logger()

CHANGED, UNCHANGED = 5.0, 300.0
"""Seconds between two snapshots when something changed, and when only the age did."""

COST = 20
"""A snapshot that takes long is written so much more rarely: a twentieth of the time, at most."""

QUICK = 1.0
"""Seconds that the last snapshot may take when the server ends."""


def restore(feed: Feed, folder: Path, now: int, monotonic: float) -> None:
    """Fill a feed from the snapshot in a folder; without a sound one it stays as it is, and the log says why."""
    file = folder / snapshot.NAME
    try:
        found = snapshot.read(file)
        if found is None:
            return
        _load(feed, found, file)
    except RepzoneError as error:
        log.error("zone.snapshot_refused", error=str(error))
        return
    feed.paused, feed.looked = found.paused, monotonic - (now - found.at)
    feed.database, feed.exempt = found.database, feed.table.count_exempt(now)
    feed.serial = found.serial
    log.info("zone.restored", serial=found.serial, age=now - found.at, rows=len(found.rows) // rows.ROW.size)


def _load(feed: Feed, found: snapshot.Snapshot, file: Path) -> None:
    try:
        rows.load(feed.table, found.rows)
    except ValueError as error:
        raise snapshot.SnapshotError(f"{file}: {error}") from None


class Keeper:
    """Writes a feed's snapshot into a folder, unless another server of that folder does."""

    def __init__(self, feed: Feed, folder: Path, clock: Clock, monotonic: Callable[[], float]) -> None:
        """`monotonic` gives seconds."""
        self._feed, self._folder, self._clock, self._monotonic = feed, folder, clock, monotonic
        self._kept: tuple[int | None, frozenset[str], float] = (feed.serial, feed.paused, feed.looked)
        self._written, self._took = monotonic(), 0.0
        self._failing = False

    def run(self, stop: Event) -> None:
        """Write whenever that is due, until `stop` is set; then once more if that is quick."""
        lock = _lock(self._folder)
        if lock is None:
            return
        try:
            while not stop.wait(1):
                if self.is_due():
                    self.write()
            if self._took < QUICK and self._newer():
                self.write()
        except Exception:  # our own bug: the server lives without snapshots
            log.exception("zone.snapshot_failed")
        finally:
            os.close(lock)

    def is_due(self) -> bool:
        """Tell whether there is something new to write, and the last time is long enough ago."""
        pause = max(CHANGED if self._changed() else UNCHANGED, COST * self._took)
        return self._newer() and self._monotonic() - self._written >= pause

    def _newer(self) -> bool:
        return self._feed.serial is not None and self._feed.looked > self._kept[2]

    def _changed(self) -> bool:
        return self._feed.serial is not None and (self._feed.serial, self._feed.paused) != self._kept[:2]

    def write(self) -> None:
        """Write a snapshot of the feed as it is now; why that fails is said once."""
        begin, feed = self._monotonic(), self._feed
        serial, paused, looked, database = feed.serial, feed.paused, feed.looked, feed.database
        now = self._clock()
        made = snapshot.Snapshot(serial or 0, now - int(begin - looked), rows.dump(feed.table, now), paused, database)
        try:
            snapshot.write(self._folder / snapshot.NAME, made)
        except RepzoneError as error:
            if not self._failing:
                log.error("zone.snapshot_failed", error=str(error))
            self._failing = True
        else:
            self._kept, self._failing = (serial, paused, looked), False
        self._written = self._monotonic()
        self._took = self._written - begin


def _lock(folder: Path) -> int | None:
    """Hold the folder's lock; None when another server has it, or when there can be none."""
    file = folder / f"{snapshot.NAME}.lock"
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        log.error("zone.snapshot_failed", error=f"{file}: cannot be written: {error.strerror}")
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        log.info("zone.snapshot_left", file=str(file))
        return None
    return descriptor
