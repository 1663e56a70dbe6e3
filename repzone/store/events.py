"""Events and hits in; rows, evidence of running listings and marks of the clients that need a new decision out.

The caller owns the transaction, in which the position of the log is stored too. The order matters: the marks are
locked first, so that no calculator decides for these clients until this transaction ends, and what is late is
judged by the listings as they then are.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from repzone.model import Event, Exemptions, Hit
from repzone.policy.rules import Rulebook
from repzone.reasons import CATALOGUE
from repzone.store.engine import copy_rows

FUTURE = 300
"""Seconds that a stamp may be ahead of now; what is further ahead is decided once its time has come."""

PENDING = "repzone_pending"
"""The channel that a commit of new events notifies."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How many events were stored, by category (counts, not rows), and how many hits."""

    events: dict[str, int] = field(default_factory=dict)
    hits: int = 0


def add_days(engine: sa.Engine, instants: Iterable[int]) -> None:
    """Make the day partitions of `event` that are missing, in a transaction of their own."""
    days = {datetime.fromtimestamp(at, UTC).date() for at in instants}
    with engine.connect() as connection:
        have = set(connection.scalars(sa.text("SELECT relname FROM pg_class WHERE relname LIKE 'event\\_20%'")))
    missing = sorted(day for day in days if f"event_{day:%Y%m%d}" not in have)
    for day in missing:
        name, after = f"event_{day:%Y%m%d}", day + timedelta(days=1)
        with engine.begin() as connection:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.event_days'))")
            if connection.scalar(sa.text("SELECT to_regclass(:name)"), {"name": name}) is None:
                # ATTACH, unlike PARTITION OF, does not lock out those who read and write the other days.
                connection.exec_driver_sql(f"CREATE TABLE {name} (LIKE event INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
                bounds = f"FROM ('{day} 00:00:00+00') TO ('{after} 00:00:00+00')"
                connection.exec_driver_sql(f"ALTER TABLE event ATTACH PARTITION {name} FOR VALUES {bounds}")


def add_events(
    connection: sa.Connection,
    source_id: int,
    events: Sequence[Event],
    rulebook: Rulebook,
    exemptions: Exemptions,
    now: int,
) -> dict[str, int]:
    """Store events of one source, those with an id once; give how many offences by category are new.

    Their days must exist (`add_days`). `rulebook` and `exemptions` are those of the database at this time.
    """
    if not events:
        return {}
    connection.exec_driver_sql(_STAGED)
    copy_rows(connection, "staged", _COLUMNS, (_row(n, e, rulebook, exemptions) for n, e in enumerate(events)))
    if any(event.id is not None for event in events):
        connection.execute(_FORGET_KNOWN, {"source": source_id})
    connection.execute(_MARK, {"now": now, "soon": now + FUTURE})
    connection.execute(_ADD_EVIDENCE)
    counts = connection.execute(_ADD, {"source": source_id}).all()
    connection.exec_driver_sql("TRUNCATE staged")
    connection.exec_driver_sql(f"NOTIFY {PENDING}")
    return {category: int(count) for category, count in counts}


def add_hits(connection: sa.Connection, hits: Sequence[Hit], rulebook: Rulebook) -> int:
    """Count refusals that our zones caused for the listing in force then; give how many."""
    if hits:
        rows = [
            {"key": hit.client.key(rulebook.at(hit.at).policy.ipv6_prefix).to_text(), "at": hit.at}
            for hit in sorted(hits, key=lambda hit: (hit.client, hit.at))
        ]
        connection.execute(_ADD_HIT, rows)
    return len(hits)


_COLUMNS = ("n", "at", "count", "category", "reason", "weighs", "client", "key", "component", "detail", "id")


def _row(n: int, event: Event, rulebook: Rulebook, exemptions: Exemptions) -> tuple[object, ...]:
    policy = rulebook.at(event.at).policy
    weighs = policy.weight(event.reason) > 0 and exemptions.find(event.client, event.at) is None
    key = event.client.key(policy.ipv6_prefix)
    return (
        *(n, event.at, event.count, CATALOGUE[event.reason], event.reason, weighs),
        *(event.client.to_text(), key.to_text(), event.component, event.detail or None, event.id),
    )


_STAGED = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged (
    n integer, at bigint, count integer, category category, reason reason, weighs boolean,
    client inet, key inet, component text, detail text, id text
)"""

_FORGET_KNOWN = sa.text("""
WITH first AS (SELECT id, min(n) AS n FROM staged WHERE id IS NOT NULL GROUP BY id),
new AS (
    INSERT INTO event_id (source_id, id, at)
    SELECT :source, id, to_timestamp(staged.at) FROM staged JOIN first USING (id, n) ORDER BY id
    ON CONFLICT DO NOTHING RETURNING id
)
DELETE FROM staged
WHERE id IS NOT NULL AND NOT EXISTS (SELECT FROM new JOIN first USING (id) WHERE first.n = staged.n)""")

# DO UPDATE and not DO NOTHING: it locks the mark, and with it the client, until this transaction ends.
_MARK = sa.text("""
INSERT INTO pending (key, category, since, due)
SELECT key, category, to_timestamp(min(at)), to_timestamp(min(CASE WHEN at > :soon THEN at ELSE :now END))
FROM staged WHERE weighs GROUP BY key, category ORDER BY key, category
ON CONFLICT (key, category) DO UPDATE
SET since = least(pending.since, excluded.since), due = least(pending.due, excluded.due)""")

_LAST = """LATERAL (
    SELECT id, began, expires FROM listing  -- listing_key_category_began_key, backward
    WHERE listing.key = staged.key AND listing.category = staged.category ORDER BY began DESC LIMIT 1
) AS last"""

_ADD = sa.text(f"""
WITH added AS (
    INSERT INTO event (at, count, source_id, category, reason, late, client, key, component, detail)
    SELECT to_timestamp(at), count, :source, category, reason, coalesce(last.began > to_timestamp(at), false),
        client, key, component, detail
    FROM staged LEFT JOIN {_LAST} ON true ORDER BY n
    RETURNING category, count
)
SELECT category, sum(count) FROM added GROUP BY category ORDER BY category""")  # noqa: S608 - our own words

_ADD_EVIDENCE = sa.text(f"""
INSERT INTO listing_evidence (listing_id, reason, count, first, last)
SELECT last.id, reason, sum(count), to_timestamp(min(at)), to_timestamp(max(at))
FROM staged JOIN {_LAST} ON last.began <= to_timestamp(at) AND to_timestamp(at) < last.expires
WHERE weighs GROUP BY last.id, reason ORDER BY last.id, reason
ON CONFLICT (listing_id, reason) DO UPDATE SET
    count = listing_evidence.count + excluded.count,
    first = least(listing_evidence.first, excluded.first), last = greatest(listing_evidence.last, excluded.last)
""")  # noqa: S608 - our own words

# The listing that the refusal named is the one that ended last, as in the TXT.
_ADD_HIT = sa.text("""
INSERT INTO hit (key, hour, listing_id, count)
SELECT :key, date_trunc('hour', to_timestamp(:at)), (
    SELECT id FROM listing
    WHERE key = :key AND began <= to_timestamp(:at) AND to_timestamp(:at) < expires
        AND state IN ('active', 'expired', 'released', 'reversed')
    ORDER BY expires DESC, category LIMIT 1
), 1
ON CONFLICT (key, hour, listing_id) DO UPDATE SET count = hit.count + 1""")
