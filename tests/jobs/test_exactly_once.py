"""Whatever becomes of a log between two runs, each of its lines is stored once."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repzone.errors import RepzoneError
from repzone.jobs import files
from repzone.jobs.ingest import Ingestion, Outcome
from repzone.store.engine import Engine
from tests.jobs.samples import NOW, ingestion, reject, stored


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


def make_log(engine: Engine, folder: Path) -> Log:
    """Give a log that has been read once, when it was empty."""
    job = replace(ingestion(engine), clock=lambda: int(time.time()))  # noqa: TID251 - as the files' times are
    log = Log(folder / "mail.log", job)
    log.path.touch()
    log.run()
    return log


@pytest.fixture
def log(engine: Engine, tmp_path: Path) -> Log:
    return make_log(engine, tmp_path)


def events(log: Log) -> int:
    return sum(stored(log.job.engine).values())


ROTATIONS = [Log.rename, Log.rename_by_date, Log.copy_and_truncate, Log.compress, Log.compress_zstd]
ACTIONS = [*ROTATIONS, Log.run, Log.run, Log.write, lambda log: log.write(7), Log.begin_line]


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
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_happens_between_two_runs_each_line_is_stored_once(
    fresh_engine: Callable[[], Engine],
    tmp_path_factory: pytest.TempPathFactory,
    actions: list[Callable[[Log], object]],
) -> None:
    log = make_log(fresh_engine(), tmp_path_factory.mktemp("log"))
    for act in actions:
        act(log)
    log.write()
    log.run()
    assert events(log) == log.lines


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
