"""Whatever becomes of a log between two runs, each of its lines is stored once."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.errors import ConfigError, RepzoneError, UnavailableError
from repzone.jobs import files
from repzone.jobs.ingest import Ingestion
from repzone.jobs.intake import Outcome
from repzone.jobs.rotation import rotated_paths
from repzone.jobs.source import Source
from repzone.store.engine import Engine
from tests.jobs.samples import NOW, ingestion, reject, stored

AnyLog = TypeVar("AnyLog", bound="Log")


@dataclass
class Log:
    """A log that is written to and rotated, and how many lines there have been."""

    path: Path
    job: Ingestion
    lines: int = 0
    rest: str = ""
    days: int = 0

    def write(self, number: int = 1) -> None:
        """Write whole lines, each with a second of its own; first the rest of one that was begun."""
        text = "".join(reject(NOW + self.lines + n) for n in range(number))
        self.lines += number
        with self.path.open("a") as file:
            file.write(self.rest + text)
        self.rest = ""

    def begin_line(self) -> None:
        """Write the first half of a line, the rest of which comes with the next."""
        if not self.rest:
            line = reject(NOW + self.lines)
            self.lines += 1
            with self.path.open("a") as file:
                file.write(line[:100])
            self.rest = line[100:]

    def run(self) -> Outcome:
        return self.job.run_file(self.path)

    def _shift(self) -> Path:
        """Rename the rotated files so that the first name is free."""
        if self.rest:
            self.write()
        for number in range(20, 0, -1):
            for end in ("", ".gz", ".zst"):
                old = self.path.with_name(f"{self.path.name}.{number}{end}")
                if old.exists():
                    old.rename(self.path.with_name(f"{self.path.name}.{number + 1}{end}"))
        return self.path.with_name(self.path.name + ".1")

    def rename(self) -> None:
        self.path.rename(self._shift())
        self.path.touch()

    def rename_by_date(self) -> None:
        if self.rest:
            self.write()
        self.path.rename(self.path.with_name(f"{self.path.name}-{20261101 + self.days}"))
        self.days += 1
        self.path.touch()

    def copy_and_truncate(self) -> None:
        shutil.copyfile(self.path, self._shift())
        os.truncate(self.path, 0)

    def compress(self, end: str = ".gz", pack: Callable[[bytes], bytes] = gzip.compress) -> None:
        """Rotate and compress at once, keeping the time as the tools do."""
        rotated, about = self._shift(), self.path.stat()
        packed = rotated.with_name(rotated.name + end)
        packed.write_bytes(pack(self.path.read_bytes()))
        os.utime(packed, ns=(about.st_atime_ns, about.st_mtime_ns))
        self.path.unlink()
        self.path.touch()

    def compress_zstd(self) -> None:
        self.compress(".zst", files.zstd.compress)


@dataclass
class KeptLog(Log):
    """A log that one reader keeps open, as `--follow` does, and that has copies and other names meanwhile."""

    source: Source | None = None
    stack: ExitStack = field(default_factory=ExitStack)

    def read(self, *, thorough: bool, commit: bool) -> None:
        if self.source is None:
            self.source = self.stack.enter_context(self.job.open(self.path))
        assert self.source is not None
        self.source.read(thorough=thorough)
        if commit:
            self.source.commit()

    def close(self) -> None:
        """End the reader, as it stands."""
        self.stack.close()
        self.source = None

    def _grow(self) -> None:
        """Write as much as it takes to tell a copy from a log that began anew."""
        if self.path.stat().st_size <= files.FINGERPRINT:
            self.write(7)

    def copy(self) -> None:
        """Begin to copy and truncate, and come no further."""
        self._grow()
        shutil.copyfile(self.path, self._shift())

    def copy_packed(self) -> None:
        self._grow()
        rotated = self._shift()
        rotated.with_name(rotated.name + ".gz").write_bytes(gzip.compress(self.path.read_bytes()))

    def link(self) -> None:
        rotated = self._shift()
        os.link(self.path.resolve(), rotated)

    def point(self) -> None:
        """Write to a file of the day from now on, which the log's name only points at."""
        if self.rest:
            self.write()
        dated = self.path.with_name(f"{self.path.name}-{20261101 + self.days}")
        self.days += 1
        if self.path.is_symlink():
            self.path.unlink()
            dated.touch()
        else:
            self.path.rename(dated)
        self.path.symlink_to(dated.name)


def make_log(engine: Engine, folder: Path, kind: type[AnyLog]) -> AnyLog:
    """Give a log that has been read once, when it was empty."""
    job = replace(ingestion(engine), clock=lambda: int(time.time()))  # noqa: TID251 - as the files' times are
    log = kind(folder / "mail.log", job)
    log.path.touch()
    log.run()
    return log


@pytest.fixture
def log(engine: Engine, tmp_path: Path) -> Log:
    return make_log(engine, tmp_path, Log)


@pytest.fixture
def kept(engine: Engine, tmp_path: Path) -> Iterator[KeptLog]:
    log = make_log(engine, tmp_path, KeptLog)
    yield log
    log.close()


def events(log: Log) -> int:
    return sum(stored(log.job.engine).values())


def instants(log: Log) -> list[int]:
    """Give when the offences were, in the order in which they were stored."""
    query = text("SELECT extract(epoch FROM at)::bigint FROM event ORDER BY tableoid, ctid")
    with log.job.engine.connect() as connection:
        return list(connection.scalars(query))


ROTATIONS = [Log.rename, Log.rename_by_date, Log.copy_and_truncate, Log.compress, Log.compress_zstd]
WRITES = [Log.write, lambda log: log.write(7), Log.begin_line]
ACTIONS = [*ROTATIONS, *WRITES, Log.run, Log.run]
READS = [
    partial(KeptLog.read, thorough=thorough, commit=commit) for thorough in (False, True) for commit in (False, True)
]
KEPT_ACTIONS = [
    *(*ROTATIONS, *WRITES, *READS, *READS, KeptLog.close),
    *(KeptLog.copy, KeptLog.copy_packed, KeptLog.link, KeptLog.point),
]


@pytest.mark.parametrize("rotate", ROTATIONS)
def test_rotations_of_every_kind_lose_and_double_nothing(log: Log, rotate: Callable[[Log], None]) -> None:
    for number in (3, 12, 1):
        log.write(number)
        log.run()
        log.write(number)
        rotate(log)
        log.write(number)
    log.run()
    assert events(log) == log.lines
    assert log.run().lines == 0


@given(actions=st.lists(st.sampled_from(ACTIONS), max_size=14))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_between_two_runs_each_line_is_stored_once(
    fresh_engine: Callable[[], Engine],
    tmp_path_factory: pytest.TempPathFactory,
    actions: list[Callable[[Log], object]],
) -> None:
    log = make_log(fresh_engine(), tmp_path_factory.mktemp("log"), Log)
    for act in actions:
        act(log)
    log.write()
    log.run()
    assert events(log) == log.lines


@example(actions=[Log.begin_line, READS[0], Log.copy_and_truncate])  # emptied in the middle of a line
@given(actions=st.lists(st.sampled_from(KEPT_ACTIONS), max_size=20))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_while_a_reader_has_the_log_open_each_line_is_stored_once(
    fresh_engine: Callable[[], Engine],
    tmp_path_factory: pytest.TempPathFactory,
    actions: list[Callable[[KeptLog], object]],
) -> None:
    log = make_log(fresh_engine(), tmp_path_factory.mktemp("log"), KeptLog)
    try:
        for act in actions:
            act(log)
        log.write()
        log.read(thorough=True, commit=True)
    finally:
        log.close()
    assert events(log) == log.lines
    assert log.run().lines == 0


@pytest.mark.parametrize("act", [KeptLog.copy, KeptLog.copy_packed, KeptLog.link, KeptLog.point])
@pytest.mark.parametrize("known", [0, 20])
def test_a_log_that_is_kept_open_goes_on_behind_what_was_read_of_its_copy(
    kept: KeptLog, act: Callable[[KeptLog], None], known: int
) -> None:
    kept.point()
    kept.write(known)
    kept.read(thorough=True, commit=True)
    kept.write(10)
    act(kept)
    kept.write(3)
    kept.read(thorough=True, commit=True)
    assert events(kept) == kept.lines


def test_a_log_that_is_renamed_while_its_rotated_files_are_looked_for_is_read_once(
    kept: KeptLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept.write(2)
    kept.read(thorough=True, commit=True)
    kept.write(2)

    def rename_and_look(path: Path) -> list[Path]:
        if not path.with_name("mail.log.1").exists():
            kept.rename()
        return rotated_paths(path)

    monkeypatch.setattr("repzone.jobs.source.rotated_paths", rename_and_look)
    for _ in range(2):
        kept.read(thorough=True, commit=True)
        kept.write(2)
    kept.read(thorough=False, commit=True)
    assert events(kept) == kept.lines


@pytest.mark.parametrize("kind", [UnavailableError, lambda said: ConfigError("policy", "", said)])
def test_a_decision_that_fails_after_the_commit_is_no_fault_of_a_rotated_file_and_doubles_nothing(
    kept: KeptLog, kind: Callable[[str], RepzoneError]
) -> None:
    kept.write(10)
    kept.run()
    kept.write(10)
    kept.rename()
    kept.write(5)
    failed = False

    def fail_once(new: bool) -> None:
        nonlocal failed
        if not failed:
            failed = True
            raise kind("deadlock detected")

    kept.job = replace(kept.job, committed=fail_once)
    with pytest.raises(RepzoneError, match="deadlock detected"):
        kept.read(thorough=True, commit=True)
    kept.read(thorough=False, commit=True)
    assert events(kept) == kept.lines


@pytest.mark.parametrize(
    ("live", "rotated"),
    [
        ("mail.log", "mail.log-2026-11-24"),
        ("mail.log", "mail.log.old"),
        ("mail.log", "mail-20261124.log"),
        ("mail.log", "mail.1.log"),
        ("192.0.2.5", "192.0.2.5.1"),
        ("mx-1", "mx-1.1"),
    ],
)
def test_what_was_written_between_a_run_and_the_rotation_is_read_under_every_usual_name(
    log: Log, live: str, rotated: str
) -> None:
    log.path = log.path.with_name(live)
    log.write(3)
    log.run()
    log.write(2)
    log.path.rename(log.path.with_name(rotated))
    log.write(1)
    log.run()
    assert events(log) == 6


def test_logs_of_several_hosts_are_several_sources(log: Log) -> None:
    paths = [log.path.with_name(name) for name in ("mx-1", "mx-2", "192.0.2.5", "192.0.2.6", "mx.1", "mx.2")]
    for path in paths:
        path.write_text(reject(NOW))
    with ExitStack() as stack:
        for path in paths:
            source = stack.enter_context(log.job.open(path))
            assert source is not None
            source.read()
            source.commit()
    assert events(log) == len(paths)


def test_a_small_log_beside_its_copy_is_read_once(log: Log) -> None:
    log.write(2)
    log.run()
    shutil.copyfile(log.path, log.path.with_name("mail.log.1"))
    for part in ("", reject(NOW)[:40]):
        with log.path.open("a") as file:
            file.write(part)
        log.run()
    os.truncate(log.path, 0)
    log.write(1)
    log.run()
    assert events(log) == 3


def test_a_small_log_that_a_link_points_at_is_read_once(log: Log) -> None:
    dated = log.path.rename(log.path.with_name("mail.log-20261124"))
    log.path.symlink_to(dated)
    for number in (2, 0, 1):
        log.write(number)
        log.run()
    assert events(log) == 3


def test_the_files_of_the_days_that_a_link_elsewhere_points_at_are_one_source(log: Log) -> None:
    log.path.unlink()
    folder = log.path.parent / "days"
    folder.mkdir()
    for day in range(3):
        log.path.unlink(missing_ok=True)
        log.path.symlink_to(folder / f"mail-2026112{day}.log")
        log.write(2)
        log.run()
        log.write(2)
    log.run()
    assert events(log) == 12


def test_a_log_that_was_emptied_and_begins_with_the_same_lines_again_is_read_again(log: Log) -> None:
    log.path.write_text(reject(NOW) * 3)
    assert log.path.stat().st_size < files.FINGERPRINT
    log.run()
    log.copy_and_truncate()
    log.path.write_text(reject(NOW) * 5)
    assert [log.run().lines for _ in range(3)] == [5, 0, 0]
    assert events(log) == 8
    log.path.write_text(reject(NOW) * 7)
    log.run()
    assert events(log) == 10


def test_a_log_that_was_emptied_and_has_another_middle_is_read_again(log: Log) -> None:
    log.path.write_text(reject(NOW) * 30)
    log.run()
    log.path.write_text(reject(NOW) * 20 + reject(NOW + 1) * 20)
    log.run()
    assert events(log) == 70


def test_a_copy_beside_the_log_is_not_read_twice(log: Log) -> None:
    log.write(30)
    log.run()
    log.write(5)
    shutil.copyfile(log.path, log.path.with_name("mail.log.1"))
    log.write(5)
    for _ in range(2):
        log.run()
    os.link(log.path, log.path.with_name("mail.log.2"))
    log.write(1)
    log.run()
    assert events(log) == 41


def test_an_original_that_is_still_there_while_it_is_compressed_is_read_once(log: Log) -> None:
    log.write(40)
    log.run()
    log.write(40)
    log.rename()
    rotated = log.path.with_name("mail.log.1")
    packed = gzip.compress(rotated.read_bytes())
    for part in (b"", packed[:5], packed[:60], packed[:-9], packed):
        rotated.with_name("mail.log.1.gz").write_bytes(part)
        log.run()
    rotated.unlink()
    log.run()
    assert events(log) == log.lines


def test_inodes_and_devices_tell_nothing(log: Log) -> None:
    log.write(5)
    log.run()
    text = log.path.read_text()
    log.path.unlink()  # the next file may have the same inode
    log.write(7)
    log.run()
    assert events(log) == 12
    log.path.with_name("other").write_text(text)
    log.path.with_name("other").rename(log.path)  # restored, as on another device
    log.run()
    assert events(log) == 12


@pytest.mark.parametrize("what", ["fifo", "folder", "dangling link", "nothing"])
def test_what_is_put_in_the_place_of_a_log_is_said_and_loses_nothing(log: Log, what: str) -> None:
    log.write(3)
    log.run()
    log.write(3)
    rotated = log.path.rename(log.path.with_name("mail.log.1"))
    match what:
        case "fifo":
            os.mkfifo(log.path)
        case "folder":
            log.path.mkdir()
        case "dangling link":
            log.path.symlink_to("nowhere")
    with pytest.raises(RepzoneError, match=r"mail\.log: (cannot be read|is no regular file)"):
        log.run()
    if log.path.is_dir():
        log.path.rmdir()
    else:
        log.path.unlink(missing_ok=True)
    rotated.rename(log.path)
    log.run()
    assert events(log) == 6


def test_a_link_to_a_log_is_followed_through_the_rotation_of_its_target(log: Log) -> None:
    target = log.path.with_name("target")
    target.touch()
    log.path.unlink()
    log.path.symlink_to(target)
    log.write(3)
    log.run()
    log.write(3)
    target.rename(target.with_name("target.1"))
    target.touch()
    log.write(3)
    log.run()
    assert events(log) == 9


def test_a_log_is_one_source_however_it_is_spelled_or_linked_to(log: Log) -> None:
    log.write(3)
    log.run()
    link = log.path.with_name("link")
    link.symlink_to(log.path)
    folder = log.path.parent
    for other in (link, folder / ".." / folder.name / log.path.name):
        assert log.job.run_file(other).lines == 0
    assert events(log) == 3


def test_lines_that_are_no_text_are_counted_and_their_neighbours_kept(log: Log) -> None:
    with log.path.open("ab") as file:
        for faulty in (b"nul \0 nul", b"\xff\xfe", b"x" * 3_000_000):
            file.write(reject(NOW).encode() + faulty + b"\n" + reject(NOW).encode())
    outcome = log.run()
    assert (outcome.lines, outcome.skipped, outcome.events) == (9, 3, {"errors": 6})


def test_files_of_a_backlog_that_a_dead_run_did_not_come_to_are_read_by_the_next(
    log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    for age in (3, 2, 1):
        log.write(10)
        log.rename()
        os.utime(log.path.with_name("mail.log.1"), (time.time() - 60 * age,) * 2)  # noqa: TID251
    log.write(10)
    with log.job.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE source SET state = NULL, seen = now() - interval '10 minutes'")
    reads = 0

    def die(*_: object) -> None:
        nonlocal reads
        reads += 1
        if reads == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replace(log.job, committed=die).run_file(log.path)
    log.run()
    assert events(log) == log.lines


def test_a_compressed_log_that_is_cut_off_is_read_as_far_as_it_goes_and_said(log: Log) -> None:
    text = "".join(reject(NOW + n, f"192.0.2.{n % 250}") for n in range(20_000)).encode()
    packed = log.path.with_name("old.gz")
    packed.write_bytes(gzip.compress(text)[:-1000])
    outcome = log.job.run_file(packed)
    assert 5_000 < outcome.lines < 20_000
    assert "old.gz: is cut off or damaged, read as far as it goes" in outcome.faults[0]
    packed.write_bytes(gzip.compress(text))
    assert outcome.lines + log.job.run_file(packed).lines == 20_000


def test_the_last_line_of_a_compressed_log_needs_no_newline(log: Log) -> None:
    packed = log.path.with_name("old.gz")
    packed.write_bytes(gzip.compress(reject(NOW).encode() + reject(NOW).strip().encode()))
    assert log.job.run_file(packed).lines == 2
    assert log.job.run_file(packed).lines == 0


def test_a_rotated_file_that_is_named_hides_no_other_that_was_missed(log: Log) -> None:
    log.write(3)
    log.rename()
    log.write(3)
    log.rename()
    log.write(3)
    with log.job.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE source SET state = NULL, seen = now() - interval '1 minute'")
    for age, number in enumerate((1, 2), 10):
        written = time.time() - age  # noqa: TID251
        os.utime(log.path.with_name(f"mail.log.{number}"), (written, written))
    log.job.run_file(log.path.with_name("mail.log.1"))
    log.run()
    assert events(log) == 9


def test_what_was_written_last_to_a_log_that_is_removed_while_it_is_open_is_read(log: Log) -> None:
    with log.job.open(log.path) as source:
        assert source is not None
        source.read()
        log.write(2)
        log.path.unlink()
        log.write(3)
        source.read(thorough=False)
        source.commit()
    assert events(log) == 5


@pytest.mark.parametrize("rotate", [Log.rename, Log.rename_by_date, Log.compress, Log.compress_zstd])
@pytest.mark.parametrize("when", [1, 2, 3])
def test_a_rotation_while_a_backlog_is_read_loses_and_doubles_nothing_and_changes_no_order(
    log: Log, rotate: Callable[[Log], None], when: int
) -> None:
    log.write(3)
    log.run()
    for _ in range(4):
        log.write(3)
        log.rename()
        log.write(2)
    seen = 0

    def turn(file: Path, done: int, octets: int, lines: int) -> None:
        nonlocal seen
        seen += 1
        if seen == when:
            log.write(1)
            rotate(log)
            log.write(1)

    log.job = replace(log.job, progress=turn)
    log.run()
    log.job = replace(log.job, progress=lambda file, done, octets, lines: None)
    log.run()
    assert seen >= when
    assert events(log) == log.lines
    assert instants(log) == sorted(instants(log))


def test_a_rotated_file_that_was_cut_off_and_is_whole_again_is_read_then(log: Log) -> None:
    log.write(3)
    log.run()
    log.write(30)
    log.compress()
    packed = log.path.with_name(log.path.name + ".1.gz")
    whole, about = packed.read_bytes(), packed.stat()
    packed.write_bytes(whole[:40])
    log.write(1)
    log.run()
    packed.write_bytes(whole)
    os.utime(packed, ns=(about.st_atime_ns, about.st_mtime_ns))
    log.run()
    assert events(log) == 34
