"""Acts of an operator, and how listings stand after them: what the tests of these acts share."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from sqlalchemy import text

from repzone.jobs.refresh import Feed, refresh
from repzone.model import Client, Event, Exemptions
from repzone.store.acts import Act, load_acts
from repzone.store.changes import current_serial, load_changes
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events
from repzone.store.exemptions import load_exemptions
from repzone.store.find import find_listings
from repzone.store.policies import load_rulebook
from repzone.store.positions import open_source
from repzone.zone.table import MemoryTable
from tests.store.samples import NOW

C = Client.from_text


def act(now: int = NOW, verb: str = "ban", subject: str = "192.0.2.1", reason: str = "for a reason") -> Act:
    """Make an act of Ada's."""
    return Act(now, "ada", verb, subject, reason)


def acts(engine: Engine) -> list[tuple[str, str, str]]:
    """Give author, verb and reason of what was done, in order of time."""
    with engine.connect() as connection:
        return [(one.author, one.verb, one.reason) for one in reversed(load_acts(connection))]


def add(engine: Engine, *events: Event, path: str = "/var/log/mail.log", now: int = NOW) -> None:
    """Store events of a log."""
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        source = open_source(connection, "mx", path)
        exemptions = Exemptions(load_exemptions(connection))
        add_events(connection, source, list(events), load_rulebook(connection), exemptions, now)


def viruses(at: int, *addresses: str) -> list[Event]:
    """Give one event for each address, which lists it."""
    return [Event(at, C(address), "virus_found") for address in addresses]


def standing(engine: Engine, now: int = NOW) -> dict[str, tuple[str, int, int]]:
    """Give state, begin and end of every listing against NOW, by `client category`; of several the last begun."""
    with engine.connect() as connection:
        found = sorted(find_listings(connection, now, everything=True), key=lambda one: one.began)
    return {f"{one.client} {one.category}": (one.state, one.began - NOW, one.expires - NOW) for one in found}


def served(engine: Engine) -> Feed:
    """Give a feed that has loaded the zone as it is."""
    feed = Feed(MemoryTable())
    refresh(engine, feed, NOW, 0.0)
    return feed


def check_served(engine: Engine, feed: Feed, now: int = NOW) -> None:
    """Bring a feed up to date by its changes alone; it must then hold what one holds that loads everything."""
    refresh(engine, feed, now, 0.0)
    whole = Feed(MemoryTable())
    refresh(engine, whole, now, 0.0)
    with engine.connect() as connection:
        serials = [change.serial for change in load_changes(connection, 0)]
        serial = current_serial(connection)
    assert serial == feed.serial == whole.serial
    fresh = whole.table
    assert set(map(repr, feed.table.listings(now))) == set(map(repr, fresh.listings(now)))
    held = {(one.network, one.added, one.ended) for one in feed.table.exemptions(now)}
    assert held == {(one.network, one.added, one.ended) for one in fresh.exemptions(now)}
    assert serials == list(range(1, serial + 1))


def wait_for_lock(engine: Engine, thread: threading.Thread) -> None:
    """Wait until somebody waits for a lock in this database, which the thread must then be."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    pause = threading.Event()
    for _ in range(400):
        with engine.connect() as connection:
            if connection.scalar(query):
                assert thread.is_alive()
                return
        pause.wait(0.05)
    pytest.fail("nobody waits for a lock")


def start(*workers: Callable[[], object]) -> list[threading.Thread]:
    """Run each in a thread of its own."""
    threads = [threading.Thread(target=worker, daemon=True) for worker in workers]
    for thread in threads:
        thread.start()
    return threads


def join(threads: list[threading.Thread]) -> None:
    """Wait for their ends."""
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
