"""`repzone status`: which logs went silent, and what there is."""

from __future__ import annotations

import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import text

from repzone.model import Client, Exemptions, Wait
from repzone.store.changes import set_paused
from repzone.store.engine import Engine
from repzone.store.positions import add_file, open_source, store_position, store_state
from repzone.store.waits import add_waits, settle_waits
from repzone.zone.texts import format_instant
from tests.cli.conftest import Run, runner
from tests.cli.hostile import WORDS, is_harmless
from tests.cli.test_commands import offences
from tests.store.samples import execute

CLIENT = Client.from_text("192.0.2.7")
LISTINGS = """
INSERT INTO listing (key, category, offence, began, expires, state, created)
SELECT key::inet, category::category, 1, now() - interval '2 h', now() + hours * interval '1 h', 'active', now()
FROM (VALUES ('192.0.2.1', 'spam', 1), ('192.0.2.2', 'spam', 2), ('192.0.2.3', 'auth', 1), ('192.0.2.4', 'virus', -1))
    AS made (key, category, hours)
"""


def fill(engine: Engine) -> None:
    """One log that is read, one silent, one that came once, one that never was read; and a bit of all else."""
    now = int(time.time())  # noqa: TID251 - these tests play the operator's world
    waits = [  # one as old as every log is read, one that is still ahead, one that was closed there
        Wait(now - 9999, CLIENT, "a" * 32),
        Wait(now - 100, CLIENT, "b" * 32),
        *(Wait(now - 100 + n, CLIENT, "c" * 32, closed=True) for n in range(2)),
    ]
    with engine.begin() as connection:
        fresh = open_source(connection, "mx1", "/var/log/mail.log")
        store_state(connection, fresh, {}, now - 60, now - 90)
        for lines in (40, 2):
            store_position(connection, add_file(connection, fresh, b"x", 1, (0, 0), now), 700, lines, b"x", 1)
        silent = open_source(connection, "mx2", "/var/log/[mail].log")
        add_file(connection, silent, b"x", 1, (0, 0), now - 99999)
        store_state(connection, silent, {}, now - 7200, now - 9000)
        store_state(connection, open_source(connection, "mx3", "/tmp/once.log"), {}, now - 7200, now - 9000)
        open_source(connection, "mx1", "/var/log/never.log")
        open_source(connection, "mx4", "-")
        add_waits(connection, waits, Exemptions())
        settle_waits(connection, 86400, now)
        connection.execute(text(LISTINGS))
        connection.execute(text("INSERT INTO pending VALUES ('192.0.2.9', 'auth', now(), now() - interval '1 min')"))


@pytest.fixture
def filled(engine: Engine, tmp_path: Path) -> Engine:
    """This test's database, with something of everything; two logs of this host are configured."""
    (tmp_path / "repzone.toml").write_text('host = "mx1"\nlogs = ["/var/log/mail.log", "/var/log/never.log"]\n')
    fill(engine)
    return engine


def test_programs_get_one_object_a_line_that_says_what_it_is(run: Run, filled: Engine) -> None:
    done = run("status", "-o", "json")
    assert done.code == 0, done.err
    version, database, fresh, never, silent, once, listings, pending, waits, *zones = done.objects
    assert (version["what"], type(version["compiled"])) == ("version", bool)
    assert (database["what"], database["private"]) == ("database", False)
    assert (fresh["host"], fresh["path"], fresh["lines"], fresh["silent"]) == ("mx1", "/var/log/mail.log", 42, False)
    assert 90 <= fresh["lag"] < 300
    assert (never["seen"], never["logged"], never["lag"], never["silent"]) == (None, None, None, True)
    assert (silent["host"], silent["lines"], silent["silent"], silent["quiet"]) == ("mx2", 0, True, False)
    assert (once["host"], once["silent"], once["once"]) == ("mx3", False, True)
    assert listings["active"] == {"spam": 2, "auth": 1}
    assert (listings["held"], listings["shadow"], listings["spared"], listings["hits"]) == ({}, {}, {}, 0)
    assert (pending["clients"], pending["what"]) == (1, "pending")
    assert waits == {"what": "waits", "open": 2}
    assert [(zone["apex"], zone["kind"], zone["serial"], zone["paused"]) for zone in zones] == [
        ("bl.example.net", "block", 0, None),
        ("wl.example.net", "allow", 0, None),
    ]


def test_people_see_which_log_is_silent_before_all_others(run: Run, filled: Engine) -> None:
    lines = run("status").out.splitlines()
    logs = [line.split() for line in lines if "/" in line and line.startswith("mx")]
    assert [(words[0], words[-1]) for words in logs] == [
        ("mx1", "silent"),
        ("mx2", "silent"),
        ("mx1", "42"),
        ("mx3", "once"),
    ]
    assert "never" in logs[0]
    assert logs[1][1] == "/var/log/[mail].log"
    assert re.search(r" 2 h \d+ min ago", " ".join(logs[1]))
    assert "3 active listings (spam 2, auth 1)." in lines
    assert "1 client to be decided, 2 greylisted letters waited for." in lines
    assert lines[-2:] == ["bl.example.net (block zone), serial 0.", "wl.example.net (allow zone), serial 0."]


def test_what_is_bad_is_said_with_the_way_out(tmp_path: Path, migrated_url: str, filled: Engine) -> None:
    execute(filled, "UPDATE listing SET state = 'held' WHERE key = '192.0.2.1'")
    execute(filled, "UPDATE pending SET due = date_trunc('second', now()) - interval '2 h'")
    with filled.begin() as connection:
        now = int(time.time())  # noqa: TID251
        set_paused(connection, ["bl.example.net"], True, now, None)
    run = runner(tmp_path, {"REPZONE_DATABASE_URL": migrated_url})
    done = run("status", FORCE_COLOR="1", TERM="xterm")
    assert done.code == 0
    red = re.findall("\x1b\\[1;31m(.*?)\x1b", done.out)
    assert red[-3:] == [
        "1 listing held (spam 1): more began at once than the policy allows.",
        "1 client to be decided, for 2 h already",
        f"paused since {format_instant(now)}: only test entries answer",
    ]
    assert "silent" in red
    assert "See `repzone held list`." in done.out
    assert "(`repzone zone resume bl.example.net`)" in done.out


def test_zones_that_cannot_be_read_are_said_and_hide_nothing_else(run: Run, filled: Engine, tmp_path: Path) -> None:
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "bl.toml").write_text("apex = 5")
    done = run("status", REPZONE_ZONES_DIR="zones")
    assert done.code == 0
    assert "The zones cannot be read: zones/bl.toml: " in done.out
    assert "3 active listings" in done.out
    assert run("status", "-o", "json", REPZONE_ZONES_DIR="zones").objects[-1]["what"] == "fault"


def test_no_name_of_a_log_is_obeyed(run: Run, filled: Engine) -> None:
    with filled.begin() as connection:
        store_state(connection, open_source(connection, WORDS, WORDS), {}, 1_790_000_000)
    for words in ((), ("-o", "json")):
        assert is_harmless(run("status", *words).out)


def test_where_nothing_was_read_yet_this_is_said(run: Run) -> None:
    done = run("status")
    assert done.code == 0
    assert "No log was ever read." in done.out
    assert "0 active listings." in done.out


def test_a_database_that_is_down_is_exit_code_3(run: Run) -> None:
    done = run("status", REPZONE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert (done.code, done.out) == (3, "")
    assert len(done.err.splitlines()) == 1


def test_a_log_whose_clock_is_ahead_is_said_wherever_it_is_looked_at(run: Run, tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    log.write_text(offences("192.0.2.7", 12, minutes=-310))
    newest = format_instant(int(datetime.fromisoformat(log.read_text().split()[0]).timestamp()))
    said = rf"a\.log: its newest line is 5 h \d+ min ahead \({newest}\), and counts for nothing before: is `timezone`"
    done = run("ingest", "a.log")
    assert re.search(said, done.err)
    assert done.out.splitlines()[1].endswith(" ahead")
    assert "Decided for 0 clients" in done.out
    run("ingest", "a.log")  # there is nothing new in it: its clock is ahead all the same
    row, told = (line for line in run("status").out.splitlines() if "a.log" in line)
    assert re.search(rf" {newest}  +ahead  +12\b", row)
    assert re.search(said, told)
    assert 18_500 < run("status", "-o", "json").objects[2]["ahead"] <= 18_600
    with log.open("a") as file:
        file.write(offences("192.0.2.7", 1))
    assert run("ingest", "a.log").err == ""
    assert "ahead" not in run("status").out


def test_where_a_terminal_is_narrow_columns_go_before_a_path_is_broken(run: Run, filled: Engine) -> None:
    wide, narrow = (run("status", COLUMNS=columns).out for columns in ("100", "60"))
    for path in ("/var/log/mail.log", "/var/log/never.log", "/var/log/[mail].log", "/tmp/once.log"):
        assert path in wide
        assert path in narrow
    assert ("newest line" in wide, "newest line" in narrow) == (True, False)
    assert max(map(len, narrow.splitlines()[3:9])) <= 60
