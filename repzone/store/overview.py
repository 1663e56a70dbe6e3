"""How everything stands: how far each log is read, who is listed, what is still to be done."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import sqlalchemy as sa

from repzone.policy.rules import DAY, HOUR
from repzone.store.changes import current_serial
from repzone.store.engine import instant, seconds
from repzone.store.events import FUTURE
from repzone.store.find import in_force
from repzone.store.positions import held_sources
from repzone.store.tables import (
    greylist_ahead,
    greylist_wait,
    hit,
    listing,
    pending,
    source,
    source_file,
    spared,
    zone_pause,
)

SILENT = 600
"""Seconds: who reads a log every minute, or every five, has missed at least one whole run by then."""

QUIET = 3600
"""Seconds without a new line in a log that is read: either nothing happens, or nobody writes to it any more."""

REGULAR = HOUR
"""Seconds between the first and the last reading of a log that is read again and again, not once."""

GONE = 7 * DAY
"""Seconds after which a log that nobody configures or reads any more is missed by nobody."""

Standing = Literal["fine", "quiet", "silent", "once"]


@dataclass(frozen=True, slots=True)
class Source:
    """A log: its host and path, when it was first and last read, the newest stamp in it, lines read of it so far.

    `held` says that somebody reads it now. `newest` is the newest stamp where that was more than FUTURE ahead when it
    was last read; `logged` is not moved so far.
    """

    host: str
    path: str
    began: int | None
    seen: int | None
    logged: int | None
    lines: int
    held: bool
    newest: int | None = None

    def lag(self, now: int) -> int | None:
        """Give the seconds since its newest line was written."""
        return max(0, now - self.logged) if self.logged is not None else None

    def ahead(self, now: int) -> int:
        """Give the seconds until what its newest line tells may count; 0 where that is now."""
        return self.newest - now if self.newest is not None and self.newest > now + FUTURE else 0

    def standing(self, now: int, *, configured: bool) -> Standing:
        """Tell whether the log is read as it should be.

        Only a log that will be read again can be missed: one that is configured, or that somebody reads now, or that
        was read for over an hour until less than a week ago, its lines fresh. Any other was a file that came once.
        """
        if not (configured or self.held or self._is_regular(now)):
            return "once"
        if not self.held and (self.seen is None or now - self.seen > SILENT):
            return "silent"
        return "quiet" if (self.lag(now) or 0) > QUIET else "fine"

    def _is_regular(self, now: int) -> bool:
        if self.seen is None or self.began is None or self.logged is None:
            return False
        return self.seen - self.began > REGULAR and now - self.seen < GONE and self.seen - self.logged < DAY


@dataclass(frozen=True, slots=True)
class Overview:
    """The logs; listings in force, held by the brake and in shadow, by category; clients spared in the last day, by
    category, and mails refused in it; clients pending and since when the longest, letters waited for; the serial, and
    since when zones are paused, by apex.
    """

    sources: tuple[Source, ...]
    listings: Mapping[str, int]
    held: Mapping[str, int]
    shadow: Mapping[str, int]
    spared: Mapping[str, int]
    hits: int
    pending: int
    waiting: int | None
    waits: int
    serial: int
    paused: Mapping[str, int]


def load_overview(connection: sa.Connection, now: int) -> Overview:
    """Give how everything stands now."""
    columns = listing.c
    running = columns.expires > instant(now)
    today = sa.select(spared.c.category, sa.func.count(sa.distinct(spared.c.key))).group_by(spared.c.category)
    refused = sa.select(sa.func.sum(hit.c.count)).where(hit.c.hour > instant(now - DAY))  # hit_hour_idx
    decided = sa.select(sa.func.count(), seconds(sa.func.min(pending.c.due))).where(pending.c.due <= instant(now))
    clients, oldest = connection.execute(decided).one()
    ahead = _count(connection, greylist_ahead, ~greylist_ahead.c.closed)
    paused = sa.select(zone_pause.c.apex, seconds(zone_pause.c.since)).order_by(zone_pause.c.apex)
    return Overview(
        sources=_load_sources(connection),
        listings=_by_category(connection, *in_force(connection, now)),
        held=_by_category(connection, columns.state == "held", running),  # listing_held_idx
        shadow=_by_category(connection, columns.state == "shadow", running),  # listing_expires_idx
        spared=_pairs(connection, today.where(spared.c.last > instant(now - DAY))),  # spared_last_idx
        hits=int(connection.scalar(refused) or 0),
        pending=clients,
        waiting=oldest,
        waits=_count(connection, greylist_wait) + ahead,
        serial=current_serial(connection),
        paused=_pairs(connection, paused),
    )


def _by_category(connection: sa.Connection, *conditions: sa.ColumnElement[bool]) -> dict[str, int]:
    query = sa.select(listing.c.category, sa.func.count()).where(*conditions).group_by(listing.c.category)
    return _pairs(connection, query.order_by(listing.c.category))


def _pairs(connection: sa.Connection, query: sa.Select[Any]) -> dict[str, int]:
    return dict(tuple(row) for row in connection.execute(query))


def _load_sources(connection: sa.Connection) -> tuple[Source, ...]:
    read = (
        sa.select(
            source_file.c.source_id.label("id"),
            sa.func.min(source_file.c.began).label("began"),
            sa.cast(sa.func.sum(source_file.c.lines), sa.BigInteger).label("lines"),
        )
        .group_by(source_file.c.source_id)
        .subquery()
    )
    query = (
        sa.select(
            *(source.c.host, source.c.path, seconds(read.c.began), seconds(source.c.seen), seconds(source.c.logged)),
            *(sa.func.coalesce(read.c.lines, 0), source.c.id.in_(held_sources(connection))),
            sa.cast(source.c.state["newest"].astext, sa.BigInteger),
        )
        .outerjoin(read, read.c.id == source.c.id)
        .where(source.c.seen.is_not(None) | (source.c.path != "-"))  # one who is heard once, as a mail is
        .order_by(source.c.host, source.c.path)
    )
    return tuple(Source(*row) for row in connection.execute(query))


def _count(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one())
