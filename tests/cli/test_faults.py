"""What an operator gets wrong, and the one line that says what and where."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("chekc",), 2, "No such command 'chekc'"),
        (("check",), 2, "Missing argument 'IP...'"),
        (("check", "192.0.2.256"), 2, "'192.0.2.256' is no IPv4 or IPv6 address"),
        (("check", "192.0.2.0/24"), 2, "'192.0.2.0/24' is a network; give one address"),
        (("listings", "--categroy", "spam"), 2, "No such option"),
        (("listings", "--category", "phishing"), 2, "there is no 'phishing'; write errors or spam"),
        (("listings", "-o", "xml"), 2, "'xml' is not one of 'human', 'json'"),
        (("parse", "nothing.log"), 1, "nothing.log: cannot be read: No such file or directory"),
        (("ingest", "nothing.log"), 1, "nothing.log: cannot be read: No such file or directory"),
        (("ingest", "."), 1, "is no regular file"),
        (("ingest",), 1, "nothing to ingest: name a FILE, or set `logs` in the configuration"),
        (("stats", "--since", "yesterday"), 2, "Invalid value for --since: 'yesterday': write for example 30d"),
        (("ban", "192.0.2.7", "--reason", "x", "--for", "4"), 2, "Invalid value for --for: '4' is no duration"),
        (("check", "x" * 400), 2, f"Invalid value: '{'x' * 59}…' is no IPv4 or IPv6 address"),
        (("unban", "554 5.7.1 " * 40), 2, "5.7.1…' is no address or network; write 192.0.2.1 or 192.0.2.0/24"),
        (("unban", "--since", "2999-01-01"), 2, "Invalid value for --since: '2999-01-01' is not in the past"),
        (("policy", "simulate", "--since", "0d"), 2, "Invalid value for --since: '0d' is not in the past"),
        (("rebuild", "--since", "2999-01-01"), 2, "Invalid value for --since: '2999-01-01' is not in the past"),
        (("listings", "-c", "none.toml"), 78, "none.toml: cannot be read: No such file or directory"),
    ],
)
def test_a_mistake_on_the_command_line_is_one_clear_line(
    run: Run, words: tuple[str, ...], code: int, said: str
) -> None:
    done = run(*words)
    assert (done.code, done.out) == (code, "")
    assert said in done.err
    assert len(done.err.splitlines()) <= 2


def test_who_names_no_command_is_shown_those_that_there_are_and_no_more(run: Run) -> None:
    done = run("allow")
    assert (done.code, done.err) == (2, "")
    assert "Commands" in done.out


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("repzone.toml", "database = 'x'", "repzone.toml: line 1: database: there is no such key"),
        ("repzone.toml", "dns_listen = ['5300']", "repzone.toml: line 1: dns_listen: '5300' is no address and port"),
        ("repzone.toml", "dns_listen = []", "repzone.toml: line 1: dns_listen: at least 1 is needed"),
        ("repzone.toml", "dns_listen = 5300", "repzone.toml: line 1: dns_listen: a list is needed"),
        ("repzone.toml", "max_stale = 12", "repzone.toml: line 1: max_stale: 12 is no duration"),
        (
            "repzone.toml",
            "timezone = 'Europe/Pariss'",
            "repzone.toml: line 1: timezone: 'Europe/Pariss' is no time zone",
        ),
        (
            "repzone.toml",
            "own_networks = ['192.0.2.1/24']",
            "repzone.toml: line 1: own_networks: 192.0.2.1/24 has host bits set",
        ),
        ("repzone.toml", "logs = [", "repzone.toml: not valid TOML"),
        ("repzone.toml", "policy_file = 'no.toml'", "no.toml: cannot be read: No such file or directory"),
        (
            "policy.toml",
            "[categories.errors]\nthresold = 2",
            "policy.toml: line 2: categories.errors.thresold: there is no such key",
        ),
        ("zones/bl.toml", "apex = 'bl.example.net'", "bl.toml: nameservers: "),
    ],
)
def test_a_faulty_file_is_named_with_key_and_wanted_value(
    run: Run, tmp_path: Path, file: str, text: str, said: str
) -> None:
    (tmp_path / "zones").mkdir()
    if not file.startswith("repzone"):
        (tmp_path / "repzone.toml").write_text("policy_file = 'policy.toml'\nzones_dir = 'zones'\n")
        (tmp_path / "policy.toml").touch()
        (tmp_path / "zones" / "bl.toml").write_text("apex = 'bl.example.net'\nnameservers = ['ns.example.net']\n")
    (tmp_path / file).write_text(text)
    done = run("ingest", "-", text="")
    assert (done.code, done.out) == (78, "")
    assert said in done.err
    assert len(done.err.splitlines()) == 1


def test_a_database_url_of_another_kind_is_refused(run_bare: Run) -> None:
    done = run_bare("listings", REPZONE_DATABASE_URL="mysql://localhost/repzone")
    assert (done.code, done.out) == (78, "")
    assert 'database_url: write "embedded" or postgresql://' in done.err


def test_a_faulty_variable_is_named(run: Run) -> None:
    done = run("listings", REPZONE_DNS_LISTEN="everywhere")
    assert (done.code, done.out) == (78, "")
    assert done.err.startswith("repzone: $REPZONE_DNS_LISTEN: dns_listen: 'everywhere' is no address and port")


def test_a_database_that_is_down_is_one_line_and_exit_code_3(run: Run) -> None:
    for words in (("listings",), ("check", "192.0.2.1"), ("db", "status"), ("calculate",)):
        done = run(*words, REPZONE_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none")
        assert (done.code, done.out) == (3, "")
        assert "the database does not answer" in done.err
        assert len(done.err.splitlines()) == 1


def test_tables_that_are_not_made_are_said_with_the_command_that_makes_them(run: Run, database_url: str) -> None:
    done = run("listings", REPZONE_DATABASE_URL=database_url)
    assert done.code == 1
    assert "run `repzone db upgrade`" in done.err
    assert run("db", "upgrade", REPZONE_DATABASE_URL=database_url).code == 0
    assert run("listings", REPZONE_DATABASE_URL=database_url).code == 0


def test_without_any_configuration_the_way_to_one_is_said(run_bare: Run) -> None:
    done = run_bare("listings")
    assert done.code == 78
    assert "`repzone init` writes one" in done.err


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    log = tmp_path / "mail.log"
    log.write_text("Nov 24 07:00:00 mx1 postfix/smtpd[1]: lost connection after RCPT from x[192.0.2.7]\n")
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "repzone", "parse", str(log), "-o", "json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "repzone: standard output cannot be written: No space left on device\n",
    )


def test_a_closed_standard_output_is_no_fault(tmp_path: Path) -> None:
    command = f"exec {sys.executable} -m repzone version >&-"
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


LINE = "Nov 24 07:00:00 mx1 postfix/smtpd[1]: lost connection after RCPT from x[192.0.2.7]\n"


@pytest.mark.parametrize("form", ["human", "json"])
def test_a_reader_that_is_gone_is_no_fault(tmp_path: Path, form: str) -> None:
    (tmp_path / "mail.log").write_text(LINE * 2000)
    command = f"{sys.executable} -m repzone parse mail.log -o {form}; echo $? >&2"
    done = subprocess.run(
        ["sh", "-c", f"({command}) | head -c 1"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stderr == "0\n"


def test_what_a_terminal_cannot_show_is_escaped(tmp_path: Path) -> None:
    event = {"at": "2026-11-24T07:00:00Z", "client": "192.0.2.7", "reason": "timeout", "detail": "to \u2192 from"}
    (tmp_path / "events").write_text(f"{json.dumps(event)}\n")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for form in ("human", "json"):
        command = [sys.executable, "-m", "repzone", "parse", "--format", "jsonl", "events", "-o", form]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert (done.returncode, "to \\u2192 from" in done.stdout) == (0, True), done.stderr


@pytest.mark.parametrize("damage", ["[categories.errors]\nthresold = 2\n", None], ids=["a typo", "unreadable"])
def test_who_has_broken_the_policy_can_still_look_release_and_pause(
    run: Run, tmp_path: Path, damage: str | None
) -> None:
    (tmp_path / "repzone.toml").write_text('policy_file = "policy.toml"\n')
    policy = tmp_path / "policy.toml"
    policy.write_text("[categories.errors]\nthreshold = 7\n")
    assert run("calculate").code == 0
    if damage is None:
        policy.unlink()
    else:
        policy.write_text(damage)
    for words in (
        *(("ban", "192.0.2.1", "--because", "x"), ("check", "192.0.2.1"), ("explain", "192.0.2.1"), ("listings",)),
        *(("unban", "192.0.2.1"), ("allow", "add", "192.0.2.2", "--comment", "x"), ("held", "list")),
        *(("zone", "pause"), ("zone", "resume"), ("stats",)),
    ):
        done = run(*words)
        assert done.code == 0, done
        assert done.err.startswith("repzone: policy.toml: ")
        assert done.err.endswith("; the policy in force goes on\n")
    assert run("parse", "repzone.toml").code == 0
    for deciding in (("calculate",), ("ingest", "repzone.toml"), ("rebuild", "--since", "1d"), ("zone", "list")):
        assert run(*deciding).code == 78
