"""What every table must do; each implementation runs the same cases."""

import threading
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone import fastpath
from repzone.model import Change, Client, Exemption, Listing, State
from repzone.reasons import CATEGORIES, Category
from repzone.zone.rows import LAST
from repzone.zone.table import Found, MemoryTable, Table

IMPLEMENTATIONS: list[Callable[[], Table]] = [MemoryTable]
if fastpath.COMPILED:
    from repzone.fastpath.table import CompiledTable

    IMPLEMENTATIONS.append(CompiledTable)


@pytest.fixture(params=IMPLEMENTATIONS, ids=lambda implementation: implementation.__name__)
def table(request: pytest.FixtureRequest) -> Table:
    made: Table = request.param()
    return made


def client(text: str) -> Client:
    return Client.from_text(text)


def listing(
    text: str, category: Category = "errors", began: int = 0, expires: int = 100, state: State = "active"
) -> Listing:
    return Listing(client(text), category, 1, began, expires, state)


def put(table: Table, *what: Listing | Exemption) -> None:
    for serial, one in enumerate(what, 1):
        table.apply(Change(serial, one))


def categories(table: Table, text: str, now: int = 50) -> list[str]:
    return [found.category for found in table.lookup(client(text), now).listings]


def test_a_listing_is_found_until_the_second_before_its_end(table: Table) -> None:
    put(table, listing("192.0.2.7"))
    assert categories(table, "192.0.2.7", 99) == ["errors"]
    assert categories(table, "192.0.2.7", 100) == []
    assert categories(table, "192.0.2.8", 50) == []


def test_a_prefix_lists_every_address_in_it(table: Table) -> None:
    put(table, listing("2001:db8:1:2::/64"), listing("198.51.100.0/24"), listing("203.0.113.128/25"))
    assert categories(table, "2001:db8:1:2:ffff::1") == ["errors"]
    assert categories(table, "2001:db8:1:3::") == []
    assert categories(table, "198.51.100.255") == ["errors"]
    assert categories(table, "203.0.113.128") == ["errors"]
    assert categories(table, "203.0.113.127") == []


def test_no_ipv4_listing_is_found_for_an_ipv6_address_of_the_same_number(table: Table) -> None:
    put(table, listing("192.0.2.7"))
    assert table.lookup(Client(6, client("192.0.2.7").value, 128), 50).listings == ()


def test_listings_come_last_end_first_then_most_specific_first(table: Table) -> None:
    put(
        table,
        listing("192.0.2.0/24", "spam", expires=90),
        listing("192.0.2.7", "virus", expires=90),
        listing("192.0.2.7", "auth", expires=80),
        listing("192.0.0.0/16", "errors", expires=95),
    )
    assert categories(table, "192.0.2.7") == ["errors", "virus", "spam", "auth"]


def test_an_active_listing_takes_the_place_of_the_earlier_one_of_its_category(table: Table) -> None:
    put(table, listing("192.0.2.7"), listing("192.0.2.7", "spam"), listing("192.0.2.7", began=40, expires=400))
    assert [(found.category, found.expires) for found in table.lookup(client("192.0.2.7"), 50).listings] == [
        ("errors", 400),
        ("spam", 100),
    ]
    assert table.counts()["errors"] == 1


def test_an_active_listing_that_began_earlier_takes_no_place(table: Table) -> None:
    put(table, listing("192.0.2.7", began=40, expires=400), listing("192.0.2.7", began=39, expires=500))
    assert [found.expires for found in table.lookup(client("192.0.2.7"), 50).listings] == [400]


@pytest.mark.parametrize("state", ["expired", "released", "reversed", "held", "dropped", "shadow"])
def test_any_other_state_takes_out_the_listing_that_began_then_and_no_later_one(table: Table, state: State) -> None:
    put(table, listing("192.0.2.7", began=5), listing("192.0.2.7", "spam", began=5))
    put(table, listing("192.0.2.7", began=4, state=state))
    assert categories(table, "192.0.2.7") == ["errors", "spam"]
    put(table, listing("192.0.2.7", began=5, state=state), listing("192.0.2.7", began=5, state=state))
    assert categories(table, "192.0.2.7") == ["spam"]
    assert table.counts()["errors"] == 0


def test_an_exemption_beats_every_listing_also_of_a_wider_prefix(table: Table) -> None:
    put(table, listing("192.0.2.7"), listing("192.0.0.0/16", "manual"), Exemption(client("192.0.2.0/28"), added=10))
    found = table.lookup(client("192.0.2.7"), 50)
    assert found.listings == ()
    assert found.exemption == Exemption(client("192.0.2.0/28"), added=10)
    assert categories(table, "192.0.2.7", 9) == ["errors", "manual"]
    assert categories(table, "192.0.2.16") == ["manual"]


def test_an_exemption_ends_at_its_end_and_others_of_the_network_stay(table: Table) -> None:
    put(table, listing("192.0.2.7"), Exemption(client("192.0.2.7"), 10), Exemption(client("192.0.2.7"), 10, 60))
    assert categories(table, "192.0.2.7", 59) == []
    assert categories(table, "192.0.2.7", 60) == ["errors"]
    put(table, Exemption(client("192.0.2.7"), 20))
    assert categories(table, "192.0.2.7", 60) == []


@pytest.mark.parametrize("text", ["10.1.2.3", "127.0.0.2", "192.168.1.1", "100.64.0.1", "fe80::1", "::1", "2001::1"])
def test_reserved_space_is_never_listed_and_is_no_exemption_of_the_operator(table: Table, text: str) -> None:
    put(table, Listing(client(text), "manual", 1, 0, 100))
    found = table.lookup(client(text), 50)
    assert (found.listings, found.exemption, found.reserved) == ((), None, True)


def test_documentation_space_is_not_reserved(table: Table) -> None:
    put(table, listing("2001:db8::/64"))
    assert categories(table, "2001:db8::1") == ["errors"]


def test_replace_forgets_everything_before_and_leaves_out_what_is_not_active(table: Table) -> None:
    put(table, listing("192.0.2.7"), Exemption(client("192.0.2.9"), 0))
    table.replace([listing("192.0.2.8"), listing("192.0.2.9"), listing("192.0.2.10", state="held")], [])
    assert categories(table, "192.0.2.7") == []
    assert categories(table, "192.0.2.8") == ["errors"]
    assert categories(table, "192.0.2.9") == ["errors"]
    assert categories(table, "192.0.2.10") == []
    assert table.counts() == {**dict.fromkeys(CATEGORIES, 0), "errors": 2}


def test_a_sweep_forgets_what_has_ended_and_nothing_else(table: Table) -> None:
    put(table, listing("192.0.2.7"), listing("192.0.2.7", "spam", expires=200), listing("192.0.2.8", expires=50))
    put(table, Exemption(client("192.0.2.9"), 0, 40), Exemption(client("192.0.2.10"), 0))
    assert table.sweep(100) == 3
    assert categories(table, "192.0.2.7", 100) == ["spam"]
    assert {name: count for name, count in table.counts().items() if count} == {"spam": 1}
    assert table.sweep(100) == 0


def test_what_is_active_can_be_listed_for_an_export(table: Table) -> None:
    put(table, listing("192.0.2.7"), listing("2001:db8::/64", expires=50), Exemption(client("192.0.2.9"), 0, 60))
    assert [found.client.to_text() for found in table.listings(50)] == ["192.0.2.7"]
    assert [exemption.network.to_text() for exemption in table.exemptions(50)] == ["192.0.2.9"]
    assert list(table.exemptions(60)) == []


STATES: list[State] = ["active", "released"]
LISTINGS = st.builds(
    Listing,
    client=st.tuples(st.integers(0, 3), st.sampled_from([30, 31, 32])).map(
        lambda pair: Client(4, 0xC0000200 + pair[0], 32).truncate(pair[1])
    ),
    category=st.sampled_from(CATEGORIES[:2]),
    offence=st.just(1),
    began=st.integers(0, 9),
    expires=st.integers(10, 30),
    state=st.sampled_from(STATES),
)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
@given(
    changes=st.lists(LISTINGS, max_size=30), number=st.integers(0, 3), now=st.integers(0, 31), swept=st.integers(0, 31)
)
def test_a_table_finds_what_a_plain_walk_over_the_changes_finds(
    implementation: Callable[[], Table], changes: list[Listing], number: int, now: int, swept: int
) -> None:
    table = implementation()
    held: dict[tuple[Client, str], Listing] = {}
    for serial, change in enumerate(changes, 1):
        table.apply(Change(serial, change))
        key = change.client, change.category
        if change.state == "active":
            if key not in held or held[key].began <= change.began:
                held[key] = change
        elif key in held and held[key].began == change.began:
            del held[key]
    assert sum(table.counts().values()) == len(held)
    if swept <= now:
        table.sweep(swept)
    asked = Client(4, 0xC0000200 + number, 32)
    expected = [one for one in held.values() if one.client.covers(asked) and now < one.expires]
    found = list(table.lookup(asked, now).listings)
    assert sorted(map(str, found)) == sorted(map(str, expected))
    assert [(-one.expires, -one.client.length) for one in found] == sorted(
        (-one.expires, -one.client.length) for one in expected
    )


def test_readers_go_on_while_one_writer_changes_everything(table: Table) -> None:
    stop, errors = threading.Event(), []

    def read() -> None:
        while not stop.is_set():
            try:
                if not {"errors", "spam"} >= set(categories(table, "192.0.2.7")):
                    errors.append("what nobody wrote")
                list(table.listings(50))
            except Exception as error:
                errors.append(repr(error))

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1000):
        prefix = Client(4, 0xC0000200, 32).truncate(32 - number % 24)
        put(table, listing("192.0.2.7", began=number), Listing(prefix, "spam", 1, number, 60))
        put(table, listing("192.0.2.7", began=number, state="released"))
        if number % 100 == 0:
            table.sweep(70)
            table.replace([], [])
    stop.set()
    for reader in readers:
        reader.join()
    assert errors == []


def test_what_ends_after_2106_is_listed_and_exempt_until_then(table: Table) -> None:
    far = 2**32 + 5
    put(table, listing("192.0.2.7", expires=far), listing("192.0.2.8", began=far, expires=far + 10))
    put(table, Exemption(client("192.0.2.9"), added=0, ended=far), listing("192.0.2.9", expires=far))
    for now in (50, LAST - 1):
        assert categories(table, "192.0.2.7", now) == ["errors"]
        assert table.lookup(client("192.0.2.9"), now).exemption is not None
    assert table.sweep(LAST - 1) == 0
    for address in ("192.0.2.7", "192.0.2.8", "192.0.2.9"):
        assert table.lookup(client(address), far + 10) == Found()
    assert table.sweep(far + 10) == 4


def test_of_what_is_held_the_part_inside_an_exemption_in_force_is_counted(table: Table) -> None:
    assert not any(table.count_exempt(50).values())
    put(table, *(listing(f"192.0.2.{n}") for n in range(1, 9)), listing("192.0.2.0/24", "manual"))
    put(table, listing("192.0.2.1", "spam"), listing("2001:db8:1::/64", "spam"), listing("2001:db8:2::/64", "virus"))
    assert not any(table.count_exempt(50).values())
    put(table, Exemption(client("192.0.2.0/30"), 0, 60), Exemption(client("192.0.2.1"), 0))
    put(table, Exemption(client("192.0.2.7"), 55), Exemption(client("2001:db8::/47"), 0))
    given = [{name: n for name, n in table.count_exempt(now).items() if n} for now in (50, 55, 60)]
    assert given == [
        {"errors": 3, "spam": 2},
        {"errors": 4, "spam": 2},
        {"errors": 2, "spam": 2},
    ]
