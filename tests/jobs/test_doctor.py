"""What doctor finds in the configuration, the database and on the disk."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from repzone.config import Settings
from repzone.jobs import doctor
from repzone.jobs.doctor import Case, Check, Finding
from repzone.store.engine import Engine, database_clock
from tests.jobs.samples import ingestion


def found(check: Check, engine: Engine | None, now: int, **settings: Any) -> list[Finding]:
    return list(check(Case(Settings(**settings), [], engine, lambda: now)))


def levels(check: Check, engine: Engine | None, now: int, **settings: Any) -> list[str]:
    return [one.level for one in found(check, engine, now, **settings)]


def now(engine: Engine) -> int:
    with engine.connect() as connection:
        return database_clock(connection)


def do(engine: Engine, *statements: str, at: int = 0) -> None:
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), {"at": at})


def test_tables_of_another_revision_are_said_with_the_command_that_brings_them_up(engine: Engine) -> None:
    assert levels(doctor.check_tables, engine, 0) == ["right", "right"]
    do(engine, "UPDATE alembic_version SET version_num = '0001'")
    server, tables = found(doctor.check_tables, engine, 0)
    assert (server.level, tables.level, tables.mend) == ("right", "wrong", "repzone db upgrade")
    assert found(doctor.check_sources, engine, 0, logs=("/var/log/mail.log",)) == []


def test_a_clock_that_is_off_is_warned_of(engine: Engine) -> None:
    assert levels(doctor.check_clock, engine, now(engine)) == ["right"]
    for off in (-5, 5):
        (clock,) = found(doctor.check_clock, engine, now(engine) + off)
        assert (clock.level, clock.mend) == ("warning", "timedatectl set-ntp true")


def test_a_log_is_right_while_it_is_read_and_written_to(engine: Engine, tmp_path: Path) -> None:
    at, log = now(engine), tmp_path / "mail.log"
    given = {"logs": (str(log),), "host": "mx1"}
    (missing,) = found(doctor.check_sources, engine, at, **given)
    assert (missing.level, "does not exist" in missing.what) == ("wrong", True)
    log.touch()
    (unread,) = found(doctor.check_sources, engine, at, **given)
    assert (unread.level, "was never read" in unread.what) == ("wrong", True)
    ingestion(engine).run_file(log)
    do(engine, "UPDATE source SET seen = to_timestamp(:at), logged = to_timestamp(:at)", at=at)
    assert levels(doctor.check_sources, engine, at, **given) == ["right"]
    do(engine, "UPDATE source SET state = jsonb_set(state, '{newest}', to_jsonb(:at))", at=at + 18_000)
    (ahead,) = found(doctor.check_sources, engine, at, **given)
    assert (ahead.level, "its newest line is 5 h" in ahead.what) == ("warning", True)
    do(engine, "UPDATE source SET state = state - 'newest', logged = to_timestamp(:at)", at=at - 7200)
    assert levels(doctor.check_sources, engine, at, **given) == ["warning"]
    (silent,) = found(doctor.check_sources, engine, at + 3600, **given)
    assert (silent.level, silent.mend.startswith(f"repzone ingest {log}")) == ("wrong", True)


def test_a_holding_brake_is_wrong_and_a_paused_zone_a_warning(engine: Engine) -> None:
    at = now(engine)
    assert levels(doctor.check_brake, engine, at) == ["right"]
    assert levels(doctor.check_pauses, engine, at) == []
    do(
        engine,
        """INSERT INTO listing (key, category, offence, began, expires, state, created)
        VALUES ('192.0.2.7', 'spam', 1, to_timestamp(:at), to_timestamp(:at + 60), 'held', to_timestamp(:at))""",
        "INSERT INTO zone_pause VALUES ('bl.example.net', to_timestamp(:at))",
        at=at,
    )
    (brake,) = found(doctor.check_brake, engine, at)
    assert (brake.level, brake.mend) == ("wrong", "repzone held list")
    (pause,) = found(doctor.check_pauses, engine, at)
    assert (pause.level, pause.mend) == ("warning", "repzone zone resume bl.example.net")


def test_a_page_that_names_nobody_to_write_to_is_warned_of() -> None:
    assert levels(doctor.check_contact, None, 0) == ["warning"]
    assert levels(doctor.check_contact, None, 0, web_listen=()) == []  # no page
    assert levels(doctor.check_contact, None, 0, operator={"contact": "postmaster@example.net"}) == []


def test_without_a_database_what_needs_it_says_nothing() -> None:
    for check in (
        doctor.check_tables,
        doctor.check_clock,
        doctor.check_sources,
        doctor.check_brake,
        doctor.check_pauses,
    ):
        assert found(check, None, 0, logs=("/var/log/mail.log",)) == []


class Usage(NamedTuple):
    """What shutil.disk_usage gives."""

    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("total", "free", "level"),
    [(10**12, 10**9, "right"), (10**12, 4 * 10**8, "wrong"), (10**9, 10**8, "right"), (10**9, 10**7, "wrong")],
)
def test_there_must_be_room_where_the_private_database_lies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, total: int, free: int, level: str
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(total, total - free, free))
    assert levels(doctor.check_room, None, 0, state_dir=tmp_path) == [level]
    assert levels(doctor.check_room, None, 0, state_dir=tmp_path, database_url="postgresql://db/repzone") == []


@pytest.mark.parametrize(("compiled", "level"), [(True, "right"), (False, "warning")])
def test_a_missing_compiled_core_is_warned_of(monkeypatch: pytest.MonkeyPatch, compiled: bool, level: str) -> None:
    monkeypatch.setattr(doctor, "COMPILED", compiled)
    assert levels(doctor.check_core, None, 0) == [level]
