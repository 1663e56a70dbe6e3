"""What time ends: listings whose end has come are marked expired, and what is older than it is kept for goes.

Neither is waited for by anybody: look-ups test the end of a listing themselves, and every step is small. So a run
that is killed has done what it did; the next one goes on.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from threading import Event
from typing import Protocol, Self, TypeVar

import structlog

from repzone.clock import Clock
from repzone.config import Settings
from repzone.errors import RepzoneError
from repzone.store.engine import Connection, Engine, answering
from repzone.store.policies import load_rulebook
from repzone.store.retention import (
    DAY,
    ROWS,
    TABLES,
    Day,
    Dropped,
    Horizon,
    count_old,
    drop_day,
    expire,
    find_horizon,
    is_needed,
    last_pruned,
    load_days,
    prune_exemptions,
    prune_listings,
    prune_rows,
    pruning,
    store_events_from,
    store_pruned,
)

log = structlog.get_logger()
T = TypeVar("T")

EVERY = 60.0
"""Seconds between two sweeps of a process that lasts."""

EXPIRED = 500
"""Listings that expire in one transaction: so long other writers of changes wait."""

BATCH = 5_000
"""Rows that are deleted in one transaction."""

TRIES, PAUSE = 20, 0.25
"""How often, and after how many seconds, a step is tried again that somebody stood in the way of."""


class Stopping(Protocol):
    """A wish to end, as of `threading.Event` and `jobs.watch.Stop`."""

    def is_set(self) -> bool:
        """Tell whether it is time to end."""
        ...

    def wait(self, seconds: float, /) -> bool:
        """Wait so long, or until it is time to end."""
        ...


@dataclass(frozen=True, slots=True)
class Retention:
    """How long events, and listings with all the rest, are kept, in seconds."""

    events: int
    listings: int

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """Give what is configured."""
        return cls(settings.event_retention, settings.listing_retention)


@dataclass(slots=True)
class Pruned:
    """What went: days of events and the octets of their tables, rows by table.

    Not gone, though old: days that pending clients `need`, and all (`left`) that somebody stood in the way of. `busy`
    when another was pruning.
    """

    days: list[date] = field(default_factory=list)
    octets: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    needed: list[date] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    busy: bool = False


def run(engine: Engine, clock: Clock, retention: Retention, stop: Stopping | None = None) -> None:
    """Expire what has ended, and once a day prune; the first time a day after the first run.

    Whoever reads an old log into a new database shall see what came of it before it goes.
    """
    with answering():
        expire_ended(engine, clock, stop)
        with engine.begin() as connection:
            pruned = last_pruned(connection)
            if pruned is None:
                store_pruned(connection, clock())
        if pruned is not None and clock() - pruned >= DAY:
            prune(engine, clock, retention, stop)


def follow(engine: Engine, clock: Clock, retention: Retention, stop: Stopping) -> None:
    """Sweep every minute until told to stop, through whatever becomes of the database."""
    away = False
    while not stop.is_set():
        try:
            run(engine, clock, retention, stop)
            away = False
        except RepzoneError as error:
            if not away:
                log.warning("sweep.database_away", error=str(error))
            away = True
        except Exception:  # our own bug: say it; those who ingest and decide go on
            log.exception("sweep.failed")
        stop.wait(EVERY)


def expire_ended(engine: Engine, clock: Clock, stop: Stopping | None = None, most: int = EXPIRED) -> int:
    """Mark listings whose end has come as expired, `most` in a transaction, with their changes; give how many."""
    number, last = 0, most
    with answering():
        while last == most and not (stop and stop.is_set()):
            with engine.begin() as connection:
                last = expire(connection, clock(), most)
            number += last
    if number:
        log.info("sweep.expired", listings=number)
    return number


def prune(
    engine: Engine, clock: Clock, retention: Retention, stop: Stopping | None = None, *, dry_run: bool = False
) -> Pruned:
    """Drop what is older than it is kept for; with `dry_run` only say what that is."""
    outcome, now = Pruned(), clock()
    with answering(), pruning(engine) as connection:
        if connection is None:
            outcome.busy = True
            return outcome
        horizon = find_horizon(load_rulebook(connection), now, retention.events, retention.listings)
        pruner = _Pruner(engine, connection, horizon, outcome, stop or Event())
        if dry_run:
            pruner.count()
            return outcome
        store_events_from(connection, horizon.events // DAY * DAY)
        pruner.drop_days()
        pruner.drop_rows()
        if not outcome.left:
            store_pruned(connection, now)
    about = {"days": len(outcome.days), "octets": outcome.octets, "left": len(outcome.left)}
    log.info("sweep.pruned", **about, **+outcome.rows)
    return outcome


@dataclass(slots=True)
class _Pruner:
    """Prunes by its connection, the only one to do so, and notes what went."""

    engine: Engine
    connection: Connection
    horizon: Horizon
    outcome: Pruned
    stop: Stopping

    def drop_days(self) -> None:
        """Drop what an earlier run left half done, without which no other can be, and the days before the horizon."""
        for day in sorted(load_days(self.connection), key=lambda day: not day.pending):
            if self._is_old(day):
                became = None if self.outcome.left else self._insist(partial(self._drop, day.table))
                if became == "dropped":
                    self.outcome.days.append(day.date)
                    self.outcome.octets += day.octets
                elif became == "needed":
                    self.outcome.needed.append(day.date)
                else:
                    self.outcome.left.append(day.table)

    def _drop(self, table: str) -> Dropped | None:
        """Try once; None when somebody stood in the way, so that it now may be half done."""
        day = next((day for day in load_days(self.connection) if day.table == table), None)
        return drop_day(self.connection, day, self.horizon.reach) if day else "dropped"

    def drop_rows(self) -> None:
        """Delete what else is old, a batch at a time."""
        rows = partial(prune_rows, horizon=self.horizon, floor=self._floor(), most=BATCH)
        steps: dict[str, Callable[[Connection], int | None]] = {
            "listing": partial(prune_listings, horizon=self.horizon, most=BATCH),
            "exemption": partial(prune_exemptions, horizon=self.horizon, most=BATCH),
            **{table: partial(rows, table=table) for table in ROWS},
        }
        for table, step in steps.items():
            if self._drop_all(table, step) is None:
                self.outcome.left.append(table)

    def _drop_all(self, table: str, step: Callable[[Connection], int | None]) -> bool | None:
        """Repeat a step until nothing old is there; None when somebody stands in the way, or it is time to end."""
        while (number := self._insist(partial(self._commit, step))) is not None:
            self.outcome.rows[table] += number
            if number < BATCH:
                return True
        return None

    def _commit(self, step: Callable[[Connection], int | None]) -> int | None:
        with self.engine.begin() as connection:
            return step(connection)

    def _insist(self, attempt: Callable[[], T | None]) -> T | None:
        """Try until it is not None, TRIES times at most, and no more once it is time to end."""
        for _ in range(TRIES):
            if self.stop.is_set():
                break
            if (became := attempt()) is not None:
                return became
            self.stop.wait(PAUSE)
        return None

    def count(self) -> None:
        """Note what would go."""
        for day in load_days(self.connection):
            if self._is_old(day) and is_needed(self.connection, day, self.horizon.reach):
                self.outcome.needed.append(day.date)
            elif self._is_old(day):
                self.outcome.days.append(day.date)
                self.outcome.octets += day.octets
        floor = self._floor()
        self.outcome.rows.update({table: count_old(self.connection, table, self.horizon, floor) for table in TABLES})

    def _is_old(self, day: Day) -> bool:
        return day.pending or day.ends <= self.horizon.events

    def _floor(self) -> int:
        """Give the instant before which no events are left."""
        gone = set(self.outcome.days)
        begins = [day.ends - DAY for day in load_days(self.connection) if day.attached and day.date not in gone]
        return min([self.horizon.events, *begins])
