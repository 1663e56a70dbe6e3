"""The commands as an operator runs them: what they print, and how they end."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

from tests.cli.conftest import Run


def ago(minutes: int) -> str:
    """Give an instant some minutes ago; these tests play the operator's world, not repzone's."""
    moment = datetime.fromtimestamp(time.time(), UTC) - timedelta(minutes=minutes)  # noqa: TID251
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def offences(client: str, number: int, minutes: int = 5) -> str:
    """Give log lines of unknown recipients."""
    return "".join(
        f"{ago(minutes)} mx1 postfix/smtpd[99]: NOQUEUE: reject: RCPT from unknown[{client}]: 550 5.1.1 "
        f"<a{n}@example.net>: Recipient address rejected: User unknown in local recipient table; "
        f"from=<b@example.org> to=<a{n}@example.net> proto=ESMTP helo=<example.org>\n"
        for n in range(number)
    )


def test_version_says_its_number(run_bare: Run) -> None:
    assert run_bare("version").out.startswith("repzone 0.")
    assert run_bare("version", "-o", "json").objects[0]["version"]


def test_help_breaks_lines_where_the_terminal_does(run_bare: Run) -> None:
    for words in (("unban",), ("held", "release"), ("policy", "simulate")):
        lines = run_bare(*words, "--help", COLUMNS="60").out.splitlines()
        told = lines[: next(number for number, line in enumerate(lines) if "Example:" in line)]
        for before, after in pairwise(told):
            first, *_ = (*after.split(), "")
            assert not first or not before.strip() or len(f"{before.rstrip()} {first}") > 59, before


def test_parse_prints_one_object_an_offence_and_needs_no_database(run_bare: Run) -> None:
    line = offences("192.0.2.7", 1)
    (event,) = run_bare("parse", "-", "-o", "json", text=f"nonsense\n{line}").objects
    assert event["line"] == 2
    assert event["at"] == line.split()[0]
    assert (event["client"], event["category"], event["reason"]) == ("192.0.2.7", "errors", "unknown_recipient")
    assert (event["count"], event["component"]) == (1, "postfix/smtpd")
    assert set(event) == {"line", "at", "client", "category", "reason", "count", "component", "detail"}
    assert "192.0.2.7" in run_bare("parse", text=line).out


def test_ingest_stores_decides_and_says_both(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12) + offences("192.0.2.8", 3))
    source, decided = run("ingest", "mail.log", "-o", "json").objects
    assert (source["lines"], source["events"], source["hits"], source["skipped"]) == (15, {"errors": 15}, 0, 0)
    assert decided["listings"] == {"errors": 1}
    again = run("ingest", "mail.log")
    assert again.code == 0
    assert "Decided for 0 clients" in again.out


def test_check_knows_the_test_entries(run: Run) -> None:
    shown = run("check", "127.0.0.2", "127.0.0.4", "127.0.0.1")
    assert shown.out.splitlines() == [
        "127.0.0.2 is a test entry: always listed, to show that the zone answers.",
        "127.0.0.4 is a test entry: always listed, to show that the zone answers.",
        "127.0.0.1 is never listed: reserved address space.",
    ]
    assert run("check", "127.0.0.2", "-o", "json").objects[0]["listed"] is True


def test_check_says_the_same_for_people_and_programs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
    run("ingest", "mail.log")
    shown = run("check", "192.0.2.7", "192.0.2.8", "10.0.0.1")
    assert shown.code == 0
    assert "192.0.2.7 is listed for errors, the 1st time, until" in shown.out
    assert "left): unknown_recipient 12." in shown.out
    assert "192.0.2.8 is not listed." in shown.out
    assert "10.0.0.1 is never listed: reserved address space." in shown.out
    listed, free, reserved = run("check", "192.0.2.7", "192.0.2.8", "10.0.0.1", "-o", "json").objects
    assert (listed["listed"], free["listed"], reserved["exempt"]) == (True, False, "reserved address space")
    assert listed["listings"][0]["reasons"] == {"unknown_recipient": 12}


def test_own_networks_are_never_listed(run: Run, tmp_path: Path) -> None:
    (tmp_path / "repzone.toml").write_text('own_networks = ["192.0.2.0/24"]\n')
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
    assert run("ingest", "mail.log", "-o", "json").objects[1]["listings"] == {}
    assert "is never listed: exempt as 192.0.2.0/24 (own network)" in run("check", "192.0.2.7").out


def test_listings_shows_who_is_listed_now_and_with_all_who_ever_was(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_text(offences("192.0.2.9", 12, minutes=600) + offences("192.0.2.7", 12))
    run("ingest", "mail.log")
    (now,) = run("listings", "-o", "json").objects
    assert set(now) == {"client", "category", "offence", "began", "expires", "state", "reasons"}
    assert (now["client"], now["category"], now["offence"], now["state"]) == ("192.0.2.7", "errors", 1, "active")
    ever = run("listings", "--all", "-o", "json").objects
    assert {(one["client"], one["state"]) for one in ever} == {("192.0.2.7", "active"), ("192.0.2.9", "expired")}
    assert run("listings", "--category", "spam", "-o", "json").objects == []
    assert "Nobody is listed now." in run("listings", "--category", "spam").out
    assert "unknown_recipient 12" in run("listings").out


def test_calculate_decides_what_ingest_was_told_to_leave(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 12))
    run("ingest", "--no-calculate", "mail.log")
    assert run("listings", "-o", "json").objects == []
    assert run("calculate", "--dry-run", "-o", "json").objects == [
        {"clients": 1, "listings": {"errors": 1}, "ended": 0, "dry_run": True}
    ]
    assert "1 listing begins: errors 1." in run("calculate").out


def test_json_lines_are_ingested_and_faulty_ones_named_and_skipped(run: Run) -> None:
    good = f'{{"at": "{ago(3)}", "client": "192.0.2.66", "reason": "virus_found", "id": "1"}}'
    bad = good.replace("virus_found", "virus_fund")
    done = run("ingest", "-", "--format", "jsonl", "-o", "json", text=f"{good}\n{bad}\n{good}\n")
    assert done.code == 0
    assert (done.objects[0]["events"], done.objects[0]["skipped"]) == ({"virus": 1}, 1)
    assert "line 2: reason: there is no reason 'virus_fund'" in done.err


def test_the_private_database_is_made_by_init_and_used_by_all_others(run_bare: Run, tmp_path: Path) -> None:
    (tmp_path / "policy.toml").write_text("[categories.errors]\nthreshold = 2\n")
    first = run_bare("init", "-o", "json")
    assert first.code == 0, first.err
    written = {Path(name).relative_to(tmp_path).as_posix() for name in first.objects[0]["written"]}
    assert written == {"repzone.toml", "zones/bl.toml"}
    assert (tmp_path / "policy.toml").read_text().endswith("threshold = 2\n")
    assert run_bare("init", "-o", "json").objects[0]["written"] == []
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 2))
    assert run_bare("ingest", "mail.log", "-o", "json").objects[1]["listings"] == {"errors": 1}
    status = run_bare("db", "status", "-o", "json").objects[0]
    assert (status["private"], status["current"]) == (True, True)
    assert "The tables are up to date" in run_bare("db", "upgrade").out


def test_a_changed_policy_judges_only_what_happens_from_then_on(run: Run, tmp_path: Path) -> None:
    (tmp_path / "repzone.toml").write_text('policy_file = "policy.toml"\n')
    (tmp_path / "policy.toml").touch()
    (tmp_path / "mail.log").write_text(offences("192.0.2.7", 2))
    run("ingest", "mail.log")
    (tmp_path / "policy.toml").write_text("[categories.errors]\nthreshold = 2\n")
    (tmp_path / "other.log").write_text(offences("192.0.2.8", 2) + offences("192.0.2.9", 2, minutes=-1))
    assert run("ingest", "other.log", "-o", "json").objects[1]["listings"] == {"errors": 1}
    assert [one["client"] for one in run("listings", "-o", "json").objects] == ["192.0.2.9"]


def test_a_configuration_elsewhere_is_used_with_paths_relative_to_it(run_bare: Run, tmp_path: Path) -> None:
    folder = tmp_path / "etc" / "repzone"
    assert run_bare("init", "--config", "etc/repzone/repzone.toml").code == 0
    assert (folder / "state").is_dir()
    assert run_bare("listings", "-c", "etc/repzone/repzone.toml").out == "Nobody is listed now.\n"
