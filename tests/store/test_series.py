"""Numbers over time are what a look at every instant would count."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repzone.model import STATES, Client, Event, Hit, Listing
from repzone.reasons import CATEGORIES
from repzone.store.changes import add_changes, lock_serials
from repzone.store.engine import Engine
from repzone.store.events import add_hits
from repzone.store.policies import load_rulebook
from repzone.store.series import load_active, load_changed, load_rates, load_refused
from tests.store.acts import add
from tests.store.samples import HOUR, NOW, add_listings, add_policy

C = Client.from_text
drawn = st.lists(
    st.tuples(st.sampled_from(CATEGORIES), st.sampled_from(STATES), st.integers(-9000, 100), st.integers(0, 9000)),
    max_size=12,
    unique_by=lambda one: (one[0], one[2]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
@given(drawn, st.sampled_from([7, 60, 900]))
def test_listings_over_time_are_those_that_were_in_force(
    fresh_engine: Any, listings: list[tuple[Any, ...]], step: int
) -> None:
    engine = fresh_engine()
    there = [
        Listing(C("192.0.2.1"), category, 1, NOW + began, NOW + began + length, state)
        for category, state, began, length in listings
    ]
    add_listings(engine, *there)
    with engine.connect() as connection:
        found = load_active(connection, NOW, 3600, step)
    shown = ("active", "expired", "released")
    for category in CATEGORIES:
        assert found.counts[category] == [
            sum(one.category == category and one.state in shown and one.began <= at < one.expires for one in there)
            for at in found.instants
        ]
    assert found.instants[-1] <= NOW < found.instants[-1] + step


def test_events_of_the_last_hour_are_told_by_component(engine: Engine) -> None:
    add_policy(engine)
    add(
        engine,
        Event(NOW - 4000, C("192.0.2.1"), "spamtrap", 1, "old"),
        Event(NOW, C("192.0.2.1"), "spamtrap", 3, "new"),
    )
    add(engine, Event(NOW - 5, C("192.0.2.2"), "virus_found", 2, "amavis", "line"))
    with engine.connect() as connection:
        rates = load_rates(connection, NOW)
    assert sum(one.count for one in rates) == 5
    assert ("virus_found", ("amavis",), 2) in [(one.reason, one.components, one.count) for one in rates]


def test_refused_mails_are_told_hour_by_hour(engine: Engine) -> None:
    add_policy(engine)
    hits = [Hit(NOW, C("192.0.2.1")), Hit(NOW, C("192.0.2.2")), Hit(NOW - HOUR, C("192.0.2.1"))]
    with engine.begin() as connection:
        add_hits(connection, hits, load_rulebook(connection))
    with engine.connect() as connection:
        found = load_refused(connection, NOW, 3)
    first = NOW // HOUR * HOUR
    assert found == [(first - 2 * HOUR, 0), (first - HOUR, 1), (first, 2)]


def test_when_the_zones_last_changed_is_known(engine: Engine) -> None:
    with engine.connect() as connection:
        assert load_changed(connection) is None
    numbers = add_listings(engine, Listing(C("192.0.2.1"), "spam", 1, NOW, NOW + 9))
    with engine.begin() as connection:
        lock_serials(connection)
        add_changes(connection, numbers, NOW + 1)
    with engine.connect() as connection:
        assert load_changed(connection) == NOW + 1
