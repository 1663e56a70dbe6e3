"""The database fixtures of this suite keep what they promise."""

from __future__ import annotations

import pytest

from tests.fix_db import with_database
from tests.fix_embedded import ask, do
from tests.fix_engine import SpareDatabases

ROWS = "SELECT string_agg(t, ' ') FROM (SELECT serial::text AS t FROM change_serial UNION ALL TABLE alembic_version) r"


def test_a_database_that_is_given_back_has_the_rows_that_it_began_with(
    pg_server: str, spare_databases: SpareDatabases
) -> None:
    name = spare_databases.take()
    url = with_database(pg_server, name)
    before = ask(url, ROWS)
    do(url, "INSERT INTO source (host, path) VALUES ('mx1', '/var/log/mail.log')")
    do(url, "UPDATE change_serial SET serial = 7")
    do(url, "CREATE TABLE day PARTITION OF event FOR VALUES FROM ('2026-11-24') TO ('2026-11-25')")
    spare_databases.give_back(name)
    assert spare_databases.take() == name
    assert (ask(url, ROWS), ask(url, "SELECT count(*) FROM source")) == (before, "0")
    do(url, "INSERT INTO source (host, path) VALUES ('mx1', '/var/log/mail.log')")
    assert ask(url, "SELECT id FROM source") == "1", "as in a new one"
    spare_databases.give_back(name)


@pytest.mark.parametrize(
    "change",
    ["CREATE TABLE mine ()", "ALTER TABLE listing ADD mine integer", "DROP TABLE spared", "CREATE SCHEMA mine"],
)
def test_a_database_that_is_another_one_is_given_to_no_other_test(
    pg_server: str, spare_databases: SpareDatabases, change: str
) -> None:
    name = spare_databases.take()
    do(with_database(pg_server, name), change)
    spare_databases.give_back(name)
    other = spare_databases.take()
    assert other != name
    spare_databases.give_back(other)


def test_each_test_has_a_database_of_its_own(database_url: str) -> None:
    assert ask(database_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"
    do(database_url, "CREATE TABLE mine ()")


def test_which_no_other_test_has_touched(database_url: str) -> None:
    assert ask(database_url, "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'") == "0"


def test_the_oldest_supported_version_serves(postgres15_url: str) -> None:
    assert ask(postgres15_url, "SHOW server_version").startswith("15.")
