"""How everything stands: how far each log is read, who is listed, what is still to be done."""

from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from repzone.store.changes import current_serial
from repzone.store.engine import instant, seconds
from repzone.store.tables import greylist_ahead, greylist_wait, listing, pending, source, source_file


@dataclass(frozen=True, slots=True)
class Source:
    """A log: its host and path, when it was last read, the newest stamp in it, lines read of it so far."""

    host: str
    path: str
    seen: int | None
    logged: int | None
    lines: int


@dataclass(frozen=True, slots=True)
class Overview:
    """The logs; how many listings are active, by category, clients pending, and letters waited for; the serial."""

    sources: tuple[Source, ...]
    listings: Mapping[str, int]
    pending: int
    waits: int
    serial: int


def load_overview(connection: sa.Connection, now: int) -> Overview:
    """Give how everything stands now."""
    active = (
        sa.select(listing.c.category, sa.func.count())
        .where(listing.c.state == "active", listing.c.expires > instant(now))  # listing_active_expires_idx
        .group_by(listing.c.category)
        .order_by(listing.c.category)
    )
    ahead = _count(connection, greylist_ahead, ~greylist_ahead.c.closed)
    return Overview(
        sources=_load_sources(connection),
        listings={category: count for category, count in connection.execute(active)},
        pending=_count(connection, pending),
        waits=_count(connection, greylist_wait) + ahead,
        serial=current_serial(connection),
    )


def _load_sources(connection: sa.Connection) -> tuple[Source, ...]:
    lines = (
        sa.select(sa.func.coalesce(sa.func.sum(source_file.c.lines), 0))
        .where(source_file.c.source_id == source.c.id)
        .scalar_subquery()
    )
    query = sa.select(
        *(source.c.host, source.c.path, seconds(source.c.seen), seconds(source.c.logged)),
        sa.cast(lines, sa.BigInteger),
    ).order_by(source.c.host, source.c.path)
    query = query.where(source.c.seen.is_not(None) | (source.c.path != "-"))  # one who is heard once, as a mail is
    return tuple(Source(*row) for row in connection.execute(query))


def _count(connection: sa.Connection, table: sa.Table, *conditions: sa.ColumnElement[bool]) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(table).where(*conditions)).scalar_one())
