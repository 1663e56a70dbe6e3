"""`ingest` as an operator runs it: from cron, on a terminal, and as a service that follows."""

from __future__ import annotations

import gzip
import os
import signal
import time
from pathlib import Path

import pytest

from repzone.jobs.files import zstd
from tests.cli.conftest import Run
from tests.cli.test_commands import ago, offences
from tests.cli.test_serve import answers, process, serving, until


def test_each_source_is_one_line_with_how_far_behind_it_is(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(offences("192.0.2.7", 12, minutes=90) + "nul \0\n")
    (tmp_path / "b.log").touch()
    done = run("ingest", "a.log", "b.log")
    head, first, second = done.out.splitlines()[:3]
    assert head.split() == ["source", "lines", "errors", "spam", "virus", "auth", "hits", "skipped", "lag"]
    assert first.split() == [str(tmp_path / "a.log"), "13", "12", "0", "0", "0", "0", "1", "1", "h", "30", "min"]
    assert second.split() == [str(tmp_path / "b.log"), *("0" * 7)]
    assert done.err == ""


def test_programs_are_told_the_newest_stamp_and_the_lag_in_seconds(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text(offences("192.0.2.7", 1, minutes=2))
    source, _ = run("ingest", "a.log", "-o", "json").objects
    assert 120 <= source["lag"] < 180
    assert source["newest"] == (tmp_path / "a.log").read_text().split()[0]
    source, _ = run("ingest", "a.log", "-o", "json").objects
    assert (source["lag"], source["newest"]) == (None, None)


def test_a_stamp_that_no_calendar_has_is_not_the_newest(run: Run, tmp_path: Path) -> None:
    line = offences("192.0.2.7", 1)
    lines = offences("192.0.2.7", 12) + line.replace(line.split()[0], "9999-12-31T23:59:59-05:00")
    (tmp_path / "a.log").write_text(lines)
    source, decided = run("ingest", "a.log", "-o", "json").objects
    assert source["newest"] == lines.splitlines()[11].split()[0]
    assert decided["listings"] == {"errors": 1}


def test_a_source_that_cannot_be_read_keeps_no_other_back(run: Run, tmp_path: Path) -> None:
    (tmp_path / "b.log").write_text(offences("192.0.2.7", 12))
    done = run("ingest", "a.log", ".", "b.log", "-o", "json")
    assert done.code == 1
    assert "a.log: cannot be read: No such file or directory" in done.err
    assert "is no regular file" in done.err
    source, decided = done.objects
    assert (source["events"], decided["listings"]) == ({"errors": 12}, {"errors": 1})


def test_compressed_logs_are_read_as_they_are(run: Run, tmp_path: Path) -> None:
    (tmp_path / "old.zst").write_bytes(zstd.compress(offences("192.0.2.7", 12).encode()))
    assert run("ingest", "old.zst", "-o", "json").objects[0]["events"] == {"errors": 12}
    (tmp_path / "cut.zst").write_bytes((tmp_path / "old.zst").read_bytes()[:-5])
    done = run("ingest", "cut.zst", "-o", "json")
    assert (done.code, done.out) == (1, "")
    assert "cut.zst: is cut off or damaged" in done.err
    assert "cut off or damaged" in run("parse", "cut.zst").err


def test_to_follow_and_to_store_nothing_cannot_be_meant_together(run: Run) -> None:
    done = run("ingest", "--follow", "--dry-run", "a.log")
    assert (done.code, done.out) == (2, "")
    assert "--follow and --dry-run cannot be meant together" in done.err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_line_that_is_followed_is_an_answer_and_the_end_is_quiet(
    run: Run, migrated_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "follow").mkdir()
    log = tmp_path / "mail.log"
    with (
        serving(tmp_path, REPZONE_DATABASE_URL=migrated_url) as (_, address),
        process(tmp_path / "follow", "ingest", "--follow", str(log), REPZONE_DATABASE_URL=migrated_url) as follow,
    ):
        until(lambda: "follow.log_away" in (tmp_path / "follow" / "said").read_text())
        log.write_text(offences("192.0.2.7", 11))
        until(lambda: answers(address, "7.2.0.192.bl.example.net") == ("127.0.0.4",))
        with log.open("a") as file:
            file.write(f"{ago(0)} mx1 postfix/smtpd[9]: connect from unknown[192.0.2.9]\n")
        follow.send_signal(number)
        assert follow.wait(30) == 0
    (away, back) = (tmp_path / "follow" / "said").read_text().splitlines()
    assert "event=follow.log_away" in away
    assert "event=follow.goes_on" in back
    assert run("ingest", str(log), "-o", "json").objects[0]["lines"] in (0, 1)


def test_following_begins_when_the_database_is_there(tmp_path: Path, migrated_url: str) -> None:
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    said = tmp_path / "said"
    with process(tmp_path, "ingest", "--follow", "mail.log", REPZONE_DATABASE_URL=nowhere) as follow:
        until(lambda: "follow.database_away" in said.read_text())
        follow.send_signal(signal.SIGTERM)
        assert follow.wait(30) == 0
    assert "Traceback" not in said.read_text()


def test_input_of_another_format_is_said(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mails.jsonl").write_text('{"at": "2026-11-24T07:00:00Z"}\n')
    done = run("ingest", "mails.jsonl")
    assert "mails.jsonl: 1 of 1 lines are of no known form; is this a mail log, or should --format say" in done.err
    assert "1 line, 0 skipped, 1 of no known form." in run("parse", "mails.jsonl").err


@pytest.fixture
def rotated(tmp_path: Path) -> Path:
    """A log with three rotated files, as logrotate leaves them, one of them empty; none was ever read."""
    log = tmp_path / "mail.log"
    for days, name in ((0, "mail.log"), (1, "mail.log.1"), (2, "mail.log.2"), (3, "mail.log.3.gz")):
        text = offences("192.0.2.7", 12, minutes=days * 1440 + 5).encode() if name != "mail.log.2" else b""
        path = log.with_name(name)
        path.write_bytes(gzip.compress(text) if days == 3 else text)
        os.utime(path, (time.time() - days * 86400,) * 2)  # noqa: TID251
    return log


def test_the_first_reading_of_a_log_says_which_rotated_files_it_leaves_out_once(run: Run, rotated: Path) -> None:
    said = "mail.log: mail.log.3.gz, mail.log.1 beside it were not read: "
    assert said in run("ingest", "mail.log").err
    assert run("ingest", "mail.log").err == ""


@pytest.mark.parametrize(
    "words", [("mail.log.3.gz", "mail.log.1", "mail.log"), ("mail.log", "mail.log.1", "mail.log.3.gz")]
)
def test_rotated_files_that_are_read_in_one_command_with_the_log_are_left_out_by_nobody(
    run: Run, rotated: Path, words: tuple[str, ...]
) -> None:
    done = run("ingest", *words, "-o", "json")
    assert (done.err, done.objects[-1]["listings"], done.objects[-1]["ended"]) == ("", {"errors": 3}, 2)


def test_of_listings_that_an_old_log_gives_it_is_said_how_many_have_ended(run: Run, rotated: Path) -> None:
    done = run("ingest", "mail.log.1", "mail.log")
    assert "Decided for 1 client: 2 listings begin: errors 2 (1 of them ended already)." in done.out
