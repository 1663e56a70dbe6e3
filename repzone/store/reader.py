"""The role of the public page: it reads what a blocked sender may be told, and nothing else.

PostgreSQL itself keeps it from log lines, from who did what, from secrets, and from writing anything.
"""

import sqlalchemy as sa

from repzone.store.engine import CONNECT_ARGS

ROLE = "repzone_web"

PATIENCE = 500
"""Milliseconds that one statement of the page may take."""

_COLUMNS = {
    "alembic_version": "version_num",
    "policy_version": "id, text, effective_from",
    "listing": "id, key, category, offence, began, expires, state, counts_until, policy_version_id, points, comment",
    "listing_evidence": "listing_id, reason, count, first, last",
    "listing_change": "serial, at, listing_id, exemption_id, state, expires",
    "exemption": "id, network, added, ended",
    "zone_pause": "apex",
    "change_serial": "single, serial",
    "event": "at, category, reason, count, late, exempt, key, client",
    "pending": "key, category, since, due",
    "traffic": "key, hour, messages",
    "spared": "key, category, began, last, policy_version_id, points, offences, clean",
}
"""What it may read, by table: neither an event's line nor an exemption's comment."""

_MAKE = f"""
DO $$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{ROLE}') THEN
        CREATE ROLE {ROLE} NOLOGIN;
    END IF;
    IF NOT pg_has_role(current_user, '{ROLE}', 'MEMBER') THEN
        EXECUTE 'GRANT {ROLE} TO ' || quote_ident(current_user);
    END IF;
EXCEPTION WHEN insufficient_privilege OR duplicate_object OR unique_violation THEN
    NULL;  -- an administrator makes it, or another process just did
END $$"""


def make_reader(connection: sa.Connection) -> bool:
    """Make the role where that is allowed, and let it read what it needs; tell whether it is there."""
    connection.exec_driver_sql(_MAKE)
    if not connection.scalar(sa.text("SELECT count(*) FROM pg_roles WHERE rolname = :role"), {"role": ROLE}):
        return False
    connection.exec_driver_sql(f"GRANT USAGE ON SCHEMA public TO {ROLE}")
    for table, columns in _COLUMNS.items():
        connection.exec_driver_sql(f"GRANT SELECT ({columns}) ON {table} TO {ROLE}")
    return True


def connect_reading(engine: sa.Engine) -> tuple[sa.Engine, bool]:
    """Make an engine of the same database that only reads, and quickly; tell whether it has the role of the page."""
    with engine.connect() as connection:
        held = connection.scalar(
            sa.text("SELECT coalesce((SELECT pg_has_role(oid, 'MEMBER') FROM pg_roles WHERE rolname = :role), false)"),
            {"role": ROLE},
        )
    options = f"-c timezone=UTC -c default_transaction_read_only=on -c statement_timeout={PATIENCE}"
    reading = sa.create_engine(
        engine.url,
        native_inet_types=False,
        pool_pre_ping=True,
        max_overflow=-1,
        connect_args={**CONNECT_ARGS, "connect_timeout": 2, "options": options + (f" -c role={ROLE}" if held else "")},
    )
    return reading, bool(held)
