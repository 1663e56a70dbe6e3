"""What became of listings and exemptions, in commit order: written by those who decide, read by the servers."""

from collections.abc import Iterator, Sequence

import psycopg
import sqlalchemy as sa

from repzone.model import Change, Client, Exemption, Listing
from repzone.store.engine import answering, instant, seconds
from repzone.store.tables import change_serial, listing, listing_change

CHANGE = "repzone_change"
"""The channel that a commit of changes notifies."""


def add_changes(connection: sa.Connection, listing_ids: Sequence[int], now: int) -> int:
    """Write how these listings stand now as changes; gives the last serial.

    From here to commit every other writer of changes waits: do it last in the transaction.
    """
    return _add(connection, _ADD, listing_ids, now)


def add_exemption_changes(connection: sa.Connection, exemption_ids: Sequence[int], now: int) -> int:
    """Write how these exemptions stand now as changes; gives the last serial. Do it last in the transaction."""
    return _add(connection, _ADD_EXEMPTIONS, exemption_ids, now)


def _add(connection: sa.Connection, statement: sa.TextClause, numbers: Sequence[int], now: int) -> int:
    last = _next_serials(connection, len(numbers))
    connection.execute(statement, {"before": last - len(numbers), "ids": list(numbers), "now": instant(now)})
    connection.exec_driver_sql(f"NOTIFY {CHANGE}")
    return last


def current_serial(connection: sa.Connection) -> int:
    """Give the serial of the last committed change; 0 when there was none."""
    return int(connection.scalar(sa.select(change_serial.c.serial)) or 0)


def load_zone(connection: sa.Connection, now: int) -> tuple[int, list[Listing]]:
    """Give the serial and the listings in the zone at it; the transaction must be REPEATABLE READ."""
    serial = current_serial(connection)
    columns = listing.c
    query = sa.select(
        columns.key, columns.category, columns.offence, seconds(columns.began), seconds(columns.expires)
    ).where(columns.state == "active", columns.expires > instant(now))  # listing_active_expires_idx
    listings = [
        Listing(Client.from_text(key), category, offence, began, expires)
        for key, category, offence, began, expires in connection.execute(query)
    ]
    return serial, listings


def load_changes(connection: sa.Connection, after: int) -> list[Change]:
    """Give the changes after a serial, in order."""
    columns = listing_change.c
    query = (
        sa.select(
            *(columns.serial, columns.key, columns.category, columns.offence),
            *(seconds(columns.began), seconds(columns.expires), columns.state),
        )
        .where(columns.serial > after)
        .order_by(columns.serial)
    )
    changes = []
    for serial, key, category, offence, began, expires, state in connection.execute(query):
        client = Client.from_text(key)
        what = (
            Exemption(client, began, expires)
            if category is None
            else Listing(client, category, offence, began, expires, state)
        )
        changes.append(Change(serial, what))
    return changes


def listen(engine: sa.Engine, channel: str, poll: float) -> Iterator[None]:
    """Yield at once, then whenever the channel is notified, and at the latest every `poll` seconds.

    UnavailableError when the connection is lost; who listens again asks for what was missed by its serial.
    """
    with answering(), engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        raw = connection.connection.driver_connection
        assert isinstance(raw, psycopg.Connection)  # noqa: S101 - the driver that engine.connect names
        connection.detach()  # closed at the end, not lent to others while it still listens
        connection.exec_driver_sql(f"LISTEN {channel}")
        yield
        while True:
            for _ in raw.notifies(timeout=poll, stop_after=1):
                pass
            yield


def _next_serials(connection: sa.Connection, count: int) -> int:
    statement = change_serial.update().values(serial=change_serial.c.serial + count)
    return int(connection.execute(statement.returning(change_serial.c.serial)).scalar_one())


_ADD = sa.text("""
INSERT INTO listing_change (serial, at, listing_id, key, category, offence, began, expires, state)
SELECT :before + n, :now, listing.id, key, category, offence, began, expires, state
FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS changed (id, n) JOIN listing ON listing.id = changed.id""")

_ADD_EXEMPTIONS = sa.text("""
INSERT INTO listing_change (serial, at, exemption_id, key, began, expires)
SELECT :before + n, :now, exemption.id, network, added, ended
FROM unnest(CAST(:ids AS integer[])) WITH ORDINALITY AS changed (id, n) JOIN exemption ON exemption.id = changed.id""")
