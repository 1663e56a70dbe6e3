"""Simulation: what another policy would have done with what happened, beside what there is."""

from __future__ import annotations

import pytest

from repzone.jobs import simulate
from repzone.policy.rules import parse
from repzone.store.engine import Engine
from repzone.store.retention import store_events_from
from tests.jobs.histories import ADDRESS, BURST, HOUR, SHORT, START, World, both
from tests.store.acts import join, start


def simulated(world: World, words: str, since: int = START - 86_400) -> simulate.Outcome:
    policy = parse(words, "other.toml")
    return simulate.run(world.engine, policy, since, world.now)


def test_both_sides_are_counted_by_category_and_by_what_becomes_of_a_client(engine: Engine) -> None:
    world = World(engine)
    others = [(0, "192.0.2.2", "unknown_recipient", 4), (0, "192.0.2.3", "auth_failed", 10)]
    world.run([(1, "log", [*BURST, *others]), (HOUR, "calculate", None)])
    found = simulated(
        world, '[categories.errors]\nthreshold = 4\ndurations = ["1h"]\n[categories.auth]\nthreshold = 11'
    )
    old, new = (found.tallies[side]["errors"] for side in simulate.SIDES)
    assert (old.listings, old.seconds, old.clients) == (1, 1200, 1)
    assert (new.listings, new.seconds, new.clients) == (2, 7200, 2)
    assert found.kinds == {"longer": 1, "newly": 1, "never": 1}
    assert [(str(one.client), one.kind) for one in found.most] == [
        *(("192.0.2.3", "never"), ("192.0.2.2", "newly"), ("192.0.2.1", "longer")),
    ]
    assert (max(found.active["old"].counts()), max(found.active["new"].counts())) == (2, 2)


def test_the_chart_ends_now_and_shows_a_peak_that_is_shorter_than_a_step() -> None:
    """Two listings of a minute each, one after the other within a step, are one at most."""
    since, until = START, START + 30 * 86_400 + 12_345
    active = simulate.Active(since, until)
    for began, expires in ((since - 5, since + 5), (since + 86_400, since + 86_460), (since + 86_460, since + 86_520)):
        active.add(simulate.Lasted(began, expires))
    active.add(simulate.Lasted(until - 60, until + 60))
    active.add(simulate.Lasted(since + 99, since + 99))
    counts = dict(zip(active.instants, active.counts(), strict=True))
    assert active.instants[-1] == until
    assert len(counts) <= simulate.POINTS
    assert max(counts.values()) == 1
    assert [at for at, count in counts.items() if count] == [
        min(counts),
        min(at for at in counts if at >= since + 86_400),
        until,
    ]


def test_clients_that_delivered_clean_mail_are_counted_apart_and_who_is_spared_too(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "clean", (2, ADDRESS, 30)), (1, "log", BURST), (1, "calculate", None)])
    found = simulated(world, SHORT + "max_clean = 2")
    old, new = (found.tallies[side]["errors"] for side in simulate.SIDES)
    assert (old.clients, old.delivered, old.spared) == (1, 1, 0)
    assert (new.clients, new.delivered, new.spared) == (0, 0, 1)
    assert [one.delivered for one in found.most] == [True]


def test_a_fault_amid_it_is_told_and_nothing_waits_for_the_database(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (1, "calculate", None)])

    def fail(*_: int) -> None:
        raise ZeroDivisionError

    def run() -> None:
        with pytest.raises(ZeroDivisionError):
            simulate.run(engine, parse(SHORT, "x"), START - 86_400, world.now, progress=fail)

    join(start(run))


def test_another_prefix_length_makes_other_clients_of_the_same_addresses(engine: Engine) -> None:
    world = World(engine)
    shared = [(0, f"2001:db8:1:{n}::1", "unknown_recipient", 2) for n in range(3)]
    world.run([(1, "clean", (2, "2001:db8:1:2::9", 5)), (1, "log", shared), (1, "calculate", None)])
    wide = simulated(world, "ipv6_prefix = 48\n" + SHORT)
    assert [(str(one.client), one.kind, one.delivered) for one in wide.most] == [("2001:db8:1::/48", "newly", True)]
    world.run([(1, "log", [(0, "2001:db8:1:7::1", "unknown_recipient", 6)]), (1, "calculate", None)])
    narrow = simulated(world, "ipv6_prefix = 128\n" + SHORT)
    assert {(str(one.client), one.kind) for one in narrow.most} == {
        ("2001:db8:1:7::/64", "never"),
        ("2001:db8:1:7::1", "newly"),
    }


def test_listings_begun_before_the_time_stand_and_make_the_next_longer_on_both_sides(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (1, "calculate", None), (2 * HOUR, "log", BURST), (HOUR, "calculate", None)])
    found = simulated(world, SHORT.replace('"40m"', '"50m"'), since=START + HOUR)
    old, new = (found.tallies[side]["errors"] for side in simulate.SIDES)
    assert (old.listings, old.seconds, new.listings, new.seconds) == (1, 2400, 1, 3000)
    (one,) = both(engine, START + HOUR, world.now)[0]
    assert one[4] == 2


def test_where_events_were_pruned_it_begins_where_all_are_there(engine: Engine) -> None:
    world = World(engine)
    world.run([(1, "log", BURST), (1, "calculate", None)])
    with engine.begin() as connection:
        store_events_from(connection, (world.now - 30 * 86_400) // 86_400 * 86_400)
    found = simulate.run(engine, None, START - 90 * 86_400, world.now)
    first = (world.now - 30 * 86_400) // 86_400 * 86_400
    assert (found.wanted, found.since) == (START - 90 * 86_400, first + 6 * HOUR)
    assert simulate.run(engine, None, START, world.now).since == START
