"""`repzone status`: which logs went silent, and what there is."""

from __future__ import annotations

import re
import time

import pytest
from sqlalchemy import text

from repzone.model import Client, Exemptions, Wait
from repzone.store.engine import Engine
from repzone.store.positions import add_file, open_source, store_position, store_state
from repzone.store.waits import add_waits, settle_waits
from tests.cli.conftest import Run

NOW = int(time.time())  # noqa: TID251 - these tests play the operator's world


CLIENT = Client.from_text("192.0.2.7")
WAITS = [  # one as old as every log is read, one that is still ahead, one that was closed there
    Wait(NOW - 9999, CLIENT, "a" * 32),
    Wait(NOW - 100, CLIENT, "b" * 32),
    *(Wait(NOW - 100 + n, CLIENT, "c" * 32, closed=True) for n in range(2)),
]
LISTINGS = """
INSERT INTO listing (key, category, offence, began, expires, state, created)
SELECT key::inet, category::category, 1, now() - interval '2 h', now() + hours * interval '1 h', 'active', now()
FROM (VALUES ('192.0.2.1', 'spam', 1), ('192.0.2.2', 'spam', 2), ('192.0.2.3', 'auth', 1), ('192.0.2.4', 'virus', -1))
    AS made (key, category, hours)
"""


def fill(engine: Engine) -> None:
    """One log that is read, one that went silent, one that never was read; and a bit of everything else."""
    with engine.begin() as connection:
        fresh = open_source(connection, "mx1", "/var/log/mail.log")
        store_state(connection, fresh, {}, NOW - 60, NOW - 90)
        for lines in (40, 2):
            store_position(connection, add_file(connection, fresh, b"x", 1, (0, 0), NOW), 700, lines, b"x", 1)
        silent = open_source(connection, "mx2", "/var/log/[mail].log")
        store_state(connection, silent, {}, NOW - 7200, NOW - 9000)
        open_source(connection, "mx3", "/var/log/never.log")
        open_source(connection, "mx4", "-")
        add_waits(connection, WAITS, Exemptions())
        settle_waits(connection, 86400, NOW)
        connection.execute(text(LISTINGS))
        connection.execute(text("INSERT INTO pending VALUES ('192.0.2.9', 'auth', now(), now())"))


@pytest.fixture
def filled(engine: Engine) -> None:
    """This test's database, with something of everything."""
    fill(engine)


def test_programs_get_one_object_a_line_that_says_what_it_is(run: Run, filled: None) -> None:
    done = run("status", "-o", "json")
    assert done.code == 0, done.err
    database, one, two, three, listings, pending, waits, zone = done.objects
    assert (database["what"], database["private"]) == ("database", False)
    assert (one["host"], one["path"], one["lines"], one["silent"]) == ("mx1", "/var/log/mail.log", 42, False)
    assert 90 <= one["lag"] < 300
    assert (two["host"], two["lines"], two["silent"], two["quiet"]) == ("mx2", 0, True, False)
    assert (three["seen"], three["logged"], three["lag"], three["silent"]) == (None, None, None, True)
    assert listings == {"what": "listings", "active": {"spam": 2, "auth": 1}}
    assert pending == {"what": "pending", "clients": 1}
    assert waits == {"what": "waits", "open": 2}
    assert zone == {"what": "zone", "serial": 0}


def test_people_see_which_log_is_silent(run: Run, filled: None) -> None:
    lines = run("status").out.splitlines()
    silent = [line for line in lines if line.endswith("silent")]
    assert [line.split()[0] for line in silent] == ["mx2", "mx3"]
    assert "/var/log/[mail].log" in silent[0]
    assert re.search(r" 2 h \d+ min ago", silent[0])
    assert "never" in silent[1]
    assert "3 active listings (spam 2, auth 1)." in lines
    assert lines[-1] == "1 client to be decided, 2 greylisted letters waited for, zones at serial 0."


def test_where_nothing_was_read_yet_this_is_said(run: Run) -> None:
    done = run("status")
    assert done.code == 0
    assert "No log was ever read." in done.out
    assert "0 active listings." in done.out


def test_a_database_that_is_down_is_exit_code_3(run: Run) -> None:
    done = run("status", REPZONE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (done.code, done.out) == (3, "")
    assert len(done.err.splitlines()) == 1
