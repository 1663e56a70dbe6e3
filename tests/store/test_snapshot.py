"""Snapshot files: whole or refused, whatever happens to them."""

import errno
import hashlib
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repzone.model import Client, Listing
from repzone.store import snapshot
from repzone.store.snapshot import HEADER, Snapshot, SnapshotError
from repzone.zone.rows import ROW, pack_listing

ROWS = b"".join(pack_listing(Listing(Client.from_text(f"192.0.2.{n}"), "spam", n, 1, 99)) for n in range(20))
WHOLE = Snapshot(812, 1_790_000_000, ROWS, frozenset({"bl.example.net", "wl.example.net"}), "7/5")


def written(folder: Path, made: Snapshot = WHOLE) -> Path:
    file = folder / snapshot.NAME
    snapshot.write(file, made)
    return file


@pytest.mark.parametrize("made", [WHOLE, Snapshot(0, 0, b""), Snapshot(2**63, -5, ROWS[: ROW.size])])
def test_what_is_written_is_read(tmp_path: Path, made: Snapshot) -> None:
    found = snapshot.read(written(tmp_path / "state", made))
    assert found is not None
    assert (found.serial, found.at, bytes(found.rows), found.paused) == (made.serial, made.at, made.rows, made.paused)


def test_no_file_is_no_snapshot_and_no_error(tmp_path: Path) -> None:
    assert snapshot.read(tmp_path / snapshot.NAME) is None


def test_nothing_but_the_file_is_left_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    for _ in range(2):
        file = written(tmp_path)
    assert list(tmp_path.iterdir()) == [file]
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_kill_before_the_renaming_leaves_the_one_before(tmp_path: Path) -> None:
    file = written(tmp_path)
    before = file.read_bytes()
    (tmp_path / f"{snapshot.NAME}.new").write_bytes(before[:100])
    assert snapshot.read(file) is not None
    assert written(tmp_path, Snapshot(813, 0, b"")).read_bytes() != before
    assert list(tmp_path.iterdir()) == [file]


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_a_file_that_is_changed_anywhere_is_refused(tmp_path: Path, data: st.DataObject) -> None:
    file = written(tmp_path)
    octets = bytearray(file.read_bytes())
    place = data.draw(st.integers(0, len(octets) - 1))
    octets[place] ^= data.draw(st.integers(1, 255))
    file.write_bytes(octets)
    with pytest.raises(SnapshotError, match=r"zone\.snapshot: (is|its) "):
        snapshot.read(file)


def test_a_file_that_is_cut_anywhere_or_longer_is_refused(tmp_path: Path) -> None:
    file = written(tmp_path)
    whole = file.read_bytes()
    for octets in (*(whole[:size] for size in range(len(whole))), whole + b"\0", b"\0" * 4096):
        file.write_bytes(octets)
        with pytest.raises(SnapshotError):
            snapshot.read(file)


@pytest.mark.parametrize(
    ("words", "count", "fault"),
    [(b"\xff", 0, "its words are none"), (b" ", 0, "its words are none"), (b"-", 1, "its length is not the one ")],
)
def test_a_file_that_is_sealed_and_yet_wrong_is_refused_by_its_name(
    tmp_path: Path, words: bytes, count: int, fault: str
) -> None:
    octets = HEADER.pack(snapshot.MAGIC, snapshot.VERSION, len(words), 7, 0, count) + words
    file = tmp_path / snapshot.NAME
    file.write_bytes(octets + hashlib.sha256(octets).digest())
    with pytest.raises(SnapshotError, match=rf"zone\.snapshot: {fault}"):
        snapshot.read(file)


def test_another_version_is_named(tmp_path: Path) -> None:
    file = written(tmp_path)
    octets = bytearray(file.read_bytes())
    HEADER.pack_into(octets, 0, snapshot.MAGIC, 3, 0, 0, 0, 0)
    file.write_bytes(octets)
    with pytest.raises(SnapshotError, match="is of version 3, and this repzone reads 2"):
        snapshot.read(file)


def test_a_disk_that_is_full_keeps_the_one_before_and_no_half_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path)

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(SnapshotError, match=r"zone\.snapshot: cannot be written: No space left on device"):
        snapshot.write(file, Snapshot(813, 0, b""))
    assert list(tmp_path.iterdir()) == [file]
    assert snapshot.read(file) == WHOLE


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    with pytest.raises(SnapshotError, match=r"zone\.snapshot: cannot be written: "):
        snapshot.write(tmp_path / "state" / snapshot.NAME, WHOLE)
    with pytest.raises(SnapshotError, match=r"zone\.snapshot: cannot be read: "):
        snapshot.read(tmp_path / "state" / snapshot.NAME)
