"""Labels in front of an apex and the clients that they name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.model import V4, V6, Client
from repzone.zone.names import Unnamed, from_labels, may_hold_names, to_labels, wire_length


def labels(text: str) -> tuple[bytes, ...]:
    return tuple(text.encode().split(b"."))


ADDRESSES = st.one_of(
    st.integers(0, 2**32 - 1).map(lambda value: Client(V4, value, 32)),
    st.integers(0, 2**128 - 1).map(lambda value: Client.from_number(V6, value, 128)),
)


@given(ADDRESSES)
def test_the_labels_of_an_address_name_that_address(client: Client) -> None:
    assert from_labels(to_labels(client)) == client


@given(ADDRESSES, st.data())
def test_every_name_above_an_address_is_partial_or_an_address_itself(client: Client, data: st.DataObject) -> None:
    full = to_labels(client)
    above = full[data.draw(st.integers(1, len(full) - 1)) :]
    read = from_labels(above)
    assert read is Unnamed.PARTIAL or (isinstance(read, Client) and may_hold_names(above))


@given(st.lists(st.binary(max_size=5), min_size=1, max_size=40))
def test_what_is_no_address_raises_nothing(words: list[bytes]) -> None:
    read = from_labels(words)
    assert isinstance(read, Client | Unnamed)


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("7.2.0.192", "192.0.2.7"),
        ("0.0.0.0", "0.0.0.0"),
        ("255.255.255.255", "255.255.255.255"),
        ("1.0.0.0." + "0." * 20 + "8.b.d.0.1.0.0.2", "2001:db8::1"),
        ("1.0.0.0." + "0." * 20 + "8.B.D.0.1.0.0.2", "2001:db8::1"),
        ("7.0.2.0.0.0.0.c.f.f.f.f." + "0." * 19 + "0", "192.0.2.7"),
        ("7.0.2.0.0.0.0.c." + "0." * 16 + "b.9.f.f.4.6.0.0", "64:ff9b::192.0.2.7"),
    ],
)
def test_exactly_four_decimal_labels_or_32_nibbles_are_an_address(text: str, client: str) -> None:
    assert from_labels(labels(text)) == Client.from_text(client)


@pytest.mark.parametrize("text", ["192", "2.192", "0.2.192", "f", "1.0.0.2", "a.b.c.d.e", ".".join("0" * 31)])
def test_what_addresses_have_names_below_is_partial(text: str) -> None:
    read = from_labels(labels(text))
    assert read is Unnamed.PARTIAL or may_hold_names(labels(text))


@pytest.mark.parametrize(
    "text",
    [
        *("256", "1.2.3.256", "01.2.3.4", "1.2.3.04", "1.2.3.-4", "1.2.3.+4", "1.2.3. 4", "1.2.3.4.192"),
        *("7.2.0.192.1", "foo", "1.2.3.foo", "192.f", "g", "00", "1_0", "\N{SUPERSCRIPT TWO}", ".".join("0" * 33)),
    ],
)
def test_anything_else_is_no_name_of_an_address(text: str) -> None:
    assert from_labels(labels(text)) is Unnamed.OTHER


def test_an_ipv4_name_of_single_nibbles_is_also_above_ipv6_names() -> None:
    assert may_hold_names(labels("4.3.2.1"))
    assert not may_hold_names(labels("4.3.2.10"))
    assert not may_hold_names(to_labels(Client.from_text("2001:db8::1")))


def test_the_length_on_the_wire_counts_lengths_and_root() -> None:
    assert wire_length(labels("bl.example.net")) == 16
