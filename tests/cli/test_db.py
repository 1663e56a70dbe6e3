"""`repzone db`: pruning, saving and bringing back, the shell, and holding the private PostgreSQL for systemd."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path

import psycopg
import pytest

from repzone import shipped
from repzone.errors import RepzoneError
from repzone.store import client
from repzone.store.embedded import running, status
from repzone.store.engine import connect
from repzone.store.migrate import upgrade
from tests.cli.conftest import COMMAND, Run
from tests.cli.test_commands import offences
from tests.cli.test_serve import process, until
from tests.fix_db import missing

OLD = 40 * 24 * 60
"""Minutes: older than events are kept."""


def test_prune_says_what_is_old_and_what_it_dropped(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text(offences("192.0.2.7", 12, minutes=OLD))
    run("ingest", "old.log", "--no-calculate")
    (kept,) = run("db", "prune", "-o", "json").objects
    assert (kept["days"], len(kept["needed"])) == ([], 1)
    assert "Kept 1 old day: clients wait for a decision" in run("db", "prune").out
    run("calculate")  # which prunes no more today
    assert "Would drop 1 day of events" in run("db", "prune", "--dry-run").out
    (dropped,) = run("db", "prune", "-o", "json").objects
    assert (len(dropped["days"]), dropped["left"], dropped["busy"], dropped["dry_run"]) == (1, [], False, False)
    assert "Dropped 0 days of events; rows of tables: none." in run("db", "prune").out
    assert [one["state"] for one in run("listings", "--all", "-o", "json").objects] == ["expired"]


def test_ingest_and_calculate_prune_once_a_day_by_themselves(run: Run, migrated_url: str, tmp_path: Path) -> None:
    (tmp_path / "old.log").write_text(offences("192.0.2.7", 12, minutes=OLD))
    run("ingest", "old.log")
    with psycopg.connect(migrated_url, autocommit=True) as connection:

        def events() -> object:
            return connection.execute("SELECT count(*) FROM event").fetchone()

        assert events() == (12,), "on the first day it is still to be seen"
        assert connection.execute("SELECT state::text FROM listing").fetchall() == [("expired",)]
        connection.execute("UPDATE sweep SET pruned = pruned - interval '1 day'")
        run("calculate", "--dry-run")
        assert events() == (12,)
        run("calculate")
        assert events() == (0,)
        (tmp_path / "more.log").write_text(offences("192.0.2.8", 12, minutes=OLD))
        run("ingest", "more.log")
        assert events() == (12,), "once a day"
        connection.execute("UPDATE sweep SET pruned = pruned - interval '1 day'")
        run("ingest", "more.log")
        assert events() == (0,)


def test_what_was_saved_is_there_again_after_a_restore(run_bare: Run, tmp_path: Path) -> None:
    with running(tmp_path / "state", durable=False) as url:  # else each command starts and stops it
        run_bare("init")
        (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
        run_bare("ingest", "mail.log")
        before = run_bare("listings", "-o", "json").objects
        assert "Saved to saved.dump" in run_bare("db", "dump", "saved.dump").out
        assert (tmp_path / "saved.dump").stat().st_mode & 0o077 == 0
        run_bare("db", "shell", "--", "-c", "TRUNCATE listing CASCADE")
        assert run_bare("listings", "-o", "json").objects == []
        refused = run_bare("db", "restore", "saved.dump")
        assert refused.code == 1
        assert "not empty" in refused.err
        assert "--yes" in refused.err
        done = run_bare("db", "restore", "saved.dump", "--yes")
        assert done.code == 0, done.err
        assert "the tables are at revision" in done.out
        assert run_bare("listings", "-o", "json").objects == before
        may_read = "SELECT has_column_privilege('repzone_web', 'listing', 'key', 'SELECT')"
        with psycopg.connect(url) as connection:
            assert connection.execute(may_read).fetchone() == (True,), "the page's role"
        (tmp_path / "saved.dump").write_bytes((tmp_path / "saved.dump").read_bytes()[:20_000])
        assert run_bare("db", "restore", "saved.dump", "--yes").code == 1
        assert run_bare("listings", "-o", "json").objects == before
        assert run_bare("db", "dump", "again.dump").code == 0
        assert run_bare("db", "restore", "again.dump", "--yes").code == 0
        assert run_bare("listings", "-o", "json").objects == before
        assert sorted(path.name for path in tmp_path.glob(".*")) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_restore_that_is_ended_leaves_what_was_there(
    run_process: Run, migrated_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    run_process("ban", "192.0.2.1", "--because", "x")
    run_process("db", "dump", "saved.dump")
    with psycopg.connect(migrated_url) as connection:
        real = client.find_program("pg_restore", None, connection.info.server_version // 10000)
    slow = tmp_path / "bin" / "pg_restore"
    slow.parent.mkdir()
    slow.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exec {real} --version\ntouch begun\nexec sleep 600\n')
    slow.chmod(0o755)
    variables = {"REPZONE_DATABASE_URL": migrated_url, "REPZONE_POSTGRES_BIN_DIR": str(slow.parent)}
    with process(tmp_path, "db", "restore", "saved.dump", "--yes", **variables) as restoring:
        until((tmp_path / "begun").exists)
        restoring.send_signal(number)
        assert restoring.wait(60) == 130
    assert [one["client"] for one in run_process("listings", "-o", "json").objects] == ["192.0.2.1"]
    assert run_process("db", "restore", "saved.dump", "--yes").code == 0


@pytest.mark.parametrize("words", [("db", "upgrade"), ("db", "restore", "saved.dump", "--yes")], ids=" ".join)
def test_what_a_killed_restore_put_aside_comes_back(run: Run, migrated_url: str, words: tuple[str, ...]) -> None:
    run("ban", "192.0.2.1", "--because", "x")
    run("db", "dump", "saved.dump")
    with psycopg.connect(migrated_url) as connection:
        connection.execute(f"ALTER SCHEMA public RENAME TO {client.ASIDE}")
        connection.execute("CREATE SCHEMA public")
    assert run(*words).code == 0
    assert [one["client"] for one in run("listings", "-o", "json").objects] == ["192.0.2.1"]
    with psycopg.connect(migrated_url) as connection:
        connection.execute(f"CREATE SCHEMA {client.ASIDE}")
    refused = run(*words)
    assert refused.code == 1
    assert f"a restore was killed: the schema public has tables, and {client.ASIDE} those from" in refused.err
    with psycopg.connect(migrated_url) as connection:
        connection.execute(f"DROP SCHEMA {client.ASIDE}")


def test_an_empty_database_takes_a_dump_without_more_ado(run_process: Run, run_bare: Run, tmp_path: Path) -> None:
    run_process("db", "dump", "saved.dump")
    with running(tmp_path / "state", durable=False):
        done = run_bare("db", "restore", "saved.dump", REPZONE_STATE_DIR="state")
        assert done.code == 0, done.err
        assert run_bare("db", "status", "-o", "json", REPZONE_STATE_DIR="state").objects[0]["current"]


def test_a_database_that_others_use_is_not_replaced(run_process: Run, migrated_url: str, tmp_path: Path) -> None:
    assert run_process("db", "dump", "saved.dump").code == 0
    with psycopg.connect(migrated_url):
        done = run_process("db", "restore", "saved.dump", "--yes")
    assert done.code == 1
    assert "1 others use the database" in done.err


def test_a_dump_that_cannot_be_read_or_written_is_said_in_one_line(run_process: Run, tmp_path: Path) -> None:
    assert "there is no such file" in run_process("db", "restore", "none.dump").err
    assert "cannot be written" in run_process("db", "dump", "none/saved.dump").err
    assert (
        run_process("db", "dump", "/dev/zero").err
        == "repzone: /dev/zero: is no regular file, and is not replaced by one\n"
    )
    assert Path("/dev/zero").is_char_device()
    (tmp_path / "mail.log").touch()
    done = run_process("db", "restore", "mail.log", "--yes")
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert run_process("db", "status", "-o", "json").objects[0]["current"]


def test_the_shell_passes_on_what_psql_is_told_and_how_it_ended(run_process: Run) -> None:
    done = run_process("db", "shell", "--", "-Atc", "SELECT serial FROM change_serial")
    assert (done.code, done.out) == (0, "0\n")
    assert run_process("db", "shell", "--", "-c", "SELECT none").code == 1
    assert run_process("db", "shell", text="\\echo here\n").out == "here\n"


def test_a_password_stands_on_no_command_line(migrated_url: str) -> None:
    engine = connect(migrated_url.replace("//repzone@", "//repzone:se%20c'ret@"))
    try:
        command, environment = client._command(engine, None, "psql")
        assert "ret" not in command[1]
        assert environment["PGPASSWORD"] == "se c'ret"
    finally:
        engine.dispose()


def test_a_missing_program_is_said_with_the_package_that_has_it(tmp_path: Path) -> None:
    with pytest.raises(RepzoneError, match=r"no pg_dump of the server's version 14: apt-get .* postgresql-client-14"):
        client.find_program("pg_dump", None, 14)
    with pytest.raises(RepzoneError, match=f"{tmp_path} has no psql of the server's version 18"):
        client.find_program("psql", tmp_path, 18)


@pytest.mark.mta
def test_each_version_is_saved_by_its_own_programs(postgres15_url: str, tmp_path: Path) -> None:
    if not Path("/usr/lib/postgresql/15/bin/pg_dump").exists():
        missing("pg_dump 15", "postgresql-client-15")
    engine = connect(postgres15_url)
    upgrade(engine, shipped.folder("migrations"))
    try:
        client.dump(engine, None, tmp_path / "saved.dump")
    finally:
        engine.dispose()
    assert (tmp_path / "saved.dump").read_bytes().startswith(b"PGDMP")


def test_the_private_server_is_held_until_told_and_told_to_systemd(run_bare: Run, tmp_path: Path) -> None:
    run_bare("init")
    state = tmp_path / "state"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(60)
        with process(tmp_path, "db", "run", NOTIFY_SOCKET=str(tmp_path / "notify")) as holder:
            assert systemd.recv(100) == b"READY=1"
            pid = status(state).pid
            assert pid is not None
            assert run_bare("db", "status").code == 0
            assert status(state).pid == pid
            os.kill(pid, signal.SIGKILL)
            until(lambda: status(state).running and status(state).pid != pid)
            holder.send_signal(signal.SIGTERM)
            assert holder.wait(30) == 0
            assert systemd.recv(100) == b"STOPPING=1"
    assert not status(state).running


def test_a_server_of_ones_own_is_not_ours_to_run(run_process: Run) -> None:
    done = run_process("db", "run")
    assert (done.code, "there is no private PostgreSQL to run" in done.err) == (1, True)


def test_a_dump_goes_to_standard_output_too(run_process: Run, tmp_path: Path, migrated_url: str) -> None:
    command = [str(COMMAND), "db", "dump", "-"]
    environment = {**os.environ, "REPZONE_DATABASE_URL": migrated_url}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, timeout=60)
    assert done.stdout.startswith(b"PGDMP")
