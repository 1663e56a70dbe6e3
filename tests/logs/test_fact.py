"""Addresses as daemons write them, and evidence that is fit to be shown."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repzone.logs.fact import clean, parse_client


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("IPv6:2001:DB8::7", "2001:db8::7"),
        ("ipv6:::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8::7/128", "2001:db8::7"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.0/24", None),
        ("2001:db8::/32", None),
        ("192.0.2.700", None),
        ("192.0.2.07", None),
        ("unknown", None),
        ("", None),
    ],
)
def test_an_address_is_read_in_its_one_form(text: str, wanted: str | None) -> None:
    client = parse_client(text)
    assert (client.to_text() if client is not None else None) == wanted


@given(st.text(max_size=1500))
def test_evidence_is_short_printable_and_names_no_mailbox(text: str) -> None:
    shown = clean(text)
    assert len(shown) <= 200
    assert shown.isprintable()
    assert "@" not in shown
    assert "%40" not in shown


def test_evidence_keeps_what_is_not_secret() -> None:
    assert clean("550 5.1.1 <a b@here.example>: gone\x1b[0m") == r"550 5.1.1 <…>: gone\x1b[0m"
    assert clean("see https://x.example/?s=a%40b.example now") == "see <…> now"


def test_evidence_never_ends_with_half_a_mailbox() -> None:
    long = "a" * 90 + "@b.example "
    assert clean(long * 7 + "s" * 100 + "@here.example") == "<…> " * 6 + "<…>"


@pytest.mark.parametrize(
    ("text", "names", "wanted"),
    [
        ("No such user jane here", ("jane@here.example",), "No such user <…> here"),
        ("No such user janet here", ("jane@here.example", None), "No such user janet here"),
        ("user a.jane unknown", ("jane@here.example",), "user a.jane unknown"),
        ("bad password=hunter2, go", (), "bad password <…> go"),
        ("refused after AUTH PLAIN AGphbmUAaHVudGVyMg==", (), "refused after AUTH PLAIN <…>"),
        ("Password mismatch", (), "Password mismatch"),
        ("AUTH not offered", (), "AUTH not offered"),
        ("authentication failed: bad authentication", (), "authentication failed: bad authentication"),
    ],
)
def test_neither_names_nor_credentials_are_evidence(text: str, names: tuple[str | None, ...], wanted: str) -> None:
    assert clean(text, *names) == wanted
