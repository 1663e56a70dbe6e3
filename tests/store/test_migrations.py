"""The tables: what the migrations leave is what the code believes, and they can be taken back."""

from hashlib import sha256

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from repzone import shipped
from repzone.errors import RepzoneError, UnavailableError
from repzone.model import STATES
from repzone.reasons import CATALOGUE, CATEGORIES
from repzone.store.engine import Engine, connect, require_current, schema
from repzone.store.events import add_days
from repzone.store.migrate import downgrade, upgrade
from repzone.store.tables import metadata

SCRIPTS = shipped.folder("migrations")


def test_the_migrations_leave_the_tables_that_the_code_believes_in(engine: Engine) -> None:
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []


def test_the_enumerations_are_the_catalogues(engine: Engine) -> None:
    query = text("SELECT enumlabel FROM pg_enum JOIN pg_type ON pg_type.oid = enumtypid WHERE typname = :name")
    with engine.connect() as connection:
        for name, wanted in {"category": CATEGORIES, "reason": CATALOGUE, "listing_state": STATES}.items():
            assert set(connection.scalars(query, {"name": name})) == set(wanted)


def test_every_migration_goes_down_and_up_again(database_url: str) -> None:
    engine = connect(database_url)
    try:
        assert schema(engine, SCRIPTS).revision is None
        assert upgrade(engine, SCRIPTS).current
        tables = set(inspect(engine).get_table_names())
        downgrade(engine, SCRIPTS, "base")
        assert set(inspect(engine).get_table_names()) == {"alembic_version"}
        with engine.connect() as connection:
            left = connection.scalars(text("SELECT typname FROM pg_type WHERE typtype = 'e'")).all()
        assert left == []
        upgrade(engine, SCRIPTS)
        assert set(inspect(engine).get_table_names()) == tables
    finally:
        engine.dispose()


OLD_EVENTS = """
CREATE TABLE event_20260921 PARTITION OF event FOR VALUES FROM ('2026-09-21 00:00:00+00') TO ('2026-09-22 00:00:00+00');
CREATE TABLE event_20260922 PARTITION OF event FOR VALUES FROM ('2026-09-22 00:00:00+00') TO ('2026-09-23 00:00:00+00');
INSERT INTO source (host, path, state) VALUES ('mx', '/var/log/mail.log', '{}');
INSERT INTO event (at, count, source_id, category, reason, late, client, key, component, detail) VALUES
    ('2026-09-21 12:00:00+00', 3, 1, 'auth', 'auth_failed', false, '192.0.2.7', '192.0.2.7', 'dovecot', 'imap'),
    ('2026-09-21 12:00:01+00', 1, 1, 'errors', 'timeout', true, '2001:db8::1', '2001:db8::/64', 'postfix/smtpd', NULL),
    ('2026-09-22 00:00:00+00', 1, 1, 'spam', 'spamtrap', false, '192.0.2.7', '192.0.2.7', '', NULL);
"""
OLD_FILES = """
INSERT INTO source_file (source_id, fingerprint, fingerprint_length, position, lines, began)
    VALUES (1, sha256('old'), 3, 5000, 9, now())
"""
NEW_FILES = """
INSERT INTO source_file (source_id, fingerprint, fingerprint_length, position, lines, began)
    VALUES (1, sha256('new') || '0123456789abcdef', 3, 6000, 9, now())
"""
FILES = "SELECT position, fingerprint FROM source_file ORDER BY position"
EVENTS = """
SELECT tableoid::regclass::text, at, count, source_id, category::text, reason::text, late, client, key, component,
    coalesce(detail, '')
FROM event ORDER BY at
"""


def test_events_are_kept_when_their_table_gets_another_shape_and_back(database_url: str) -> None:
    engine = connect(database_url)

    def events() -> list[tuple[object, ...]]:
        with engine.connect() as connection:
            return [tuple(row) for row in connection.exec_driver_sql(EVENTS)]

    try:
        upgrade(engine, SCRIPTS)
        downgrade(engine, SCRIPTS, "0001")
        with engine.begin() as connection:
            connection.exec_driver_sql(OLD_EVENTS)
        before = events()
        assert len(before) == 3
        upgrade(engine, SCRIPTS)
        assert events() == before
        with engine.connect() as connection:
            assert connection.scalar(text("SELECT count(*) FROM source WHERE state IS NULL")) == 1
            indexes = connection.scalars(text("SELECT indexname FROM pg_indexes WHERE tablename LIKE 'event\\_20%'"))
            assert set(indexes) == {f"event_{day}_key_category_at_idx" for day in (20260921, 20260922)}
        add_days(engine, [1_790_000_000 + 86400 * day for day in range(3)])
        downgrade(engine, SCRIPTS, "0001")
        assert events() == before
    finally:
        engine.dispose()


def test_files_are_known_again_in_another_version_and_back(database_url: str) -> None:
    engine = connect(database_url)
    old, new = (5000, sha256(b"old").digest()), (6000, sha256(b"new").digest())
    try:
        upgrade(engine, SCRIPTS)
        downgrade(engine, SCRIPTS, "0001")
        with engine.begin() as connection:
            connection.exec_driver_sql(OLD_EVENTS)
            connection.exec_driver_sql(OLD_FILES)
        upgrade(engine, SCRIPTS)
        with engine.begin() as connection:
            assert connection.exec_driver_sql(FILES).all() == [old]
            connection.exec_driver_sql(NEW_FILES)
        downgrade(engine, SCRIPTS, "0001")
        with engine.connect() as connection:
            assert connection.exec_driver_sql(FILES).all() == [old, new]
    finally:
        engine.dispose()


UNDONE = """
INSERT INTO listing (key, category, offence, began, expires, state, comment, created)
SELECT '192.0.2.0'::inet + n, 'spam', 1, '2026-09-21 12:00:00+00', CAST(ends AS timestamptz),
    CAST(state AS listing_state), comment, '2026-09-21 12:00:00+00'
FROM (VALUES
    (1, '2026-09-21 15:00:00+00', 'expired', ''),
    (2, '2026-09-21 13:00:00+00', 'reversed', ''),
    (3, '2026-09-21 15:00:00+00', 'reversed', ''),
    (4, '2026-09-21 14:00:00+00', 'dropped', 'lifted when it was made'),
    (5, '2026-09-21 15:00:00+00', 'reversed', 'a rebuild found that it should never have been')
) AS made (n, ends, state, comment) ORDER BY n;
INSERT INTO listing_change (serial, at, listing_id, key, category, offence, began, expires, state)
SELECT row_number() OVER (), CAST(made.at AS timestamptz), id, key, category, offence, began,
    CAST(coalesce(made.ends, expires::text) AS timestamptz), CAST(made.state AS listing_state)
FROM (VALUES
    ('192.0.2.2', '2026-09-21 12:01:00+00', 'active', '2026-09-21 15:00:00+00'),
    ('192.0.2.2', '2026-09-21 13:00:00+00', 'reversed', NULL),
    ('192.0.2.3', '2026-09-21 12:01:00+00', 'active', NULL),
    ('192.0.2.3', '2026-09-21 18:00:00+00', 'reversed', NULL),
    ('192.0.2.4', '2026-09-21 14:05:00+00', 'dropped', NULL)
) AS made (address, at, state, ends)
JOIN listing ON listing.key = made.address::inet
"""


def test_what_was_undone_counts_as_long_as_its_changes_say(database_url: str) -> None:
    engine = connect(database_url)
    try:
        upgrade(engine, SCRIPTS)
        downgrade(engine, SCRIPTS, "0005")
        with engine.begin() as connection:
            connection.exec_driver_sql(UNDONE)
        upgrade(engine, SCRIPTS)
        with engine.connect() as connection:
            untils = connection.scalars(
                text("SELECT to_char(counts_until AT TIME ZONE 'UTC', 'HH24:MI:SS') FROM listing ORDER BY key")
            )
            assert untils.all() == [None, "12:59:59", "18:00:00", "13:59:59", "12:00:00"]
        downgrade(engine, SCRIPTS, "0005")
        assert upgrade(engine, SCRIPTS).current
    finally:
        engine.dispose()


EXEMPT = """
CREATE TABLE event_20260921 PARTITION OF event FOR VALUES FROM ('2026-09-21 00:00:00+00') TO ('2026-09-22 00:00:00+00');
INSERT INTO source (host, path, state) VALUES ('mx', '/var/log/mail.log', '{}');
INSERT INTO exemption (network, added, ended, comment, author) VALUES
    ('2001:db8::1', '2026-09-21 12:00:00+00', '2026-09-21 13:00:00+00', '', 'bob'),
    ('2001:db8::2', '2026-09-21 12:00:00+00', NULL, '', 'bob'),
    ('2001:db8:1::/64', '2026-09-21 12:00:00+00', NULL, '', 'bob'),
    ('192.0.2.7', '2026-09-21 12:00:00+00', NULL, '', 'bob');
INSERT INTO event (at, source_id, category, reason, count, late, key, client, component, detail)
SELECT CAST(at AS timestamptz), 1, 'errors', 'timeout', n, false, CAST(key AS inet), CAST(client AS inet), '', ''
FROM (VALUES
    (1, '2026-09-21 11:59:59+00', '2001:db8::/64', '2001:db8::1'),
    (2, '2026-09-21 12:00:00+00', '2001:db8::/64', '2001:db8::1'),
    (3, '2026-09-21 13:00:00+00', '2001:db8::/64', '2001:db8::1'),
    (4, '2026-09-21 13:00:00+00', '2001:db8::/64', '2001:db8::2'),
    (5, '2026-09-21 13:00:00+00', '2001:db8::/64', '2001:db8::3'),
    (6, '2026-09-21 13:00:00+00', '2001:db8:1::/64', '2001:db8:1::1'),
    (7, '2026-09-21 13:00:00+00', '192.0.2.7', '192.0.2.7'),
    (8, '2026-09-21 13:00:00+00', '::/64', '::1')
) AS made (n, at, key, client);
"""


def test_what_came_in_while_a_part_of_its_key_was_exempt_says_so(database_url: str) -> None:
    engine = connect(database_url)
    try:
        upgrade(engine, SCRIPTS)
        downgrade(engine, SCRIPTS, "0006")
        with engine.begin() as connection:
            connection.exec_driver_sql(EXEMPT)
        upgrade(engine, SCRIPTS)
        with engine.connect() as connection:
            assert connection.scalars(text("SELECT count FROM event WHERE exempt ORDER BY count")).all() == [2, 4, 8]
    finally:
        engine.dispose()


def test_tables_that_are_not_made_are_said_with_the_way_out(database_url: str) -> None:
    engine = connect(database_url)
    try:
        with pytest.raises(RepzoneError, match=r"not made yet.*repzone db upgrade"):
            require_current(engine, SCRIPTS)
    finally:
        engine.dispose()


@pytest.mark.mta
def test_the_tables_can_be_made_in_the_oldest_version_too(postgres15_url: str) -> None:
    engine = connect(postgres15_url)
    try:
        found = upgrade(engine, SCRIPTS)
        assert found.current
        assert found.server.startswith("15.")
    finally:
        engine.dispose()


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://nobody@127.0.0.1:1/none", "the database does not answer: .*refused"),
        ("postgresql://nobody@/none?host=/nonexistent", "the database does not answer: .*No such file"),
        ("mysql://localhost/none", "is not postgresql"),
        ("hello", "is no URL"),
    ],
)
def test_a_database_that_does_not_answer_is_said_in_one_line(url: str, said: str) -> None:
    with pytest.raises(UnavailableError, match=said) as caught:
        schema(connect(url), SCRIPTS)
    assert "\n" not in str(caught.value)
