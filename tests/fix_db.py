"""Fixtures of real PostgreSQL servers: one a session, an empty or migrated database a test.

REPZONE_TEST_DATABASE_URL names another server to use, as a role that may make databases: so the same tests run on
versions 15 to 18. What is missing is skipped with the line that installs it; REPZONE_REQUIRE_MTA=1 fails instead.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import NoReturn

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.engine import make_url

from repzone.store.embedded import running

POSTGRES_15 = Path("/usr/lib/postgresql/15/bin")
_numbers = count(1)


as_root = pytest.mark.skipif(
    os.geteuid() != 0 and os.environ.get("REPZONE_REQUIRE_MTA") != "1", reason="needs root; REPZONE_REQUIRE_MTA=1 fails"
)
"""Marks a test that becomes other accounts."""


def with_database(url: str, name: str) -> str:
    """Give libpq's URL of another database of the same server."""
    return make_url(url).set(drivername="postgresql", database=name).render_as_string(hide_password=False)


def missing(what: str, package: str) -> NoReturn:
    """Skip for want of a program, naming the way to it; fail where everything has to be there."""
    text = f"{what} is missing: apt-get install --no-install-recommends {package}"
    if os.environ.get("REPZONE_REQUIRE_MTA") == "1":
        pytest.fail(text)
    pytest.skip(text)


@pytest.fixture(scope="session")
def pg_server() -> Iterator[str]:
    """The URL of a server's maintenance database: a private one of this session, or the one that is named."""
    named = os.environ.get("REPZONE_TEST_DATABASE_URL")
    if named:
        yield named
        return
    with tempfile.TemporaryDirectory(prefix="repzone-") as folder, running(Path(folder), durable=False) as url:
        yield with_database(url, "postgres")


@pytest.fixture(scope="session")
def template_database(pg_server: str) -> Iterator[str]:
    """The name of the database that every test's own is a copy of. Nobody stays connected to it."""
    with new_database(pg_server, f"repzone_template_{os.getpid()}") as name:
        yield name


@pytest.fixture
def database_url(pg_server: str, template_database: str) -> Iterator[str]:
    """The URL of this test's own database, dropped afterwards with whoever is still connected."""
    name = f"repzone_test_{os.getpid()}_{next(_numbers)}"
    with new_database(pg_server, name, template_database):
        yield with_database(pg_server, name)


@pytest.fixture(scope="session")
def postgres15_url() -> Iterator[str]:
    """The URL of the oldest version that we support, as Debian 12 has it."""
    if not (POSTGRES_15 / "initdb").exists():
        missing("PostgreSQL 15", "postgresql-15")
    with (
        tempfile.TemporaryDirectory(prefix="repzone-15-") as folder,
        running(Path(folder), POSTGRES_15, durable=False) as url,
    ):
        yield url


@contextmanager
def new_database(server: str, name: str, template: str = "template1") -> Iterator[str]:
    """Make a database, and drop it at the end."""
    create = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(create)
    try:
        yield name
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(drop)
