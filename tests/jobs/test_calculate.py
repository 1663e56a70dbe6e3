"""Calculators: any number decide as one would; the brake, who is spared, shadow, and what is kept of events."""

from __future__ import annotations

import os
import random
import threading
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from repzone.jobs import calculate
from repzone.model import Client, Event, Exemptions
from repzone.policy.calculator import Offence
from repzone.policy.calculator import calculate as decide
from repzone.policy.rules import Rulebook
from repzone.reasons import CATALOGUE, Category
from repzone.store.changes import load_changes
from repzone.store.engine import Engine, instant
from repzone.store.events import add_days, add_events
from repzone.store.policies import load_policy, load_rulebook
from repzone.store.positions import open_source
from repzone.zone.table import MemoryTable
from tests.jobs.histories import SHORT, START, Step, World, database

RACES = 100 if os.environ.get("REPZONE_SOAK") == "1" else 4
HOUR = 3600
CLEAN = SHORT + "max_clean = 2"


def rows(engine: Engine, query: str, **arguments: Any) -> list[tuple[Any, ...]]:
    with engine.connect() as connection:
        return [tuple(row) for row in connection.execute(text(query), arguments)]


def policy(engine: Engine, words: str = "") -> Rulebook:
    with engine.begin() as connection:
        return load_policy(connection, words, "policy.toml", START)


def store(engine: Engine, events: list[Event], now: int, path: str = "/var/log/mail.log") -> None:
    """Store events of one source in a transaction of their own."""
    add_days(engine, [event.at for event in events])
    with engine.begin() as connection:
        source = open_source(connection, "mx", path)
    with engine.begin() as connection:
        add_events(connection, source, events, load_rulebook(connection), Exemptions(), now)


def at_once(*work: Callable[[], object]) -> None:
    """Do all of it at the same time; what one of them raises is raised."""
    faults: list[BaseException] = []
    ready = threading.Barrier(len(work))

    def do(one: Callable[[], object]) -> None:
        try:
            ready.wait()
            one()
        except BaseException as fault:
            faults.append(fault)

    threads = [threading.Thread(target=do, args=(one,)) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    if faults:
        raise faults[0]
    assert not any(thread.is_alive() for thread in threads)


def crowd(number: int, reason: str = "virus_found", at: int = START) -> list[Event]:
    """Give an event each of so many clients, which lists them."""
    return [Event(at, Client(4, 0x0B000000 + n, 32), reason) for n in range(number)]


def zone(engine: Engine, now: int, number: int) -> list[Client]:
    """Give those of the first of a crowd that a server answers as listed."""
    table = MemoryTable()
    with engine.connect() as connection:
        for change in load_changes(connection, 0):
            table.apply(change)
    crowded = (Client(4, 0x0B000000 + n, 32) for n in range(number))
    return [client for client in crowded if table.lookup(client, now).listings]


def states(engine: Engine) -> dict[str, int]:
    return dict(rows(engine, "SELECT state::text, count(*) FROM listing GROUP BY state"))


@pytest.mark.parametrize("seed", range(RACES))
def test_any_number_of_calculators_decide_as_one_would_while_logs_come_in(
    fresh_engine: Callable[[], Engine], seed: int
) -> None:
    engine, dice = fresh_engine(), random.Random(seed)
    rulebook = policy(engine, SHORT)
    done: dict[tuple[Client, Category], list[Offence]] = defaultdict(list)
    logs: list[list[list[Event]]] = []
    for log in range(2):  # each has clients of its own, in order of time
        clients = [Client(4, 0x0B000000 + 256 * log + n, 32) for n in range(8)]
        instants = sorted(START + dice.randrange(4 * HOUR) for _ in range(120))
        reasons = ("unknown_recipient", "pregreet", "auth_failed", "spam_rejected")
        events = [Event(at, dice.choice(clients), dice.choice(reasons), dice.randint(1, 3)) for at in instants]
        for event in events:
            done[event.client, CATALOGUE[event.reason]].append(Offence(event.at, event.reason, event.count))
        logs.append([events[n : n + 15] for n in range(0, 120, 15)])
    now = START + 5 * HOUR

    def read(number: int) -> None:
        for events in logs[number]:
            store(engine, events, now, f"/var/log/mail{number}.log")

    def look() -> None:
        for _ in range(6):
            calculate.run(engine, lambda: now, most=3)

    at_once(*(lambda n=n: read(n) for n in range(2)), look, look, look)
    calculate.run(engine, lambda: now)
    expected = [
        (str(client), category, one.began, one.expires, one.offence, one.points)
        for (client, category), offences in done.items()
        for one in decide(offences, (), category, rulebook).listings
    ]
    columns = "host(key), category::text, extract(epoch FROM began)::bigint, extract(epoch FROM expires)::bigint"
    found = rows(engine, f"SELECT {columns}, offence, points FROM listing")  # noqa: S608
    assert sorted(row[:5] for row in found) == sorted(row[:5] for row in expected)
    assert rows(engine, "SELECT count(*), max(serial) FROM listing_change") == [(len(found), len(found))]
    assert rows(engine, "SELECT count(*) FROM pending") == [(0,)]


@pytest.mark.parametrize("seed", range(max(1, RACES // 4)))
def test_the_brake_is_exact_over_all_calculators(fresh_engine: Callable[[], Engine], seed: int) -> None:
    engine = fresh_engine()
    policy(engine, "brake_listings = 7")
    store(engine, crowd(30), START)
    with engine.begin() as connection:  # what was banned by hand is no reason to hold anything
        ban = "INSERT INTO listing (key, category, offence, began, expires, state, created) SELECT "
        ban += "'198.51.100.0'::inet + n, 'manual', 1, :now, :end, 'active', :now FROM generate_series(1, 9) AS n"
        connection.execute(text(ban), {"now": instant(START), "end": instant(START + HOUR)})
    at_once(*(lambda: calculate.run(engine, lambda: START + 1, most=3 + seed % 5) for _ in range(4)))
    assert states(engine) == {"active": 7 + 9, "held": 23}


def test_what_the_brake_holds_has_a_serial_and_is_not_in_the_zone(engine: Engine) -> None:
    policy(engine, "brake_listings = 2")
    store(engine, crowd(5), START)
    assert calculate.run(engine, lambda: START + 1).held == 3
    found = rows(engine, "SELECT state::text FROM listing_change ORDER BY state, serial")
    assert found == [("active",), ("active",), ("held",), ("held",), ("held",)]
    assert len(zone(engine, START + 1, 5)) == 2
    bounds = "extract(epoch FROM began)::bigint, extract(epoch FROM expires)::bigint"
    assert set(rows(engine, f"SELECT {bounds} FROM listing")) == {(START, START + 86_400)}  # noqa: S608


def test_only_what_began_within_an_hour_and_still_runs_counts_for_the_brake(engine: Engine) -> None:
    policy(engine, 'brake_listings = 2\n[categories.errors]\ndurations = ["10m"]\nthreshold = 1')
    other = [Event(START, Client(4, 0x0C000000 + n, 32), "timeout") for n in range(2)]
    store(engine, other, START)
    calculate.run(engine, lambda: START + 1)
    store(engine, crowd(2, at=START + 1200), START + 1200)
    assert calculate.run(engine, lambda: START + 1201).held == 0  # the first two have ended
    store(engine, crowd(4, "timeout", START + 4802), START + 4802)
    assert calculate.run(engine, lambda: START + 4802).held == 2  # the viruses began an hour ago, and still run
    assert states(engine) == {"active": 6, "held": 2}


def test_without_a_limit_a_thousand_begin_or_a_fifth_of_the_active_ones(fresh_engine: Callable[[], Engine]) -> None:
    for active, held in ((0, 100), (3900, 100), (4600, 0)):
        engine = fresh_engine()
        policy(engine)
        store(engine, crowd(1100), START)
        with engine.begin() as connection:
            add = "INSERT INTO listing (key, category, offence, began, expires, state, created) SELECT "
            add += "'12.0.0.0'::inet + n, 'spam', 1, :old, :end, 'active', :old FROM generate_series(1, :active) AS n"
            ends = {"old": instant(START - 7200), "end": instant(START + 7200), "active": active}
            connection.execute(text(add), ends)
        assert calculate.run(engine, lambda: START + 1).held == held


IN_TIME = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from((1, 60, 900, HOUR)),
            st.just("log"),
            st.lists(
                st.tuples(st.just(0), st.just("192.0.2.1"), st.just("timeout"), st.sampled_from((1, 3, 6))), max_size=3
            ).filter(bool),
        ),
        st.tuples(
            st.sampled_from((900, HOUR)), st.just("clean"), st.tuples(st.just(0), st.just("192.0.2.1"), st.just(9))
        ),
        st.tuples(st.just(1), st.just("calculate"), st.none()),
    ),
    max_size=25,
)


@given(IN_TIME)
@settings(database, max_examples=RACES * 4)
def test_who_is_spared_when_does_not_depend_on_when_calculators_run(
    fresh_engine: Callable[[], Engine], steps: list[Step]
) -> None:
    outcomes = []
    for skipped in ((), ("calculate",)):
        engine = fresh_engine()
        policy(engine, CLEAN)
        world = World(engine)
        for later, what, how in steps:
            world.now += later
            if what not in skipped:
                getattr(world, what)(how)
        world.calculate(None)
        spared = rows(engine, "SELECT began, last, points, offences, clean FROM spared ORDER BY began")
        outcomes.append((spared, rows(engine, "SELECT began, expires, offence FROM listing ORDER BY began")))
    assert outcomes[0] == outcomes[1]


def test_a_spared_client_is_kept_with_the_numbers_and_not_judged_again_for_what_comes_later(engine: Engine) -> None:
    policy(engine, CLEAN)
    world = World(engine, START + HOUR)
    world.clean((4, "192.0.2.1", 20))
    world.log([(0, "192.0.2.1", "timeout", 6)])
    assert calculate.run(engine, lambda: world.now).spared == 1
    numbers = "SELECT extract(epoch FROM began)::bigint, points, offences, clean FROM spared"
    assert rows(engine, numbers) == [(START + HOUR, 6, 6, 20)]
    with engine.begin() as connection:
        connection.execute(text("UPDATE traffic SET messages = 1"))
    world.now += 60
    world.log([(0, "192.0.2.1", "greylisted", 1)])
    world.calculate(None)
    assert states(engine) == {}
    world.log([(0, "192.0.2.1", "timeout", 1)])
    world.calculate(None)
    assert rows(engine, "SELECT extract(epoch FROM began)::bigint FROM listing") == [(START + HOUR + 60,)]


def test_shadow_decides_and_publishes_nothing_climbs_nothing_and_does_not_brake(engine: Engine) -> None:
    policy(engine, "brake_listings = 1\n[categories.virus]\nshadow = true")
    for day in range(2):
        now = START + 2 * day * 86_400
        store(engine, crowd(3, at=now), now)
        assert calculate.run(engine, lambda now=now: now + 1).held == 0  # type: ignore[misc]
        assert zone(engine, now + 1, 3) == []
    assert rows(engine, "SELECT DISTINCT state::text, offence FROM listing") == [("shadow", 1)]
    assert states(engine) == {"shadow": 6}


def test_the_five_newest_lines_that_led_to_a_listing_outlive_the_events(engine: Engine) -> None:
    policy(engine)
    client, midnight = Client.from_text("192.0.2.1"), START // 86_400 * 86_400 + 86_400
    events = [Event(midnight + n, client, "timeout", 1, "postfix/smtpd", f"line {n}") for n in range(-5, 5)]
    store(engine, events, midnight + 9)  # of each day five lines are kept
    calculate.run(engine, lambda: midnight + 9)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM event"))
    kept = rows(engine, "SELECT detail, component, reason::text FROM listing_sample ORDER BY at")
    assert kept == [(f"line {n}", "postfix/smtpd", "timeout") for n in range(5)]
    assert rows(engine, "SELECT reason::text, count FROM listing_evidence") == [("timeout", 10)]


def test_a_second_listing_of_a_day_has_its_lines_too(engine: Engine) -> None:
    policy(engine, SHORT)
    world = World(engine)
    for name in ("one", "two"):
        for n in range(12):
            store(engine, [Event(world.now, Client.from_text("192.0.2.1"), "timeout", 1, "", f"{name} {n}")], world.now)
            world.calculate(None)
            world.now += 1
        world.now += 7200
    samples = "SELECT offence, detail FROM listing_sample JOIN listing ON listing_id = listing.id ORDER BY at"
    kept = rows(engine, samples)
    assert kept == [(number + 1, f"{name} {n}") for number, name in enumerate(("one", "two")) for n in range(5)]
    assert rows(engine, "SELECT count(*) FROM event WHERE detail <> ''") == [(10,)]


def test_lines_that_weighed_nothing_are_not_among_those_that_led_to_a_listing(engine: Engine) -> None:
    policy(engine, SHORT + "[weights]\ngreylisted = 0")
    one = Client.from_text("192.0.2.1")
    lines = [("timeout", 0), ("greylisted", 1), ("timeout", 2), ("greylisted", 2)]
    store(engine, [Event(START + at, one, reason, 3, "postfix", f"line {at}") for reason, at in lines], START + 9)
    calculate.run(engine, lambda: START + 9)
    kept = rows(engine, "SELECT reason::text, detail FROM listing_sample ORDER BY at")
    assert kept == [("timeout", "line 0"), ("timeout", "line 2")]


def test_who_was_exempted_before_anybody_decided_is_reversed_at_that_second(engine: Engine) -> None:
    policy(engine)
    world = World(engine)
    world.log([(0, "192.0.2.1", "timeout", 10)])
    world.now += 60
    world.exempt(("192.0.2.0/24", None))
    world.now += 60
    world.calculate(None)
    assert rows(engine, "SELECT state::text, extract(epoch FROM expires)::bigint FROM listing") == [
        ("reversed", START + 60)
    ]


def test_a_dry_run_decides_and_stores_nothing(engine: Engine) -> None:
    policy(engine)
    store(engine, crowd(3), START)
    assert calculate.run(engine, lambda: START, dry_run=True).listings == {"virus": 3}
    assert states(engine) == {}
    assert rows(engine, "SELECT count(*) FROM pending") == [(3,)]
