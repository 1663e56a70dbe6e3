"""The compiled table beside the one of dictionaries, and what it keeps of a listing."""

import threading

from hypothesis import given, settings
from hypothesis import strategies as st

from repzone.fastpath.table import CompiledTable
from repzone.model import Change, Client, Exemption, Listing, State
from repzone.reasons import CATEGORIES
from repzone.zone.rows import pack_exemption, pack_listing, unpack_exemptions, unpack_listings
from repzone.zone.table import MemoryTable

STATES: list[State] = ["active", "active", "released"]
ADDRESSES = st.one_of(
    st.integers(0, 7).map(lambda number: Client(4, 0xC0000200 + number * 3, 32)),
    st.integers(0, 7).map(lambda number: Client(6, (0x20010DB8 << 96) + (number << 62) + number, 128)),
)
NETWORKS = st.tuples(ADDRESSES, st.sampled_from([0, 20, 30, 32, 63, 64, 65, 127, 128])).map(
    lambda pair: pair[0].truncate(pair[1])
)
LISTINGS = st.builds(
    Listing,
    client=NETWORKS,
    category=st.sampled_from(CATEGORIES),
    offence=st.integers(1, 2**28 - 1),
    began=st.integers(0, 9),
    expires=st.integers(10, 30),
    state=st.sampled_from(STATES),
)
EXEMPTIONS = st.builds(
    Exemption, network=NETWORKS, added=st.integers(0, 9), ended=st.one_of(st.none(), st.integers(10, 30))
)


@settings(max_examples=200)
@given(
    loaded=st.lists(LISTINGS, max_size=20),
    changes=st.lists(st.one_of(LISTINGS, LISTINGS, EXEMPTIONS), max_size=60),
    swept=st.integers(0, 12),
    now=st.integers(12, 31),
)
def test_both_tables_find_the_same_after_the_same_changes(
    loaded: list[Listing], changes: list[Listing | Exemption], swept: int, now: int
) -> None:
    compiled, memory = CompiledTable(loaded), MemoryTable(loaded)
    for serial, what in enumerate(changes, 1):
        compiled.apply(Change(serial, what))
        memory.apply(Change(serial, what))
    assert compiled.sweep(swept) == memory.sweep(swept)
    assert compiled.counts() == memory.counts()
    for number in range(9):
        for asked in (
            Client(4, 0xC0000200 + number * 3, 32),
            Client(6, (0x20010DB8 << 96) + (number << 62) + number, 128),
        ):
            for length in (20, 31, 63, 65, 128):
                prefix = asked.truncate(length)
                assert str(ordered(compiled, prefix, now)) == str(ordered(memory, prefix, now))
    assert sorted(map(str, compiled.listings(now))) == sorted(map(str, memory.listings(now)))
    assert sorted(map(str, compiled.exemptions(now))) == sorted(map(str, memory.exemptions(now)))


def ordered(table: CompiledTable | MemoryTable, asked: Client, now: int) -> tuple[object, ...]:
    """Give what is found, listings of one end and length in one order."""
    found = table.lookup(asked, now)
    listings = sorted(found.listings, key=lambda one: (-one.expires, -one.client.length, one.category))
    assert [(-one.expires, -one.client.length) for one in listings] == [
        (-one.expires, -one.client.length) for one in found.listings
    ]
    exemption = found.exemption  # of two that last as long, which one is the same to everybody
    return listings, exemption and (exemption.network, exemption.ended), found.reserved


@given(st.lists(LISTINGS), st.lists(EXEMPTIONS))
def test_rows_read_back_are_what_was_written(listings: list[Listing], exemptions: list[Exemption]) -> None:
    active = [Listing(one.client, one.category, one.offence, one.began, one.expires) for one in listings]
    assert list(unpack_listings(b"".join(map(pack_listing, active)))) == active
    assert list(unpack_exemptions(b"".join(map(pack_exemption, exemptions)))) == exemptions


def test_instants_and_offences_beyond_what_fits_are_the_largest_that_do() -> None:
    table = CompiledTable([Listing(Client.from_text("192.0.2.7"), "errors", 2**40, -5, 2**40)])
    (found,) = table.lookup(Client.from_text("192.0.2.7"), 50).listings
    assert (found.offence, found.began, found.expires) == (2**28 - 1, 0, 2**32 - 2)


def test_many_listings_come_and_go_and_each_is_found_as_long_as_it_is_there() -> None:
    table = CompiledTable()
    clients = [Client(4, 0x10000000 + number * 7, 32) for number in range(20_000)]
    for number, client in enumerate(clients):
        table.apply(Change(number, Listing(client, "errors", 1, 0, 100 + number)))
    assert all(len(table.lookup(client, 99).listings) == 1 for client in clients)
    assert table.sweep(10_100) == 10_001
    assert [number for number, client in enumerate(clients) if table.lookup(client, 99).listings] == list(
        range(10_001, 20_000)
    )
    assert table.sweep(100_000) == 9_999
    assert not list(table.listings(0))


def test_a_reload_is_seen_whole_by_every_reader() -> None:
    client, other = Client.from_text("192.0.2.7"), Client.from_text("2001:db8::/64")
    table = CompiledTable([Listing(client, "errors", 1, 0, 100)])
    stop, seen = threading.Event(), set()

    def read() -> None:
        while not stop.is_set():
            seen.add(len(list(table.listings(50))))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(300):
        table.replace([Listing(other, "spam", 1, 0, 100), Listing(client, "spam", 1, 0, 100)], [])
        table.replace([Listing(client, "errors", 1, 0, 100)], [])
    stop.set()
    reader.join()
    assert seen <= {1, 2}
