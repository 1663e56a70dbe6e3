"""The whole zone as PostgreSQL writes it: the very rows that we would write."""

from repzone.model import Client, Exemption, Listing
from repzone.reasons import CATEGORIES
from repzone.store.engine import Engine
from repzone.store.exemptions import store_own_networks
from repzone.store.subscription import subscribe
from repzone.store.zone import has_changes, load_ended, load_rows
from repzone.zone.rows import LAST, ROW, pack_exemption, pack_listing, unpack_listings
from tests.jobs.listed import add_listings, end_listings

NOW = 1_790_000_000
KEYS = ["192.0.2.7", "203.0.113.0/24", "198.51.100.255", "2001:db8:1:2::/64", "2001:db8::1", "2001:db8:ffff::/48"]


def load(engine: Engine, now: int) -> tuple[int, list[bytes]]:
    with subscribe(engine, "test") as subscription, subscription.within(10) as connection:
        serial, rows = load_rows(connection, now)
    return serial, sorted(rows[place : place + ROW.size] for place in range(0, len(rows), ROW.size))


def test_the_rows_are_those_that_we_would_write(engine: Engine) -> None:
    for number, category in enumerate(CATEGORIES):
        add_listings(engine, KEYS, NOW - number, category=category, seconds=1000)
    network = Client.from_text("2001:db8:5::/48")
    with engine.begin() as connection:
        store_own_networks(connection, [network], NOW)
    wanted = [
        pack_listing(Listing(Client.from_text(key), category, 1, NOW - number, NOW - number + 1000))
        for number, category in enumerate(CATEGORIES)
        for key in KEYS
    ]
    assert load(engine, NOW) == (31, sorted([*wanted, pack_exemption(Exemption(network, 0))]))
    assert load(engine, NOW + 1000) == (31, [pack_exemption(Exemption(network, 0))])


def test_what_ends_beyond_the_last_instant_of_a_row_ends_then_and_not_in_the_past(engine: Engine) -> None:
    far = 2**32 + 5
    add_listings(engine, ["192.0.2.7"], NOW, seconds=far - NOW)
    add_listings(engine, ["192.0.2.8"], -5, seconds=NOW + 10)
    written = [("192.0.2.7", NOW, far), ("192.0.2.8", -5, NOW + 5)]
    wanted = [pack_listing(Listing(Client.from_text(key), "spam", 1, begins, ends)) for key, begins, ends in written]
    serial, rows = load(engine, NOW)
    assert (serial, rows) == (2, sorted(wanted))
    assert {(one.began, one.expires) for one in unpack_listings(b"".join(rows))} == {(NOW, LAST), (0, NOW + 5)}


def test_an_empty_database_has_no_rows(engine: Engine) -> None:
    assert load(engine, NOW) == (0, [])


def test_what_has_ended_is_told_with_when_it_began(engine: Engine) -> None:
    old = add_listings(engine, ["192.0.2.1"], NOW - 10)
    new = add_listings(engine, ["192.0.2.2", "192.0.2.3"], NOW)
    end_listings(engine, [*old, new[0]], NOW + 1, "reversed")
    with engine.connect() as connection:
        ended = {(str(listing.client), listing.began) for listing in load_ended(connection, NOW - 5)}
        assert ended == {("192.0.2.2", NOW)}
        assert len(list(load_ended(connection, 0))) == 2


def test_a_gap_in_the_changes_is_seen(engine: Engine) -> None:
    add_listings(engine, [f"192.0.2.{n}" for n in range(10)], NOW)
    with engine.begin() as connection:
        assert has_changes(connection, 0, 10)
        assert has_changes(connection, 10, 10)
        connection.exec_driver_sql("DELETE FROM listing_change WHERE serial = 4")
        assert not has_changes(connection, 0, 10)
        assert not has_changes(connection, 3, 10)
        assert has_changes(connection, 4, 10)
