"""Committed changes in, the zone table as it is now: what a server follows the database with.

A snapshot file comes first, if there is one; then what came after its serial. Everything is loaded when there is
nothing yet, when the database is another one or has gone back in time, and when changes that would be needed were
pruned. While the database is away the last table stays, and its age grows.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from threading import Event

import structlog

from repzone.clock import Clock
from repzone.errors import RepzoneError
from repzone.jobs.hold import Held, compare, hold, is_accepted, settle
from repzone.model import Change, Exemption
from repzone.reasons import Category
from repzone.store.changes import CHANGE, current_serial, load_changes, load_paused
from repzone.store.engine import Connection, Engine, answering
from repzone.store.subscription import Subscription, subscribe
from repzone.store.zone import has_changes, load_ended, load_rows
from repzone.zone import rows
from repzone.zone.table import Table

log = structlog.get_logger()

POLL = 1.0
"""Seconds after which the database is asked although it notified nothing."""

PATIENCE = 10.0
"""Seconds that it may take to tell what has changed."""

LOAD_PATIENCE = 120.0
"""Seconds that it may take to tell everything."""

SWEEP = 60
"""Seconds between two sweeps of what has ended."""

HELD_POLL = 10
"""Seconds between two looks at whether a reload that is held still has to be."""


@dataclass(slots=True)
class Feed:
    """A table and how fresh it is: the last serial in it (None: never loaded), of which database, monotonic time at
    which the last look began; the apexes of zones that are paused; the reload that is held, if one is, and when it was
    last compared.

    `exempt` is how many listings in the table exemptions covered when that was last counted: it costs a look at every
    one, so it is counted anew when a change has to do with an exemption, and with each sweep.

    `folder` is where a reload that is held waits for the operator's word; without one it cannot be given. `turned` is
    the monotonic time of the follower's last turn, whether the database answers or not. `untold` changes came since the
    log was last told, at the second `told`.
    """

    table: Table
    serial: int | None = None
    paused: frozenset[str] = frozenset()
    looked: float = 0.0
    swept: int = 0
    folder: Path | None = None
    held: Held | None = None
    compared: int = 0
    turned: float = 0.0
    database: str = "-"
    untold: int = 0
    told: int = 0
    exempt: Mapping[Category, int] = field(default_factory=dict)

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
        feed.turned = monotonic()
        try:
            with subscribe(engine, CHANGE) as subscription:
                while not stop.is_set():
                    _refresh(subscription, feed, clock(), monotonic())
                    feed.turned = monotonic()
                    if away:
                        log.info("zone.database_back", serial=feed.serial)
                    away = False
                    with answering():
                        subscription.wait(POLL)
        except RepzoneError as error:
            if not away:
                log.error("zone.database_away", error=str(error), serial=feed.serial)
            away = True
            stop.wait(POLL)
            _try("zone.database_not_revived", revive)
        except Exception:  # our own bug: say it, keep serving what we have, and go on
            log.exception("zone.refresh_failed", serial=feed.serial)
            stop.wait(POLL)


def refresh(engine: Engine, feed: Feed, now: int, at: float) -> None:
    """Bring the feed's table up to the last committed change, once; `at` is the monotonic time of this look."""
    with subscribe(engine, CHANGE) as subscription:
        _refresh(subscription, feed, now, at)


def _refresh(subscription: Subscription, feed: Feed, now: int, at: float) -> None:
    with answering():
        with subscription.within(PATIENCE) as connection:
            serial = current_serial(connection)
            known = feed.serial is not None and feed.held is None and feed.database == subscription.database
            if known and serial != feed.serial:
                known = _catch_up(connection, feed, serial, now)
        if not known and _may_load(feed, now):
            with subscription.within(LOAD_PATIENCE) as connection:
                _load(connection, feed, now, at, subscription.database)
    if feed.held is None:
        feed.looked = at
    _tell(feed, now)
    if abs(now - feed.swept) >= SWEEP:  # a clock that is set back must not put it off
        feed.table.sweep(now)
        feed.exempt = feed.table.count_exempt(now)
        feed.swept = now


def _catch_up(connection: Connection, feed: Feed, serial: int, now: int) -> bool:
    """Apply the changes up to a serial and those after; False when they are not all there, or it is behind us."""
    before = feed.serial or 0
    changes = load_changes(connection, before)
    if not has_changes(connection, before, serial):
        log.warning("zone.changes_missing", serial=before, current=serial)
        return False
    feed.paused = load_paused(connection)
    for change in changes:
        feed.table.apply(change)
    feed.serial = max(serial, changes[-1].serial if changes else 0)
    feed.untold += len(changes)
    if any(_is_about_exemptions(feed.table, change, now) for change in changes):
        feed.exempt = feed.table.count_exempt(now)
    return True


def _is_about_exemptions(table: Table, change: Change, now: int) -> bool:
    """Tell whether a change adds or ends an exemption, or is of a listing inside one."""
    what = change.what
    return isinstance(what, Exemption) or table.lookup(what.client, now).exemption is not None


def _tell(feed: Feed, now: int) -> None:
    """Tell the log what changed, once a second at most."""
    if feed.untold and feed.told != now:
        log.info("zone.refreshed", serial=feed.serial, changes=feed.untold)
        feed.untold, feed.told = 0, now


def _may_load(feed: Feed, now: int) -> bool:
    """Tell whether to look at everything: while a reload is held only now and then, and when it was accepted."""
    return feed.held is None or abs(now - feed.compared) >= HELD_POLL or _is_accepted(feed)


def _is_accepted(feed: Feed) -> bool:
    return feed.folder is not None and is_accepted(feed.folder)


def _load(connection: Connection, feed: Feed, now: int, at: float, database: str) -> None:
    serial, loaded = load_rows(connection, now)
    if feed.serial is not None:
        log.warning("zone.reloading", serial=feed.serial, current=serial)
        before = rows.dump(feed.table, now)
        held = None if _is_accepted(feed) else compare(before, loaded, partial(load_ended, connection), serial, now)
        if held is not None:
            _hold(feed, held)
            return
    feed.paused = load_paused(connection)
    rows.load(feed.table, loaded)
    feed.exempt = feed.table.count_exempt(now)
    feed.looked, feed.held, feed.database = at, None, database
    feed.serial = serial  # the last: from now on other threads answer from the rest, and keep it
    log.info("zone.loaded", serial=serial, listings=sum(feed.table.counts().values()))
    if feed.folder is not None:
        _try("zone.hold_failed", settle, feed.folder)


def _hold(feed: Feed, held: Held) -> None:
    """Keep what is served, and say so once; the numbers may change until the operator looks."""
    feed.compared = held.since
    if feed.held is None:
        numbers = {"listed": held.listed, "offered": held.offered, "lost": held.lost}
        log.error("zone.reload_held", serial=feed.serial, current=held.serial, **numbers, way_out="repzone zone accept")
    feed.held = replace(held, since=feed.held.since if feed.held else held.since)
    if feed.folder is not None:
        _try("zone.hold_failed", hold, feed.folder, feed.held)


def _try(failure: str, step: Callable[..., None], *arguments: object) -> None:
    """Do what the table does not depend on; say under that name when it fails."""
    try:
        step(*arguments)
    except RepzoneError as error:
        log.warning(failure, error=str(error))
