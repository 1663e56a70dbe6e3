"""What doctor finds in the database, on the disk and in Postfix's configuration."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from sqlalchemy import text

from repzone.config import Settings
from repzone.jobs import doctor
from repzone.jobs.doctor import Case, Check, Finding
from repzone.store.engine import Engine, database_clock
from tests.jobs.samples import ingestion

CASES = tomllib.loads((Path(__file__).parents[1] / "data" / "doctor" / "postfix.toml").read_text())["case"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_postfix_is_right_where_it_asks_after_it_has_permitted_its_own(case: dict[str, Any]) -> None:
    found = list(doctor.examine_postfix(case["values"], "bl.example.net"))
    assert [one.level for one in found] == case["levels"]
    assert case.get("said", "") in found[0].what
    for one in found:
        assert bool(one.mend) == (one.level == "wrong")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_what_mends_postfix_makes_it_right_and_keeps_all_that_was_there(case: dict[str, Any]) -> None:
    values = dict(case["values"])
    for _ in range(2):  # who asks in two lists has two to mend
        for one in doctor.examine_postfix(values, "bl.example.net"):
            if one.mend:
                name, _, value = shlex.split(one.mend)[2].partition(" = ")
                before, after = (set(re.split(r"[,\s]+", text)) for text in (values.get(name, ""), value))
                assert before - {""} <= after
                values[name] = value
    assert {one.level for one in doctor.examine_postfix(values, "bl.example.net")} == {"right"}


@pytest.mark.parametrize("end", ["permit", "reject_unauth_destination"])
def test_the_question_is_put_before_what_is_final(end: str) -> None:
    values = {"smtpd_recipient_restrictions": f"permit_mynetworks, check_policy_service inet:127.0.0.1:10023, {end}"}
    (one,) = doctor.examine_postfix(values, "bl.example.net")
    asks = "reject_rbl_client bl.example.net=127.0.0.[4;8;16;32;64]"
    wanted = f"{asks} {end}" if end == "permit" else f"{end} {asks}"
    assert f"permit_mynetworks check_policy_service inet:127.0.0.1:10023 {wanted}'" in one.mend


@pytest.mark.parametrize(
    ("service", "levels"),
    [
        ({"submission/inet/smtpd_sasl_auth_enable": "yes"}, ["wrong"]),
        ({"submission/inet/smtpd_sasl_auth_enable": "no"}, ["right"]),
        (
            {
                "submission/inet/smtpd_sasl_auth_enable": "yes",
                "submission/inet/smtpd_recipient_restrictions": "permit_sasl_authenticated, reject",
            },
            ["right"],
        ),
        (
            {
                "submission/inet/smtpd_sasl_auth_enable": "yes",
                "submission/inet/smtpd_client_restrictions": "",
                "smtps/inet/smtpd_recipient_restrictions": "",
            },
            ["wrong"],
        ),
    ],
    ids=["which asks too", "where nobody logs in", "with a list of its own", "with another list of its own"],
)
def test_users_who_log_in_at_a_service_are_permitted_before_it_asks(service: dict[str, str], levels: list[str]) -> None:
    values = {"smtpd_recipient_restrictions": "permit_mynetworks, reject_rbl_client bl.example.net", **service}
    found = list(doctor.examine_postfix(values, "bl.example.net"))
    assert [one.level for one in found] == levels
    assert all("permit_mynetworks permit_sasl_authenticated reject_rbl_client" in one.mend for one in found if one.mend)


POSTCONF = """#!/bin/sh
case "$*" in
"-x -P") echo "submission/inet/smtpd_sasl_auth_enable = yes"; exit {status};;
*) echo "smtpd_sasl_auth_enable = no"; echo "smtpd_client_restrictions = ";;
esac
"""


@pytest.mark.parametrize("status", [0, 1])
def test_what_master_cf_says_is_asked_for_where_postconf_can_tell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    program = tmp_path / "postconf"
    program.write_text(POSTCONF.format(status=status))
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    values = doctor.load_postfix()
    assert values is not None
    main = {"smtpd_sasl_auth_enable": "no", "smtpd_client_restrictions": ""}
    assert values == {**main, **({} if status else {"submission/inet/smtpd_sasl_auth_enable": "yes"})}


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
    do(engine, "UPDATE source SET logged = to_timestamp(:at)", at=at - 7200)
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
