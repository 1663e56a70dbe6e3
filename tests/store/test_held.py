"""Listings that the brake holds: released as they were, or dropped as if they had never been."""

from __future__ import annotations

import pytest

from repzone.jobs import calculate
from repzone.model import Client, Exemptions, Listing
from repzone.policy.rules import SHIPPED
from repzone.reasons import Category
from repzone.store.engine import Engine
from repzone.store.find import find_listings
from repzone.store.held import Released, drop_held, find_held, release_held
from repzone.store.listings import add_decisions, load_cases, take_pending
from repzone.store.policies import load_rulebook
from tests.store.acts import C, act, acts, add, check_served, join, served, standing, start, viruses, wait_for_lock
from tests.store.samples import DAY, NOW, add_listings, add_policy

ONE, TWO, THREE = C("192.0.2.1"), C("192.0.2.2"), C("192.0.2.3")


@pytest.fixture
def ready(engine: Engine) -> Engine:
    """This test's database with a policy that lets one listing an hour begin, and three listings that are held."""
    add_policy(engine, f"brake_listings = 1\n{SHIPPED}")
    add_listings(
        engine,
        Listing(ONE, "virus", 1, NOW - 60, NOW + 60, "held"),
        Listing(TWO, "auth", 1, NOW - 90, NOW + 90, "held"),
        Listing(THREE, "auth", 1, NOW - 120, NOW, "held"),
        Listing(C("192.0.2.4"), "auth", 1, NOW - 60, NOW + 60),
    )
    return engine


def release(
    engine: Engine, keys: frozenset[Client] | None = None, category: Category | None = None, now: int = NOW
) -> Released:
    with engine.begin() as connection:
        return release_held(connection, keys, category, act(now, "held release"))


def drop(engine: Engine, keys: frozenset[Client] | None = None, now: int = NOW) -> dict[Category, int]:
    with engine.begin() as connection:
        return drop_held(connection, keys, None, act(now, "held drop"))


def test_what_is_held_is_found_by_key_and_category_the_last_begun_first(ready: Engine) -> None:
    with ready.connect() as connection:
        assert [one.client for one in find_held(connection, NOW)] == [ONE, TWO, THREE]
        assert [one.client for one in find_held(connection, NOW, category="auth")] == [TWO, THREE]
        assert [one.client for one in find_held(connection, NOW, keys=frozenset([TWO]))] == [TWO]
        assert find_held(connection, NOW, keys=frozenset([TWO]), category="virus") == []


def test_a_release_publishes_with_begin_and_end_unchanged_and_says_what_has_ended(ready: Engine) -> None:
    feed = served(ready)
    assert not feed.table.lookup(ONE, NOW).listings
    assert release(ready) == Released({"auth": 1, "virus": 1}, {"auth": 1})
    check_served(ready, feed)
    assert feed.table.lookup(ONE, NOW).listings == (Listing(ONE, "virus", 1, NOW - 60, NOW + 60),)
    assert standing(ready)["192.0.2.2 auth"] == ("active", -90, 90)
    assert standing(ready)["192.0.2.3 auth"] == ("expired", -120, 0)
    assert release(ready) == Released({}, {})
    assert acts(ready) == [("ada", "held release", "for a reason")]


def test_a_release_takes_only_what_is_named(ready: Engine) -> None:
    assert release(ready, frozenset([ONE]), "auth") == Released({}, {})
    assert release(ready, frozenset([ONE])) == Released({"virus": 1}, {})
    assert release(ready, None, "auth").published == {"auth": 1}


def test_what_is_dropped_ends_at_that_second_if_it_still_runs(ready: Engine) -> None:
    feed = served(ready)
    assert drop(ready, now=NOW + 30) == {"auth": 2, "virus": 1}
    check_served(ready, feed, NOW + 30)
    assert {name: found for name, found in standing(ready).items() if found[0] == "dropped"} == {
        "192.0.2.1 virus": ("dropped", -60, 30),
        "192.0.2.2 auth": ("dropped", -90, 30),
        "192.0.2.3 auth": ("dropped", -120, 0),
    }
    assert acts(ready) == [("ada", "held drop", "for a reason")]


def test_after_a_drop_offences_count_again_and_the_next_listing_is_the_first(ready: Engine) -> None:
    add(ready, *viruses(NOW - 30, "192.0.2.1"))
    calculate.run(ready, lambda: NOW)
    drop(ready, frozenset([ONE]))
    add(ready, *viruses(NOW - 1, "192.0.2.1"))
    calculate.run(ready, lambda: NOW)
    assert standing(ready)["192.0.2.1 virus"] == ("dropped", -60, 0)
    add(ready, *viruses(NOW, "192.0.2.1"))
    calculate.run(ready, lambda: NOW)
    assert standing(ready)["192.0.2.1 virus"][1:] == (0, DAY)
    with ready.connect() as connection:
        found = find_listings(connection, NOW, everything=True, client=ONE)
    assert [(one.began, one.offence) for one in found] == [(NOW, 1), (NOW - 60, 1)]


def test_a_drop_waits_for_who_decides_just_now_and_leaves_what_comes_after_it_to_be_decided(ready: Engine) -> None:
    add(ready, *viruses(NOW + 5, "192.0.2.1"))
    with ready.begin() as calculator:
        rulebook = load_rulebook(calculator)
        (case,) = load_cases(calculator, take_pending(calculator, NOW + 9, 10), rulebook, Exemptions(), NOW + 9)
        assert case.judge(rulebook).listings == []  # it lies inside the listing that is held
        threads = start(lambda: drop(ready, frozenset([ONE]), NOW + 5))
        wait_for_lock(ready, threads[0])
        add_decisions(calculator, [(case, case.judge(rulebook))], None, NOW + 9)
    join(threads)
    calculate.run(ready, lambda: NOW + 9)
    assert standing(ready)["192.0.2.1 virus"][1:] == (5, 5 + DAY)


def test_the_brake_holds_what_is_then_released(ready: Engine) -> None:
    add(ready, *viruses(NOW, "198.51.100.1", "198.51.100.2"))
    assert calculate.run(ready, lambda: NOW).held == 2  # one of an hour is active already
    feed = served(ready)
    release(ready, frozenset([C("198.51.100.1")]))
    check_served(ready, feed)
    assert feed.table.lookup(C("198.51.100.1"), NOW).listings
    assert not feed.table.lookup(C("198.51.100.2"), NOW).listings
