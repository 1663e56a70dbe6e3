"""Rows: what goes in comes out, for either way that a table may keep its entries."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import V4, V6, WIDTH, Client, Exemption, Listing
from repzone.reasons import CATEGORIES
from repzone.zone import rows
from repzone.zone.table import MemoryTable

INSTANTS = st.integers(0, rows.LAST)


@st.composite
def networks(draw: st.DrawFn) -> Client:
    version = draw(st.sampled_from((V4, V6)))
    length = draw(st.integers(0, WIDTH[version]))
    shift = WIDTH[version] - length
    return Client(version, draw(st.integers(0, (1 << length) - 1)) << shift, length)


LISTINGS = st.builds(
    Listing,
    networks(),
    st.sampled_from(CATEGORIES),
    st.integers(1, 2**32 - 1),
    INSTANTS,
    INSTANTS,
    st.sampled_from(("active", "expired")),
)
EXEMPTIONS = st.builds(Exemption, networks(), INSTANTS, st.one_of(st.none(), INSTANTS))


@given(st.lists(LISTINGS), st.lists(EXEMPTIONS))
def test_unpacking_is_the_inverse_of_packing(listings: list[Listing], exemptions: list[Exemption]) -> None:
    packed = b"".join((*map(rows.pack_listing, listings), *map(rows.pack_exemption, exemptions)))
    assert len(packed) == rows.ROW.size * (len(listings) + len(exemptions))
    assert list(rows.unpack_listings(packed)) == listings
    assert list(rows.unpack_exemptions(packed)) == exemptions


@given(st.lists(LISTINGS))
def test_what_is_listed_is_known_by_client_and_category(listings: list[Listing]) -> None:
    packed = b"".join(map(rows.pack_listing, listings))
    active = {(one.client, one.category): one.began for one in listings if one.state == "active"}
    assert sorted(rows.identify(packed).values()) == sorted(active.values())
    for listing in listings:
        known = rows.identity(rows.pack_listing(listing)) in rows.identify(packed)
        assert known == ((listing.client, listing.category) in active)


class PackedTable(MemoryTable):
    """A table that keeps rows beside what it looks up."""

    def dump(self, now: int) -> bytes:
        return self.rows

    def load(self, rows: rows.Rows) -> None:
        self.rows = bytes(rows)


@pytest.mark.parametrize("kind", [MemoryTable, PackedTable])
def test_a_table_can_be_filled_from_the_rows_of_another(kind: type[MemoryTable]) -> None:
    network = Client.from_text("192.0.2.0/24")
    listings = [Listing(Client.from_text(f"192.0.2.{n}"), "spam", n, 100, 200 + n) for n in range(1, 50)]
    table, copy = MemoryTable(listings, [Exemption(network, 5), Exemption(network, 6, 7)]), kind()
    rows.load(copy, rows.dump(table, 210))
    again = rows.dump(copy, 210)
    assert sorted(rows.unpack_listings(again), key=lambda listing: listing.offence) == listings[10:]
    assert list(rows.unpack_exemptions(again)) == [Exemption(network, 5)]


@pytest.mark.parametrize(
    "change",
    [
        lambda row: row[:-1],
        lambda row: b"\5" + row[1:],
        lambda row: b"\4\x21" + row[2:],
        lambda row: row[:2] + b"\5" + row[3:],
    ],
    ids=["cut", "version 5", "33 bits", "no category"],
)
def test_a_row_that_is_unsound_is_refused(change: object) -> None:
    assert callable(change)
    row = rows.pack_listing(Listing(Client.from_text("192.0.2.1"), "auth", 1, 0, 9))
    table = MemoryTable()
    with pytest.raises(ValueError, match="row"):
        rows.load(table, row + change(row))
    assert not list(table.listings(0))
