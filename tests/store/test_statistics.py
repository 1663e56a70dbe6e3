"""Statistics: every sum since an instant, by day in UTC, and nothing from before."""

from __future__ import annotations

import pytest

from repzone.model import Client, Event, Exemptions, Hit, Listing, State, Traffic
from repzone.reasons import Category
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events, add_hits
from repzone.store.policies import load_rulebook
from repzone.store.positions import open_source
from repzone.store.statistics import Network, Offences, Offender, Statistics, load_statistics
from repzone.store.traffic import add_traffic
from tests.store.samples import DAY, HOUR, NOW, add_listings, add_policy, add_spared

C = Client.from_text
SINCE = NOW - 7 * DAY
TODAY, BEFORE = "2026-09-21", "2026-09-20"


def store(engine: Engine, path: str, *events: Event) -> None:
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        source = open_source(connection, "mx", path) if path else 0
        add_events(connection, source, events, load_rulebook(connection), Exemptions(), NOW)


def load(engine: Engine, since: int = SINCE, most: int = 10) -> Statistics:
    with engine.connect() as connection:
        return load_statistics(connection, since, most)


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """This test's database with a policy."""
    add_policy(engine)
    return engine


def test_where_nothing_happened_everything_is_empty(ready: Engine) -> None:
    assert load(ready) == Statistics((), (), (), {}, {}, {}, {}, {})


def test_offences_are_summed_by_day_reason_source_and_component(ready: Engine) -> None:
    store(
        ready,
        "/var/log/mail.log",
        *(Event(NOW - n, C("192.0.2.1"), "timeout", 2, "postfix/smtpd", "x") for n in range(7)),
        Event(NOW - DAY, C("192.0.2.1"), "auth_failed", 1, "dovecot", "y"),
        Event(SINCE, C("192.0.2.1"), "spamtrap"),
        Event(SINCE - 1, C("192.0.2.1"), "spamtrap"),
    )
    store(ready, "", Event(NOW, C("192.0.2.1"), "greylist_never_retried"))
    where = "mx:/var/log/mail.log"
    assert load(ready).offences == (
        Offences("2026-09-14", "spam", "spamtrap", where, "", 1),
        Offences(BEFORE, "auth", "auth_failed", where, "dovecot", 1),
        Offences(TODAY, "errors", "timeout", where, "", 4),
        Offences(TODAY, "errors", "timeout", where, "postfix/smtpd", 10),
        Offences(TODAY, "errors", "greylist_never_retried", "", "", 1),
    )


def test_the_worst_networks_come_first_with_the_addresses_that_offended(ready: Engine) -> None:
    clients = {"192.0.2.1": 3, "192.0.2.200": 4, "198.51.100.1": 9, "2001:db8:1:2::1": 5, "2001:db8:1:3::1": 6}
    store(ready, "/l", *(Event(NOW, C(client), "timeout", count) for client, count in clients.items()))
    assert load(ready, most=2).networks == (Network(C("2001:db8:1::/48"), 11, 2), Network(C("198.51.100.0/24"), 9, 1))
    assert load(ready).networks[2] == Network(C("192.0.2.0/24"), 7, 2)


def listing(
    client: str, began: int, state: State = "expired", category: Category = "spam", offence: int = 1
) -> Listing:
    return Listing(C(client), category, offence, began, began + HOUR, state)


def test_listings_count_on_the_day_of_their_begin_and_undone_ones_apart(ready: Engine) -> None:
    undone: list[State] = ["reversed", "dropped", "shadow", "shadow"]
    add_listings(
        ready,
        listing("192.0.2.1", NOW),
        *(listing("192.0.2.1", NOW - DAY, "active", category) for category in ("auth", "manual")),
        listing("192.0.2.1", SINCE - 1),
        *(listing(f"198.51.100.{n}", NOW, state) for n, state in enumerate(undone)),
    )
    found = load(ready)
    assert found.listings == {(TODAY, "spam"): 1, (BEFORE, "auth"): 1, (BEFORE, "manual"): 1}
    assert found.undone == {"reversed": 1, "dropped": 1, "shadow": 2}


def test_repeat_offenders_are_those_listed_most_often_and_not_by_hand(ready: Engine) -> None:
    add_listings(
        ready,
        *(listing("192.0.2.1", NOW - n * DAY, offence=3 - n) for n in range(3)),
        *(listing("192.0.2.2", NOW - n * DAY, "reversed") for n in range(4)),
        *(listing("192.0.2.3", NOW - n * DAY, category="manual") for n in range(4)),
        *(listing("192.0.2.4", NOW - n * DAY, offence=7) for n in range(2)),
        *(listing("192.0.2.5", NOW - n * DAY, offence=8) for n in range(2)),
        *(listing("192.0.2.6", NOW), listing("192.0.2.7", NOW, offence=2)),
    )
    with ready.begin() as connection:
        add_hits(connection, [Hit(NOW, C("192.0.2.5"))] * 3, load_rulebook(connection))
    assert load(ready, most=2).offenders == (Offender(C("192.0.2.1"), 3, 3, 0), Offender(C("192.0.2.5"), 2, 8, 3))
    once = load(ready, most=99).offenders[3:]
    assert once == (Offender(C("192.0.2.7"), 1, 2, 0),)


def test_mails_refused_clean_traffic_and_spared_clients_are_counted(ready: Engine) -> None:
    client, other = C("192.0.2.1"), C("192.0.2.2")
    with ready.begin() as connection:
        rulebook = load_rulebook(connection)
        add_hits(connection, [Hit(NOW, client), Hit(NOW - DAY, client), Hit(NOW - DAY, other), Hit(0, other)], rulebook)
        traffic = [Traffic(NOW, client, 2, 3), Traffic(NOW, other, 1, 1), Traffic(NOW - 8 * DAY, client, 9, 9)]
        add_traffic(connection, traffic, rulebook, Exemptions())
    for key, last in (("192.0.2.1", 0), ("192.0.2.1", 60), ("192.0.2.2", 0), ("192.0.2.3", 8 * DAY)):
        add_spared(ready, key, "spam", NOW - last, NOW - last)
    found = load(ready)
    assert found.hits == {TODAY: 1, BEFORE: 2}
    assert found.clean == {TODAY: (3, 4)}
    assert found.spared == {"spam": 2}
