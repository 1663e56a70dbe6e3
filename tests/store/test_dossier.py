"""The dossier: everything that is known of one client, and nothing of its neighbours."""

from __future__ import annotations

import pytest

from repzone.jobs import calculate
from repzone.model import Client, Event, Exemptions, Hit, Listing, Traffic
from repzone.policy.calculator import Spared
from repzone.policy.outlook import foresee
from repzone.policy.rules import Version
from repzone.reasons import COUNTED
from repzone.store.acts import add_act
from repzone.store.changes import add_changes
from repzone.store.dossier import Dossier, Line, Seen, Turn, load_dossier
from repzone.store.engine import Engine
from repzone.store.events import add_days, add_events, add_hits
from repzone.store.policies import load_policy, load_rulebook
from repzone.store.positions import open_source
from repzone.store.traffic import add_traffic
from tests.store.samples import DAY, HOUR, NOW, add_listings, add_policy, add_spared, execute

C = Client.from_text
CLIENT = C("192.0.2.7")


def store(engine: Engine, *events: Event) -> None:
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        source = open_source(connection, "mx", "/var/log/mail.log")
    with engine.begin() as connection:
        add_events(connection, source, events, load_rulebook(connection), Exemptions(), NOW)


def burst(at: int, number: int = 10, client: Client = CLIENT) -> list[Event]:
    return [Event(at + n, client, "unknown_recipient", 1, "postfix/smtpd", f"line {n}") for n in range(number)]


def load(engine: Engine, client: Client = CLIENT, now: int = NOW, most: int = 20) -> Dossier:
    with engine.connect() as connection:
        return load_dossier(connection, client, load_rulebook(connection), Exemptions(), now, most)


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """This test's database with a policy, as `repzone init` writes it."""
    add_policy(engine)
    return engine


def test_nothing_is_known_of_a_client_that_never_did_anything(ready: Engine) -> None:
    store(ready, *burst(NOW - 60, client=C("192.0.2.8")))
    dossier = load(ready)
    assert (dossier.key, dossier.listings, dossier.histories, dossier.events) == (CLIENT, 0, (), ())
    assert (dossier.reasons, dossier.addresses, dossier.hits) == ({}, {}, 0)
    assert [case.category for case in dossier.cases] == list(COUNTED)
    assert not any(case.offences or case.earlier for case in dossier.cases)


def test_a_listing_comes_with_what_made_it_and_its_lines(ready: Engine) -> None:
    store(ready, *burst(NOW - 100))
    calculate.run(ready, lambda: NOW)
    with ready.begin() as connection:
        add_hits(connection, [Hit(NOW, CLIENT), Hit(NOW, CLIENT)], load_rulebook(connection))
    dossier = load(ready)
    (history,) = dossier.histories
    assert (history.listing.began, history.listing.reasons) == (NOW - 91, {"unknown_recipient": 10})
    assert (history.points, history.hits, dossier.hits) == (10, 2, 2)
    assert history.version == min(version.id for version in _versions(ready))
    assert [line.detail for line in history.samples] == [f"line {n}" for n in range(5)]
    assert {line.component for line in history.samples} == {"postfix/smtpd"}
    execute(ready, "DELETE FROM event")
    assert load(ready).histories == dossier.histories


def _versions(engine: Engine) -> tuple[Version, ...]:
    with engine.connect() as connection:
        return load_rulebook(connection).versions


def test_what_became_of_a_listing_names_who_did_it_and_why(ready: Engine) -> None:
    (number,) = add_listings(ready, Listing(CLIENT, "spam", 1, NOW - HOUR, NOW + HOUR), points=3)
    with ready.begin() as connection:
        add_changes(connection, [number], NOW - HOUR)
    execute(ready, "UPDATE listing SET state = 'released', expires = to_timestamp(:now)", {"now": NOW})
    with ready.begin() as connection:
        act = add_act(connection, "alice", "unban", "192.0.2.7", "they mended it", NOW)
        add_changes(connection, [number], NOW, act)
    (history,) = load(ready).histories
    assert history.turns == (
        Turn(NOW - HOUR, "active", NOW + HOUR),
        Turn(NOW, "released", NOW, "alice", "unban", "they mended it"),
    )


def test_wider_listings_by_hand_are_among_its_own_the_newest_first(ready: Engine) -> None:
    add_listings(
        ready,
        Listing(C("192.0.2.0/24"), "manual", 1, NOW - 50, NOW + DAY, "active", {}, "by hand"),
        Listing(CLIENT, "auth", 1, NOW - DAY, NOW - HOUR, "expired"),
        Listing(CLIENT, "auth", 2, NOW - 10, NOW + HOUR),
        Listing(C("192.0.3.0/24"), "manual", 1, NOW - 50, NOW + DAY),
        Listing(C("192.0.2.6"), "auth", 1, NOW - 50, NOW + DAY),
    )
    dossier = load(ready)
    assert [one.listing.began for one in dossier.histories] == [NOW - 10, NOW - 50, NOW - DAY]
    assert (dossier.histories[1].version, dossier.histories[1].listing.comment) == (None, "by hand")
    assert (len(load(ready, most=1).histories), load(ready, most=1).listings) == (1, 3)
    assert [str(one.listing.client) for one in load(ready, C("192.0.2.0/24")).histories] == ["192.0.2.0/24"]


def test_an_ipv6_address_is_known_by_its_key_and_those_that_share_it(ready: Engine) -> None:
    one, two = C("2001:db8:1:2::1"), C("2001:db8:1:2::2")
    store(ready, *burst(NOW - 60, 3, one), *burst(NOW - 40, 2, two), *burst(NOW - 40, 2, C("2001:db8:1:3::1")))
    dossier = load(ready, one)
    assert dossier.key == C("2001:db8:1:2::/64")
    assert dossier.addresses == {one: Seen(3, NOW - 60, NOW - 58), two: Seen(2, NOW - 40, NOW - 39)}
    assert dossier.reasons == {"unknown_recipient": Seen(5, NOW - 60, NOW - 39)}
    assert [line.client for line in dossier.events] == [two, two, one, one, one]
    assert load(ready, C("2001:db8:1:2::/64")).key == dossier.key
    assert load(ready, C("2001:db8:1::/48")).key is None


def test_the_key_of_an_earlier_policy_is_not_forgotten(ready: Engine) -> None:
    client = C("2001:db8:1:2::1")
    store(ready, *burst(NOW - 60, 3, client))
    with ready.begin() as connection:
        load_policy(connection, "ipv6_prefix = 56", "policy.toml", NOW - 30)
    store(ready, *burst(NOW - 20, 2, client))
    dossier = load(ready, client)
    assert dossier.key == C("2001:db8:1::/56")
    assert dossier.addresses[client].count == 5


def test_the_newest_events_come_with_their_lines_and_tell_which_are_late(ready: Engine) -> None:
    store(ready, *burst(NOW - 100, 10))
    calculate.run(ready, lambda: NOW)
    store(ready, Event(NOW - 95, CLIENT, "timeout", 7, "postfix/smtpd", "too late"))
    newest, *_ = events = load(ready, most=7).events
    (late,) = (line for line in events if line.late)
    assert newest == Line(NOW - 91, CLIENT, "errors", "unknown_recipient", 1, False, False, "", "")
    assert (late.reason, late.count, late.detail) == ("timeout", 7, "")  # the first five of the day have lines
    assert (len(events), events[-1].at) == (7, NOW - 96)


def test_its_cases_say_what_the_calculator_would(ready: Engine) -> None:
    store(ready, *burst(NOW - 100, 7), Event(NOW - 50, CLIENT, "greylisted"), *burst(NOW - 9 * HOUR, 3))
    with ready.connect() as connection:
        rulebook = load_rulebook(connection)
    (case,) = (case for case in load(ready).cases if case.category == "errors")
    outlook = foresee(case.offences, case.earlier, "errors", rulebook, NOW, case.clean, case.spared)
    assert (outlook.points, outlook.more) == (7, 3)
    store(ready, *burst(NOW - 40, 3))
    (case,) = (case for case in load(ready).cases if case.category == "errors")
    outlook = foresee(case.offences, case.earlier, "errors", rulebook, NOW, case.clean, case.spared)
    assert [(due.began, due.points) for due in outlook.due] == [(NOW - 38, 10)]
    calculate.run(ready, lambda: NOW)
    assert load(ready).histories[0].listing.began == NOW - 38


def test_what_waits_for_a_decision_is_looked_at_from_its_begin(ready: Engine) -> None:
    store(ready, *burst(NOW - 3 * DAY))
    (case,) = (case for case in load(ready).cases if case.category == "errors")
    assert len(case.offences) == 10
    calculate.run(ready, lambda: NOW)
    (case,) = (case for case in load(ready).cases if case.category == "errors")
    assert not case.offences


def test_clean_traffic_is_of_the_last_day_and_spared_episodes_of_ever(ready: Engine) -> None:
    with ready.begin() as connection:
        rulebook = load_rulebook(connection)
        traffic = [Traffic(NOW - hours * HOUR, CLIENT, 2, 30) for hours in (1, 20, 30)]
        add_traffic(connection, [*traffic, Traffic(NOW, C("192.0.2.8"), 9, 9)], rulebook, Exemptions())
    add_spared(ready, "192.0.2.7", "spam", NOW - 40 * DAY, NOW - 40 * DAY + 5)
    dossier = load(ready)
    assert (dossier.connections, dossier.messages) == (4, 60)
    ((category, episode),) = dossier.spared
    version = rulebook.versions[0].id
    assert (category, episode) == ("spam", Spared(NOW - 40 * DAY, NOW - 40 * DAY + 5, version, 4, 5, 600))
