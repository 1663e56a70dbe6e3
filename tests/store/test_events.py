"""Storing events: once, late or not, with the evidence of running listings and the marks for the calculator."""

from __future__ import annotations

import gc
import threading

import pytest
from sqlalchemy import text

from repzone.errors import UnavailableError
from repzone.jobs import calculate
from repzone.model import Client, Event, Exemption, Exemptions, Hit
from repzone.policy.rules import SHIPPED, Rulebook
from repzone.store.engine import Engine, answering
from repzone.store.events import FUTURE, add_days, add_events, add_hits
from repzone.store.find import find_listings
from repzone.store.policies import load_policy
from repzone.store.positions import open_source
from tests.fix_embedded import wait_for

NOW = 1_790_000_000
HOUR = 3600
CLIENT = Client.from_text("192.0.2.7")


@pytest.fixture
def rulebook(engine: Engine) -> Rulebook:
    """The shipped policy, in force for all time."""
    with engine.begin() as connection:
        return load_policy(connection, SHIPPED, "policy.toml", NOW)


def store(engine: Engine, rulebook: Rulebook, *events: Event, exemptions: tuple[Exemption, ...] = ()) -> int:
    """Store events in a transaction of their own; give how many offences were new."""
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        source = open_source(connection, "mx", "/var/log/mail.log")
    with engine.begin() as connection:
        return sum(add_events(connection, source, events, rulebook, Exemptions(exemptions), NOW).values())


def burst(at: int, number: int = 10, client: Client = CLIENT) -> list[Event]:
    return [Event(at + n, client, "unknown_recipient") for n in range(number)]


def rows(engine: Engine, query: str) -> list[tuple[object, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query))]


def test_an_event_is_stored_with_its_full_address_and_marked_by_its_key(engine: Engine, rulebook: Rulebook) -> None:
    client = Client.from_text("2001:db8:1:2:3:4:5:6")
    assert store(engine, rulebook, Event(NOW, client, "auth_failed", 3, "dovecot", "imap")) == 3
    assert rows(
        engine, "SELECT client::text, key::text, category::text, count, component, detail, late FROM event"
    ) == [("2001:db8:1:2:3:4:5:6/128", "2001:db8:1:2::/64", "auth", 3, "dovecot", "imap", False)]
    assert rows(engine, "SELECT key::text, category::text FROM pending") == [("2001:db8:1:2::/64", "auth")]


def test_component_and_detail_stand_in_the_first_five_of_a_key_category_and_day(
    engine: Engine, rulebook: Rulebook
) -> None:
    def offence(number: int, reason: str = "auth_failed", at: int = NOW, last: int = 1) -> Event:
        return Event(at, Client(6, 0x20010DB8 << 96 | last, 128), reason, 1, "dovecot", f"the {number}.")

    store(engine, rulebook, *(offence(n) for n in range(3)))
    store(engine, rulebook, *(offence(n, last=2) for n in range(3, 9)), offence(1, "timeout"))
    store(engine, rulebook, offence(9), offence(10, at=NOW + 86400), offence(1, "auth_unknown_user"))
    query = "SELECT category::text, at::date::text, detail FROM event WHERE component = 'dovecot' ORDER BY 1, 2, detail"
    assert rows(engine, query) == [
        *(("auth", "2026-09-21", f"the {n}.") for n in range(5)),
        ("auth", "2026-09-22", "the 10."),
        ("errors", "2026-09-21", "the 1."),
    ]
    assert rows(engine, "SELECT count(*) FROM event WHERE component = '' AND detail = ''") == [(6,)]


def test_nothing_of_a_batch_outlives_its_transaction(engine: Engine, rulebook: Rulebook) -> None:
    """In circles it would, until a garbage collection, of which a process with many events has few."""
    store(engine, rulebook, *burst(NOW))
    gc.collect()
    gc.disable()
    try:
        store(engine, rulebook, *burst(NOW, 1000))
        left = sum(isinstance(one, Event) for one in gc.get_objects())
    finally:
        gc.enable()
    assert left < 1000


def test_a_detail_of_any_characters_is_stored(engine: Engine, rulebook: Rulebook) -> None:
    details = ["tab\t, \\N, line\n", "üñí → ✓", "nul\0", "half \ud83d", ""]
    store(engine, rulebook, *(Event(NOW + n, CLIENT, "timeout", 1, "x", detail) for n, detail in enumerate(details)))
    found = [detail for (detail,) in rows(engine, "SELECT detail FROM event ORDER BY at")]
    assert found == ["tab\t, \\N, line\n", "üñí → ✓", "nul\ufffd", "half ?", ""]


def test_two_policies_with_other_ipv6_prefixes_give_keys_of_their_time(engine: Engine) -> None:
    with engine.begin() as connection:
        load_policy(connection, SHIPPED, "policy.toml", NOW - HOUR)
        both = load_policy(connection, "ipv6_prefix = 56", "policy.toml", NOW)
    client = Client.from_text("2001:db8:1:2:3::")
    store(engine, both, Event(NOW - 1, client, "timeout"), Event(NOW, client, "timeout"))
    assert rows(engine, "SELECT key::text FROM event ORDER BY at") == [("2001:db8:1:2::/64",), ("2001:db8:1::/56",)]
    assert len(rows(engine, "SELECT FROM pending")) == 2


def test_a_mark_keeps_the_earliest_instants_and_is_not_written_again_for_nothing(
    engine: Engine, rulebook: Rulebook
) -> None:
    store(engine, rulebook, Event(NOW - 100, CLIENT, "timeout"))
    before = rows(engine, "SELECT ctid::text, since, due FROM pending")
    store(engine, rulebook, Event(NOW - 50, CLIENT, "timeout"), Event(NOW - 70, CLIENT, "greylisted"))
    assert rows(engine, "SELECT ctid::text, since, due FROM pending") == before
    store(engine, rulebook, Event(NOW - 200, CLIENT, "timeout"))
    assert rows(engine, "SELECT extract(epoch FROM since)::bigint FROM pending") == [(NOW - 200,)]


def test_ingests_of_the_same_clients_in_any_order_do_not_wait_for_each_other_in_a_circle(
    engine: Engine, rulebook: Rulebook
) -> None:
    events = [Event(NOW, Client.from_text(f"192.0.2.{n}"), "timeout") for n in (1, 2, 3)]
    store(engine, rulebook, *events)
    stored: list[int] = []

    def write(there: list[Event]) -> None:
        stored.append(store(engine, rulebook, *there))

    threads = [threading.Thread(target=write, args=(there,)) for there in (events, events[::-1])]
    with engine.begin() as connection:  # the one in the middle is somebody else's for the moment
        connection.execute(text("SELECT FROM pending WHERE key = '192.0.2.2' FOR UPDATE"))
        for thread in threads:
            thread.start()
        wait_for(lambda: rows(engine, WAITING) == [(2,)])
    for thread in threads:
        thread.join(60)
    assert stored == [3, 3]


WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_the_same_id_of_one_source_is_stored_once(engine: Engine, rulebook: Rulebook) -> None:
    first = Event(NOW, CLIENT, "spamtrap", id="a")
    assert store(engine, rulebook, first, first, Event(NOW, CLIENT, "spamtrap", id="b")) == 2
    assert store(engine, rulebook, first, Event(NOW + 1, CLIENT, "spamtrap")) == 1
    assert rows(engine, "SELECT count(*) FROM event") == [(3,)]


def test_an_event_before_the_last_listing_is_late_and_never_counts(engine: Engine, rulebook: Rulebook) -> None:
    store(engine, rulebook, *burst(NOW - 100))
    calculate.run(engine, lambda: NOW)
    began = NOW - 91
    store(engine, rulebook, Event(began - 1, CLIENT, "timeout", 100), Event(began, CLIENT, "timeout", 5))
    assert rows(engine, "SELECT count, late FROM event WHERE reason = 'timeout' ORDER BY at") == [
        (100, True),
        (5, False),
    ]
    calculate.run(engine, lambda: NOW)
    with engine.connect() as connection:
        (listing,) = find_listings(connection, NOW)
    assert listing.reasons == {"unknown_recipient": 10, "timeout": 5}


def test_lateness_is_of_the_category(engine: Engine, rulebook: Rulebook) -> None:
    store(engine, rulebook, *burst(NOW - 100))
    calculate.run(engine, lambda: NOW)
    store(engine, rulebook, Event(NOW - 500, CLIENT, "virus_found"))
    calculate.run(engine, lambda: NOW)
    with engine.connect() as connection:
        found = find_listings(connection, NOW)
    assert {listing.category for listing in found} == {"errors", "virus"}


def test_an_exempt_address_is_stored_and_never_decided_on(engine: Engine, rulebook: Rulebook) -> None:
    exemption = Exemption(Client.from_text("192.0.2.0/24"), added=NOW - 50)
    with engine.begin() as connection:
        values = "INSERT INTO exemption (network, added) VALUES ('192.0.2.0/24', to_timestamp(:added))"
        connection.execute(text(values), {"added": exemption.added})
    store(engine, rulebook, *burst(NOW - 40), exemptions=(exemption,))
    store(engine, rulebook, *burst(NOW - 40, client=Client.from_text("10.1.2.3")))
    assert calculate.run(engine, lambda: NOW).listings.total() == 0
    assert rows(engine, "SELECT count(*) FROM event") == [(20,)]


def test_an_exemption_holds_for_event_times_from_its_begin_to_its_end(engine: Engine, rulebook: Rulebook) -> None:
    with engine.begin() as connection:
        values = (
            "INSERT INTO exemption (network, added, ended) VALUES ('192.0.2.7', to_timestamp(:a), to_timestamp(:b))"
        )
        connection.execute(text(values), {"a": NOW - 50, "b": NOW - 20})
    store(engine, rulebook, *burst(NOW - 45, 9), *burst(NOW - 19, 9), *burst(NOW - 51, 1))
    assert calculate.run(engine, lambda: NOW).listings == {"errors": 1}  # 1 before, 9 after; 9 in between never count
    with engine.connect() as connection:
        (listing,) = find_listings(connection, NOW)
    assert (listing.began, listing.reasons) == (NOW - 11, {"unknown_recipient": 10})


def test_events_far_in_the_future_wait_until_their_time_has_come(engine: Engine, rulebook: Rulebook) -> None:
    ahead = NOW + FUTURE + HOUR
    store(engine, rulebook, *burst(NOW - 20, 4), *burst(ahead, 10))
    assert calculate.run(engine, lambda: NOW).listings.total() == 0
    assert calculate.run(engine, lambda: NOW).clients == 0
    assert calculate.run(engine, lambda: ahead + 10).listings == {"errors": 1}


def test_a_missing_day_is_made_on_the_way(engine: Engine, rulebook: Rulebook) -> None:
    store(engine, rulebook, *burst(NOW - 86400 * 3), *burst(NOW))
    store(engine, rulebook, *burst(NOW))
    names = rows(engine, "SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r' ORDER BY relname")
    assert names == [("event_20260918",), ("event_20260921",)]


def test_a_hit_counts_for_the_listing_that_was_in_force(engine: Engine, rulebook: Rulebook) -> None:
    store(engine, rulebook, *burst(NOW - 100))
    calculate.run(engine, lambda: NOW)
    with engine.begin() as connection:
        hits = [Hit(NOW, CLIENT), Hit(NOW, CLIENT), Hit(NOW, Client.from_text("198.51.100.1"))]
        assert add_hits(connection, hits, rulebook) == 3
    found = rows(engine, "SELECT host(key), listing_id IS NOT NULL, count FROM hit ORDER BY key")
    assert found == [("192.0.2.7", True, 2), ("198.51.100.1", False, 1)]


@pytest.mark.parametrize(
    ("state", "said"),
    [
        *((answers, "the database reports: no space") for answers in ("53100", "42501", "42P01")),
        ("57P01", "the database does not answer: no space"),
    ],
)
def test_a_database_without_room_or_tables_is_not_said_to_be_silent(engine: Engine, state: str, said: str) -> None:
    raised = f"DO $$ BEGIN RAISE 'no space' USING ERRCODE = '{state}'; END $$"
    with pytest.raises(UnavailableError, match=said), answering(), engine.connect() as connection:
        connection.exec_driver_sql(raised)
