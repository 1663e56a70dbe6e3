"""What became of listings and exemptions, in commit order: written by those who decide, read by the servers."""

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from repzone.model import Change, Client, Exemption, Listing
from repzone.store.engine import instant, seconds
from repzone.store.tables import change_serial, listing_change, zone_pause

CHANGE = "repzone_change"
"""The channel that a commit of changes notifies."""


def lock_serials(connection: sa.Connection) -> None:
    """Let every other writer of changes wait until this transaction ends: do it late."""
    connection.execute(sa.select(change_serial.c.serial).with_for_update())


def add_changes(connection: sa.Connection, listing_ids: Sequence[int], now: int, act: int | None = None) -> int:
    """Write how these listings stand now as changes, by whose act if any; gives the last serial.

    Behind them come those that still run, and whose place in the zone one of these had taken, decided ahead of time.
    From here to commit every other writer of changes waits: do it last in the transaction.
    """
    numbers = list(listing_ids)
    hidden = list(connection.scalars(_HIDDEN, {"ids": numbers, "now": instant(now)}))
    last = _add(connection, _ADD, numbers, now, act)
    return _add(connection, _ADD, hidden, now, None) if hidden else last


def add_exemption_changes(
    connection: sa.Connection, exemption_ids: Sequence[int], now: int, act: int | None = None
) -> int:
    """Write how these exemptions stand now as changes; gives the last serial. Do it last in the transaction."""
    return _add(connection, _ADD_EXEMPTIONS, exemption_ids, now, act)


def set_paused(connection: sa.Connection, apexes: Sequence[str], paused: bool, now: int, act: int | None) -> list[str]:
    """Pause zones, or let them answer again; give those for which that is new. Do it last in the transaction."""
    lock_serials(connection)
    if paused:
        rows = [{"apex": apex, "since": instant(now)} for apex in sorted(apexes)]
        query = insert(zone_pause).values(rows).on_conflict_do_nothing().returning(zone_pause.c.apex)
        changed = list(connection.scalars(query))
    else:
        gone = zone_pause.delete().where(zone_pause.c.apex.in_(apexes)).returning(zone_pause.c.apex)
        changed = sorted(connection.scalars(gone))
    if changed:
        last = _next_serials(connection, len(changed))
        end = None if paused else instant(now)
        rows = [
            {"serial": last - len(changed) + n, "at": instant(now), "apex": apex, "began": instant(now)}
            | {"expires": end, "act_id": act}
            for n, apex in enumerate(changed, 1)
        ]
        connection.execute(listing_change.insert(), rows)
        connection.exec_driver_sql(f"NOTIFY {CHANGE}")
    return changed


def load_paused(connection: sa.Connection) -> frozenset[str]:
    """Give the apexes of the zones in which only the test entries answer."""
    return frozenset(connection.scalars(sa.select(zone_pause.c.apex)))


def _add(connection: sa.Connection, statement: sa.TextClause, numbers: Sequence[int], now: int, act: int | None) -> int:
    last = _next_serials(connection, len(numbers))
    arguments = {"before": last - len(numbers), "ids": list(numbers), "now": instant(now), "act": act}
    connection.execute(statement, arguments)
    connection.exec_driver_sql(f"NOTIFY {CHANGE}")
    return last


def current_serial(connection: sa.Connection) -> int:
    """Give the serial of the last committed change; 0 when there was none."""
    return int(connection.scalar(sa.select(change_serial.c.serial)) or 0)


def load_changes(connection: sa.Connection, after: int) -> list[Change]:
    """Give the changes of listings and exemptions after a serial, in order; pauses of zones are serials too."""
    columns = listing_change.c
    query = (
        sa.select(
            *(columns.serial, columns.key, columns.category, columns.offence),
            *(seconds(columns.began), seconds(columns.expires), columns.state),
        )
        .where(columns.serial > after, columns.apex.is_(None))
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


def _next_serials(connection: sa.Connection, count: int) -> int:
    statement = change_serial.update().values(serial=change_serial.c.serial + count)
    return int(connection.execute(statement.returning(change_serial.c.serial)).scalar_one())


_HIDDEN = sa.text("""
SELECT running.id FROM listing AS gone JOIN listing AS running USING (key, category)
WHERE gone.id = ANY(CAST(:ids AS bigint[])) AND gone.began >= :now AND gone.state <> 'active'
    AND running.began < gone.began AND running.expires > :now AND running.state = 'active'
ORDER BY running.id""")

_ADD = sa.text("""
INSERT INTO listing_change (serial, at, act_id, listing_id, key, category, offence, began, expires, state)
SELECT :before + n, :now, :act, listing.id, key, category, offence, began, expires, state
FROM unnest(CAST(:ids AS bigint[])) WITH ORDINALITY AS changed (id, n) JOIN listing ON listing.id = changed.id""")

_ADD_EXEMPTIONS = sa.text("""
INSERT INTO listing_change (serial, at, act_id, exemption_id, key, began, expires)
SELECT :before + n, :now, :act, exemption.id, network, added, ended
FROM unnest(CAST(:ids AS integer[])) WITH ORDINALITY AS changed (id, n) JOIN exemption ON exemption.id = changed.id""")
