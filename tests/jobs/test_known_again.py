"""Which file is which log: copies, links, names, and what stands in a log's place."""

from __future__ import annotations

import gzip
import os
import shutil
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from repzone.errors import RepzoneError
from repzone.jobs import files
from tests.jobs.rotated import Log, events, instants
from tests.jobs.samples import NOW, reject


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
