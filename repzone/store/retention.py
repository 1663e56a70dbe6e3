"""How long things are kept in, what is older out of the database: in small steps that nobody waits for.

Days of events are detached concurrently and then dropped: ingestion of other days and calculators go on. A day that
is being detached takes no events (`events.add_days` brings it back if it must), so nobody may be writing to it: who
stores what is more than a day old shares HISTORY until commit, and who drops has it alone. A day that a pending client
needs is kept. PostgreSQL's manual: ALTER TABLE, DETACH PARTITION.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Literal

import sqlalchemy as sa

from repzone.policy.rules import Rulebook
from repzone.reasons import COUNTED
from repzone.store.changes import add_changes
from repzone.store.engine import instant, seconds
from repzone.store.locks import HISTORY
from repzone.store.tables import sweep

DAY = 86_400

LOCK_TIMEOUT = "500ms"
"""So long a step waits for a lock, and those who came after it for the step."""

FILES = 10
"""So many files of a source are always remembered: a log that is never rotated may be old."""


@dataclass(frozen=True, slots=True)
class Horizon:
    """The instants before which events, and listings with all the rest, need not be kept; how far back in seconds an
    event can matter for another.
    """

    events: int
    listings: int
    reach: int


@dataclass(frozen=True, slots=True)
class Day:
    """A day of events: its table, how much room it takes; whether its table is still, or is just being, part of all."""

    table: str
    date: date
    octets: int
    attached: bool
    pending: bool

    @property
    def ends(self) -> int:
        """The first instant of the next day."""
        begin = datetime(self.date.year, self.date.month, self.date.day, tzinfo=UTC)
        return int(begin.timestamp()) + DAY


def find_horizon(rulebook: Rulebook, now: int, event_retention: int, listing_retention: int) -> Horizon:
    """Give the horizon: whatever is configured, what a decision can need is kept, by any version of the policy."""
    reach = max(rulebook.reach(category) for category in COUNTED)
    memory = max(version.policy.offence_memory for version in rulebook.versions)
    events = max(event_retention, reach + DAY)
    return Horizon(now - events, now - max(listing_retention, events + memory), reach)


def expire(connection: sa.Connection, now: int, most: int) -> int:
    """Let up to `most` listings whose end has come be expired, with their changes; give how many.

    Those that somebody else is changing are left. The caller owns the transaction, which ends with this.
    """
    ended = sorted(map(int, connection.scalars(_EXPIRE, {"now": instant(now), "most": most})))
    if ended:
        add_changes(connection, ended, now)
    return len(ended)


@contextmanager
def pruning(engine: sa.Engine) -> Iterator[sa.Connection | None]:
    """Hold the right to prune; gives None when somebody else does. Every statement is a transaction of its own."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if not connection.scalar(sa.text("SELECT pg_try_advisory_lock(hashtext('repzone.prune'))")):
            yield None
            return
        try:
            connection.exec_driver_sql(f"SET lock_timeout = '{LOCK_TIMEOUT}'")
            yield connection
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql("RESET lock_timeout")
                connection.exec_driver_sql("SELECT pg_advisory_unlock(hashtext('repzone.prune'))")


def last_pruned(connection: sa.Connection) -> int | None:
    """Give when something was pruned last; None when that never was."""
    return connection.scalar(sa.select(seconds(sweep.c.pruned)))


def store_pruned(connection: sa.Connection, now: int) -> None:
    """Note that everything old is gone now."""
    connection.execute(_PRUNED, {"now": instant(now)})


def find_events_from(connection: sa.Connection) -> int | None:
    """Give the instant from which on all events are there; None when none were ever dropped."""
    return connection.scalar(sa.select(seconds(sweep.c.events_from)))


def store_events_from(connection: sa.Connection, events_from: int) -> None:
    """Note that events before an instant may be gone: do it before they go. However long they are kept later on."""
    connection.execute(_EVENTS_FROM, {"events_from": instant(events_from)})


def load_days(connection: sa.Connection) -> list[Day]:
    """Give the days of events that there are, the earliest first; also what an interrupted prune left."""
    return [
        Day(table, date.fromisoformat(table.removeprefix("event_")), int(octets or 0), attached, pending)
        for table, octets, attached, pending in connection.execute(_DAYS)
    ]


def is_needed(connection: sa.Connection, day: Day, reach: int) -> bool:
    """Tell whether a client that is still to be decided may have offences on that day."""
    if day.pending or not day.attached:
        return False
    return bool(connection.scalar(_NEEDED, {"until": day.ends + reach}))


Dropped = Literal["dropped", "needed"]


def drop_day(connection: sa.Connection, day: Day, reach: int) -> Dropped | None:
    """Drop a day of events, unless a pending client needs it; None when somebody stands in the way for now.

    What is done so far stays done; look at the day again before the next call, which goes on.
    The connection is one of `pruning`.
    """
    if not connection.scalar(sa.text(f"SELECT pg_try_advisory_lock({HISTORY})")):
        return None
    try:
        if is_needed(connection, day, reach):
            return "needed"
        if day.pending:
            connection.exec_driver_sql(f"ALTER TABLE event DETACH PARTITION {day.table} FINALIZE")
        elif day.attached:
            connection.exec_driver_sql(f"ALTER TABLE event DETACH PARTITION {day.table} CONCURRENTLY")
        connection.exec_driver_sql(f"DROP TABLE {day.table}")
    except sa.exc.OperationalError as error:
        if not is_locked(error):
            raise
        return None
    finally:
        if not connection.invalidated:
            connection.exec_driver_sql(f"SELECT pg_advisory_unlock({HISTORY})")
    return "dropped"


def is_locked(error: sa.exc.OperationalError) -> bool:
    """Tell whether a statement failed because it waited too long for a lock."""
    return getattr(error.orig, "sqlstate", None) == "55P03"  # lock_not_available


def prune_listings(connection: sa.Connection, horizon: Horizon, most: int) -> int | None:
    """Delete up to `most` listings that ended before the horizon, with all that hangs on them; give how many.

    None when somebody who stores old events might just be adding to them. The caller owns the transaction.
    """
    if not connection.scalar(sa.text(f"SELECT pg_try_advisory_xact_lock({HISTORY})")):
        return None
    arguments = {"listings": instant(horizon.listings), "most": most}
    ids = [int(number) for number in connection.scalars(_OLD_LISTINGS, arguments)]
    for table in ("listing_evidence", "listing_sample", "listing_change", "hit") if ids else ():
        connection.execute(_DELETE_OF[table], {"ids": ids})
    if ids:
        connection.execute(_DELETE_LISTINGS, {"ids": ids})
    return len(ids)


def prune_exemptions(connection: sa.Connection, horizon: Horizon, most: int) -> int:
    """Delete up to `most` exemptions that ended before the horizon, with their changes; give how many."""
    arguments = {"listings": instant(horizon.listings), "most": most}
    ids = [int(number) for number in connection.scalars(_OLD_EXEMPTIONS, arguments)]
    if ids:
        connection.execute(_DELETE_EXEMPTION_CHANGES, {"ids": ids})
        connection.execute(_DELETE_EXEMPTIONS, {"ids": ids})
    return len(ids)


def prune_rows(connection: sa.Connection, table: str, horizon: Horizon, floor: int, most: int) -> int:
    """Delete up to `most` old rows of one of ROWS; give how many.

    `floor` is the instant before which there are no events any more.
    """
    return connection.execute(_DELETE_ROWS[table], {**_old(horizon, floor), "most": most}).rowcount


def count_old(connection: sa.Connection, table: str, horizon: Horizon, floor: int) -> int:
    """Give how many rows of one of TABLES are old."""
    return int(connection.scalar(_COUNT[table], _old(horizon, floor)) or 0)


def _old(horizon: Horizon, floor: int) -> Mapping[str, object]:
    """Give the parameters of _OLD; a statement takes those that it has."""
    return {"listings": instant(horizon.listings), "floor": instant(floor), "files": FILES}


# listing_active_expires_idx
_EXPIRE = sa.text("""
UPDATE listing SET state = 'expired' WHERE id IN (
    SELECT id FROM listing WHERE state = 'active' AND expires <= :now
    ORDER BY expires, id LIMIT :most FOR UPDATE SKIP LOCKED
) RETURNING id""")

_PRUNED = sa.text("""
INSERT INTO sweep (pruned) VALUES (:now) ON CONFLICT (single) DO UPDATE SET pruned = greatest(sweep.pruned, :now)""")

_EVENTS_FROM = sa.text("""
INSERT INTO sweep (events_from) VALUES (:events_from)
ON CONFLICT (single) DO UPDATE SET events_from = greatest(sweep.events_from, excluded.events_from)""")

_DAYS = sa.text("""
SELECT relname, pg_total_relation_size(pg_class.oid), inhrelid IS NOT NULL, coalesce(inhdetachpending, false)
FROM pg_class LEFT JOIN pg_inherits ON inhrelid = pg_class.oid
WHERE relkind = 'r' AND relname ~ '^event_[0-9]{8}$'
    AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'event'::regclass)
ORDER BY relname""")

_NEEDED = sa.text("SELECT EXISTS (SELECT FROM pending WHERE since < to_timestamp(:until))")

_OLD = {
    "listing": "expires < :listings AND state <> 'active'",  # listing_expires_idx
    "exemption": "ended < :listings",
    "traffic": "hour < :floor",  # traffic_hour_idx
    "event_id": "at < :floor",  # event_id_at_idx
    "spared": "last < :listings",  # spared_last_idx
    "hit": "hour < :listings",  # hit_hour_idx
    "listing_change": "at < :listings AND apex IS NOT NULL",  # listing_change_at_idx; others go with their subject
    "act": "at < :listings AND NOT EXISTS (SELECT FROM listing_change WHERE act_id = act.id)",  # act_at_idx
    "source_file": """began < :listings AND id NOT IN (
        SELECT id FROM source_file AS newer WHERE newer.source_id = source_file.source_id
        ORDER BY id DESC LIMIT :files)""",
}

ROWS = tuple(name for name in _OLD if name not in ("listing", "exemption"))
"""The tables of which `prune_rows` deletes, in this order: acts after the changes that name them."""

TABLES = tuple(_OLD)

_COUNT = {name: sa.text(f"SELECT count(*) FROM {name} WHERE {old}") for name, old in _OLD.items()}  # noqa: S608

_DELETE_ROWS = {
    name: sa.text(f"""
DELETE FROM {name} WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {name} WHERE {_OLD[name]} LIMIT :most FOR UPDATE SKIP LOCKED
))""")  # noqa: S608 - our own words
    for name in ROWS
}

_OLD_LISTINGS = sa.text(f"""
SELECT id FROM listing WHERE {_OLD["listing"]} ORDER BY expires LIMIT :most FOR UPDATE SKIP LOCKED""")  # noqa: S608

_OLD_EXEMPTIONS = sa.text(f"""
SELECT id FROM exemption WHERE {_OLD["exemption"]} ORDER BY id LIMIT :most FOR UPDATE SKIP LOCKED""")  # noqa: S608

_DELETE_OF = {
    name: sa.text(f"DELETE FROM {name} WHERE listing_id = ANY(CAST(:ids AS bigint[]))")  # noqa: S608
    for name in ("listing_evidence", "listing_sample", "listing_change", "hit")
}

_DELETE_LISTINGS = sa.text("DELETE FROM listing WHERE id = ANY(CAST(:ids AS bigint[]))")

_DELETE_EXEMPTION_CHANGES = sa.text("DELETE FROM listing_change WHERE exemption_id = ANY(CAST(:ids AS integer[]))")

_DELETE_EXEMPTIONS = sa.text("DELETE FROM exemption WHERE id = ANY(CAST(:ids AS integer[]))")
