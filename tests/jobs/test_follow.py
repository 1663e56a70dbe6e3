"""Following logs: what is written is stored at once, and neither rotation nor an outage loses or doubles it."""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from io import FileIO
from itertools import pairwise
from pathlib import Path

import pytest
import sqlalchemy as sa
from structlog.testing import capture_logs

from repzone.errors import ConfigError, UnavailableError
from repzone.jobs import batch, files
from repzone.jobs.follow import Following
from repzone.jobs.watch import Stop
from repzone.store.engine import Engine, connect
from tests.jobs.samples import NOW, ingestion, listings, reject, stored

FULL = """
CREATE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql
AS $$BEGIN RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END$$;
CREATE TRIGGER full_disk BEFORE INSERT ON event FOR EACH ROW EXECUTE FUNCTION full_disk();
"""


def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def write(path: Path, *lines: str) -> None:
    with path.open("a") as file:
        file.write("".join(lines))


def events(engine: Engine) -> int:
    return sum(stored(engine).values())


def until_events(engine: Engine, number: int) -> None:
    until(lambda: events(engine) >= number)
    assert events(engine) == number


def do(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)


def end_sessions(engine: Engine, which: str = "true") -> None:
    """End the database's sessions, as its restart would."""
    query = f"pid <> pg_backend_pid() AND datname = current_database() AND {which}"
    do(engine, f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {query}")  # noqa: S608


@contextmanager
def running(*jobs: Callable[[], None], stop: Stop) -> Iterator[None]:
    """Run jobs in threads, until told to stop."""
    threads = [threading.Thread(target=job) for job in jobs]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def following(engine: Engine, **more: object) -> Following:
    job = replace(ingestion(engine), engine=engine)
    return Following(job, Stop(), time.monotonic, **more)  # type: ignore[arg-type]


@contextmanager
def followed(engine: Engine, *paths: Path, **more: object) -> Iterator[None]:
    """Follow logs."""
    follow = following(engine, **more)
    with running(*(partial(follow.run_file, path) for path in paths), stop=follow.stop):
        yield


@pytest.fixture
def other(migrated_url: str) -> Iterator[Engine]:
    """Connections of our own, which no test ends."""
    engine = connect(migrated_url)
    yield engine
    engine.dispose()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "mail.log"
    path.touch()
    return path


def test_what_is_written_is_stored_and_decided(engine: Engine, log: Path) -> None:
    with followed(engine, log):
        for number in range(12):
            write(log, reject(NOW + number))
            until_events(engine, number + 1)
        until(lambda: len(listings(engine)) == 1)


def test_nothing_is_decided_when_that_is_left_to_others(engine: Engine, log: Path) -> None:
    with followed(engine, log, deciding=False):
        write(log, *(reject(NOW + number) for number in range(12)))
        until_events(engine, 12)
    assert listings(engine) == []


def test_several_logs_are_followed_at_once_and_some_do_not_exist_yet(engine: Engine, tmp_path: Path) -> None:
    paths = [tmp_path / "a.log", tmp_path / "b.log", tmp_path / "later" / "c.log"]
    write(paths[0], reject(NOW))
    with capture_logs() as said, followed(engine, *paths):
        until_events(engine, 1)
        write(paths[1], reject(NOW))
        until_events(engine, 2)
        paths[2].parent.mkdir()
        write(paths[2], reject(NOW))
        until_events(engine, 3)
    away = [entry["source"] for entry in said if entry["event"] == "follow.log_away"]
    assert sorted(away) == [str(path) for path in paths[1:]]


@pytest.mark.parametrize("kind", ["rename", "copytruncate", "remove"])
def test_a_log_is_followed_through_its_rotation(engine: Engine, log: Path, kind: str) -> None:
    with followed(engine, log):
        for number in range(3):
            write(log, reject(NOW + number) * 2, reject(NOW)[:50])
            until_events(engine, 2 + 4 * number)
            if kind == "copytruncate":
                shutil.copyfile(log, log.with_name(f"mail.log.{number}"))
                os.truncate(log, 0)
            else:
                old = log.rename(log.with_name(f"mail.log.{number}"))
                log.touch()
                write(old, reject(NOW)[50:])  # by a writer that does not know yet
                if kind == "remove":
                    until_events(engine, 3 + 4 * number)
                    old.unlink()
            write(log, reject(NOW + 100 + number) * (2 if kind == "copytruncate" else 1))
            until_events(engine, 4 + 4 * number)
    assert events(engine) == 12


def test_a_log_that_is_emptied_is_followed_on(engine: Engine, log: Path) -> None:
    with followed(engine, log):
        for number in range(1, 4):
            write(log, reject(NOW + number))
            until_events(engine, number)
            os.truncate(log, 0)


@pytest.mark.parametrize("what", ["fifo", "folder", "dangling link"])
def test_what_is_put_in_the_place_of_a_log_is_waited_out(engine: Engine, log: Path, what: str) -> None:
    with capture_logs() as said, followed(engine, log):
        write(log, reject(NOW))
        until_events(engine, 1)
        old = log.rename(log.with_name("mail.log.1"))
        match what:
            case "fifo":
                os.mkfifo(log)
            case "folder":
                log.mkdir()
            case "dangling link":
                log.symlink_to("nowhere")
        until(lambda: "follow.log_away" in [entry["event"] for entry in said])
        write(old, reject(NOW))
        if what == "folder":
            log.rmdir()
        else:
            log.unlink()
        write(log, reject(NOW + 1))
        until_events(engine, 3)


def test_rotated_files_that_are_older_than_the_first_reading_are_said_to_be_left_out(engine: Engine, log: Path) -> None:
    write(log, reject(NOW))
    old = log.with_name("mail.log.1")
    write(old, reject(NOW - 9))
    os.utime(old, (NOW - 9, NOW - 9))
    with capture_logs() as said:
        for number in (1, 2):
            with followed(engine, log):
                until_events(engine, number)
                write(log, reject(NOW))
    (told,) = (entry for entry in said if entry["event"] == "follow.left_out")
    assert told["error"].startswith("mail.log.1 beside it was not read: ")


def test_a_second_follower_waits_says_so_once_and_takes_over(engine: Engine, log: Path) -> None:
    first, second = following(engine), following(engine)
    with capture_logs() as said, running(lambda: second.run_file(log), stop=second.stop):
        with running(lambda: first.run_file(log), stop=first.stop):
            write(log, reject(NOW))
            until_events(engine, 1)
            until(lambda: "follow.waiting" in [entry["event"] for entry in said])
        write(log, reject(NOW))
        until_events(engine, 2)
    assert [entry["event"] for entry in said].count("follow.waiting") == 1


def test_sessions_that_are_lost_lose_and_double_nothing(engine: Engine, other: Engine, log: Path) -> None:
    one, two = following(engine), following(engine)
    with running(lambda: one.run_file(log), lambda: two.run_file(log), stop=one.stop):
        for number in range(1, 9):
            write(log, reject(NOW + number))
            if number % 3 == 0:
                end_sessions(other, "query LIKE '%%COMMIT%%'" if number == 3 else "true")
            until_events(other, number)
        two.stop.set()
    assert events(other) == 8


def test_an_outage_is_said_and_what_was_written_in_it_comes_after_it(
    engine: Engine, other: Engine, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("repzone.jobs.follow.POLL", 0.01)
    tries = 0

    def count() -> None:
        nonlocal tries
        tries += 1
        if 1 < tries < 4:
            raise UnavailableError("the database does not answer")

    with capture_logs() as said, followed(engine, log, connect=count):
        write(log, reject(NOW))
        until_events(other, 1)
        end_sessions(other)
        write(log, reject(NOW))
        until_events(other, 2)
        until(lambda: said[-1]["event"] == "follow.goes_on")
    assert tries == 4
    assert [entry["event"] for entry in said if entry["log_level"] == "warning"] == [
        "follow.database_away",
        "follow.goes_on",
    ]


def test_a_full_disk_loses_nothing(engine: Engine, log: Path) -> None:
    write(log, reject(NOW) * 3)
    job = ingestion(engine)
    do(engine, FULL)
    with pytest.raises(UnavailableError, match="No space left on device"):
        job.run_file(log)
    with followed(engine, log):
        write(log, reject(NOW))
        do(engine, "DROP TRIGGER full_disk ON event")
        until_events(engine, 4)


@pytest.mark.parametrize("table", ["event", "listing"])
def test_a_disk_that_stays_full_is_said_once_and_tried_ever_more_seldom(
    engine: Engine, log: Path, monkeypatch: pytest.MonkeyPatch, table: str
) -> None:
    monkeypatch.setattr("repzone.jobs.follow.POLL", 0.01)
    monkeypatch.setattr("repzone.jobs.follow.PATIENCE", 0.04)
    write(log, *(reject(NOW - number) for number in range(12)))
    do(engine, FULL.replace("ON event", f"ON {table}"))
    tries: list[float] = []
    with capture_logs() as said, followed(engine, log, connect=lambda: tries.append(time.monotonic())):
        until(lambda: len(tries) > 6)
        told = [entry for entry in said if entry["log_level"] == "warning"]
        do(engine, f"DROP TRIGGER full_disk ON {table}")
        until(lambda: len(listings(engine)) == 1)
        until(lambda: said[-1]["event"] == "follow.goes_on")
    assert [entry["event"] for entry in told] == ["follow.database_away"]
    assert "No space left on device" in told[0]["error"]
    pauses = [after - before for before, after in pairwise(tries)]
    assert pauses[0] > 0.01
    assert min(pauses[2:6]) > 0.04


def test_what_cannot_be_mended_by_waiting_ends_it(engine: Engine, log: Path) -> None:
    def refuse() -> None:
        raise ConfigError("policy.toml", "weights", "no such reason")

    with pytest.raises(ConfigError):
        following(engine, connect=refuse).run_file(log)


def test_told_to_stop_in_the_middle_of_much_it_ends_and_the_next_goes_on(
    engine: Engine, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "EVENTS", 10)
    monkeypatch.setattr(files, "BLOCK", 1000)
    write(log, *(reject(NOW - number) for number in range(200)))
    follow = following(engine)
    with running(lambda: follow.run_file(log), stop=follow.stop):
        until(lambda: events(engine) > 0)
    assert events(engine) < 200
    with followed(engine, log):
        until_events(engine, 200)


def test_clean_lines_are_stored_within_a_moment_or_when_it_ends(engine: Engine, log: Path) -> None:
    def position() -> int:
        with engine.connect() as connection:
            return connection.scalar(sa.text("SELECT sum(position) FROM source_file")) or 0

    line = "2026-09-21T14:00:00+00:00 mx1 postfix/smtpd[9]: connect from unknown[192.0.2.1]\n"
    with followed(engine, log):
        write(log, line)
        until(lambda: position() == len(line))
        write(log, line)
        time.sleep(0.2)
    assert position() == 2 * len(line)


def test_standard_input_is_followed_to_its_end_over_an_outage(engine: Engine, other: Engine) -> None:
    reading, writing = os.pipe()
    follow = following(engine)
    with FileIO(reading) as text, running(lambda: follow.run_stream(text), stop=follow.stop):
        os.write(writing, reject(NOW).encode() + reject(NOW)[:60].encode())
        until_events(other, 1)
        do(other, FULL)
        os.write(writing, reject(NOW)[60:].encode())
        time.sleep(0.3)
        do(other, "DROP TRIGGER full_disk ON event")
        until_events(other, 2)
        os.write(writing, reject(NOW).strip().encode())
        os.close(writing)
        until_events(other, 3)
