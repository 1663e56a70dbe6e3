"""Rotated files: found by their names, and each known again by its octets."""

from __future__ import annotations

import gzip
import os
from hashlib import sha256
from pathlib import Path

import pytest

from repzone.jobs.files import FINGERPRINT, fingerprint, open_log
from repzone.jobs.rotation import choose, is_old_copy, live_path, matching, rotated_paths
from repzone.store.positions import FileRow

TEXT = b"".join(b"line %d\n" % number for number in range(1000))


def row(number: int, text: bytes) -> FileRow:
    """Give the row of a file of which this text was read."""
    head = text[:FINGERPRINT]
    return FileRow(number, fingerprint(head, text[-FINGERPRINT:], len(text)), len(head), len(text), 0)


def write(path: Path, text: bytes, modified: int = 1_790_000_000) -> Path:
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    os.utime(path, (modified, modified))
    return path


def matches(path: Path, *rows: FileRow) -> list[int]:
    with open_log(path) as log:
        return [found.id for found in matching(log, rows)]


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("mail.log", "mail.log"),
        ("mail.log.1", "mail.log"),
        ("mail.log.12.gz", "mail.log"),
        ("mail.log-20261124", "mail.log"),
        ("mail.log-20261124-1764000000.gz", "mail.log"),
        ("mail.log.3.zst", "mail.log"),
        ("maillog.gz", "maillog"),
        ("mail.info", "mail.info"),
        ("mail.log-2026112413", "mail.log"),
        ("mail.log-202611", "mail.log"),
        ("mail.log-2026-11-24", "mail.log"),
        ("mail.log-2026-11-24_13.bz2", "mail.log"),
        ("mail.log.20261124T130000.xz", "mail.log"),
        ("mail-20261124.log", "mail.log"),
        ("mail_2026-11-24.log.gz", "mail.log"),
        ("mail.log.old", "mail.log"),
        ("syslog.1.log", "syslog.log"),
        ("mx-1", "mx-1"),
        ("mx-1-20261124", "mx-1"),
        ("mx.example.net", "mx.example.net"),
        ("mx.1", "mx.1"),
        ("mail.1.log", "mail.1.log"),
        ("192.0.2.5", "192.0.2.5"),
        ("192.0.2.5.gz", "192.0.2.5"),
        ("192.0.2.5.log", "192.0.2.5.log"),
        ("192.0.2.5.log.1", "192.0.2.5.log"),
    ],
)
def test_a_rotated_file_is_known_by_its_name_to_have_been_the_live_log(name: str, live: str) -> None:
    assert live_path(Path("/var/log") / name).name == live


@pytest.mark.parametrize("rotated", ["mx.1", "mx.2.gz", "192.0.2.5.1", "mail.1.log"])
def test_a_number_that_could_be_the_logs_own_tells_of_a_rotation_where_the_live_log_is(
    tmp_path: Path, rotated: str
) -> None:
    for name in ("mx", "192.0.2.5", "mail.log"):
        write(tmp_path / name, b"live")
    live = live_path(tmp_path / rotated)
    assert live != tmp_path / rotated
    write(tmp_path / rotated, b"old")
    assert rotated_paths(live) == [tmp_path / rotated]


def test_the_log_itself_by_another_name_is_none_of_its_rotated_files(tmp_path: Path) -> None:
    dated = write(tmp_path / "mail.log-20261124", b"live")
    older = write(tmp_path / "mail.log-20261123", b"old")
    (tmp_path / "mail.log").symlink_to(dated)
    os.link(dated, tmp_path / "mail.log.1")
    assert rotated_paths(tmp_path / "mail.log") == [older]


def test_rotated_files_are_found_oldest_first_and_nothing_else(tmp_path: Path) -> None:
    log = write(tmp_path / "mail.log", b"live")
    for age, name in enumerate(["mail.log.1", "mail.log.2.gz", "mail.log-20261101.zst", "mail.log.10"]):
        write(tmp_path / name, b"old", 1_790_000_000 - age)
    write(tmp_path / "mail.log.bak", b"another")
    write(tmp_path / "mail.log2.1", b"another")
    (tmp_path / "mail.log.3").mkdir()
    (tmp_path / "mail.log.4").symlink_to("none")
    found = [path.name for path in rotated_paths(log)]
    assert found == ["mail.log.10", "mail.log-20261101.zst", "mail.log.2.gz", "mail.log.1"]


def test_rotated_files_are_found_in_the_usual_folders_for_old_ones(tmp_path: Path) -> None:
    live = write(tmp_path / "mail.log", TEXT)
    for number, folder in enumerate(("old", "OLD", "archive", "rotated", "mail.log.d", "elsewhere")):
        (tmp_path / folder).mkdir()
        write(tmp_path / folder / f"mail.log.{number}", TEXT)
    write(tmp_path / "old" / "mail.log", TEXT)  # somebody's copy: it may not be whole
    write(tmp_path / "old" / "other.log.1", TEXT)
    names = ["old/mail.log.0", "OLD/mail.log.1", "archive/mail.log.2", "rotated/mail.log.3"]
    assert sorted(rotated_paths(live)) == sorted(tmp_path / name for name in names)


def test_the_rotated_files_of_a_link_lie_beside_its_target(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    target = write(tmp_path / "elsewhere" / "maillog", b"live")
    rotated = write(tmp_path / "elsewhere" / "maillog.1", b"old")
    (tmp_path / "mail.log").symlink_to(target)
    assert rotated_paths(tmp_path / "mail.log") == [rotated]


def test_a_name_with_wildcards_means_itself(tmp_path: Path) -> None:
    write(tmp_path / "mailX.log.1", b"another")
    assert rotated_paths(write(tmp_path / "mail[X].log", b"live")) == []


@pytest.mark.parametrize("name", ["mail.log.1", "mail.log.1.gz"])
def test_a_file_matches_every_row_whose_text_it_begins_with(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, TEXT[:5000])
    rows = [row(1, TEXT[:5000]), row(2, TEXT[:3000]), row(3, TEXT[:500]), row(4, TEXT[:5001]), row(5, b"line 1\n")]
    assert matches(path, *rows) == [1, 2, 3]


def test_a_file_that_differs_only_before_the_position_is_another(tmp_path: Path) -> None:
    path = write(tmp_path / "mail.log", TEXT[:2000] + b"other\n" + TEXT[2006:])
    assert matches(path, row(1, TEXT[:5000])) == [1]
    assert matches(path, row(1, TEXT[:2010])) == []


@pytest.mark.parametrize("name", ["mail.log.1", "mail.log.1.gz"])
def test_a_row_of_the_first_version_tells_of_the_first_octets_alone(tmp_path: Path, name: str) -> None:
    """Whose fingerprint was the SHA-256 of them."""
    path = write(tmp_path / name, TEXT[:2000] + b"other\n" + TEXT[2006:3000])
    rows = [FileRow(end, sha256(TEXT[:1024]).digest(), 1024, end, 0) for end in (1024, 2990, 3000, 3001)]
    assert matches(path, *rows, FileRow(1, sha256(TEXT[1:1025]).digest(), 1024, 2000, 0)) == [1024, 2990, 3000]


@pytest.mark.parametrize("name", ["mail.log.1", "mail.log.1.gz"])
def test_a_copy_that_ends_before_the_position_holds_nothing_new(tmp_path: Path, name: str) -> None:
    with open_log(write(tmp_path / name, TEXT[:3000])) as log:
        assert is_old_copy(log, [row(1, TEXT[:500]), row(2, TEXT[:3001])])
        assert not is_old_copy(log, [row(1, TEXT[:500]), row(2, TEXT[:3000]), row(3, b"x" * 4000)])


def chosen(rows: list[FileRow], *taken: int, live: bool, end: int | None = None) -> int | None:
    found = choose(rows, taken, live=live, end=end)
    return found.id if found else None


def test_the_row_that_tells_most_is_chosen() -> None:
    rows = [row(1, TEXT[:500]), row(2, TEXT[:3000]), row(3, TEXT[:2000])]
    assert chosen(rows, live=True) == 2
    assert chosen(rows, 2, live=True) == 3
    assert chosen(rows, 2, 3, live=False) == 1
    assert chosen([], live=True) is None


def test_of_files_that_are_alike_the_older_has_the_older_row() -> None:
    alike = [row(2, TEXT[:500]), row(1, TEXT[:500]), row(3, TEXT[:500])]
    assert chosen(alike, live=False) == 1
    assert chosen(alike, 1, live=False) == 2
    assert chosen(alike, 1, 2, live=True) == 3


def test_an_original_and_its_compressed_file_have_one_row() -> None:
    assert chosen([row(1, TEXT[:500])], 1, live=False) == 1


def test_a_log_that_begins_as_its_rotated_file_is_a_copy_only_if_that_cannot_be_chance() -> None:
    assert chosen([row(1, TEXT[:500])], 1, live=True) is None
    assert chosen([row(1, TEXT[:5000])], 1, live=True) == 1
    assert chosen([row(1, TEXT[:500])], 1, live=True, end=507) is None
    assert chosen([row(1, TEXT[:500])], 1, live=True, end=500) == 1
