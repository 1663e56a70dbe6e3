"""Snapshots of a feed: written when there is something new, and what a server starts with."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from repzone.fastpath import make_table
from repzone.jobs.keep import CHANGED, COST, UNCHANGED, Keeper, restore
from repzone.jobs.refresh import Feed, refresh
from repzone.model import Client, Exemption, Listing
from repzone.store import snapshot
from repzone.store.engine import Engine
from repzone.zone.table import MemoryTable, Table
from tests.jobs.listed import add_listings, end_listings

NOW = 1_790_000_000
LISTINGS = [Listing(Client.from_text(f"192.0.2.{n}"), "spam", n, NOW, NOW + 3600) for n in range(1, 20)]


class Hands:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


def make_feed(serial: int | None = 7) -> Feed:
    exempt = Exemption(Client.from_text("198.51.100.0/24"), 0)
    return Feed(MemoryTable(LISTINGS, [exempt]), serial, frozenset({"bl.example.net"}), looked=1000.0)


def make_keeper(feed: Feed, folder: Path, hands: Callable[[], float]) -> Keeper:
    return Keeper(feed, folder, lambda: NOW, hands)


def test_a_server_starts_with_what_the_one_before_knew_and_with_its_age(tmp_path: Path) -> None:
    hands = Hands()
    hands.at += 40  # since the last look
    make_keeper(make_feed(), tmp_path, hands).write()
    feed = Feed(MemoryTable())
    restore(feed, tmp_path, NOW + 60, 5.0)
    assert (feed.serial, *feed.paused) == (7, "bl.example.net")
    assert feed.age(5.0) == 100
    assert feed.age(15.0) == 110
    assert sorted(map(str, feed.table.listings(NOW))) == sorted(map(str, LISTINGS))
    assert len(list(feed.table.exemptions(NOW))) == 1


def test_a_snapshot_from_the_future_is_of_a_negative_age(tmp_path: Path) -> None:
    make_keeper(make_feed(), tmp_path, Hands()).write()
    feed = Feed(MemoryTable())
    restore(feed, tmp_path, NOW - 300, 5.0)
    assert feed.age(5.0) == -300


def test_a_snapshot_of_nobody_is_one(tmp_path: Path) -> None:
    make_keeper(Feed(MemoryTable(), 0, looked=1000.0), tmp_path, Hands()).write()
    feed = Feed(MemoryTable())
    restore(feed, tmp_path, NOW, 0.0)
    assert (feed.serial, feed.age(0.0)) == (0, 0)


@pytest.mark.parametrize(
    "damage",
    [lambda octets: b"", lambda octets: octets[:-1], lambda octets: octets[:200] + b"?" + octets[201:]],
    ids=["empty", "cut", "changed"],
)
def test_a_damaged_snapshot_is_never_served_and_the_log_says_why(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: Callable[[bytes], bytes]
) -> None:
    make_keeper(make_feed(), tmp_path, Hands()).write()
    file = tmp_path / snapshot.NAME
    file.write_bytes(damage(file.read_bytes()))
    feed = Feed(MemoryTable())
    restore(feed, tmp_path, NOW, 0.0)
    assert (feed.serial, feed.age(0.0), list(feed.table.listings(NOW))) == (None, None, [])
    assert "zone.snapshot_refused" in capsys.readouterr().out


@pytest.mark.parametrize("make", [MemoryTable, make_table])
def test_a_row_that_nobody_can_read_is_refused_by_the_name_of_its_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], make: Callable[[], Table]
) -> None:
    snapshot.write(tmp_path / snapshot.NAME, snapshot.Snapshot(7, NOW, b"\x05" + bytes(31)))
    feed = Feed(make())
    restore(feed, tmp_path, NOW, 0.0)
    assert (feed.serial, list(feed.table.listings(NOW))) == (None, [])
    assert f"{tmp_path / snapshot.NAME}: " in capsys.readouterr().out


def test_a_restored_feed_catches_up_by_its_serial(engine: Engine, tmp_path: Path) -> None:
    numbers = add_listings(engine, [f"192.0.2.{n}" for n in range(1, 11)], NOW)
    before = Feed(MemoryTable())
    refresh(engine, before, NOW, 0.0)
    add_listings(engine, ["192.0.2.99"], NOW)
    refresh(engine, before, NOW, 0.0)
    before.serial = 10  # as if the serial had been read before the last change was applied
    make_keeper(before, tmp_path, lambda: 0.0).write()
    end_listings(engine, numbers[:4], NOW)
    add_listings(engine, ["203.0.113.1"], NOW)
    feed = Feed(MemoryTable())
    restore(feed, tmp_path, NOW, 0.0)
    assert feed.serial == 10
    refresh(engine, feed, NOW, 0.0)
    wanted = {"203.0.113.1", "192.0.2.99", *(f"192.0.2.{n}" for n in range(5, 11))}
    assert {str(listing.client) for listing in feed.table.listings(NOW)} == wanted
    assert feed.serial == 16


def test_who_knows_a_serial_knows_how_old_it_is(engine: Engine, tmp_path: Path) -> None:
    """Threads answer, and keep, as soon as there is a serial: nothing that belongs to it may come later."""
    seen: list[tuple[float, str]] = []

    class Watched(Feed):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "serial" and value is not None:
                seen.append((self.looked, self.database))

    add_listings(engine, ["192.0.2.7"], NOW)
    first = Watched(MemoryTable())
    refresh(engine, first, NOW, 77.0)
    make_keeper(first, tmp_path, lambda: 77.0).write()
    restore(Watched(MemoryTable()), tmp_path, NOW, 99.0)
    assert seen == [(77.0, first.database), (99.0, first.database)]
    assert first.database != "-"


def test_it_is_written_soon_after_a_change_and_now_and_then_without_one(tmp_path: Path) -> None:
    hands, feed = Hands(), make_feed()
    keeper = make_keeper(feed, tmp_path, hands)
    hands.at += UNCHANGED
    assert not keeper.is_due()  # the database was not looked at since
    feed.looked = hands.at
    assert keeper.is_due()
    keeper.write()
    assert not keeper.is_due()
    feed.serial, feed.looked = 8, hands.at + CHANGED - 1
    hands.at += CHANGED - 1
    assert not keeper.is_due()
    hands.at += 1
    assert keeper.is_due()
    keeper.write()
    feed.looked += 1
    hands.at += CHANGED
    assert not keeper.is_due()


def test_one_that_takes_long_is_written_more_rarely(tmp_path: Path) -> None:
    feed, instants = make_feed(), iter([0.0, 0.0, 2.0, 2.0 + 2 * COST - 1, 2.0 + 2 * COST])
    keeper = make_keeper(feed, tmp_path, lambda: next(instants))
    keeper.write()
    feed.serial, feed.looked = 8, 2000.0
    assert not keeper.is_due()
    assert keeper.is_due()


def test_nothing_is_written_before_anything_is_known(tmp_path: Path) -> None:
    hands = Hands()
    keeper = make_keeper(make_feed(None), tmp_path, hands)
    hands.at += 10 * UNCHANGED
    assert not keeper.is_due()


def run_to_its_end(keeper: Keeper) -> None:
    stop = threading.Event()
    stop.set()
    keeper.run(stop)


def is_locked(file: Path) -> bool:
    return file.exists() and f":{file.stat().st_ino} " in Path("/proc/locks").read_text()


def test_the_last_change_is_written_at_the_end_by_one_server_of_the_folder(tmp_path: Path) -> None:
    feed = make_feed()
    keeper = make_keeper(feed, tmp_path, Hands())
    run_to_its_end(keeper)
    assert snapshot.read(tmp_path / snapshot.NAME) is None  # nothing had changed
    feed.serial, feed.looked = 8, 1000.5
    stop = threading.Event()
    first = threading.Thread(target=make_keeper(make_feed(), tmp_path, Hands()).run, args=(stop,))
    first.start()
    try:
        while not is_locked(tmp_path / f"{snapshot.NAME}.lock"):
            stop.wait(0.01)
        run_to_its_end(keeper)
        assert snapshot.read(tmp_path / snapshot.NAME) is None
    finally:
        stop.set()
        first.join(10)
    run_to_its_end(keeper)
    found = snapshot.read(tmp_path / snapshot.NAME)
    assert found is not None
    assert found.serial == 8
    feed.looked = 990.0  # older than what is written
    run_to_its_end(keeper)
    assert snapshot.read(tmp_path / snapshot.NAME) == found


def test_how_old_the_data_is_is_written_at_the_end_though_nothing_changed(tmp_path: Path) -> None:
    hands, feed = Hands(), make_feed()
    keeper = make_keeper(feed, tmp_path, hands)
    hands.at += UNCHANGED / 2
    feed.looked = hands.at - 1
    run_to_its_end(keeper)
    found = snapshot.read(tmp_path / snapshot.NAME)
    assert found is not None
    assert found.at == NOW - 1


def test_a_folder_that_cannot_be_written_is_said_once_and_no_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "state").write_text("a file")
    keeper = make_keeper(make_feed(), tmp_path / "state", Hands())
    keeper.write()
    keeper.write()
    assert capsys.readouterr().out.count("zone.snapshot_failed") == 1
    run_to_its_end(keeper)
