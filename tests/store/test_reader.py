"""The role of the public page can tell a blocked sender what he may know, and PostgreSQL keeps it from all else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from repzone.store.engine import Engine
from repzone.store.reader import ROLE, connect_reading, make_reader
from repzone.store.sender import count_listed, load_sender
from tests.store.samples import NOW
from tests.web.asked import SPAM, C, fill


@pytest.fixture
def reading(engine: Engine) -> Iterator[Engine]:
    """What the page is given of a database with some who are blocked."""
    fill(engine)
    made, confined = connect_reading(engine)
    assert confined
    yield made
    made.dispose()


def refusal(reading: Engine, statement: str) -> str:
    """Give why PostgreSQL does not do it."""
    with pytest.raises(DBAPIError) as refused, reading.connect() as connection:
        connection.execute(sa.text(statement))
    return str(refused.value.orig)


def test_it_reads_all_that_the_page_tells(reading: Engine) -> None:
    with reading.connect() as connection:
        sender = load_sender(connection, C(SPAM), NOW)
        assert [one.listing.category for one in sender.listings] == ["spam"]
        assert {case.category for case in sender.cases} >= {"spam", "errors"}
    with reading.begin() as connection:
        assert count_listed(connection, NOW)[4] > 0
        assert connection.scalar(sa.text("SELECT current_user")) == ROLE


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT detail FROM event",
        "SELECT * FROM event",
        "SELECT comment FROM exemption",
        "SELECT author FROM exemption",
        "SELECT * FROM act",
        "SELECT * FROM secret",
        "SELECT * FROM hit",
        "SELECT * FROM greylist_wait",
    ],
)
def test_it_reads_neither_log_lines_nor_who_did_what_nor_secrets(reading: Engine, statement: str) -> None:
    assert "permission denied" in refusal(reading, statement)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM listing",
        "UPDATE change_serial SET serial = 0",
        "INSERT INTO zone_pause (apex) VALUES ('x')",
        "TRUNCATE listing",
        "CREATE TABLE mine (n integer)",
        "CREATE TEMPORARY TABLE mine (n integer)",
        "SET TRANSACTION READ WRITE; DELETE FROM listing",
        "SET default_transaction_read_only = off; COMMIT; DELETE FROM listing",
    ],
)
def test_it_writes_nothing_even_where_it_says_that_it_will(reading: Engine, statement: str) -> None:
    said = refusal(reading, statement)
    assert "permission denied" in said or "read-only transaction" in said


def test_a_statement_that_takes_long_is_ended(reading: Engine) -> None:
    assert "statement timeout" in refusal(reading, "SELECT pg_sleep(30)")


def test_making_it_again_changes_nothing(engine: Engine) -> None:
    with engine.begin() as connection:
        assert make_reader(connection)
        assert make_reader(connection)
