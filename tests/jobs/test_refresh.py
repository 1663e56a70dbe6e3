"""What a server follows the database with: catching up, loading everything, holding what cannot be right."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from repzone.errors import RepzoneError
from repzone.jobs import hold, refresh
from repzone.jobs.keep import Keeper, restore
from repzone.jobs.refresh import HELD_POLL, Feed, follow
from repzone.model import Client, Exemption, Listing
from repzone.reasons import CATEGORIES
from repzone.store.changes import set_paused
from repzone.store.engine import Engine
from repzone.store.exemptions import store_own_networks
from repzone.store.manual import Choice, unban
from repzone.store.overview import load_overview
from repzone.wire.respond import View, respond
from repzone.zone.table import MemoryTable
from tests.jobs.histories import ADDRESS, BURST, World
from tests.jobs.listed import add_listings, end_listings
from tests.wire.sample import LOOPBACK, ZONES, query

NOW = 1_790_000_000
EXEMPT = """
INSERT INTO exemption (network, added, ended) VALUES ('192.0.2.0/30', to_timestamp(0), to_timestamp(1790000030))"""
ADDRESSES = [f"192.0.2.{n}" for n in range(1, 41)] + [f"2001:db8:{n}::/64" for n in range(1, 11)]


def listed(feed: Feed, now: int = NOW) -> set[str]:
    """Give the keys that the table has."""
    return {str(listing.client) for listing in feed.table.listings(now)}


def make_feed(engine: Engine, folder: Path | None = None) -> Feed:
    """Give a feed that knows the database as it is."""
    feed = Feed(MemoryTable(), folder=folder)
    refresh.refresh(engine, feed, NOW, 0.0)
    return feed


def execute(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))


def test_everything_is_loaded_as_the_database_has_it(engine: Engine) -> None:
    numbers = add_listings(engine, ADDRESSES, NOW)
    add_listings(engine, ["192.0.2.1"], NOW - 60, category="auth", seconds=90)
    add_listings(engine, ["192.0.2.99"], NOW - 60, seconds=60)  # ends now
    end_listings(engine, numbers[:3], NOW)
    with engine.begin() as connection:
        store_own_networks(connection, [Client.from_text("198.51.100.0/24")], NOW)
        set_paused(connection, ["bl.example.net"], True, NOW, None)
    feed = make_feed(engine)
    assert listed(feed) == {"192.0.2.1", *ADDRESSES[3:]}
    (auth,) = feed.table.lookup(Client.from_text("192.0.2.1"), NOW).listings
    assert (auth.category, auth.offence, auth.began, auth.expires) == ("auth", 1, NOW - 60, NOW + 30)
    assert list(feed.table.exemptions(NOW)) == [Exemption(Client.from_text("198.51.100.0/24"), 0)]
    assert feed.paused == {"bl.example.net"}
    assert feed.serial == 57


def test_a_change_is_applied_without_loading_anything_else(engine: Engine) -> None:
    numbers = add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine)
    execute(engine, "UPDATE listing SET state = 'shadow' WHERE id > 10")  # no change says so
    add_listings(engine, ["203.0.113.1"], NOW)
    end_listings(engine, numbers[:2], NOW)
    refresh.refresh(engine, feed, NOW, 0.0)
    assert listed(feed) == {"203.0.113.1", *ADDRESSES[2:]}


def count_listed(engine: Engine, feed: Feed, now: int) -> tuple[dict[str, int], dict[str, int]]:
    """Give what `_status` of a server and what `repzone status` count as listed."""
    view = View(ZONES, feed.table, feed.serial or 0, 0, exempt=feed.exempt)
    told = respond(query("_status.bl.example.net", 16), LOOPBACK, now, view, udp=True)
    numbers = dict(re.findall(r"(\w+)=(\d+)", (told or b"").decode("latin-1")))
    with engine.connect() as connection:
        shown = load_overview(connection, now).listings
    return {name: int(numbers[name]) for name in CATEGORIES if numbers[name] != "0"}, dict(shown)


def test_the_server_and_status_count_no_listing_inside_an_exemption(engine: Engine, tmp_path: Path) -> None:
    execute(engine, EXEMPT)
    numbers = add_listings(engine, ADDRESSES, NOW)  # begun late: nobody lifted them
    add_listings(engine, ["192.0.2.1", "192.0.2.0/24"], NOW, category="auth", seconds=90)
    feed = make_feed(engine)
    assert count_listed(engine, feed, NOW) == ({"spam": 47, "auth": 1},) * 2
    Keeper(feed, tmp_path, lambda: NOW, lambda: NOW).write()
    again = Feed(MemoryTable())
    restore(again, tmp_path, NOW, NOW)
    assert count_listed(engine, again, NOW) == ({"spam": 47, "auth": 1},) * 2
    end_listings(engine, numbers[:1], NOW)
    add_listings(engine, ["192.0.2.2"], NOW, category="virus")
    refresh.refresh(engine, feed, NOW + 1, 0.0)
    assert count_listed(engine, feed, NOW + 1) == ({"spam": 47, "auth": 1},) * 2
    refresh.refresh(engine, feed, NOW + 60, 0.0)  # the exemption has ended
    assert count_listed(engine, feed, NOW + 60) == ({"spam": 49, "auth": 2, "virus": 1},) * 2
    with engine.begin() as connection:
        store_own_networks(connection, [Client.from_text("192.0.2.40")], NOW)
    add_listings(engine, ["192.0.2.40"], NOW, category="errors")
    refresh.refresh(engine, feed, NOW + 61, 0.0)
    assert count_listed(engine, feed, NOW + 61) == ({"spam": 48, "auth": 2, "virus": 1},) * 2


def test_everything_is_loaded_when_changes_that_are_needed_were_pruned(engine: Engine) -> None:
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine)
    add_listings(engine, ["203.0.113.1", "203.0.113.2"], NOW)
    execute(engine, "DELETE FROM listing_change WHERE serial = 51")
    refresh.refresh(engine, feed, NOW, 0.0)
    assert listed(feed) == {"203.0.113.1", "203.0.113.2", *ADDRESSES}
    assert feed.serial == 52


def test_a_pause_is_a_change_like_others_and_no_gap(engine: Engine) -> None:
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine)
    execute(engine, "UPDATE listing SET state = 'shadow'")
    with engine.begin() as connection:
        set_paused(connection, ["bl.example.net"], True, NOW, None)
    add_listings(engine, ["203.0.113.1"], NOW)
    refresh.refresh(engine, feed, NOW, 0.0)
    assert (feed.serial, *feed.paused) == (52, "bl.example.net")
    assert listed(feed) == {"203.0.113.1", *ADDRESSES}


def lose(engine: Engine, most: int) -> None:
    """Let the database forget listings with all that was said of them, and go back in time."""
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM listing_change WHERE listing_id <= :most"), {"most": most})
        connection.execute(text("DELETE FROM listing WHERE id <= :most"), {"most": most})
        connection.execute(text("UPDATE change_serial SET serial = serial - 1"))
        connection.execute(text("DELETE FROM listing_change WHERE serial = (SELECT serial + 1 FROM change_serial)"))


def test_a_dump_that_came_into_the_same_database_is_not_taken_for_this_one_going_on(
    engine: Engine, tmp_path: Path
) -> None:
    add_listings(engine, ADDRESSES[:5], NOW)
    feed = make_feed(engine, tmp_path)
    execute(engine, "CREATE TABLE restored AS TABLE change_serial")
    execute(engine, "DROP TABLE change_serial")
    execute(engine, "ALTER TABLE restored RENAME TO change_serial")
    execute(engine, "UPDATE listing_change SET key = '203.0.113.1' WHERE serial = 1")
    execute(engine, "UPDATE listing SET key = '203.0.113.1' WHERE id = 1")
    add_listings(engine, ADDRESSES[5:6], NOW)
    refresh.refresh(engine, feed, NOW, 0.0)
    assert listed(feed) == {"203.0.113.1", *ADDRESSES[1:6]}


def test_another_database_with_a_higher_serial_is_not_taken_for_this_one_going_on(
    engine: Engine, tmp_path: Path
) -> None:
    add_listings(engine, ADDRESSES[:5], NOW)
    feed = make_feed(engine, tmp_path)
    assert feed.database.replace("/", "").isdecimal()
    feed.database = "7/5"
    assert feed.serial is not None
    feed.serial -= 1
    feed.table.replace([Listing(Client.from_text("203.0.113.9"), "spam", 1, NOW - 9, NOW + 900)], [])
    refresh.refresh(engine, feed, NOW, 0.0)
    assert (listed(feed), feed.held is not None) == ({"203.0.113.9"}, True)
    hold.accept(tmp_path)
    refresh.refresh(engine, feed, NOW, 0.0)
    assert (listed(feed), feed.held, feed.database == "7/5") == (set(ADDRESSES[:5]), None, False)


def test_changes_are_told_to_the_log_once_a_second(engine: Engine) -> None:
    feed = make_feed(engine)
    with capture_logs() as logs:
        for address, now in zip(ADDRESSES[:6], (NOW, NOW, NOW, NOW + 1, NOW + 1, NOW + 1), strict=True):
            add_listings(engine, [address], NOW)
            refresh.refresh(engine, feed, now, 0.0)
        refresh.refresh(engine, feed, NOW + 2, 0.0)
    assert [line["changes"] for line in logs if line["event"] == "zone.refreshed"] == [1, 3, 2]


def test_a_reload_that_lacks_half_is_taken_and_one_that_lacks_more_is_held(engine: Engine, tmp_path: Path) -> None:
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine, tmp_path)
    lose(engine, 25)
    refresh.refresh(engine, feed, NOW, 0.0)
    assert (feed.held, listed(feed)) == (None, set(ADDRESSES[25:]))
    lose(engine, 38)
    refresh.refresh(engine, feed, NOW, 0.0)
    assert listed(feed) == set(ADDRESSES[25:])
    assert feed.held == hold.Held(NOW, 48, 25, 12, 13) == hold.load_held(tmp_path)


def test_a_reload_that_is_held_is_taken_when_the_operator_says_so(engine: Engine, tmp_path: Path) -> None:
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine, tmp_path)
    lose(engine, 40)
    refresh.refresh(engine, feed, NOW, 0.0)
    add_listings(engine, ["203.0.113.1"], NOW + 1)
    refresh.refresh(engine, feed, NOW + 1, 0.0)
    assert listed(feed) == set(ADDRESSES)
    hold.accept(tmp_path)
    refresh.refresh(engine, feed, NOW + 1, 0.0)
    assert listed(feed) == {"203.0.113.1", *ADDRESSES[40:]}
    assert feed.held is None
    assert list(tmp_path.iterdir()) == []
    add_listings(engine, ["203.0.113.2"], NOW + 2)
    refresh.refresh(engine, feed, NOW + 2, 0.0)
    assert listed(feed) == {"203.0.113.1", "203.0.113.2", *ADDRESSES[40:]}


def test_a_reload_is_not_held_any_more_when_the_database_is_right_again(engine: Engine, tmp_path: Path) -> None:
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine, tmp_path)
    execute(engine, "UPDATE listing SET state = 'shadow'")
    execute(engine, "UPDATE change_serial SET serial = 49")
    refresh.refresh(engine, feed, NOW, 0.0)
    assert feed.held is not None
    execute(engine, "UPDATE listing SET state = 'active'")
    refresh.refresh(engine, feed, NOW + HELD_POLL, 0.0)
    assert feed.serial == 49
    assert not feed.held
    assert not hold.load_held(tmp_path)
    assert listed(feed) == set(ADDRESSES)


def test_what_changes_say_has_ended_is_not_missed(engine: Engine, tmp_path: Path) -> None:
    numbers = add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine, tmp_path)
    end_listings(engine, numbers[:40], NOW)
    add_listings(engine, ["203.0.113.1"], NOW)
    execute(engine, "DELETE FROM listing_change WHERE serial = 91")  # a gap: everything must be loaded
    refresh.refresh(engine, feed, NOW, 0.0)
    assert (feed.held, listed(feed)) == (None, {"203.0.113.1", *ADDRESSES[40:]})


def test_that_an_earlier_listing_of_a_client_ended_does_not_explain_the_loss_of_a_later_one(engine: Engine) -> None:
    end_listings(engine, add_listings(engine, ADDRESSES, NOW - 600), NOW - 300)
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine)
    execute(engine, "UPDATE listing SET state = 'shadow' WHERE state = 'active'")
    execute(engine, "UPDATE change_serial SET serial = serial - 1")
    refresh.refresh(engine, feed, NOW, 0.0)
    assert feed.held == hold.Held(NOW, 149, 50, 0, 50)
    assert listed(feed) == set(ADDRESSES)


def test_an_empty_database_is_taken_by_a_server_that_knew_nothing_and_what_has_ended_is_not_missed(
    engine: Engine, tmp_path: Path
) -> None:
    feed = make_feed(engine, tmp_path)
    assert (feed.serial, feed.held, listed(feed)) == (0, None, set())
    add_listings(engine, ADDRESSES, NOW, seconds=60)
    refresh.refresh(engine, feed, NOW, 0.0)
    execute(engine, "TRUNCATE listing CASCADE")
    execute(engine, "UPDATE change_serial SET serial = 0")
    refresh.refresh(engine, feed, NOW + 60, 0.0)
    assert (feed.serial, feed.held) == (0, None)


def test_what_is_not_held_cannot_be_accepted_and_a_damaged_note_is_named(tmp_path: Path) -> None:
    with pytest.raises(RepzoneError, match="no reload is held"):
        hold.accept(tmp_path)
    (tmp_path / hold.HELD).write_text(json.dumps({"since": 1}))
    with pytest.raises(RepzoneError, match=r"zone\.held: cannot be read: "):
        hold.load_held(tmp_path)


def test_a_listing_that_runs_is_served_again_when_the_next_decided_ahead_is_undone(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (1, "calculate", None), (1100, "log", [(-200, ADDRESS, "unknown_recipient", 6)])])
    feed = Feed(MemoryTable())
    refresh.refresh(engine, feed, world.now, 0.0)
    with engine.begin() as connection:
        assert unban(connection, Choice(since=world.now), world.said("unban"), false_positive=True)
    refresh.refresh(engine, feed, world.now, 0.0)
    whole = Feed(MemoryTable())
    refresh.refresh(engine, whole, world.now, 0.0)
    assert [one.offence for one in whole.table.listings(world.now)] == [1]
    assert list(feed.table.listings(world.now)) == list(whole.table.listings(world.now))


@contextmanager
def followed(engine: Engine, feed: Feed) -> Iterator[None]:
    """Follow the database in a thread until the block is left."""
    stop = threading.Event()
    thread = threading.Thread(target=follow, args=(engine, feed, lambda: NOW, time.monotonic, stop))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it did not come about in 20 s")


def test_a_clock_that_was_ahead_and_is_set_right_puts_no_sweep_off(engine: Engine, tmp_path: Path) -> None:
    feed = make_feed(engine, tmp_path)
    refresh.refresh(engine, feed, NOW + 86_400, 0.0)
    add_listings(engine, ADDRESSES, NOW, seconds=60)
    refresh.refresh(engine, feed, NOW, 1.0)
    assert sum(feed.table.counts().values()) == len(ADDRESSES)
    refresh.refresh(engine, feed, NOW + 60, 61.0)
    assert sum(feed.table.counts().values()) == 0


def test_a_clock_that_was_ahead_and_is_set_right_keeps_no_reload_held(engine: Engine, tmp_path: Path) -> None:
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine, tmp_path)
    execute(engine, "UPDATE listing SET state = 'shadow'")
    execute(engine, "UPDATE change_serial SET serial = 49")
    refresh.refresh(engine, feed, NOW + 600, 0.0)
    assert feed.held is not None
    execute(engine, "UPDATE listing SET state = 'active'")
    refresh.refresh(engine, feed, NOW + 1, 1.0)
    assert not feed.held


def test_while_a_reload_is_held_the_data_grows_older(engine: Engine, tmp_path: Path) -> None:
    add_listings(engine, ADDRESSES, NOW)
    feed = make_feed(engine, tmp_path)
    with followed(engine, feed):
        until(lambda: feed.looked > 0)
        lose(engine, 40)
        until(lambda: feed.held is not None)
        looked, turned = feed.looked, feed.turned
        until(lambda: feed.turned > turned)
        assert feed.looked == looked


def test_a_database_that_hangs_is_left_and_found_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    if "REPZONE_TEST_DATABASE_URL" in os.environ:
        pytest.skip("the server's processes are not ours to stop")
    monkeypatch.setattr(refresh, "PATIENCE", 0.5)
    feed = make_feed(engine)
    backends = text("SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
    with engine.connect() as other, followed(engine, feed):
        other.execution_options(isolation_level="AUTOCOMMIT")
        until(lambda: feed.looked > 0)
        stopped = list(other.scalars(backends))
        try:
            for pid in stopped:
                os.kill(pid, signal.SIGSTOP)
            looked = feed.looked
            until(lambda: feed.looked > looked)
            assert set(stopped) != set(other.scalars(backends))
        finally:
            for pid in stopped:
                os.kill(pid, signal.SIGCONT)
        add_listings(engine, ["192.0.2.1"], NOW)
        until(lambda: feed.serial == 1)
        assert listed(feed) == {"192.0.2.1"}
