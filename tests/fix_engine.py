"""Fixtures of databases with repzone's tables: copies of one migrated template, each emptied after its test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import count
from typing import Any

import psycopg
import pytest
from sqlalchemy.pool import QueuePool

from repzone import shipped
from repzone.store.engine import Engine, connect
from repzone.store.migrate import upgrade
from repzone.store.tables import metadata
from tests.fix_db import new_database, with_database
from tests.fix_embedded import wait_for

Connection = psycopg.Connection[Any]
SHAPE = """
WITH own AS (SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace)
SELECT md5(string_agg(line, E'\n' ORDER BY line COLLATE "C")) FROM (
  SELECT concat_ws(' ', relname, relkind, relowner, relacl, reloptions, pg_get_indexdef(oid)) FROM own
  UNION ALL SELECT concat_ws(' ', relname, attname, atttypid, attnotnull, pg_get_expr(adbin, adrelid))
    FROM pg_attribute JOIN own ON own.oid = attrelid LEFT JOIN pg_attrdef ON (adrelid, adnum) = (attrelid, attnum)
  UNION ALL SELECT concat_ws(' ', relname, conname, pg_get_constraintdef(c.oid))
    FROM pg_constraint c JOIN own ON own.oid = conrelid
  UNION ALL SELECT concat_ws(' ', relname, tgname, tgenabled) FROM pg_trigger JOIN own ON own.oid = tgrelid
  UNION ALL SELECT concat_ws(' ', proname, prosrc) FROM pg_proc WHERE oid >= 16384
  UNION ALL SELECT concat_ws(' ', nspname, nspacl) FROM pg_namespace WHERE nspname !~ '^pg_(temp|toast)'
  UNION ALL SELECT concat_ws(' ', datacl, datconnlimit, datallowconn, setrole, setconfig)
    FROM pg_database d LEFT JOIN pg_db_role_setting ON setdatabase = d.oid WHERE datname = current_database()
) AS lines (line)"""
"""What a database looks like but for its rows."""

PARTITIONS = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass"
TABLES = """
SELECT oid::regclass::text, pg_relation_size(oid) > 0 FROM pg_class
WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY 1"""
SEQUENCES = "SELECT setval(seqrelid, seqstart, false) FROM pg_sequence"
OTHERS = """
SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
_numbers = count(1)


class SpareDatabases:
    """Databases as the migrations leave them; making one takes ten times as long as emptying one."""

    def __init__(self, server: str, template: str, stack: ExitStack) -> None:
        self._server, self._template, self._stack = server, template, stack
        self._spare: list[str] = []
        with psycopg.connect(with_database(server, template), autocommit=True) as connection:
            self._shape = _shape(connection)
            filled = [table for table, rows in connection.execute(TABLES.encode()).fetchall() if rows]
            self._rows = {table: _copy_out(connection, table) for table in filled}

    def take(self) -> str:
        """Give the name of one that nobody else has."""
        if self._spare:
            return self._spare.pop()
        name = f"repzone_own_{os.getpid()}_{next(_numbers)}"
        return self._stack.enter_context(new_database(self._server, name, self._template))

    def give_back(self, name: str) -> None:
        """Make it as it was, unless a test has changed more than rows."""
        try:
            with psycopg.connect(with_database(self._server, name), autocommit=True) as connection:
                self._empty(connection)
                if _shape(connection) == self._shape:
                    self._spare.append(name)
        except psycopg.Error:
            return

    def _empty(self, connection: Connection) -> None:
        connection.execute(OTHERS.encode())
        for (partition,) in connection.execute(PARTITIONS.encode()).fetchall():
            connection.execute(f"DROP TABLE {partition}".encode())
        filled = [table for table, rows in connection.execute(TABLES.encode()).fetchall() if rows]
        connection.execute(f"TRUNCATE {', '.join(filled)} CASCADE".encode())
        for table, rows in self._rows.items():
            with connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy:
                copy.write(rows)
        connection.execute(SEQUENCES.encode())


def _shape(connection: Connection) -> str:
    row = connection.execute(SHAPE.encode()).fetchone()
    return str(row and row[0])


def _copy_out(connection: Connection, table: str) -> bytes:
    with connection.cursor().copy(f"COPY {table} TO STDOUT".encode()) as copy:
        return b"".join(bytes(part) for part in copy)


@pytest.fixture(scope="session")
def migrated_template(pg_server: str) -> Iterator[str]:
    """The name of a database with all tables and no rows. Nobody stays connected to it."""
    with new_database(pg_server, f"repzone_migrated_{os.getpid()}") as name:
        engine = connect(with_database(pg_server, name))
        upgrade(engine, shipped.folder("migrations"))
        engine.dispose()
        yield name


@pytest.fixture(scope="session")
def spare_databases(pg_server: str, migrated_template: str) -> Iterator[SpareDatabases]:
    """Copies of that database, for one test after the other."""
    with ExitStack() as stack:
        yield SpareDatabases(pg_server, migrated_template, stack)


@pytest.fixture
def migrated_url(pg_server: str, spare_databases: SpareDatabases) -> Iterator[str]:
    """The URL of this test's own database with all tables."""
    name = spare_databases.take()
    yield with_database(pg_server, name)
    spare_databases.give_back(name)


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """An engine for this test's own database; at the end a request that was given up may still be asking it."""
    made = connect(migrated_url)
    yield made
    pool = made.pool
    assert isinstance(pool, QueuePool)
    wait_for(lambda: pool.checkedout() == 0)
    made.dispose()


@pytest.fixture
def fresh_engine(engine: Engine) -> Callable[[], Engine]:
    """Gives the test's engine with all tables emptied, for tests that need many empty databases."""

    def empty() -> Engine:
        with engine.begin() as connection:
            names = ", ".join(table.name for table in metadata.sorted_tables)
            connection.exec_driver_sql(f"TRUNCATE {names}")
            connection.exec_driver_sql("INSERT INTO change_serial (serial) VALUES (0)")
        return engine

    return empty
