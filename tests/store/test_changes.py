"""Serials: in commit order, without gaps, whoever writes; and what a server gets to see of them."""

from __future__ import annotations

import threading

from sqlalchemy import text

from repzone.jobs import calculate
from repzone.jobs.refresh import Feed, follow, refresh
from repzone.model import Client, Event, Exemption, Exemptions, Listing
from repzone.policy.rules import SHIPPED
from repzone.store.changes import current_serial, load_changes
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events
from repzone.store.exemptions import load_exemptions, store_own_networks
from repzone.store.policies import load_policy
from repzone.store.positions import open_source
from repzone.zone.table import MemoryTable

NOW = 1_790_000_000


def add_virus(engine: Engine, *addresses: str) -> None:
    """Store one event for each, which lists it."""
    events = [Event(NOW, Client.from_text(address), "virus_found") for address in addresses]
    add_days(engine, [NOW])
    with engine.begin() as connection:
        rulebook = load_policy(connection, SHIPPED, "policy.toml", NOW)
        source = open_source(connection, "mx", "-")
        add_events(connection, source, events, rulebook, Exemptions(), NOW)


def test_serials_have_no_gaps_and_come_in_commit_order_from_many_calculators(engine: Engine) -> None:
    add_virus(engine, *(f"192.0.2.{n}" for n in range(200)))
    seen: list[int] = []
    stop = threading.Event()

    def watch() -> None:
        last = 0
        while not stop.is_set() or last < 200:
            with engine.connect() as connection:
                serials = [change.serial for change in load_changes(connection, last)]
            seen.extend(serials)
            last = serials[-1] if serials else last

    watcher = threading.Thread(target=watch)
    watcher.start()
    workers = [threading.Thread(target=calculate_in_small_batches, args=(engine,)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    stop.set()
    watcher.join(60)
    assert seen == list(range(1, 201))  # a serial that became visible after a later one would be missing here


def calculate_in_small_batches(engine: Engine) -> None:
    """Decide on seven clients a transaction, so that many transactions race."""
    while calculate.run(engine, lambda: NOW, most=7).clients:
        pass


def test_a_rolled_back_decision_leaves_no_serial(engine: Engine) -> None:
    add_virus(engine, "192.0.2.1")
    assert calculate.run(engine, lambda: NOW, dry_run=True).listings == {"virus": 1}
    with engine.connect() as connection:
        assert current_serial(connection) == 0
        assert load_changes(connection, 0) == []
    calculate.run(engine, lambda: NOW)
    with engine.connect() as connection:
        (change,) = load_changes(connection, 0)
    assert change.what == Listing(Client.from_text("192.0.2.1"), "virus", 1, NOW, NOW + 86400)


def test_a_feed_loads_everything_once_and_then_only_what_came_after(engine: Engine) -> None:
    feed = Feed(MemoryTable())
    assert feed.age(0.0) is None
    add_virus(engine, "192.0.2.1")
    calculate.run(engine, lambda: NOW)
    refresh(engine, feed, NOW, 0.0)
    assert feed.serial == 1
    assert feed.table.lookup(Client.from_text("192.0.2.1"), NOW).listings
    add_virus(engine, "192.0.2.2")
    calculate.run(engine, lambda: NOW)
    with engine.begin() as connection:
        connection.execute(text("UPDATE listing_change SET key = '192.0.2.99' WHERE serial = 1"))
    refresh(engine, feed, NOW, 0.0)
    assert feed.serial == 2
    assert feed.table.lookup(Client.from_text("192.0.2.2"), NOW).listings
    assert not feed.table.lookup(Client.from_text("192.0.2.99"), NOW).listings


def test_a_feed_loads_everything_again_when_the_database_has_gone_back(engine: Engine) -> None:
    feed = Feed(MemoryTable(), serial=7)
    add_virus(engine, "192.0.2.1")
    calculate.run(engine, lambda: NOW)
    refresh(engine, feed, NOW, 0.0)
    assert feed.serial == 1
    assert feed.table.lookup(Client.from_text("192.0.2.1"), NOW).listings


def test_a_follower_outlives_the_loss_of_its_connections(engine: Engine) -> None:
    feed, stop, woken = Feed(MemoryTable()), threading.Event(), threading.Event()
    kill = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND datname = current_database()"
    )

    def revive() -> None:
        woken.set()

    thread = threading.Thread(target=follow, args=(engine, feed, lambda: NOW, lambda: 0.0, stop, revive))
    thread.start()
    try:
        until(lambda: feed.serial == 0)
        with engine.connect() as connection:
            connection.execute(kill)
        assert woken.wait(20)
        add_virus(engine, "192.0.2.1")
        calculate.run(engine, lambda: NOW)
        until(lambda: feed.serial == 1)
    finally:
        stop.set()
        thread.join(20)


def until(condition: object) -> None:
    """Wait for a condition, twenty seconds at most."""
    assert callable(condition)
    pause = threading.Event()
    for _ in range(400):
        if condition():
            return
        pause.wait(0.05)
    raise AssertionError("it did not come about in 20 s")


def test_own_networks_are_exempt_since_ever_and_no_longer_than_they_are_configured(engine: Engine) -> None:
    one, two = Client.from_text("192.0.2.0/24"), Client.from_text("2001:db8::/48")
    with engine.begin() as connection:
        store_own_networks(connection, [one, two], NOW)
        store_own_networks(connection, [one, two], NOW + 1)
        assert current_serial(connection) == 2
        store_own_networks(connection, [two], NOW + 2)
        assert load_exemptions(connection) == [
            Exemption(one, 0, NOW + 2, "own network", "own_networks"),
            Exemption(two, 0, None, "own network", "own_networks"),
        ]
        assert [change.what for change in load_changes(connection, 2)] == [Exemption(one, 0, NOW + 2)]
