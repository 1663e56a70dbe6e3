"""The whole zone as the database has it, as rows of `zone.rows`; and which changes it can still tell.

PostgreSQL itself writes the rows: a million of them cost a second, and as values of Python four.
"""

from collections.abc import Iterator

import sqlalchemy as sa

from repzone.model import Client, Listing
from repzone.reasons import CATEGORIES
from repzone.store.changes import current_serial
from repzone.store.engine import instant, seconds
from repzone.store.exemptions import load_exemptions
from repzone.store.tables import listing_change
from repzone.zone.rows import LAST, pack_exemption

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


def load_rows(connection: sa.Connection, now: int) -> tuple[int, bytes]:
    """Give the serial and the rows of all that is listed and exempt at it, from an AUTOCOMMIT connection."""
    connection.exec_driver_sql(_BEGIN)
    serial = current_serial(connection)
    listings = connection.scalars(_ROWS, {"now": instant(now)}).all()
    exemptions = load_exemptions(connection)
    connection.exec_driver_sql("COMMIT")
    return serial, b"".join((*listings, *map(pack_exemption, exemptions)))


def has_changes(connection: sa.Connection, after: int, last: int) -> bool:
    """Tell whether every change after a serial up to the last one is still there: pruned ones are not."""
    between = sa.and_(listing_change.c.serial > after, listing_change.c.serial <= last)
    count = sa.select(sa.func.count()).select_from(listing_change).where(between)
    return int(connection.scalar(count) or 0) == last - after


def load_ended(connection: sa.Connection, since: int) -> Iterator[Listing]:
    """Give the listings begun since then of which a change says that they are not in the zone any more."""
    columns = listing_change.c
    query = sa.select(
        *(columns.key, columns.category, columns.offence, seconds(columns.began), seconds(columns.expires)),
        columns.state,
    ).where(columns.state != "active", columns.began >= instant(since))
    for key, *rest in connection.execute(query):
        yield Listing(Client.from_text(key), *rest)


_NUMBERS = " ".join(f"WHEN '{category}' THEN '\\x{number:02x}'::bytea" for number, category in enumerate(CATEGORIES))

# `inet_send` gives family, prefix length, 0, size, address. One value a category: a value has its bounds.
_ROWS = sa.text(
    f"""
SELECT string_agg(
    CASE family(key) WHEN 4 THEN '\\x04'::bytea ELSE '\\x06' END || substr(inet_send(key), 2, 1)
    || CASE category {_NUMBERS} END || '\\x01'::bytea || int4send(offence)
    || substr(int8send(greatest(0, least({LAST}, extract(epoch FROM began)::bigint))), 5)
    || substr(int8send(greatest(0, least({LAST}, extract(epoch FROM expires)::bigint))), 5)
    || substr(inet_send(key), 5) || CASE family(key) WHEN 4 THEN '\\x000000000000000000000000'::bytea ELSE '' END, '')
FROM listing WHERE state = 'active' AND expires > :now GROUP BY category"""  # noqa: S608 - our own words
)
