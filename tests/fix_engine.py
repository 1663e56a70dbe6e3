"""Fixtures of databases with repzone's tables: one migrated template a session, a copy of it a test."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count

import pytest

from repzone import shipped
from repzone.store.engine import Engine, connect
from repzone.store.migrate import upgrade
from repzone.store.tables import metadata
from tests.fix_db import new_database, with_database

_numbers = count(1)


@pytest.fixture(scope="session")
def migrated_template(pg_server: str) -> Iterator[str]:
    """The name of a database with all tables and no rows."""
    with new_database(pg_server, f"repzone_migrated_{os.getpid()}") as name:
        engine = connect(with_database(pg_server, name))
        upgrade(engine, shipped.folder("migrations"))
        engine.dispose()
        yield name


@pytest.fixture
def migrated_url(pg_server: str, migrated_template: str) -> Iterator[str]:
    """The URL of this test's own database with all tables."""
    name = f"repzone_own_{os.getpid()}_{next(_numbers)}"
    with new_database(pg_server, name, migrated_template):
        yield with_database(pg_server, name)


@pytest.fixture
def engine(migrated_url: str) -> Iterator[Engine]:
    """An engine for this test's own database."""
    made = connect(migrated_url)
    yield made
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
