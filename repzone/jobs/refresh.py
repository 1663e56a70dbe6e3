"""Committed changes in, the zone table as it is now: what a server follows the database with.

The first time, and when the database has gone back in time, everything is loaded; then only what came after the
last serial. While the database is away the last table stays, and its age grows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event

import structlog

from repzone.clock import Clock
from repzone.errors import RepzoneError
from repzone.store.changes import CHANGE, current_serial, listen, load_changes, load_paused, load_zone
from repzone.store.engine import Engine, answering
from repzone.store.exemptions import load_exemptions
from repzone.zone.table import Table

log = structlog.get_logger()

POLL = 1.0
"""Seconds after which the database is asked although it notified nothing."""

SWEEP = 60
"""Seconds between two sweeps of what has ended."""


@dataclass(slots=True)
class Feed:
    """A table and how fresh it is: the last serial in it (None: never loaded), monotonic time of the last look; the
    apexes of zones that are paused.
    """

    table: Table
    serial: int | None = None
    paused: frozenset[str] = frozenset()
    looked: float = 0.0
    swept: int = 0

    def age(self, monotonic: float) -> int | None:
        """Give the age of the data in whole seconds; None when there is none yet."""
        return None if self.serial is None else int(monotonic - self.looked)


def follow(
    engine: Engine,
    feed: Feed,
    clock: Clock,
    monotonic: Callable[[], float],
    stop: Event,
    revive: Callable[[], None] = lambda: None,
) -> None:
    """Keep the feed's table as the database has it until `stop` is set.

    When the database does not answer, `revive` is called before it is tried again.
    """
    away = False
    while not stop.is_set():
        try:
            for _ in listen(engine, CHANGE, POLL):
                if stop.is_set():
                    return
                refresh(engine, feed, clock())
                feed.looked = monotonic()
                if away:
                    log.info("zone.database_back", serial=feed.serial)
                away = False
        except RepzoneError as error:
            if not away:
                log.error("zone.database_away", error=str(error), serial=feed.serial)
            away = True
            stop.wait(POLL)
            _revive(revive)
        except Exception:  # our own bug: say it, keep serving what we have, and go on
            log.exception("zone.refresh_failed", serial=feed.serial)
            stop.wait(POLL)


def _revive(revive: Callable[[], None]) -> None:
    try:
        revive()
    except RepzoneError as error:
        log.warning("zone.database_not_revived", error=str(error))


def refresh(engine: Engine, feed: Feed, now: int) -> None:
    """Bring the feed's table up to the last committed change."""
    with answering():
        with engine.connect() as connection:
            serial = current_serial(connection)
        if feed.serial is None or serial < feed.serial:
            _load(engine, feed, now)
        elif serial > feed.serial:
            with engine.connect() as connection:
                changes = load_changes(connection, feed.serial)
                feed.paused = load_paused(connection)
            for change in changes:
                feed.table.apply(change)
            feed.serial = max(serial, changes[-1].serial if changes else 0)
            log.info("zone.refreshed", serial=feed.serial, changes=len(changes))
    if now - feed.swept >= SWEEP:
        feed.table.sweep(now)
        feed.swept = now


def _load(engine: Engine, feed: Feed, now: int) -> None:
    if feed.serial is not None:
        log.warning("zone.serial_fell", serial=feed.serial)
    with engine.connect().execution_options(isolation_level="REPEATABLE READ") as connection:
        serial, listings = load_zone(connection, now)
        exemptions = load_exemptions(connection)
        feed.paused = load_paused(connection)
    feed.table.replace(listings, exemptions)
    feed.serial = serial
    log.info("zone.loaded", serial=serial, listings=len(listings), exemptions=len(exemptions))
