"""Finding listings: what each filter leaves, in which order, and that nobody who is exempt is listed now."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import sqlalchemy as sa

from repzone.model import STATES, Client, Exemption, Listing
from repzone.reasons import CATEGORIES
from repzone.store import find
from repzone.store.engine import Engine, instant
from repzone.store.find import Sort, Wanted, count_listings, find_listings, stream_listings
from repzone.store.overview import load_overview
from repzone.zone.table import MemoryTable
from tests.store.samples import DAY, HOUR, NOW, add_exemptions, add_listings, execute

C = Client.from_text
LISTINGS = (
    Listing(C("192.0.2.1"), "errors", 1, NOW - HOUR, NOW + HOUR, "active", {"timeout": 9, "vrfy_expn": 2}),
    Listing(C("192.0.2.2"), "spam", 3, NOW - 2 * HOUR, NOW + 3 * HOUR, "active", {"spamtrap": 3}),
    Listing(C("192.0.2.3"), "errors", 2, NOW - 5 * HOUR, NOW - 1, "active", {"timeout": 10}),
    Listing(C("192.0.2.4"), "auth", 1, NOW - DAY, NOW - HOUR, "expired"),
    Listing(C("192.0.2.5"), "auth", 1, NOW - 60, NOW + HOUR, "held"),
    Listing(C("192.0.2.6"), "auth", 1, NOW - 60, NOW - 30, "reversed"),
    Listing(C("198.51.100.0/24"), "manual", 1, NOW - 30, NOW + DAY, "active", {}, "[red]by hand"),
    Listing(C("2001:db8:1:2::/64"), "virus", 5, NOW - 90, NOW + 2 * HOUR, "active"),
    Listing(C("203.0.113.7"), "virus", 1, NOW - 90, NOW, "active"),
)


@pytest.fixture
def filled(engine: Engine) -> Engine:
    """This test's database with all of LISTINGS."""
    add_listings(engine, *LISTINGS)
    return engine


def found(engine: Engine, wanted: Wanted, sort: Sort = "until", most: int | None = None) -> list[str]:
    """Give the clients of what is found; the count must say the same."""
    with engine.connect() as connection:
        listings = list(stream_listings(connection, wanted, NOW, sort, most))
        assert count_listings(connection, wanted, NOW) == len(listings) or most is not None
    return [str(listing.client) for listing in listings]


CASES: list[tuple[Wanted, list[str]]] = [
    (Wanted(), ["198.51.100.0/24", "192.0.2.2", "2001:db8:1:2::/64", "192.0.2.1"]),
    (Wanted(category="spam"), ["192.0.2.2"]),
    (Wanted(network=C("192.0.2.0/24")), ["192.0.2.2", "192.0.2.1"]),
    (Wanted(network=C("192.0.2.1")), ["192.0.2.1"]),
    (Wanted(network=C("198.51.100.0/25")), []),
    (Wanted(network=C("198.51.0.0/16")), ["198.51.100.0/24"]),
    (Wanted(network=C("2001:db8::/32")), ["2001:db8:1:2::/64"]),
    (Wanted(network=C("0.0.0.0/0")), ["198.51.100.0/24", "192.0.2.2", "192.0.2.1"]),
    (Wanted(network=C("::/0")), ["2001:db8:1:2::/64"]),
    (Wanted(client=C("198.51.100.9")), ["198.51.100.0/24"]),
    (Wanted(state="active", category="errors"), ["192.0.2.1"]),
    (Wanted(state="expired"), ["203.0.113.7", "192.0.2.3", "192.0.2.4"]),
    (Wanted(state="held"), ["192.0.2.5"]),
    (Wanted(state="reversed"), ["192.0.2.6"]),
    (Wanted(state="dropped"), []),
    (Wanted(reason="timeout"), ["192.0.2.1"]),
    (Wanted(reason="timeout", everything=True), ["192.0.2.1", "192.0.2.3"]),
    (Wanted(since=NOW - 90), ["198.51.100.0/24", "2001:db8:1:2::/64"]),
    (Wanted(since=NOW - 89), ["198.51.100.0/24"]),
    (Wanted(since=NOW - 60, everything=True), ["198.51.100.0/24", "192.0.2.5", "192.0.2.6"]),
]


@pytest.mark.parametrize(("wanted", "clients"), CASES, ids=str)
def test_each_filter_leaves_what_it_names(filled: Engine, wanted: Wanted, clients: list[str]) -> None:
    assert found(filled, wanted) == clients


def test_everything_is_all_that_there_ever_was(filled: Engine) -> None:
    assert len(found(filled, Wanted(everything=True))) == len(LISTINGS)


ORDERS: dict[Sort, list[str]] = {
    "until": ["198.51.100.0/24", "192.0.2.2", "2001:db8:1:2::/64", "192.0.2.1"],
    "began": ["198.51.100.0/24", "2001:db8:1:2::/64", "192.0.2.1", "192.0.2.2"],
    "client": ["192.0.2.1", "192.0.2.2", "198.51.100.0/24", "2001:db8:1:2::/64"],
    "offence": ["2001:db8:1:2::/64", "192.0.2.2", "198.51.100.0/24", "192.0.2.1"],
}


@pytest.mark.parametrize("sort", get_args(Sort))
def test_the_first_has_most_of_what_is_sorted_by(filled: Engine, sort: Sort) -> None:
    assert found(filled, Wanted(), sort) == ORDERS[sort]
    assert found(filled, Wanted(), sort, 2) == ORDERS[sort][:2]


def test_a_listing_comes_with_all_that_was_counted_and_the_operators_words(filled: Engine) -> None:
    with filled.connect() as connection:
        (manual,) = find_listings(connection, NOW, category="manual")
        (errors,) = find_listings(connection, NOW, category="errors")
    assert (manual, errors) == (LISTINGS[6], LISTINGS[0])


def test_only_what_lies_wholly_in_an_exemption_in_force_is_not_listed(filled: Engine) -> None:
    add_exemptions(
        filled,
        Exemption(C("192.0.2.1"), NOW),
        Exemption(C("192.0.2.2"), NOW - HOUR, NOW),
        Exemption(C("2001:db8:1::/48"), NOW + 1),
        Exemption(C("198.51.100.0/25"), NOW - HOUR),
    )
    assert found(filled, Wanted()) == ["198.51.100.0/24", "192.0.2.2", "2001:db8:1:2::/64"]
    assert "192.0.2.1" in found(filled, Wanted(everything=True))


def test_each_exemption_looks_up_its_own_range_whatever_the_planner_believes(engine: Engine) -> None:
    """Where it believes that next to no listing is active, it would look at all of them for every exemption.

    That takes minutes. Pages that were looked at tell, not the clock.
    """
    execute(
        engine,
        "INSERT INTO listing (key, category, offence, began, expires, state, created) SELECT '198.18.0.0'::inet + n, "
        "'auth', 1, to_timestamp(:now), to_timestamp(:now) + interval '1 h', 'expired', now() "
        "FROM generate_series(1, 6000) n",
        {"now": NOW - 9},
    )
    execute(
        engine,
        "INSERT INTO exemption (network, added, comment, author) SELECT set_masklen('198.18.0.0'::inet + n * 8, 31), "
        "to_timestamp(:now), '', '' FROM generate_series(0, 299) n",
        {"now": NOW - 9},
    )
    execute(engine, "ANALYZE listing, exemption")
    execute(engine, "UPDATE listing SET state = 'active'")
    with engine.connect() as connection:
        explain = sa.text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {find._EXEMPT.text}")
        plan = connection.execute(explain, {"now": instant(NOW)}).scalar_one()[0]["Plan"]
        assert count_listings(connection, Wanted(), NOW) == 6000 - 2 * 300 + 1
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 20 * 300
    ranges = [one for one in nodes(plan) if one.get("Relation Name") == "listing"]
    assert {one.get("Index Name") for one in ranges} == {"listing_key_category_began_key"}


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a plan's node and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)


@pytest.mark.parametrize("seed", range(3))
def test_listings_and_counts_agree_with_every_look_up(engine: Engine, seed: int) -> None:
    dice = random.Random(seed)

    def network() -> Client:
        if dice.random() < 0.3:
            return Client(6, 0x20010DB8 << 96 | dice.randrange(4) << 64, 128).truncate(dice.choice([32, 62, 63, 64]))
        return Client(4, 0xC0000200 + dice.randrange(16), 32).truncate(dice.choice([24, 28, 30, 31, 32, 32, 32]))

    unique = {(network(), dice.choice(CATEGORIES)) for _ in range(60)}
    listings = [
        Listing(client, category, 1, NOW - 9, NOW + dice.choice([-1, 0, 1, 900]), dice.choice(STATES))
        for client, category in sorted(unique)
    ]
    exemptions = [
        Exemption(network(), NOW - dice.choice([-1, 0, 9]), dice.choice([None, NOW, NOW + 1])) for _ in range(6)
    ]
    add_listings(engine, *listings)
    add_exemptions(engine, *exemptions)
    table = MemoryTable(listings, exemptions)
    with engine.connect() as connection:
        in_force = find_listings(connection, NOW)
        overview = load_overview(connection, NOW)
    # An address is listed by exactly those that cover it, unless it is exempt itself.
    for address in (Client(4, 0xC0000200 + n, 32) for n in range(16)):
        by_table = {(one.client, one.category) for one in table.lookup(address, NOW).listings}
        covering = {(one.client, one.category) for one in in_force if one.client.covers(address)}
        exempt = table.lookup(address, NOW).exemption is not None
        assert by_table == (set() if exempt else covering)
    assert sum(overview.listings.values()) == len(in_force)
    hidden = [one for one in listings if one.state == "active" and one.expires > NOW and one not in in_force]
    assert all(any(e.holds_at(NOW) and e.network.covers(one.client) for e in exemptions) for one in hidden)
    assert not any(e.holds_at(NOW) and e.network.covers(one.client) for one in in_force for e in exemptions)
