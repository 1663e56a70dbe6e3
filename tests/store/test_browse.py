"""Listings page by page: every one once, in order, and counted to a bound."""

from __future__ import annotations

from collections import Counter
from itertools import count as numbers
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from repzone.errors import UnavailableError
from repzone.model import STATES, Client, Listing
from repzone.reasons import CATEGORIES
from repzone.store import browse
from repzone.store.browse import Counts, Row, Search, count, load_page, reading, undone
from repzone.store.engine import Engine
from repzone.store.tables import hit
from tests.store.samples import NOW, add_listings, execute

C = Client.from_text
KEYS = ("192.0.2.1", "192.0.2.2", "192.0.2.0/24", "198.51.100.1", "2001:db8::/64", "2001:db8:1::/64")

rows = st.builds(
    lambda key, category, state, ends: (key, category, state, ends),
    *(st.sampled_from(KEYS), st.sampled_from(CATEGORIES), st.sampled_from(STATES), st.integers(-2, 2)),
)
searches = st.builds(
    Search,
    st.sampled_from([None, *map(C, (*KEYS, "192.0.2.0/23", "0.0.0.0/0", "::/0", "192.0.2.9", "2001:db8::1"))]),
    st.sampled_from([None, *CATEGORIES]),
    st.sampled_from([None, *STATES]),
)


def store(engine: Engine, drawn: list[tuple[Any, ...]]) -> list[Listing]:
    began = numbers(NOW - 1000)
    found = [
        Listing(C(key), category, 1, next(began), NOW + ends, state, {"spamtrap": 1})
        for key, category, state, ends in drawn
    ]
    add_listings(engine, *found)
    return found


def matches(one: Listing, search: Search) -> bool:
    client = search.client
    where = client is None or client.covers(one.client) or one.client.covers(client)
    return where and search.category in (None, one.category) and search.state in (None, one.state_at(NOW))


def walk(engine: Engine, search: Search, *, back: bool = False) -> list[Row]:
    """Give all rows, page by page to the end; then those before the last, back to the beginning."""
    found: list[Row] = []
    with reading(engine) as connection:
        page = load_page(connection, search, NOW)
        assert not page.newer
        found += page.rows
        while page.older:
            page = load_page(connection, search, NOW, before=page.rows[-1].place)
            found += page.rows
            assert page.newer
        if back and page.rows:
            last, found = found[-1], found[-1:]
            page = load_page(connection, search, NOW, after=last.place)
            found = [*page.rows, *found]
            while page.newer:
                page = load_page(connection, search, NOW, after=page.rows[0].place)
                found = [*page.rows, *found]
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20)
@given(st.lists(rows, max_size=14), st.lists(searches, max_size=4))
def test_pages_give_every_listing_that_is_wanted_once_and_in_order(
    fresh_engine: Any, monkeypatch_page: None, drawn: list[tuple[Any, ...]], wanted: list[Search]
) -> None:
    engine = fresh_engine()
    there = store(engine, drawn)
    for search in (Search(), Search(C("0.0.0.0/0")), *wanted):
        found = walk(engine, search)
        expected = [one for one in there if matches(one, search)]
        assert sorted(map(_name, (row.listing for row in found))) == sorted(map(_name, expected))
        assert [row.place for row in found] == sorted((row.place for row in found), key=_place, reverse=True)
        assert all(row.listing.reasons == {"spamtrap": 1} for row in found)
        assert walk(engine, search, back=True) == found
        with reading(engine) as connection:
            counts = count(connection, search, NOW)
        kinds = Counter((one.state_at(NOW), one.category) for one in there if matches(one, Search(search.client)))
        assert counts.found == kinds
        assert counts.of(search.state, search.category) == len(expected)


def _name(one: Listing) -> tuple[Any, ...]:
    return str(one.client), one.category, one.began, one.state_at(NOW)


def _place(place: browse.Place) -> tuple[int, int]:
    return place.expires, place.id


@pytest.fixture
def monkeypatch_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of two rows."""
    monkeypatch.setattr(browse, "PAGE", 2)


def test_counting_ends_where_nobody_wants_to_know(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(browse, "MOST", 3)
    store(engine, [("192.0.2.1", "spam", "active", 1)] * 9 + [("192.0.2.1", "auth", "held", 1)] * 2)
    with reading(engine) as connection:
        counts = count(connection, Search(), NOW)
        inside = count(connection, Search(C("192.0.2.0/24")), NOW)
    assert counts.text("active", "spam") == counts.text(None, None) == ">3"
    assert counts.text("held", None) == "2"
    assert counts.text("dropped", None) == "0"
    assert not inside.whole
    assert inside.text(None, None) == ">3"
    assert inside.text("dropped", None) == "≥0"


def test_numbers_are_written_as_people_read_them() -> None:
    assert Counts({("active", "spam"): 1204}).text("active", None) == "1,204"
    assert Counts({("active", "spam"): 10_001, ("held", "spam"): 1}).text(None, "spam") == ">10,000"


def test_a_row_says_how_many_mails_were_refused_for_it(engine: Engine) -> None:
    (number, _) = add_listings(
        engine, Listing(C("192.0.2.1"), "spam", 1, NOW, NOW + 9), Listing(C("192.0.2.1"), "auth", 1, NOW, NOW + 8)
    )
    with engine.begin() as connection:
        for hour in (0, 1):
            at = sa.func.to_timestamp(NOW + hour * 3600)
            connection.execute(hit.insert().values(key="192.0.2.1", hour=at, listing_id=number, count=3))
    assert [row.hits for row in walk(engine, Search())] == [6, 0]


def test_what_reads_cannot_write_and_does_not_wait_for_ever(engine: Engine) -> None:
    with reading(engine) as connection, pytest.raises(sa.exc.InternalError, match="read-only"):
        connection.exec_driver_sql("DELETE FROM listing")
    with pytest.raises(UnavailableError, match="timeout"), reading(engine, 50) as connection:
        connection.exec_driver_sql("SELECT pg_sleep(5)")


def test_what_is_undone_leaves_nothing(engine: Engine) -> None:
    store(engine, [("192.0.2.1", "spam", "active", 1)])
    with undone(engine) as connection:
        connection.exec_driver_sql("DELETE FROM listing_evidence")
        connection.exec_driver_sql("DELETE FROM listing")
        assert load_page(connection, Search(), NOW).rows == ()
    assert len(walk(engine, Search())) == 1


def test_a_page_reads_no_more_than_its_rows(engine: Engine) -> None:
    execute(
        engine,
        "INSERT INTO listing (key, category, offence, began, expires, state, created) "
        "SELECT '10.0.0.0'::inet + n, CAST(CASE n % 3 WHEN 0 THEN 'spam' WHEN 1 THEN 'auth' ELSE 'errors' END "
        "AS category), 1, to_timestamp(:now), to_timestamp(:now) + n * interval '1 s', 'active', now() "
        "FROM generate_series(1, 20000) AS n",
        {"now": NOW},
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("ANALYZE listing")
    with reading(engine) as connection:
        arguments = {**browse._ranges(Search(), NOW), "most": 51}
        plan = "\n".join(connection.scalars(sa.text(f"EXPLAIN (ANALYZE) {browse._ROWS[False]}"), arguments))
    assert "listing_state_category_expires_id_idx" in plan
    assert "Seq Scan on listing" not in plan
