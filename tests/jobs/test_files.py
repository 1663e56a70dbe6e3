"""Log files: whole lines, known again by their first octets, found again after rotation."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.errors import RepzoneError
from repzone.jobs import files
from repzone.jobs.files import LONGEST, live_path, open_log, parts, read_lines
from repzone.store.positions import FileRow

SEEN = 1_790_000_000


def row(text: bytes, position: int, number: int = 1) -> FileRow:
    """Give the row of a file that began with that text and was read to that position."""
    head = text[: files.FINGERPRINT]
    return FileRow(number, hashlib.sha256(head).digest(), len(head), position, 0)


def write(path: Path, text: bytes, modified: int = SEEN + 60) -> Path:
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    os.utime(path, (modified, modified))
    return path


@given(st.lists(st.binary(max_size=40).map(lambda octets: octets.replace(b"\n", b" "))), st.binary(max_size=20))
def test_every_whole_line_comes_once_with_the_position_behind_it(lines: list[bytes], rest: bytes) -> None:
    rest = rest.replace(b"\n", b" ")
    text = b"".join(line + b"\n" for line in lines) + rest
    found = list(read_lines(io.BytesIO(text), 100))
    assert [line for line, _ in found] == lines
    assert [text[: position - 100].count(b"\n") for _, position in found] == list(range(1, len(lines) + 1))
    final = [line for line, _ in read_lines(io.BytesIO(text), 0, final=True)]
    assert final == [*lines, rest] if rest else final == lines


@pytest.mark.parametrize("length", [LONGEST + 1, 3 * files.BLOCK + 5])
def test_a_line_that_is_too_long_is_left_out_and_its_neighbours_are_not(length: int) -> None:
    text = b"before\n" + b"x" * length + b"\nafter\n"
    assert list(read_lines(io.BytesIO(text), 0)) == [
        (b"before", 7),
        (None, 7 + length + 1),
        (b"after", len(text)),
    ]


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("mail.log", "mail.log"),
        ("mail.log.1", "mail.log"),
        ("mail.log.12.gz", "mail.log"),
        ("mail.log-20261124", "mail.log"),
        ("mail.log-20261124-1764000000.gz", "mail.log"),
        ("maillog.gz", "maillog"),
        ("mail.info", "mail.info"),
    ],
)
def test_a_rotated_file_is_known_by_its_name_to_have_been_the_live_log(name: str, live: str) -> None:
    assert live_path(Path("/var/log") / name).name == live


def test_the_first_time_only_the_file_itself_is_read(tmp_path: Path) -> None:
    log = write(tmp_path / "mail.log", b"new\n")
    write(tmp_path / "mail.log.1", b"old\n")
    assert [(part.path, part.row) for part in parts(log, [], 0)] == [(log, None)]


@pytest.mark.parametrize("name", ["mail.log.1", "mail.log-20261124", "mail.log.1.gz", "mail.log.2.gz"])
def test_the_end_of_a_renamed_file_is_read_before_the_new_one(tmp_path: Path, name: str) -> None:
    known = row(b"one\n", 4)
    rotated = write(tmp_path / name, b"one\ntwo\n")
    log = write(tmp_path / "mail.log", b"three\n")
    assert [(part.path, part.row) for part in parts(log, [known], SEEN)] == [(rotated, known), (log, None)]


def test_a_renamed_file_that_was_read_to_its_end_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "mail.log.1", b"one\n")
    log = write(tmp_path / "mail.log", b"two\n")
    assert [part.path for part in parts(log, [row(b"one\n", 4)], SEEN)] == [log]


def test_files_that_came_and_went_between_two_runs_are_read_in_order(tmp_path: Path) -> None:
    write(tmp_path / "mail.log.4", b"history\n", SEEN - 86400)
    oldest = write(tmp_path / "mail.log.3", b"known, more\n", SEEN + 10)
    missed = write(tmp_path / "mail.log.2.gz", b"never seen\n", SEEN + 20)
    later = write(tmp_path / "mail.log.1", b"nor this\n", SEEN + 30)
    log = write(tmp_path / "mail.log", b"live\n", SEEN + 40)
    assert [part.path for part in parts(log, [row(b"known, ", 0)], SEEN)] == [oldest, missed, later, log]


def test_a_truncated_log_is_a_new_file(tmp_path: Path) -> None:
    log = write(tmp_path / "mail.log", b"o")
    assert parts(log, [row(b"one\ntwo\n", 8)], SEEN)[-1].row is None


def test_what_is_no_log_is_said_with_its_name(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for path, said in {
        tmp_path / "none": "none: cannot be read: No such file",
        tmp_path: "is no regular file",
        tmp_path / "fifo": "fifo: is no regular file",
    }.items():
        with pytest.raises(RepzoneError, match=said), open_log(path):
            pass
