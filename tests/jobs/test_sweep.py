"""What time ends: listings expire with a serial each, and old things go without anybody waiting for it."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import text

from repzone import shipped
from repzone.jobs import calculate, sweep
from repzone.jobs.batch import Batch, store
from repzone.jobs.refresh import Feed, refresh
from repzone.jobs.sweep import Pruned, Retention
from repzone.model import Client, Event, Exemption, Hit, Traffic
from repzone.policy.rules import SHIPPED
from repzone.store.acts import add_act
from repzone.store.changes import current_serial, load_changes, set_paused
from repzone.store.engine import Connection, Engine, connect
from repzone.store.exemptions import store_own_networks
from repzone.store.find import find_listings
from repzone.store.locks import HISTORY, hold_history
from repzone.store.migrate import upgrade
from repzone.store.policies import load_policy
from repzone.store.positions import add_file, load_files, open_source
from repzone.zone.table import MemoryTable

NOW = 1_790_000_000
DAY = 86_400
CLIENT = Client.from_text("192.0.2.7")
KEPT = Retention(events=30 * DAY, listings=400 * DAY)


def add(engine: Engine, *events: Event, now: int = NOW, policy: str = SHIPPED) -> None:
    """Store events as ingestion does."""
    with engine.begin() as connection:
        load_policy(connection, policy, "policy.toml", now)
        source = open_source(connection, "mx", "-")
    with engine.connect() as connection:
        store(connection, source, Batch(events=list(events)), lambda: now, lambda connection: None)


def virus(at: int, client: Client = CLIENT) -> Event:
    """Give an event that lists at once, with a line to show."""
    return Event(at, client, "virus_found", 1, "amavis", "Blocked INFECTED (Test)")


def listed(engine: Engine, at: int, client: Client = CLIENT) -> None:
    """List a client at an instant for a day, decided then."""
    add(engine, virus(at, client), now=at)
    calculate.run(engine, lambda: at)


def days(engine: Engine) -> list[str]:
    """Give the tables of days that are part of `event`."""
    query = "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'event'::regclass ORDER BY 1"
    with engine.connect() as connection:
        return list(connection.scalars(text(query)))


def count(engine: Engine, table: str) -> int:
    with engine.connect() as connection:
        return int(connection.scalar(text(f"SELECT count(*) FROM {table}")) or 0)  # noqa: S608


def table_of(at: int) -> str:
    return f"event_{datetime.fromtimestamp(at, UTC):%Y%m%d}"


def prune(engine: Engine, now: int = NOW, retention: Retention = KEPT, *, dry_run: bool = False) -> Pruned:
    return sweep.prune(engine, lambda: now, retention, dry_run=dry_run)


def test_what_has_ended_expires_with_a_serial_each_and_what_has_not_stays(engine: Engine) -> None:
    addresses = [Client.from_text(f"192.0.2.{n}") for n in range(20)]
    add(engine, *(virus(NOW + n, client) for n, client in enumerate(addresses)))
    calculate.run(engine, lambda: NOW + 60)
    feed = Feed(MemoryTable())
    refresh(engine, feed, NOW + 60, 0.0)
    assert sweep.expire_ended(engine, lambda: NOW + DAY - 1) == 0
    assert sweep.expire_ended(engine, lambda: NOW + DAY + 9, most=4) == 10
    with engine.connect() as connection:
        changes = load_changes(connection, 20)
        states = [listing.state for listing in find_listings(connection, NOW, everything=True)]
    assert [change.serial for change in changes] == list(range(21, 31))
    assert {change.what.state for change in changes if not isinstance(change.what, Exemption)} == {"expired"}
    assert sorted(states) == ["active"] * 10 + ["expired"] * 10
    refresh(engine, feed, NOW + 60, 0.0)
    assert sum(feed.table.counts().values()) == 10
    assert sweep.expire_ended(engine, lambda: NOW + DAY + 9) == 0


def test_a_listing_that_somebody_is_changing_is_left_for_the_next_time(engine: Engine) -> None:
    listed(engine, NOW)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT FROM listing FOR UPDATE")
        assert sweep.expire_ended(engine, lambda: NOW + DAY) == 0
    assert sweep.expire_ended(engine, lambda: NOW + DAY) == 1


def test_old_days_go_and_listings_evidence_and_samples_survive_them(engine: Engine) -> None:
    old, young = NOW - 40 * DAY, NOW - DAY
    listed(engine, old)
    listed(engine, young)
    before = [count(engine, name) for name in ("listing", "listing_evidence", "listing_sample", "listing_change")]
    assert before == [2, 2, 2, 2]
    outcome = prune(engine)
    assert [day.isoformat() for day in outcome.days] == [f"{datetime.fromtimestamp(old, UTC):%Y-%m-%d}"]
    assert outcome.octets > 0
    assert days(engine) == [table_of(young)]
    assert count(engine, "event") == 1
    after = [count(engine, name) for name in ("listing", "listing_evidence", "listing_sample", "listing_change")]
    assert after == before
    with engine.connect() as connection:
        found = find_listings(connection, NOW, everything=True)
    assert [dict(listing.reasons) for listing in found] == [{"virus_found": 1}] * 2


def test_a_day_goes_when_all_of_it_is_old_enough(engine: Engine) -> None:
    midnight = NOW // DAY * DAY
    add(engine, virus(midnight - 1), virus(midnight))
    calculate.run(engine, lambda: NOW)
    assert prune(engine, midnight + 30 * DAY - 1).days == []
    assert [day.day for day in prune(engine, midnight + 30 * DAY).days] == [20]
    assert days(engine) == [table_of(midnight)]


def test_what_the_policy_reaches_back_to_is_kept_however_short_the_retention(engine: Engine) -> None:
    policy = '[categories.spam]\nwindow = "20d"\n'
    add(engine, virus(NOW - 20 * DAY), virus(NOW - 23 * DAY), policy=policy)
    calculate.run(engine, lambda: NOW)
    prune(engine, retention=Retention(DAY, DAY))
    assert days(engine) == [table_of(NOW - 20 * DAY)]
    assert count(engine, "listing") == 2  # the offence memory of ninety days


def test_a_day_that_a_pending_client_needs_is_kept_until_it_was_decided(engine: Engine) -> None:
    old = NOW - 40 * DAY
    add(engine, virus(old))
    outcome = prune(engine)
    assert (outcome.days, len(outcome.needed), outcome.left) == ([], 1, [])
    assert count(engine, "event") == 1
    assert len(prune(engine, dry_run=True).needed) == 1
    calculate.run(engine, lambda: NOW)
    assert len(prune(engine).days) == 1
    assert count(engine, "listing") == 1


def test_old_listings_go_with_all_that_hangs_on_them(engine: Engine) -> None:
    old = NOW - 500 * DAY
    hit = Hit(old + 60, CLIENT)
    listed(engine, old)
    listed(engine, NOW - 60, Client.from_text("192.0.2.8"))
    with engine.connect() as connection:
        store(connection, 1, Batch(hits=[hit]), lambda: NOW, lambda connection: None)
    assert count(engine, "hit") == 1
    sweep.expire_ended(engine, lambda: NOW)
    assert count(engine, "listing_change") == 3
    outcome = prune(engine)
    assert (outcome.rows["listing"], outcome.left) == (1, [])
    tables = ("listing", "listing_evidence", "listing_sample", "listing_change", "hit")
    assert [count(engine, name) for name in tables] == [1, 1, 1, 1, 0]


def test_everything_else_goes_when_it_is_old_and_nobody_needs_it(engine: Engine) -> None:
    old, young = NOW - 500 * DAY, NOW - DAY
    for at in (old, young):
        add(engine, Event(at, CLIENT, "timeout", id=f"id {at}"), now=at)
        with engine.connect() as connection:
            traffic = [Traffic(at, CLIENT, 1, 1)]
            store(connection, 1, Batch(traffic=traffic, hits=[Hit(at, CLIENT)]), lambda: NOW, lambda connection: None)
        with engine.begin() as connection:
            store_own_networks(connection, [Client.from_text("192.0.2.0/28")], at - 9)
            store_own_networks(connection, [], at)
            paused = set_paused(
                connection, ["bl.example.net"], True, at, add_act(connection, "a", "pause", "b", "c", at)
            )
            assert paused
            set_paused(connection, ["bl.example.net"], False, at, None)
            add_spared(connection, at)
    calculate.run(engine, lambda: NOW)
    said = prune(engine, dry_run=True)
    tables = ("exemption", "traffic", "event_id", "spared", "hit", "act", "listing_change")
    before = [count(engine, name) for name in tables]
    assert before[:5] == [2] * 5
    assert len(said.days) == 1
    done = prune(engine)
    assert [2 * count(engine, name) for name in tables] == before  # one half is young
    assert {name: number for name, number in said.rows.items() if name != "act"} == {
        name: number for name, number in done.rows.items() if name != "act"
    }
    assert done.rows["act"] == count(engine, "act")


def add_spared(connection: Connection, at: int) -> None:
    """Note that a client was spared then."""
    query = """INSERT INTO spared (key, category, began, last, policy_version_id, points, offences, clean)
        VALUES ('192.0.2.7', 'spam', to_timestamp(:at), to_timestamp(:at), 1, 3, 3, 900)"""
    connection.execute(text(query), {"at": at})


def test_the_newest_files_of_a_source_are_remembered_however_old(engine: Engine) -> None:
    with engine.begin() as connection:
        source = open_source(connection, "mx", "/var/log/mail.log")
        numbers = [add_file(connection, source, b"%d" % n, 1, (1, n), NOW - 500 * DAY) for n in range(13)]
    assert prune_files(engine) == 3
    with engine.connect() as connection:
        assert [row.id for row in load_files(connection, source)] == numbers[:2:-1]


def prune_files(engine: Engine) -> int:
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW)
    return prune(engine).rows["source_file"]


def test_it_prunes_once_a_day_by_itself_from_the_second_day_on_and_expires_always(engine: Engine) -> None:
    listed(engine, NOW - 40 * DAY)
    sweep.run(engine, lambda: NOW - DAY, KEPT)
    assert len(days(engine)) == 1, "an old log has only just been read"
    sweep.run(engine, lambda: NOW, KEPT)
    assert days(engine) == []
    listed(engine, NOW - 39 * DAY)
    sweep.run(engine, lambda: NOW + DAY - 1, KEPT)
    assert len(days(engine)) == 1
    with engine.connect() as connection:
        assert {listing.state for listing in find_listings(connection, NOW, everything=True)} == {"expired"}
    sweep.run(engine, lambda: NOW + DAY, KEPT)
    assert days(engine) == []


def test_only_one_prunes_at_a_time(engine: Engine) -> None:
    listed(engine, NOW - 40 * DAY)
    with engine.begin() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('repzone.prune'))")
        assert prune(engine).busy
    assert len(days(engine)) == 1
    assert not prune(engine).busy


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a step that is in somebody's way be given up soon."""
    monkeypatch.setattr(sweep, "TRIES", 2)
    monkeypatch.setattr(sweep, "PAUSE", 0.01)


@pytest.mark.usefixtures("hurried")
def test_a_drop_that_a_reader_kept_from_its_end_is_finished_later(engine: Engine) -> None:
    listed(engine, NOW - 40 * DAY)
    listed(engine, NOW - 39 * DAY)
    with engine.connect() as reader, reader.begin():
        reader.exec_driver_sql("SELECT count(*) FROM event")
        outcome = prune(engine)
        assert outcome.left == [table_of(NOW - 40 * DAY), table_of(NOW - 39 * DAY)]
        add(engine, virus(NOW))  # nobody waits for that, also who makes a new day
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT pruned FROM sweep")) is None  # so that it is tried again soon
    assert len(prune(engine).days) == 2
    assert days(engine) == [table_of(NOW)]


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("finalized", [False, True], ids=["being detached", "detached"])
def test_old_events_that_come_while_their_day_is_being_dropped_are_stored_with_the_others(
    engine: Engine, finalized: bool
) -> None:
    old = NOW - 40 * DAY
    listed(engine, old)
    with engine.connect() as reader, reader.begin():
        reader.exec_driver_sql("SELECT count(*) FROM event")
        prune(engine)
    assert count(engine, "event") == 0
    if finalized:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"ALTER TABLE event DETACH PARTITION {table_of(old)} FINALIZE")
    add(engine, virus(old + 1))
    assert count(engine, "event") == 2
    calculate.run(engine, lambda: NOW)
    assert len(prune(engine).days) == 1


@pytest.mark.usefixtures("hurried")
def test_nothing_old_is_dropped_while_somebody_stores_old_events(engine: Engine) -> None:
    listed(engine, NOW - 500 * DAY)
    sweep.expire_ended(engine, lambda: NOW)
    with engine.begin() as connection:
        hold_history(connection, [NOW - 500 * DAY], NOW)
        outcome = prune(engine)
    assert (outcome.days, outcome.rows["listing"]) == ([], 0)
    assert "listing" in outcome.left
    assert prune(engine).rows["listing"] == 1


def test_of_today_nobody_holds_anything(engine: Engine) -> None:
    with engine.begin() as connection, engine.begin() as other:
        hold_history(connection, [NOW - DAY], NOW)
        assert other.scalar(text(f"SELECT pg_try_advisory_xact_lock({HISTORY})"))


def test_ingestion_of_new_and_of_old_events_goes_on_while_days_are_dropped(engine: Engine) -> None:
    """Every event is stored once, whichever day it belongs to, and everybody who earned it is listed."""
    rounds = 30
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW - 100 * DAY)
    for number in range(rounds):
        add(engine, virus(NOW - (41 + number) * DAY, Client.from_text(f"198.51.100.{number}")))
    calculate.run(engine, lambda: NOW)
    done, failures = threading.Event(), []

    def ingest(first: int) -> None:
        try:
            for number in range(rounds):
                client = Client.from_text(f"192.0.2.{first + number}")
                add(engine, virus(NOW if first else NOW - (41 + number) * DAY, client))
                calculate.run(engine, lambda: NOW)
        except Exception as error:
            failures.append(error)

    def drop() -> None:
        while not done.is_set():
            prune(engine)

    pruner = threading.Thread(target=drop)
    writers = [threading.Thread(target=ingest, args=(first,)) for first in (0, 100)]
    pruner.start()
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    done.set()
    pruner.join(60)
    assert failures == []
    assert prune(engine).left == []
    assert count(engine, "event") == rounds
    assert count(engine, "listing") == 3 * rounds
    with engine.connect() as connection:
        assert current_serial(connection) == 3 * rounds


def test_a_run_that_is_told_to_end_ends_and_the_next_goes_on(engine: Engine) -> None:
    listed(engine, NOW - 40 * DAY)
    stop = threading.Event()
    stop.set()
    sweep.follow(engine, lambda: NOW, KEPT, stop)
    outcome = sweep.prune(engine, lambda: NOW, KEPT, stop)
    assert outcome.days == []
    assert outcome.left != []
    assert len(prune(engine).days) == 1


@pytest.mark.mta
def test_the_oldest_version_prunes_as_well(postgres15_url: str) -> None:
    engine = connect(postgres15_url)
    upgrade(engine, shipped.folder("migrations"))
    add(engine, virus(NOW - 40 * DAY))
    calculate.run(engine, lambda: NOW)
    assert len(prune(engine).days) == 1
    engine.dispose()
