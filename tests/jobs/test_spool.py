"""A spool of mails: each is taken exactly once, whatever it is called, however often and by whom it is read."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from repzone.errors import RepzoneError
from repzone.jobs import batch
from repzone.jobs.mails import digest, read_mails
from repzone.jobs.spool import Spool
from repzone.logs import arf
from repzone.logs.mail import LARGEST, MailError
from repzone.model import Event
from repzone.policy.rules import SHIPPED
from repzone.store.engine import Engine
from repzone.store.policies import load_policy

NOW = 1_795_503_600  # 2026-11-24T07:00:00Z


def taker(engine: Engine, *, version: str = "", dry_run: bool = False, now: int = NOW) -> Spool:
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
    return Spool(engine, lambda: now, "mx1", arf.parse, version, dry_run, wait=1)


def report(number: int = 1, kind: str = "abuse") -> bytes:
    """Give a report of 192.0.2.NUMBER."""
    return (
        "Date: Tue, 24 Nov 2026 07:00:00 +0100\nContent-Type: message/feedback-report\n\n"
        f"Feedback-Type: {kind}\nSource-IP: 192.0.2.{number}\n"
    ).encode()


def stored(engine: Engine) -> list[tuple[str, str]]:
    with engine.connect() as connection:
        return [
            tuple(row)
            for row in connection.execute(
                text("SELECT host(coalesce(client, key)), reason::text FROM event ORDER BY 1")
            )
        ]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spool with three mails: two reports, and one of them under another name."""
    for name, number in (("a", 1), ("b", 2), ("c", 1)):
        (tmp_path / name).write_bytes(report(number))
    return tmp_path


TWO = [("192.0.2.1", "abuse_report"), ("192.0.2.2", "abuse_report")]


def test_each_mail_of_a_folder_is_stored_once(engine: Engine, folder: Path) -> None:
    outcome = taker(engine).run_file(folder)
    assert (outcome.lines, outcome.events, outcome.skipped) == (3, {"spam": 2}, 0)
    (folder / "b").rename(folder / "d")
    (folder / "e").write_bytes(report(2))
    assert taker(engine).run_file(folder).events == {}
    assert stored(engine) == TWO
    assert sorted(path.name for path in folder.iterdir()) == ["a", "c", "d", "e"]


def test_a_maildir_is_read_in_new_and_cur_and_a_mail_that_moves_is_the_same(engine: Engine, tmp_path: Path) -> None:
    for name in ("new", "cur", "tmp"):
        (tmp_path / name).mkdir()
    (tmp_path / "tmp" / "1.x.mx1").write_bytes(report(9))
    (tmp_path / "cur" / "2.x.mx1:2,S").write_bytes(report(2))
    (tmp_path / "new" / "3.x.mx1").write_bytes(report(1))
    (tmp_path / "dovecot-uidlist").write_bytes(b"3 V1 N2")
    assert taker(engine).run_file(tmp_path).events == {"spam": 2}
    moved = tmp_path / "cur" / "3.x.mx1:2,"
    (tmp_path / "new" / "3.x.mx1").rename(moved)
    assert taker(engine).run_file(tmp_path).events == {}
    assert taker(engine).run_file(moved).events == {}
    assert stored(engine) == TWO


def test_a_folder_of_a_maildir_stands_for_all_of_it(engine: Engine, tmp_path: Path) -> None:
    for name, number in (("new", 1), ("cur", 2)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(report(number))
    assert taker(engine, now=NOW + 10**9).run_file(tmp_path / "new").events == {"spam": 2}


def test_temporary_and_hidden_files_and_folders_are_left(engine: Engine, folder: Path) -> None:
    (folder / ".hidden").write_bytes(report(9))
    (folder / "sub").mkdir()
    (folder / "sub" / "x").write_bytes(report(8))
    assert taker(engine).run_file(folder).lines == 3


def test_what_has_not_changed_is_not_read_again(engine: Engine, folder: Path) -> None:
    later = NOW + 10**9  # as if the files had been there for long
    assert taker(engine, now=later).run_file(folder).lines == 3
    assert taker(engine, now=later).run_file(folder).lines == 0
    assert taker(engine, now=later, version="another").run_file(folder).lines == 3
    assert stored(engine) == TWO


def test_a_file_and_standard_input_hold_one_mail(engine: Engine, folder: Path) -> None:
    assert taker(engine).run_file(folder / "a").events == {"spam": 1}
    assert taker(engine).run_file(folder).events == {"spam": 1}
    for _ in range(2):
        outcome = taker(engine).run_stream(io.BytesIO(report(7)))
        assert (outcome.source, outcome.lines) == ("-", 1)
    assert stored(engine) == [*TWO, ("192.0.2.7", "abuse_report")]


class Pipe(io.BytesIO):
    """Gives what is there: little, however much is asked for."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(7)


def test_standard_input_may_come_in_pieces(engine: Engine) -> None:
    assert taker(engine).run_stream(Pipe(report(7))).events == {"spam": 1}


def test_faulty_mails_are_counted_and_named_and_the_others_are_taken(engine: Engine, folder: Path) -> None:
    (folder / "aa").write_bytes(b"Subject: hello\n\nno report\n")
    (folder / "ab").symlink_to(folder / "a")
    os.mkfifo(folder / "ac")
    with (folder / "ad").open("wb") as file:
        file.truncate(LARGEST + 5)
    outcome = taker(engine).run_file(folder)
    assert (outcome.lines, outcome.events, outcome.skipped) == (7, {"spam": 2}, 4)
    assert outcome.faults == [
        "aa: has no message/feedback-report part (RFC 5965) and no X-ARF report",
        "ab: cannot be read: Too many levels of symbolic links",
        "ac: cannot be read: is no regular file",
        "ad: is larger than 10 MiB",
    ]


def test_many_faults_are_told_in_a_few_lines(engine: Engine, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}").write_bytes(b"x")
    outcome = taker(engine).run_file(tmp_path)
    assert (outcome.skipped, len(outcome.faults), outcome.faults[-1]) == (12, 6, "and 7 more")


def test_reports_of_no_offence_are_neither_events_nor_faults(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(report(1, "not-spam"))
    outcome = taker(engine).run_file(tmp_path)
    assert (outcome.lines, outcome.events, outcome.skipped) == (1, {}, 0)


def test_a_run_that_dies_is_made_up_for_by_the_next(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1, 8):
        (tmp_path / f"{number}").write_bytes(report(number))
    monkeypatch.setattr(batch, "EVENTS", 2)
    calls = 0

    def die(*arguments: object) -> object:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return batch.store(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("repzone.jobs.spool.store", die)
    with pytest.raises(KeyboardInterrupt):
        taker(engine, now=NOW + 10**9).run_file(tmp_path)
    assert len(stored(engine)) == 4
    assert taker(engine, now=NOW + 10**9).run_file(tmp_path).events == {"spam": 3}
    assert len(stored(engine)) == 7


def test_a_second_reader_waits_and_then_leaves_the_folder(engine: Engine, folder: Path) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def hold(mail: bytes) -> Event | None:
        inside.set()
        go_on.wait(20)
        raise MailError("held")

    slow = Spool(engine, lambda: NOW, "mx1", hold)
    thread = threading.Thread(target=slow.run_file, args=(folder,))
    thread.start()
    assert inside.wait(20)
    try:
        assert taker(engine).run_file(folder).busy
    finally:
        go_on.set()
        thread.join(20)


def test_a_dry_run_counts_and_stores_nothing(engine: Engine, folder: Path) -> None:
    assert taker(engine, dry_run=True).run_file(folder).events == {"spam": 3}
    assert stored(engine) == []
    assert taker(engine).run_file(folder).events == {"spam": 2}


def test_what_is_not_there_is_said(engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(RepzoneError, match="cannot be read: No such file or directory"):
        taker(engine).run_file(tmp_path / "none")


def test_a_mail_that_is_taken_away_meanwhile_is_no_fault(folder: Path) -> None:
    mails = read_mails(folder)
    assert next(mails)[0] == "a"
    (folder / "b").unlink()
    assert [name for name, _ in mails] == ["c"]


def test_the_digest_names_the_octets() -> None:
    assert digest(b"a") != digest(b"b")
    assert len(digest(b"")) == 32
