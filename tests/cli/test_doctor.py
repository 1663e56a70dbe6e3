"""`repzone doctor` as an operator runs it: every finding with its way out, and the exit code."""

from __future__ import annotations

import socket
from pathlib import Path

import psycopg
import pytest

from repzone.cli import doctor as command
from repzone.jobs.doctor import Finding, Level
from repzone.serve import client, doctor
from tests.cli.conftest import Done, Run
from tests.cli.test_commands import ago, offences
from tests.cli.test_serve import serving


@pytest.fixture
def run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs commands in this process; the resolver is this machine's own, as one far away could be silent for long."""
    monkeypatch.setattr(doctor, "RESOLV_CONF", tmp_path / "resolv.conf")
    (tmp_path / "resolv.conf").touch()
    return run


def levels(done: Done) -> dict[str, str]:
    """Give the level of each check; the worst of several."""
    order = ["right", "warning", "wrong"]
    found: dict[str, str] = {}
    for one in done.objects:
        found[one["check"]] = max(one["level"], found.get(one["check"], "right"), key=order.index)
    return found


def test_a_server_that_answers_from_logs_that_are_read_is_well(run: Run, migrated_url: str, tmp_path: Path) -> None:
    (tmp_path / "repzone.toml").write_text('logs = ["mail.log"]\n')
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12, minutes=0))
    run("ingest")
    with serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (_, address):
        listen = f"{address[0]}:{address[1]}"
        done = run("doctor", "-o", "json", REPZONE_DNS_LISTEN=listen)
        found = levels(done)
        for check in ("policy", "zones", "database", "tables", "clock", "source", "brake", "port", "answers"):
            assert found[check] == "right", done.out
        assert (
            "right   answers: bl.example.net lists 127.0.0.2 and not 127.0.0.1"
            in run("doctor", REPZONE_DNS_LISTEN=listen).out
        )


def test_what_is_wrong_is_said_with_what_mends_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT", 0.1)  # nobody will answer
    (tmp_path / "repzone.toml").write_text('logs = ["mail.log"]\n')
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        done = run("doctor", "-o", "json", REPZONE_DNS_LISTEN=f"127.0.0.1:{taken.getsockname()[1]}")
    assert done.code == 1
    wrong = {one["check"]: one for one in done.objects if one["level"] == "wrong"}
    assert wrong.keys() >= {"port", "source"}
    assert "cannot listen on" in wrong["port"]["what"]
    assert all(one["mend"] for one in wrong.values())
    shown = run("doctor")
    assert "Something is wrong." in shown.out
    assert "→ " in shown.out


def test_a_database_that_does_not_answer_keeps_no_other_check_back(run: Run) -> None:
    done = run("doctor", "-o", "json", REPZONE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
    assert done.code == 1
    assert [one["check"] for one in done.objects if one["check"] == "database"] == ["database"]
    assert levels(done)["zones"] == "right"
    assert "port" in levels(done)


def test_a_faulty_zone_is_named_and_the_rest_examined(run: Run, tmp_path: Path) -> None:
    (tmp_path / "repzone.toml").write_text('zones_dir = "zones"\n')
    (tmp_path / "zones").mkdir()
    (tmp_path / "zones" / "bl.toml").write_text("apex = 1\n")
    done = run("doctor", "-o", "json")
    assert levels(done)["files"] == "wrong"
    assert levels(done)["tables"] == "right"
    assert done.code == 1


def test_a_paused_zone_is_a_warning_and_no_fault(run: Run, migrated_url: str, tmp_path: Path) -> None:

    (tmp_path / "repzone.toml").write_text('logs = ["mail.log"]\n')
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 1, minutes=0))
    run("ingest")
    with psycopg.connect(migrated_url, autocommit=True) as connection:
        connection.execute("INSERT INTO zone_pause VALUES ('bl.example.net', %s)", [ago(1)])
    assert levels(run("doctor", "-o", "json"))["pause"] == "warning"


@pytest.mark.parametrize(
    ("level", "said", "code"),
    [
        ("right", "All is well.", 0),
        ("warning", "Nothing is wrong, but read the warnings.", 0),
        ("wrong", "Something is wrong.", 1),
    ],
)
def test_the_last_line_is_of_the_worst_that_was_found(
    run: Run, monkeypatch: pytest.MonkeyPatch, level: Level, said: str, code: int
) -> None:
    monkeypatch.setattr(command, "CHECKS", (lambda case: iter([Finding("postfix", level, "asks")]),))
    done = run("doctor")
    assert (done.out.splitlines()[-1], done.code) == (said, code)
