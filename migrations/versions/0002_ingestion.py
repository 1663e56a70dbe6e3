"""Slim events; clean traffic, greylisting that is waited for, the key that addresses are hashed with."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

EVENT = """
CREATE TABLE event (
    at timestamptz NOT NULL,
    source_id INTEGER NOT NULL,
    category category NOT NULL,
    reason reason NOT NULL,
    count SMALLINT NOT NULL,
    late BOOLEAN NOT NULL,
    key INET NOT NULL,
    client INET NOT NULL,
    component TEXT NOT NULL,
    detail TEXT NOT NULL,
    CONSTRAINT event_count_check CHECK (count BETWEEN 1 AND 10000)
) PARTITION BY RANGE (at);
"""
COPIED = """
INSERT INTO event_copied (at, source_id, category, reason, count, late, key, client, component, detail)
SELECT at, source_id, category, reason, count, late, key, client, component, coalesce(detail, '')
FROM {day}
"""

EVENT_BEFORE = """
CREATE TABLE event (
    at timestamptz NOT NULL,
    count INTEGER NOT NULL,
    source_id INTEGER NOT NULL,
    category category NOT NULL,
    reason reason NOT NULL,
    late BOOLEAN NOT NULL,
    client INET NOT NULL,
    key INET NOT NULL,
    component TEXT NOT NULL,
    detail TEXT,
    CONSTRAINT event_count_check CHECK (count BETWEEN 1 AND 10000)
) PARTITION BY RANGE (at);
"""
COPIED_BACK = """
INSERT INTO event_copied (at, count, source_id, category, reason, late, client, key, component, detail)
SELECT at, count, source_id, category, reason, late, client, key, component, nullif(detail, '')
FROM {day}
"""

TABLES = """
ALTER TABLE source ADD COLUMN logged timestamptz;

CREATE TABLE traffic (
    hour timestamptz NOT NULL,
    connections BIGINT NOT NULL,
    messages BIGINT NOT NULL,
    key INET NOT NULL,
    CONSTRAINT traffic_pkey PRIMARY KEY (key, hour)
);

CREATE TABLE greylist_wait (
    at timestamptz NOT NULL,
    letter UUID NOT NULL,
    network INET NOT NULL,
    client INET NOT NULL,
    CONSTRAINT greylist_wait_pkey PRIMARY KEY (network, letter)
);

CREATE INDEX greylist_wait_at_idx ON greylist_wait (at);

CREATE TABLE greylist_ahead (
    at timestamptz NOT NULL,
    letter UUID NOT NULL,
    closed BOOLEAN NOT NULL,
    client INET NOT NULL
);

CREATE INDEX greylist_ahead_at_idx ON greylist_ahead (at);

CREATE TABLE secret (
    single BOOLEAN DEFAULT true NOT NULL,
    key BYTEA,
    digest BYTEA NOT NULL,
    CONSTRAINT secret_pkey PRIMARY KEY (single),
    CONSTRAINT secret_single_check CHECK (single)
);
"""

DROPPED = """
DROP TABLE secret;
DROP TABLE greylist_ahead;
DROP TABLE greylist_wait;
DROP TABLE traffic;
ALTER TABLE source DROP COLUMN logged;
"""

# What a join remembers has another shape on the other side.
FORGOTTEN = "UPDATE source SET state = NULL"

# A file is known by the SHA-256 of its first octets; digests of later ones, which follow it, are new here.
FIRST_OCTETS = "UPDATE source_file SET fingerprint = substring(fingerprint FOR 32)"

DAYS = """
SELECT relname, pg_get_expr(relpartbound, pg_class.oid) FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'event'::regclass ORDER BY relname
"""


def upgrade() -> None:
    """Make the events slim, a day at a time, and add what is new."""
    _rebuild_events(EVENT, COPIED)
    op.execute(TABLES)
    op.execute(FORGOTTEN)


def downgrade() -> None:
    """Take everything back; traffic, waits and the key are lost, and the components and details that were not kept."""
    _rebuild_events(EVENT_BEFORE, COPIED_BACK)
    op.execute(DROPPED)
    op.execute(FORGOTTEN)
    op.execute(FIRST_OCTETS)


def _rebuild_events(made: str, copied: str) -> None:
    """Put a table of another shape in the place of `event`, with its rows."""
    days = op.get_bind().exec_driver_sql(DAYS).all()
    op.execute("ALTER TABLE event RENAME TO event_before")
    op.execute("ALTER INDEX event_key_category_at_idx RENAME TO event_before_idx")
    op.execute(made)
    for day, bounds in days:
        op.execute("CREATE TABLE event_copied (LIKE event INCLUDING CONSTRAINTS)")
        op.execute(copied.format(day=day))
        op.execute(f"DROP TABLE {day}")
        op.execute(f"ALTER TABLE event_copied RENAME TO {day}")
        op.execute(f"ALTER TABLE event ATTACH PARTITION {day} {bounds}")
    op.execute("DROP TABLE event_before")
    # Last, on rows that are there: each day's index is built at once, and named after its day.
    op.execute("CREATE INDEX event_key_category_at_idx ON event (key, category, at)")
